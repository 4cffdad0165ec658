"""The HTTP endpoint on loopback to which a web server passes the portal's posts: answers at once, works afterwards."""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING, Any, Callable

from ..bitrix24.exposure import MARK
from ..bitrix24.vouching import vouched
from ..errors import PortalError
from . import event_post, event_token
from .event_post import Post, Refused

if TYPE_CHECKING:
    from .runtime import Runtime

LOG = logging.getLogger("bx24.events")

HOST = "127.0.0.1"
CONNECTIONS = 16  # at once
REQUEST_SECONDS = 5.0  # from the connection to the answer, whatever trickles in
POSTS_A_SECOND, POSTS_AT_ONCE = 20.0, 100.0
MOST_WAITING = 100  # events that were answered and not worked on yet
VOUCH_SECONDS = 10.0
BETWEEN_VOUCHERS_SECONDS = 5.0  # while no token is known, whoever posts nonsense has the portal asked no more often
SAID_EVERY_SECONDS = 60.0
PAUSE_SECONDS = 0.2

Take = Callable[[Any], None]


class EventHandler:
    """Listens until `stop`. Events are worked on one after the other, in a thread of their own."""

    def __init__(self, runtime: Runtime, take: Take, port: int, path: str) -> None:
        """:param take: is handed each event. :param path: the only one there is.

        :raises OSError: the port is taken.
        """
        self.runtime, self.path = runtime, path
        self._take = take
        self._posts: queue.Queue[Post | None] = queue.Queue(MOST_WAITING)
        self._refusals = Refusals()
        self._vouched_at = time.monotonic() - BETWEEN_VOUCHERS_SECONDS
        self._allowance, self._counted_at = POSTS_AT_ONCE, time.monotonic()
        self._lock = threading.Lock()
        self._server = _Server((HOST, port), self)
        self.port: int = self._server.server_address[1]
        self._threads = (
            threading.Thread(target=self._server.accept_until_stopped, name="event-handler", daemon=True),
            threading.Thread(target=self._work, name="event-posts", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Listen no longer; what was answered is worked on by the thread, which nobody waits for."""
        self._server.stop()
        with contextlib.suppress(queue.Full):
            self._posts.put_nowait(None)

    def answer(self, method: str, path: str, headers: Any, body: Callable[[int], bytes]) -> int:
        """Take one request in; its HTTP status. :param body: reads so many bytes."""
        post = self._read(method, path, headers, body)
        if isinstance(post, Post):
            try:
                self._posts.put_nowait(post)
                return 200
            except queue.Full:
                post = Refused(503, "more events than can be worked on")
        if post.why:
            self._refusals.say(post.why)
        return post.status

    def _read(self, method: str, path: str, headers: Any, body: Callable[[int], bytes]) -> Post | Refused:
        length = event_post.length_of(method, path, self.path, headers)
        if isinstance(length, Refused):
            return length
        if not self._allowed():
            return Refused(429, "too many posts")
        content = body(length)
        if len(content) < length:
            return Refused(400, "a connection that broke off")
        return event_post.read(content, self._token)

    def say_refused(self, why: str) -> None:
        """A connection that did not come as far as a request."""
        self._refusals.say(why)

    @property
    def _token(self) -> str:
        return event_token.read(self.runtime.state, self.runtime.settings.portal.client_id)

    def _allowed(self) -> bool:
        with self._lock:
            now = time.monotonic()
            drained = (now - self._counted_at) * POSTS_A_SECOND
            self._allowance, self._counted_at = min(self._allowance + drained, POSTS_AT_ONCE), now
            if self._allowance < 1.0:
                return False
            self._allowance -= 1.0
            return True

    def _work(self) -> None:
        while True:
            post = self._posts.get()
            if post is None:
                return
            try:
                if self._is_portals(post):
                    self._take(post.event)
            except Exception as error:  # neither a disk nor a bug may end this
                LOG.error("%s that was posted is lost: %s", post.event.name, error, exc_info=not str(error))

    def _is_portals(self, post: Post) -> bool:
        """Whether the portal has sent it: it was compared already where a token is known, else the portal is asked."""
        runtime, portal = self.runtime, self.runtime.settings.portal
        known = self._token
        if known:
            return event_post.same(post.application_token, known)
        if not event_token.usable(post.application_token):
            return False
        pause = self._vouched_at + BETWEEN_VOUCHERS_SECONDS * runtime.wait_scale - time.monotonic()
        if runtime.stopping.wait(max(pause, 0.0)):
            return False
        self._vouched_at = time.monotonic()
        longest = max(VOUCH_SECONDS * runtime.scale, 2.0)
        try:
            sure = vouched(runtime.client, portal, runtime.state, post.access_token, longest)
        except PortalError as error:
            LOG.warning("whether a post was the portal's can't be told, so it is dropped: %s", error.message)
            return False
        if sure:
            event_token.keep(runtime.state, portal.client_id, post.application_token)
            LOG.info("the portal's application_token was learned: from now on every post is compared with it")
        else:
            self._refusals.say("another application's token")
        return sure


class Refusals:
    """What was refused, a line of the log for each reason and minute; safe to use from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}
        self._since: Counter[str] = Counter()

    def say(self, why: str) -> None:
        """One more. :param why: one of few reasons: nothing that was sent."""
        with self._lock:
            self._since[why] += 1
            now = time.monotonic()
            if now - self._said.get(why, -SAID_EVERY_SECONDS) < SAID_EVERY_SECONDS:
                return
            self._said[why] = now
            times = self._since.pop(why)
        LOG.warning("refused at the events' handler: %s%s", why, f" ({times} times)" if times > 1 else "")


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: EventHandler) -> None:
        self.handler = handler
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        self._stopped = False
        super().__init__(address, _Request)

    def accept_until_stopped(self) -> None:
        """Without `serve_forever`, which wakes twice a second for nothing."""
        while not self._stopped:
            try:
                self.process_request(*self.get_request())
            except (OSError, RuntimeError):  # it was stopped, or there is no descriptor or no thread left: that passes
                time.sleep(0 if self._stopped else PAUSE_SECONDS)

    def stop(self) -> None:
        """Wake who accepts, and listen no longer."""
        self._stopped = True
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.handler.say_refused("too many connections at once")
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread left
            self._free.release()
            self.shutdown_request(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # Its own time-outs are per read: what trickles in would hold a thread for hours.
        ends = threading.Timer(REQUEST_SECONDS, _cut, (request,))
        ends.daemon = True
        ends.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            ends.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.handler.say_refused("a connection that broke off")


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Request(BaseHTTPRequestHandler):
    """One request a connection: HTTP/1.0."""

    server: _Server
    timeout = REQUEST_SECONDS

    def _any(self) -> None:
        status = self.server.handler.answer(self.command, self.path, self.headers, self.rfile.read)
        body = MARK + f"{status}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _any

    def version_string(self) -> str:
        return "bx24"

    def log_message(self, format: str, *arguments: object) -> None:
        """What was sent never reaches a log."""
