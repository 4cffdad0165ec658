"""The upload address that attachRecord gives out: whether it may be used, and a file's way to it, piece by piece."""

from __future__ import annotations

import secrets
from typing import BinaryIO, Callable, Iterator
from urllib.parse import parse_qsl

from ..errors import PortalBroken, RecordRefused
from .transport import split

METHOD = "upload"  # as the portal's limits count it
PIECE = 64 * 1024  # bytes that are in memory at once
LONGEST_ADDRESS = 8000
LONGEST_FIELD = 100

_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_OTHER_HOST = (
    "Is the portal behind a proxy that gives it another name? Its own settings must have the name that we use."
)


class Multipart:
    """A form with one file, as a body that requests streams: it has a length and is read in pieces.

    :param field: the form's name for the file. :param name: FILENAME; harmless, see attachment.file_name.
    :param file: open for reading. :param size: bytes that are sent of it: what it grows by meanwhile is not.
    :param told: hears after each piece how many bytes of the file are on their way.
    """

    def __init__(
        self, field: str, name: str, file: BinaryIO, size: int, told: Callable[[int], object] = lambda sent: None
    ) -> None:
        mark = secrets.token_hex(16)
        kind = _TYPES[name.rpartition(".")[2]]
        self.content_type = f"multipart/form-data; boundary={mark}"
        disposition = f'Content-Disposition: form-data; name="{field}"; filename="{name}"'
        self._head = f"--{mark}\r\n{disposition}\r\nContent-Type: {kind}\r\n\r\n".encode("ascii")
        self._tail = f"\r\n--{mark}--\r\n".encode("ascii")
        self._file, self._size, self._told = file, size, told
        self._pieces = self._all()
        self._rest = b""

    def __len__(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(PIECE), b"")

    def read(self, most: int = -1) -> bytes:
        """The next bytes, `most` at most, one piece at most; empty at the end.

        :raises OSError: the file can't be read, or has become shorter.
        """
        if not self._rest:
            self._rest = next(self._pieces, b"")
        found = self._rest if most < 0 else self._rest[:most]
        self._rest = self._rest[len(found) :]
        return found

    def _all(self) -> Iterator[bytes]:
        yield self._head
        sent = 0
        while sent < self._size:
            piece = self._file.read(min(PIECE, self._size - sent))
            if not piece:
                raise OSError("the file has become shorter")
            yield piece
            sent += len(piece)
            self._told(sent)
        yield self._tail


def offered(result: object) -> tuple[str, str]:
    """The upload address and the form's field that attachRecord answered with.

    :raises PortalBroken: there is none.
    """
    address = result.get("uploadUrl") if isinstance(result, dict) else None
    field = result.get("fieldName", "file") if isinstance(result, dict) else None
    usable = isinstance(address, str) and 0 < len(address) <= LONGEST_ADDRESS
    if not usable or not (isinstance(field, str) and field.isidentifier() and field.isascii()):
        raise PortalBroken("the portal gave no address for an upload")
    return str(address), field[:LONGEST_FIELD]


def at_the_portal(address: str, origin: str) -> tuple[str, tuple[str, ...]]:
    """The upload address at the portal's own origin, and the secrets in it; it carries the way in, so nowhere else.

    A portal behind a proxy that ends TLS may call itself by another scheme or port: the host has to be ours.

    :param origin: `https://HOST[:PORT]` of the portal.
    :raises RecordRefused: it is another host's. :raises PortalBroken: it is no address. Neither shows it.
    """
    parts, ours = split(address), split(origin)
    if not parts.hostname or not parts.path.startswith("/"):
        raise PortalBroken("the portal's address for an upload is none")
    if parts.hostname != ours.hostname or parts.username is not None:
        raise RecordRefused("", "the address for the upload is not the portal's own", 200, _OTHER_HOST)
    path = address.partition("://")[2].partition("/")[2].partition("#")[0]
    values = [value for _, value in parse_qsl(parts.query)]
    return f"{origin}/{path}", tuple(
        value for value in (*values, parts.query, *parts.path.split("/")) if len(value) > 7
    )
