"""Where the authorisation code arrives: pasted by a person, or brought by the browser that the portal sends on."""

from __future__ import annotations

import hmac
import os
import re
import selectors
import socket
import time
from dataclasses import dataclass, field
from typing import Callable
from urllib.parse import SplitResult, parse_qs, urlsplit

from ..bitrix24.replies import harmless

_LARGEST_REQUEST = 16 * 1024
_LONGEST_LINE = 8 * 1024
_MOST_CONNECTIONS = 16
_REQUEST_SECONDS = 10.0
_CODE = re.compile(r"[A-Za-z0-9._-]{8,1000}")
_REQUEST = re.compile(rb"([A-Z]+) (/[!-~]*) HTTP/1\.[01]\r\n")

_PAGE = (
    "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\n"
    "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nContent-Security-Policy: default-src 'none'\r\n"
    "Connection: close\r\n\r\n{body}"
)
_BODY = "<!DOCTYPE html><meta charset=utf-8><title>freepbx_bx24</title><h1>{title}</h1><p>{text}</p>\n"
_ARRIVED = ("200 OK", "The code has arrived", "The terminal in which bx24 login runs says the rest. Close this page.")
_NOTHING_HERE = ("404 Not Found", "Nothing here", "This address waits for the portal's answer to bx24 login.")
_GET_ONLY = ("405 Method Not Allowed", "Not like this", "Only the portal's redirect is taken here.")
_TOO_LARGE = ("431 Request Header Fields Too Large", "Too large", "This is no redirect of a portal.")


@dataclass(frozen=True)
class Answer:
    """What came: the code, and the authorisation server that the portal named for it, empty where it named none."""

    code: str = field(repr=False)
    server: str = ""


def read_answer(typed: str, state: str) -> Answer:
    """Return what a pasted line holds: the address to which the portal has sent the browser, or the code alone.

    :param state: the random text of this login; an address must bring it back, a code alone can't be checked.
    :raises ValueError: with what is wrong, free of what was typed.
    """
    line = typed.strip().strip("'\"")
    if _CODE.fullmatch(line):
        return Answer(line)
    try:
        address = urlsplit(line)
    except ValueError:
        address = SplitResult("", "", "", "", "")
    if not address.query:
        raise ValueError("this is neither a code nor an address with one")
    return from_query(address.query, state)


def from_query(query: str, state: str) -> Answer:
    """Return what the portal's redirect brings. :raises ValueError: as for `read_answer`."""
    try:
        given = {name: values[0] for name, values in parse_qs(query, max_num_fields=50).items()}
    except ValueError:
        given = {}
    if not hmac.compare_digest(given.get("state", "").encode("utf-8", "replace"), state.encode()):
        raise ValueError("this address belongs to another login (its state differs): open the address above anew")
    if "error" in given:
        said = harmless(given.get("error_description") or given["error"])
        raise ValueError(f"the portal did not agree: {said or 'it does not say why'}")
    if not _CODE.fullmatch(given.get("code", "")):
        raise ValueError("this address holds no code")
    return Answer(given["code"], harmless(given.get("server_domain"), 200))


class Listener:
    """A page on this machine to which the portal sends the browser; it takes one code.

    :raises OSError: nothing can listen there.
    """

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.create_server((host, port), family=family, backlog=_MOST_CONNECTIONS)
        self.socket.setblocking(False)

    def close(self) -> None:
        """Listen no more."""
        self.socket.close()


@dataclass
class _Visitor:
    """One connection: what it has sent so far, and until when it may send more."""

    connection: socket.socket
    ends: float
    sent: bytes = b""


def wait_for_answer(
    listener: Listener | None, typing: int | None, state: str, longest: float, say: Callable[[str], None]
) -> Answer | None:
    """Return the first answer that is right, pasted or brought; None where none has come in time, or none can.

    :param typing: file descriptor that people type at; at its end only the listener is left.
    :param longest: seconds. :param say: is told why what came was not taken.
    """
    ends = time.monotonic() + longest
    typed = b""
    visitors: dict[int, _Visitor] = {}
    with selectors.PollSelector() as selector:
        if listener is not None:
            selector.register(listener.socket, selectors.EVENT_READ)
        if typing is not None:
            selector.register(typing, selectors.EVENT_READ)
        try:
            while selector.get_map():
                now = time.monotonic()
                if now >= ends:
                    return None
                for visitor in [one for one in visitors.values() if one.ends <= now]:
                    _leave(selector, visitors, visitor)
                for key, _ in selector.select(min(ends - now, 1.0)):
                    answer = None
                    if key.fd == typing:
                        piece = os.read(typing, _LONGEST_LINE)
                        if not piece:
                            selector.unregister(typing)
                        typed = (typed + piece)[-_LONGEST_LINE:]
                        typed, answer = _lines(typed, not piece, state, say)
                    elif listener is not None and key.fileobj is listener.socket:
                        _welcome(selector, visitors, listener)
                    else:
                        answer = _hear(selector, visitors, visitors[key.fd], state, say)
                    if answer is not None:
                        return answer
            return None
        finally:
            for visitor in list(visitors.values()):
                visitor.connection.close()


def _lines(typed: bytes, at_end: bool, state: str, say: Callable[[str], None]) -> tuple[bytes, Answer | None]:
    """Return what is left of the typed text, and the first answer in its whole lines."""
    *whole, rest = typed.split(b"\n")
    for line in [*whole, rest] if at_end else whole:
        if line.strip():
            try:
                return b"", read_answer(line.decode("utf-8", "replace"), state)
            except ValueError as error:
                say(str(error))
    return b"" if at_end else rest, None


def _welcome(selector: selectors.BaseSelector, visitors: dict[int, _Visitor], listener: Listener) -> None:
    try:
        connection, _ = listener.socket.accept()
    except OSError:
        return  # it has gone already
    connection.setblocking(False)
    if len(visitors) >= _MOST_CONNECTIONS:
        _leave(selector, visitors, min(visitors.values(), key=lambda one: one.ends))
    visitors[connection.fileno()] = _Visitor(connection, time.monotonic() + _REQUEST_SECONDS)
    selector.register(connection, selectors.EVENT_READ)


def _leave(selector: selectors.BaseSelector, visitors: dict[int, _Visitor], visitor: _Visitor) -> None:
    selector.unregister(visitor.connection)
    del visitors[visitor.connection.fileno()]
    visitor.connection.close()


def _hear(
    selector: selectors.BaseSelector,
    visitors: dict[int, _Visitor],
    visitor: _Visitor,
    state: str,
    say: Callable[[str], None],
) -> Answer | None:
    """Read more of a request; once it is whole, answer it with a page."""
    try:
        piece = visitor.connection.recv(_LARGEST_REQUEST)
    except BlockingIOError:
        return None
    except OSError:
        piece = b""
    visitor.sent += piece
    if piece and b"\r\n\r\n" not in visitor.sent and len(visitor.sent) <= _LARGEST_REQUEST:
        return None
    answer = None
    if piece:
        page, answer = _page(visitor.sent, state, say)
        status, title, text = page
        body = _BODY.format(title=title, text=text)
        try:
            visitor.connection.send(_PAGE.format(status=status, length=len(body.encode()), body=body).encode())
            visitor.connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the browser did not wait for the page
    _leave(selector, visitors, visitor)
    return answer


def _page(request: bytes, state: str, say: Callable[[str], None]) -> tuple[tuple[str, str, str], Answer | None]:
    if b"\r\n\r\n" not in request or len(request) > _LARGEST_REQUEST:
        return _TOO_LARGE, None
    found = _REQUEST.match(request)
    if not found or found[1] != b"GET":
        return _GET_ONLY, None
    query = urlsplit("http://localhost" + found[2].decode("ascii")).query
    if not query:
        return _NOTHING_HERE, None
    try:
        return _ARRIVED, from_query(query, state)
    except ValueError as error:
        say(str(error))
        return ("400 Bad Request", "Not taken", "The terminal in which bx24 login runs says why."), None
