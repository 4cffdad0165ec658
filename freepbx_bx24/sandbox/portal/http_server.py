"""Serves a WSGI application over HTTP/1.1 with connections that stay open, as a portal's front end does.

Werkzeug's own request handler closes each connection after one answer; a client's connection pool would never show how
it treats a warm, a stale or a cut connection.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

EVENT_STREAM = "text/event-stream; charset=utf-8"
SINCE = "portal.since"  # when the first line of the request had come (seconds, monotonic)
SENT = "portal.sent"  # the application's list of what is to be called when its whole response is on the wire
IDLE_SECONDS = 75  # how long an open connection may wait for its next request


class _Connections:
    """The sockets in use, so that a stop can cut them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._closed = False

    def add(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.add(connection)
            if self._closed:
                _cut(connection)

    def discard(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(connection)

    def cut_all(self) -> None:
        with self._lock:
            self._closed = True
            for connection in self._sockets:
                _cut(connection)


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the peer was faster
        # The plain socket's method: that of a TLS socket would take the session away from a thread that reads from it.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Handler(WSGIRequestHandler):
    connections: _Connections  # these two are given by the class that HttpServer derives
    tls: ssl.SSLContext | None
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment: two would wait for each other's acknowledgement
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS

    def setup(self) -> None:
        if self.tls:  # here, in the connection's own thread: a client that stalls in its handshake holds up nobody
            self.request = self.tls.wrap_socket(self.request, server_side=True, do_handshake_on_connect=False)
        self.connections.add(self.request)
        super().setup()

    def handle(self) -> None:
        if isinstance(self.connection, ssl.SSLSocket):
            try:
                self.connection.do_handshake()
            except OSError:  # the client does not trust us, or speaks no TLS
                return
        super().handle()

    def finish(self) -> None:
        self.connections.discard(self.connection)
        with contextlib.suppress(OSError):  # the peer was faster
            super().finish()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.close()  # the server itself knows only the socket that the TLS one took over

    def parse_request(self) -> bool:
        """The first line of a request is here: from now on it is our time that a client waits for."""
        self.since = time.monotonic()
        return super().parse_request()

    def make_environ(self) -> WSGIEnvironment:
        """The scheme that the client used is part of addresses which the portal gives out."""
        environ = super().make_environ()
        environ["wsgi.url_scheme"] = "https" if self.tls else "http"
        environ[SINCE], environ[SENT] = self.since, []
        return environ

    def run_wsgi(self) -> None:
        """Send the application's whole response; the application reads the whole body, or says Connection: close.

        A response of EVENT_STREAM is sent piece by piece as it comes, and its end is the connection's.
        """
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        head: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
            head.append((status, headers))

        pieces: Iterable[bytes] = ()
        try:
            environ = self.make_environ()
            pieces = self.server.app(environ, start_response)
            if head and ("Content-Type", EVENT_STREAM) in head[-1][1]:
                self._stream(head[-1], pieces)
                return
            body = b"".join(pieces)
        except ConnectionError:
            self.close_connection = True  # the application drops this client, or the client is gone
            return
        finally:
            getattr(pieces, "close", lambda: None)()
        status, headers = head[-1]
        self._send_head(status, headers)
        self.wfile.write(body)
        self.wfile.flush()
        for sent in environ[SENT]:
            sent()
        if any(name.lower() == "content-length" and value != str(len(body)) for name, value in headers):
            self.close_connection = True  # the rest of a body that was cut on purpose never comes

    def _send_head(self, status: str, headers: list[tuple[str, str]]) -> None:
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def _stream(self, head: tuple[str, list[tuple[str, str]]], pieces: Iterable[bytes]) -> None:
        self.close_connection = True
        self._send_head(head[0], [*head[1], ("Connection", "close")])
        for piece in pieces:
            self.wfile.write(piece)
            self.wfile.flush()

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: requests stand in the ledger, and their paths hold the webhook's secret."""


class HttpServer:
    """A listening server in its own threads. Bound when made; `close` also cuts every open connection."""

    def __init__(self, host: str, port: int, application: WSGIApplication, tls: ssl.SSLContext | None = None) -> None:
        """With `tls` it speaks HTTPS. :raises OSError: the address can't be bound."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._connections = _Connections()
        handler = type("Handler", (_Handler,), {"connections": self._connections, "tls": tls})
        with socket.create_server((host, port), family=family, backlog=128) as listening:
            self.port: int = listening.getsockname()[1]
            self._server = make_server(
                host, self.port, application, threaded=True, request_handler=handler, fd=listening.fileno()
            )
        self._thread = threading.Thread(target=self._server.serve_forever, name=f"portal-{self.port}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and cut the connections; requests being worked on get no answer."""
        # Linux wakes whoever waits on a listening socket that is shut down: no need to sit out the loop's poll.
        self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._server.server_close()
        self._connections.cut_all()
        self._thread.join()
