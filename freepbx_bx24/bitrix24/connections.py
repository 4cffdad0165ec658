"""Connections to the portal that end at a deadline, whatever the portal does."""

from __future__ import annotations

import logging
import math
import socket
import ssl
import threading
import time
from typing import Any

from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context
from urllib3.util.ssl_match_hostname import CertificateError

# A connection that has been idle for longer is not used again. Firewalls forget idle connections after a minute or
# more, and nginx closes them after 75 s by default; one that the portal has closed is noticed by urllib3 before use.
IDLE_SECONDS = 30.0
LARGEST_POOL = 16

_NOT_TRUSTED = "the certificate of the portal's host is not trusted: "
_AUTHORITY = "For a self-hosted portal put its authority's certificate into `portal.ca_bundle`; look at the clock, too."
_TOO_LATE = "no connection to the portal's host in time"

_thread = threading.local()

# cause of a failed connection -> (what is said, hint; empty: the class's own); the first that fits.
_CAUSES: tuple[tuple[type[BaseException], str, str], ...] = (
    (socket.gaierror, "the name of the portal's host does not resolve", ""),
    (ssl.SSLCertVerificationError, f"{_NOT_TRUSTED}{{0.verify_message}}", _AUTHORITY),
    (CertificateError, f"{_NOT_TRUSTED}it is for another host", _AUTHORITY),
    (ssl.SSLError, "no TLS with the portal's host", ""),
    (socket.timeout, _TOO_LATE, ""),
    (OSError, "no connection to the portal's host: {0.strerror}", ""),
)


class _Watchdog:
    """One thread that ends all exchanges in time: a timer thread for each would cost a caller up to a millisecond."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._under_way: dict[Deadline, float] = {}  # no more than there are threads that ask the portal
        self._looks_at = math.inf
        self._thread: threading.Thread | None = None

    def add(self, deadline: Deadline, ends: float) -> None:
        """Call `deadline.expire()` at `ends` (seconds, monotonic)."""
        with self._condition:
            self._under_way[deadline] = ends
            if self._thread is None or not self._thread.is_alive():  # a forked child has no thread but its own
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            elif ends < self._looks_at:
                self._condition.notify()

    def drop(self, deadline: Deadline) -> None:
        """The exchange is over: nothing of it stays, since thousands can end within the time that one may take."""
        with self._condition:
            self._under_way.pop(deadline, None)

    def _run(self) -> None:
        while True:
            for deadline in self._due():
                deadline.expire()

    def _due(self) -> list[Deadline]:
        """Wait until there are some whose time is over; they are watched no more."""
        with self._condition:
            while True:
                now = time.monotonic()
                due = [deadline for deadline, ends in self._under_way.items() if ends <= now]
                if due:
                    for deadline in due:
                        del self._under_way[deadline]
                    return due
                self._looks_at = min(self._under_way.values(), default=math.inf)
                self._condition.wait(None if self._looks_at == math.inf else self._looks_at - now)


_watchdog = _Watchdog()


class Deadline:
    """The end of one exchange: when its seconds are used up, the exchange's socket is shut down.

    requests' own timeouts count per read, so a portal that sends one byte a second never trips them. The watchdog,
    which shuts the socket down, ends every wait: for the TLS handshake, for the head, for the body. Only a hanging name
    resolution can't be ended; who must not wait for it, waits for the calling thread no longer than it likes.

    Use it as a context around the exchange, in the thread that makes it.

    :ivar expired: the seconds were used up, and the socket that was watched then was shut down.
    :ivar sent: the first byte of the request may have left: the portal may act on it.
    :ivar problem: why no connection could be made, and the hint.
    """

    def __init__(self, total_seconds: float, connect_seconds: float) -> None:
        self.expired = False
        self.sent = False
        self.problem = ("no connection to the portal's host", "")
        self._connect_seconds = connect_seconds
        self._ends = time.monotonic() + total_seconds
        self._over = False
        self._lock = threading.Lock()
        self._connection: object = None
        self._socket: socket.socket | None = None

    def __enter__(self) -> Deadline:
        _watchdog.add(self, self._ends)
        _thread.deadline = self
        return self

    def __exit__(self, *unused: object) -> None:
        _thread.deadline = None
        _watchdog.drop(self)
        self._over = True
        self._watch(None, None)

    def seconds_left(self) -> float:
        """Return the seconds left, never less than a millisecond: a timeout of 0 means "do not block" to sockets."""
        return max(self._ends - time.monotonic(), 0.001)

    def connect(self, connection: object, host: str, port: int, options: Any) -> socket.socket:
        """Return a new connected socket for urllib3's `connection`, watched. Raises OSError.

        urllib3 gives each address of a name the whole timeout; here the addresses share what is left, so that a dead
        IPv6 route leaves time for IPv4.
        """
        addresses = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        failure = OSError("no address")
        for tried, (family, kind, protocol, _, address) in enumerate(addresses):
            if self.expired:
                raise socket.timeout("timed out")
            share = self.seconds_left() / (len(addresses) - tried)
            connected = socket.socket(family, kind, protocol)
            try:
                for option in options or ():
                    connected.setsockopt(*option)
                connected.settimeout(min(self._connect_seconds, share))
                connected.connect(address)
                connected.settimeout(self.seconds_left())
                self._watch(connection, connected)
                return connected
            except OSError as error:
                connected.close()
                failure = error
        raise failure

    def watch(self, connection: object, its_socket: socket.socket) -> None:
        """Watch a connection that comes from the pool, before the first byte goes through it."""
        if connection is not self._connection:
            self._watch(connection, its_socket)

    def release(self, connection: object) -> bool:
        """Watch `connection` no more, since others may use it from now on; return whether it is still sound."""
        with self._lock:
            if connection is self._connection:
                self._drop()
            return not self.expired

    def explain(self, failure: BaseException) -> None:
        """Keep why no connection could be made, in words that hold no URL."""
        if self.expired:
            self.problem = (_TOO_LATE, "")
            return
        for cause, said, hint in _CAUSES:
            if isinstance(failure, cause):
                self.problem = (said.format(failure), hint)
                return

    def _watch(self, connection: object, its_socket: socket.socket | None) -> None:
        # A duplicate, because wrapping in TLS takes the descriptor out of the plain socket, and because http.client
        # closes its own copy while a reply with "Connection: close" is still being read.
        copy = socket.fromfd(its_socket.fileno(), its_socket.family, its_socket.type) if its_socket else None
        with self._lock:
            self._drop()
            self._connection, self._socket = connection, copy
            if self.expired:
                self._shut_down()

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._connection = self._socket = None

    def _shut_down(self) -> None:
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # The other side was faster.

    def expire(self) -> None:
        """End the exchange, unless it is over."""
        # The lock is held throughout: a descriptor closed in between could already be another connection's.
        with self._lock:
            if not self._over:
                self.expired = True
                self._shut_down()


def _deadline() -> Deadline:
    deadline: Deadline | None = getattr(_thread, "deadline", None)
    if deadline is None:
        raise OSError("a connection to the portal is used outside of a deadline")
    return deadline


class _Watched:
    """What both kinds of connection add to urllib3's."""

    idle_since = 0.0
    _holds_head = False  # the next piece is the head of a request
    _head = b""

    def request(self, *arguments: Any, **options: Any) -> None:
        """Send a request, its head together with the first piece of its body.

        urllib3 2 sends the head on its own: one more packet, and one more time that the other side is woken.
        """
        self._holds_head = True
        super().request(*arguments, **options)  # type: ignore[misc]
        if self._head:  # a request without a body
            self.send(b"")

    def _new_conn(self: Any) -> socket.socket:
        return _deadline().connect(self, self._dns_host, self.port, self.socket_options)

    def connect(self) -> None:
        try:
            super().connect()  # type: ignore[misc]
        except Exception as failure:
            _deadline().explain(failure)
            raise

    def send(self: Any, data: Any) -> None:
        if self._holds_head:
            self._head, self._holds_head = data, False
            return
        if self._head:
            data, self._head = self._head + data, b""
        if self.sock is None:
            self.connect()
        deadline = _deadline()
        deadline.watch(self, self.sock)
        deadline.sent = True
        super().send(data)  # type: ignore[misc]


class _WatchedPool:
    """What both kinds of pool add to urllib3's."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        if connection.sock is not None and time.monotonic() - connection.idle_since > IDLE_SECONDS:
            connection.close()
        return connection

    def _put_conn(self, connection: Any) -> None:
        deadline: Deadline | None = getattr(_thread, "deadline", None)
        if connection is not None:
            if deadline is None or not deadline.release(connection):
                connection.close()
            connection.idle_since = time.monotonic()
        super()._put_conn(connection)  # type: ignore[misc]


class _PlainConnection(_Watched, HTTPConnection):
    pass


class _TlsConnection(_Watched, HTTPSConnection):
    pass


class _PlainPool(_WatchedPool, HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(_WatchedPool, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class WatchedAdapter(HTTPAdapter):
    """requests' adapter over watched connections: safe for threads, no retries, no proxies, certificates verified.

    The adapter is used without a session, which would follow redirects' bodies without bound, keep the portal's
    cookies, and look for proxies in the environment. The TLS context is made once: requests reads all authorities'
    certificates anew for every connection otherwise.

    :param authorities: path of the file with the trusted certificates; empty: those that come with requests.
    :param tls: whether https is spoken at all.
    :raises OSError: the file can't be read or holds no certificate.
    """

    def __init__(self, authorities: str, tls: bool) -> None:
        self._tls: dict[str, Any] = {}
        if tls:
            context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_verify_locations(cafile=authorities or DEFAULT_CA_BUNDLE_PATH)
            self._tls = {"ssl_context": context, "cert_reqs": "CERT_REQUIRED"}
        super().__init__(pool_connections=2, pool_maxsize=LARGEST_POOL, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **options, **self._tls)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        """Return the pool for a URL (requests before 2.32)."""
        return self.poolmanager.connection_from_url(url)

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        """Return the pool for a request (requests from 2.32 on)."""
        return self.poolmanager.connection_from_url(request.url)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the pool's context as it is: it verifies already."""


# urllib3 writes the path, which holds the webhook's secret, into its debug lines and into a warning about bad headers.
def _refuse(record: logging.LogRecord) -> bool:
    return False


for _name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.response", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_refuse)
