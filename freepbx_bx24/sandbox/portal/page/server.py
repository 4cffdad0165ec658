"""The page on a server of its own beside the portal's, since it must be there while the portal is down."""

from __future__ import annotations

import functools
import json
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Callable

from freepbx_bx24.sandbox.portal.http_server import HttpServer
from freepbx_bx24.sandbox.portal.page import door
from freepbx_bx24.sandbox.portal.page.feed import Feed
from freepbx_bx24.sandbox.portal.page.switchboard import Switchboard
from freepbx_bx24.sandbox.portal.page.view import items_of

if TYPE_CHECKING:
    from freepbx_bx24.sandbox.portal.server import Portal

LOOK_SECONDS = 0.15  # between two looks at the portal, while somebody watches
ALIVE_SECONDS = 10.0  # a browser that has gone is noticed when something is said to it
RETRY_MILLISECONDS = 1000
MOST_STREAMS = 32


class Page:
    """The page of one portal; a context manager."""

    def __init__(self, portal: Portal, *, host: str = "127.0.0.1", port: int = 0, open_to_others: bool = False) -> None:
        """`port` 0 takes a free one.

        :param host: the address to listen on. `open_to_others`: it is not this machine's alone, so that a random token
            is part of the page's address.
        """
        self.portal = portal
        self.switchboard = Switchboard(portal)
        self.entry = door.Entry(secrets.token_urlsafe(24) if open_to_others else "", secrets.token_urlsafe(24))
        self._host, self._port = host, port
        self._feed = Feed()
        self._places = threading.BoundedSemaphore(MOST_STREAMS)
        self._stopping = threading.Event()
        self._server: HttpServer | None = None

    @property
    def port(self) -> int:
        """Known once it was started."""
        return self._port

    @property
    def url(self) -> str:
        """Where a browser finds it; with the token where there is one."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        token = f"?token={self.entry.visitor_token}" if self.entry.visitor_token else ""
        return f"http://{host}:{self._port}/{token}"

    def start(self) -> Page:
        """Listen. :raises OSError: the address can't be bound."""
        self._stopping.clear()
        self._server = HttpServer(self._host, self._port, functools.partial(door.application, self))
        self._port = self._server.port
        return self

    def stop(self) -> None:
        """Refuse and cut all connections."""
        self._stopping.set()
        server, self._server = self._server, None
        if server:
            server.close()

    def __enter__(self) -> Page:
        return self if self._server else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stream(self, version: str) -> Iterable[bytes] | None:
        """Server-sent events from `version` on, without an end; None where too many are listened to."""
        return _Stream(self._events(version), self._places.release) if self._places.acquire(blocking=False) else None

    def _events(self, version: str) -> Iterator[bytes]:
        yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
        said, first = time.monotonic(), True
        while not self._stopping.wait(0 if first else LOOK_SECONDS):
            self._feed.update(items_of(self.portal, self.switchboard))
            changes = self._feed.since(version)
            if changes.items or (first and changes.whole):
                data = json.dumps({"now": self.portal.now(), "whole": changes.whole, "items": changes.items})
                yield f"id: {changes.version}\nevent: changes\ndata: {data}\n\n".encode()
                said = time.monotonic()
            elif time.monotonic() - said > ALIVE_SECONDS:
                yield b": still here\n\n"
                said = time.monotonic()
            version, first = changes.version, False


class _Stream:
    """The pieces of one stream; `close` gives its place back, also where it was never begun."""

    def __init__(self, pieces: Iterator[bytes], give_back: Callable[[], None]) -> None:
        self._pieces = pieces
        self.close = give_back

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces
