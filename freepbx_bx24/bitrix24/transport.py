"""One HTTP exchange, whole or not at all, within one deadline; its errors say what happened and never where to."""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import threading
from dataclasses import dataclass
from typing import Iterable, Mapping
from urllib.parse import SplitResult, urlsplit

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from .. import __version__
from ..errors import ConfigurationError, PortalBroken, PortalError, PortalTimeout, PortalUnreachable
from .connections import Deadline, WatchedAdapter
from .replies import harmless

LARGEST_REPLY = 4 * 1024 * 1024

_HOST = re.compile(r"[\w.:-]+", re.ASCII)
_HEADERS = {
    "User-Agent": f"freepbx_bx24/{__version__}",
    "Accept": "application/json",
    # Replies are small; and what is not packed can't be a bomb.
    "Accept-Encoding": "identity",
}

# What requests and the layers below it raise. RuntimeError: the system gives no thread for the timer.
_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    RuntimeError,
)
_TIMEOUTS = (requests.Timeout, urllib3.exceptions.TimeoutError, socket.timeout, TimeoutError)


@dataclass(frozen=True)
class HttpReply:
    """An answer as it came: `headers` by their names in lower case, `body` whole and of bounded size."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """Warm connections to the portal's hosts. All its methods may be called from any thread.

    :param ca_bundle: path of a file of trusted certificates, instead of those that come with requests.
    :param connect_seconds: longest time for the TCP connection to one address of a host.
    :raises ConfigurationError: the file can't be used.
    """

    def __init__(self, ca_bundle: str = "", connect_seconds: float = 3.0) -> None:
        self._ca_bundle = ca_bundle
        self._connect_seconds = connect_seconds
        self._adapters: dict[str, WatchedAdapter] = {}
        self._lock = threading.Lock()
        if ca_bundle:
            self._adapter("https")

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            adapters, self._adapters = self._adapters, {}
        for adapter in adapters.values():
            adapter.close()

    def exchange(
        self,
        verb: str,
        url: str,
        total_seconds: float,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """Send one request and return the whole answer, whatever its status; follows no redirect, repeats nothing.

        :param url: may hold a secret: nothing that is raised holds the URL, or is caused by something that does.
        :param body: bytes, or what has a length and `read`, which is then never in memory as a whole.
        :param total_seconds: the whole time that this may take; only a hanging name resolution can take longer.
        :raises PortalUnreachable: nothing was sent. :raises PortalTimeout: no whole answer came in time.
        :raises PortalBroken: the connection broke, or what came is too large or packed.
        """
        if total_seconds <= 0:
            raise PortalUnreachable("no time was left to ask the portal")
        deadline = Deadline(total_seconds, self._connect_seconds)
        try:
            with deadline:
                return self._exchange(verb, url, {**_HEADERS, **(headers or {})}, body, deadline)
        except _FAILURES as failure:
            error = _explained(failure, deadline, total_seconds)
        # Outside of the handler: the library's exceptions hold the URL, and must not even be this one's context.
        raise error

    def _exchange(
        self, verb: str, url: str, headers: Mapping[str, str], body: bytes | Iterable[bytes], deadline: Deadline
    ) -> HttpReply:
        request = _prepared(verb, url, headers, body)
        left = deadline.seconds_left()
        adapter = self._adapter(url.partition(":")[0])
        response = adapter.send(request, stream=True, timeout=(left, left), verify=True)
        try:
            # A redirect carries nothing but its address; what a page for people weighs is nobody's concern.
            moved = 300 <= response.status_code < 400
            reply = HttpReply(
                response.status_code,
                {name.lower(): value for name, value in response.headers.items()},
                b"" if moved else _body(response),
            )
        finally:
            response.close()
        if deadline.expired:
            # A body without a length ends where the connection ends, and it was us who ended that.
            raise TimeoutError
        return reply

    def _adapter(self, scheme: str) -> WatchedAdapter:
        with self._lock:
            adapter = self._adapters.get(scheme)
            if adapter is None:
                try:
                    adapter = WatchedAdapter(self._ca_bundle, tls=scheme == "https")
                except OSError:
                    raise ConfigurationError(
                        [f"portal.ca_bundle: {harmless(self._ca_bundle)} can't be read or holds no certificate"]
                    ) from None
                self._adapters[scheme] = adapter
            return adapter


def split(url: str) -> SplitResult:
    """Return a URL's parts; those of an empty one where it can't be read."""
    nothing = SplitResult("", "", "", "", "")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (raises where the port is no number)
    except ValueError:
        return nothing
    # urlsplit silently takes line ends and tabs out.
    return parts if url.isprintable() else nothing


def origin_of(address: SplitResult) -> str:
    """Return `SCHEME://HOST[:PORT]` where the scheme may be used for the host (http on loopback only), else ""."""
    host = address.hostname or ""
    if not _HOST.fullmatch(host) or not (address.scheme == "https" or (address.scheme == "http" and _loopback(host))):
        return ""
    name = f"[{host}]" if ":" in host else host
    return f"{address.scheme}://{name}:{address.port}" if address.port else f"{address.scheme}://{name}"


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _prepared(
    verb: str, url: str, headers: Mapping[str, str], body: bytes | Iterable[bytes]
) -> requests.PreparedRequest:
    """Return the request; one of bytes without requests' own look at it, which a caller would wait for."""
    if not isinstance(body, bytes):
        return requests.Request(verb, url, headers=dict(headers), data=body).prepare()
    request = requests.PreparedRequest()
    request.method, request.url, request.body = verb, url, body or None
    request.headers = CaseInsensitiveDict(headers)
    if body or verb != "GET":
        request.headers["Content-Length"] = str(len(body))
    return request


def _body(response: requests.Response) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise PortalBroken("the portal's answer is packed, which nobody asked for")
    body: bytes = response.raw.read(LARGEST_REPLY + 1, decode_content=False)
    if len(body) > LARGEST_REPLY:
        raise PortalBroken(f"the portal's answer is larger than {LARGEST_REPLY} bytes")
    return body


def _explained(failure: BaseException, deadline: Deadline, total_seconds: float) -> PortalError:
    if not deadline.sent:
        return PortalUnreachable(*deadline.problem)
    # A socket's own timeout can be a moment ahead of the timer, and older urllib3 hides it in another exception.
    if deadline.expired or isinstance(failure, _TIMEOUTS) or deadline.seconds_left() < 0.01:
        return PortalTimeout(f"the portal gave no whole answer within {total_seconds:.1f} s")
    return PortalBroken("the connection to the portal broke before a whole answer had come")
