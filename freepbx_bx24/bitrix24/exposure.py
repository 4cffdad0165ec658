"""Whether the events' handler can be reached through the web server that shows FreePBX's pages: it must not be."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from typing import Iterator, NamedTuple
from urllib.parse import urlsplit

MARK = b"bx24 events: "  # with what the handler begins whatever it says
ADMIN = "/admin/config.php"
SHOWN = frozenset({200, 301, 302, 303, 307, 401})  # a page, a way to it, or the question who asks for it
SECONDS = 3.0
MOST = 8192  # bytes of an answer
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\b")


class Place(NamedTuple):
    """A web server of this machine. :ivar host: whose pages are asked for."""

    port: int
    tls: bool
    host: str


USUAL = (Place(80, False, "127.0.0.1"), Place(443, True, "127.0.0.1"))


def exposed(address: str, usual: tuple[Place, ...] = USUAL) -> Iterator[Place]:
    """The web servers of this machine that show FreePBX's administration and pass posts on to the handler.

    :param address: where the portal posts its events. :param usual: asked whatever the address says.
    """
    parts = urlsplit(address)
    host, tls = parts.hostname or "", parts.scheme == "https"
    named = [
        *(Place(port, secure, host) for port, secure, _ in usual),
        Place(parts.port or (443 if tls else 80), tls, host),
    ]
    for place in dict.fromkeys((*usual, *named)):
        if MARK in ask(place, parts.path, "POST") and _status(ask(place, ADMIN)) in SHOWN:
            yield place


def ask(place: Place, path: str, method: str = "GET") -> bytes:
    """The beginning of the answer; empty where nobody answers. No certificate is looked at: it is loopback.

    A POST has no body: the handler refuses that without a word in its log.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    head = (f"{method} {path} HTTP/1.0", f"Host: {place.host}", "Connection: close", "Content-Length: 0")
    request = "\r\n".join((*head, "", "")).encode("ascii", "replace")
    answer = b""
    with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", place.port), timeout=SECONDS))
        if place.tls:
            connection = stack.enter_context(context.wrap_socket(connection, server_hostname=place.host))
        connection.sendall(request)
        while len(answer) < MOST:
            more = connection.recv(MOST)
            if not more:
                break
            answer += more
    return answer


def _status(answer: bytes) -> int:
    found = _STATUS.match(answer)
    return int(found[1]) if found else 0
