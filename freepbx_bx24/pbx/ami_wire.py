"""The wire of Asterisk's manager interface (AMI): bytes in, messages out; an action in, bytes out. No I/O."""

from __future__ import annotations

import re
from typing import Dict, Iterable, Mapping, Sequence, Union

from ..errors import AmiError

# What is kept of one line, one message and one action. Asterisk's longest event of a call has some 60 headers and 4 KB;
# a caller's name may be as long as the provider likes.
LONGEST_LINE = 16_384  # bytes
MOST_HEADERS = 2_000
LONGEST_MESSAGE = 262_144  # bytes
# Asterisk 16 and 22 refuse an action with a line of 1024 bytes or more, or with more than 128 lines, and the refusal
# has no ActionID: nobody could tell whom it is for.
LONGEST_ACTION_LINE = 1_000
MOST_ACTION_HEADERS = 100

_END = b"\r\n"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")

Values = Union[str, Sequence[str]]


class Message(Dict[str, str]):
    """A response or an event: a dict of header to value, names as Asterisk writes them.

    Where a header came more than once (ChanVariable, Output, Variable), the dict has its first value and `every()` has
    all: a text is never a list, whatever comes over the wire.

    `received` is when it was read, in seconds on the monotonic clock: AMI events carry no time of their own, and an
    owner may come to them late.
    """

    received = 0.0

    def __init__(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__()
        self._more: dict[str, list[str]] = {}
        for name, value in headers:
            if name in self:
                self._more.setdefault(name, [self[name]]).append(value)
            else:
                self[name] = value

    @property
    def is_event(self) -> bool:
        """Whether it is an event and no response: its first header says so, since OriginateResponse, an event, has a
        header Response as well."""
        return next(iter(self), "") == "Event"

    def every(self, name: str) -> list[str]:
        """All values of a header in their order; empty where it did not come."""
        return list(self._more.get(name, [self[name]] if name in self else []))


class Parser:
    """Takes the bytes of one connection as they come.

    A line ends with CR LF and nothing else, since that is what Asterisk writes: a lone line end within a value stays
    within it. What is longer than the bounds above is cut off and the rest goes on; no input raises.
    """

    def __init__(self) -> None:
        self.banner: str | None = None  # the connection's first line, "Asterisk Call Manager/x.y.z"; None until it came
        self._tail = b""
        self._headers: list[tuple[str, str]] = []
        self._size = 0

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes in; returns the messages that they complete."""
        *lines, tail = (self._tail + data).split(_END)
        if len(tail) > LONGEST_LINE:
            # The zero byte keeps apart what was apart, so that no line end arises; the last byte may be half of one.
            tail = tail[:LONGEST_LINE] + b"\0" + tail[-1:]
        self._tail = tail
        return [message for line in lines for message in self._line(line[:LONGEST_LINE])]

    def _line(self, line: bytes) -> Iterable[Message]:
        if self.banner is None:
            self.banner = line.decode("utf-8", "replace")
        elif line:
            self._header(line)
        elif self._headers:
            yield Message(self._headers)
            self._headers, self._size = [], 0

    def _header(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        self._size += len(line)
        if colon and len(self._headers) < MOST_HEADERS and self._size <= LONGEST_MESSAGE:
            text = value.decode("utf-8", "replace")
            self._headers.append((name.decode("utf-8", "replace").strip(), text[1:] if text[:1] == " " else text))


def encode(action: str, action_id: str, headers: Mapping[str, Values]) -> bytes:
    """An action as it goes over the wire; a header with several values becomes several lines (`Variable`).

    Values lose what is not printable, line ends first of all, and no more: channel names have `;`, caller ids have
    quotes. What comes from outside goes through `agi.harmless()` before.

    :raises AmiError: where a header's name is none, or Asterisk would throw the action away for its length.
    """
    lines = [("Action", action), ("ActionID", action_id)]
    for name, values in headers.items():
        if not _NAME.fullmatch(name) or name.casefold() in ("action", "actionid"):
            raise AmiError("an AMI action was held back: the name of a header is not allowed")
        lines += [(name, value) for value in ([values] if isinstance(values, str) else values)]
    encoded = [f"{name}: {_one_line(value)}".encode() for name, value in lines]
    if len(encoded) > MOST_ACTION_HEADERS or max(map(len, encoded)) > LONGEST_ACTION_LINE:
        raise AmiError(f"the AMI action {_one_line(action)[:40]} was held back: it is too long for Asterisk")
    return _END.join(encoded) + _END + _END


def _one_line(value: str) -> str:
    return "".join(mark if mark.isprintable() else " " for mark in value).strip()
