"""One client for all threads: a method and its parameters go to the portal, a result or an error of ours comes back."""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import socket
from types import TracebackType
from typing import Mapping
from urllib.parse import SplitResult, urlsplit

import requests
import urllib3

from .. import __version__
from ..errors import ConfigurationError, PortalBroken, PortalError, PortalTimeout, PortalUnreachable
from .connections import Deadline, WatchedAdapter
from .replies import Result, harmless, read

__all__ = ["Client", "Result"]

LARGEST_REPLY = 4 * 1024 * 1024
_MOST_MOVES = 2

_WEBHOOK_PATH = re.compile(r"(?P<before>(?:/[\w.~-]+)*/rest/[0-9]+/)(?P<secret>[\w.~-]+)/?", re.ASCII)
_HOST = re.compile(r"[\w.:-]+", re.ASCII)
_METHOD = re.compile(r"[a-z0-9_.]+", re.ASCII | re.IGNORECASE)

_HEADERS = {
    "User-Agent": f"freepbx_bx24/{__version__}",
    "Content-Type": "application/json",
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


class Client:
    """The portal behind an inbound webhook. All its methods may be called from any thread.

    :param webhook_url: `https://HOST/rest/USER/SECRET/`; plain http on loopback only.
    :param ca_bundle: path of a file of trusted certificates, instead of those that come with requests.
    :param connect_seconds: longest time for the TCP connection to one address of the host.
    :raises ConfigurationError: the URL is no webhook's URL, or the file can't be used. It never shows the URL.
    """

    def __init__(self, webhook_url: str, ca_bundle: str = "", connect_seconds: float = 3.0) -> None:
        address = _split(webhook_url.strip())
        path = _WEBHOOK_PATH.fullmatch(address.path)
        origin = _origin(address)
        if not path or not origin or address.query or address.fragment or address.username is not None:
            raise ConfigurationError(
                ["the webhook URL must look like https://example.bitrix24.com/rest/1/SECRET/ (http on loopback only)"]
            )
        self._origin = origin
        self._secret = path["secret"]
        self._path = f"{path['before']}{path['secret']}/"
        self._connect_seconds = connect_seconds
        try:
            self._adapter = WatchedAdapter(ca_bundle, tls=origin.startswith("https:"))
        except OSError:
            raise ConfigurationError(
                [f"portal.ca_bundle: {harmless(ca_bundle)} can't be read or holds no certificate"]
            ) from None

    def __repr__(self) -> str:
        return f"Client({self._origin})"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def origin(self) -> str:
        """Where the portal is now, as `https://HOST[:PORT]`: it changes when a renamed portal sends us on."""
        return self._origin

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def call(self, method: str, params: Mapping[str, object], *, total_seconds: float) -> Result:
        """Return the portal's answer to one method; never tries anything twice.

        A renamed portal answers with a redirect, which carries nothing out: the same request then goes to the new
        host, which is kept for as long as the process lives.

        :param method: as in the portal's REST documentation, for instance `telephony.externalCall.register`.
        :param params: the method's parameters, of JSON's types.
        :param total_seconds: the whole time that this may take; only a hanging name resolution can take longer.
        :raises PortalUnreachable: nothing was sent. :raises PortalTimeout: no whole answer came in time.
        :raises PortalBroken: what came is no answer. :raises PortalRefused: (and below) the portal's own errors.
        """
        if not _METHOD.fullmatch(method):
            raise ValueError("this is no name of a method")
        body = json.dumps(params, allow_nan=False).encode()
        if total_seconds <= 0:
            raise PortalUnreachable("no time was left to ask the portal")
        deadline = Deadline(total_seconds, self._connect_seconds)
        try:
            with deadline:
                status, reply = self._post(f"{self._path}{method}.json", body, deadline)
        except _FAILURES as failure:
            error = _explained(failure, deadline, total_seconds)
        else:
            return read(status, reply, (self._secret,))
        # Outside of the handler: the library's exceptions hold the URL, and must not even be this one's context.
        raise error

    def _post(self, path: str, body: bytes, deadline: Deadline) -> tuple[int, bytes]:
        origin = self._origin
        for moves in range(_MOST_MOVES + 1):
            deadline.sent = False
            request = requests.Request("POST", origin + path, headers=_HEADERS, data=body).prepare()
            left = deadline.seconds_left()
            response = self._adapter.send(request, stream=True, timeout=(left, left), verify=True)
            try:
                if 300 <= response.status_code < 400:
                    origin = _moved(origin, path, response.headers.get("Location", ""))
                    continue
                reply = _body(response)
            finally:
                response.close()
            if deadline.expired:
                # A body without a length ends where the connection ends, and it was us who ended that.
                raise TimeoutError
            if moves:
                self._origin = origin
            return response.status_code, reply
        raise PortalBroken("the portal redirects from host to host", _RENAMED)


_RENAMED = "If the portal was renamed, make a new webhook under its new name."


def _split(url: str) -> SplitResult:
    """Return a URL's parts; those of an empty one where it can't be read."""
    nothing = SplitResult("", "", "", "", "")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (raises where the port is no number)
    except ValueError:
        return nothing
    # urlsplit silently takes line ends and tabs out.
    return parts if url.isprintable() else nothing


def _origin(address: SplitResult) -> str:
    """Return `SCHEME://HOST[:PORT]` where the scheme may be used for the host, else ""."""
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


def _moved(origin: str, path: str, location: str) -> str:
    """Return the new origin that a redirect names.

    Only a redirect to the same path is a renamed portal's; one to a page for people must not be given the secret.
    """
    address = _split(location)
    new = _origin(address)
    same_scheme = new.startswith(origin.partition(":")[0] + ":")
    if not same_scheme or new == origin or address.path.rstrip("/") != path:
        raise PortalBroken("the portal redirects to something that is no portal", _RENAMED)
    return new


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
