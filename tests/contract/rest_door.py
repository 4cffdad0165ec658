"""Asks one portal over HTTP, at its pace, and hands back answers in which no key can be read."""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import requests
from real_portal import Access, Secret

LARGEST_REPLY = 4_000_000  # bytes
TIMEOUT_SECONDS = (10, 90)  # to connect, to be answered: the cloud itself gives up after 60 s
REFUSED_TRIES = 5  # a request refused for the rate was not carried out; others behind the same address use it up too


class Reply(NamedTuple):
    """What a portal answered; no key and no upload address can be read in it."""

    status: int
    content_type: str
    body: Any


class Refusal(NamedTuple):
    """How an error reads on the wire."""

    status: int
    error: str
    description: str


class Pace:
    """Lets a request go at most every `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    def wait(self) -> None:
        """Return when the next request may be sent."""
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = time.monotonic() + self._seconds


class _Key(requests.auth.AuthBase):
    """Puts the token into a request. It is there for webhooks too: requests would take a password from .netrc else."""

    def __init__(self, token: Secret | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token.reveal()}"
        return request


class RestDoor:
    """A session with one portal."""

    def __init__(self, access: Access, pace: Pace) -> None:
        self.access = access
        self._pace = pace
        self._session = requests.Session()
        self._session.trust_env = not access.is_local  # proxies and REQUESTS_CA_BUNDLE

    def __repr__(self) -> str:
        return f"<portal {self.access.host}>"

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def send(
        self, path: str, *, address: Secret | None = None, verb: str = "POST", key: bool = True, **content: Any
    ) -> Reply:
        """Ask for `path` below this portal's REST address (or below `address`); fails the test where nobody answers."""
        base = address or self.access.rest
        for attempt in range(REFUSED_TRIES):
            self._pace.wait()
            failure = ""
            try:
                with self._session.request(
                    verb,
                    base.reveal() + path,
                    auth=_Key(self.access.token if key else None),
                    timeout=TIMEOUT_SECONDS,
                    allow_redirects=False,
                    stream=True,
                    **content,
                ) as answer:
                    reply = self._read(answer)
            except (requests.RequestException, ValueError) as error:
                failure = type(error).__name__  # its text holds the address, its traceback the key
            if failure:
                pytest.fail(f"{self!r} was not reached: {failure}", pytrace=False)
            if not _is_refused_for_rate(reply) or attempt == REFUSED_TRIES - 1:
                break
            time.sleep(2**attempt)
        return reply

    def _read(self, answer: requests.Response) -> Reply:
        content = b""
        for piece in answer.iter_content(65536):
            content += piece
            if len(content) > LARGEST_REPLY:
                pytest.fail(f"{self!r} answered more than {LARGEST_REPLY} bytes", pytrace=False)
        text = content.decode("utf-8", "replace")
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = text
        return Reply(answer.status_code, answer.headers.get("Content-Type", ""), self._without_secrets(body))

    def _without_secrets(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {
                self._without_secrets(key): self._without_secrets(item, name=str(key)) for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._without_secrets(item) for item in value]
        if not isinstance(value, str):
            return value
        if name == "uploadUrl":  # holds the key, and a signed note that lets anybody write
            return Secret(value)
        for secret in self.access.secrets:
            value = value.replace(secret.reveal(), "<secret>")
        return value

    def post(self, method: str, **parameters: Any) -> Reply:
        """Call a method with a JSON body."""
        return self.send(method, json=parameters)

    def result(self, method: str, **parameters: Any) -> Any:
        """The `result` of a call that must succeed."""
        reply = self.post(method, **parameters)
        assert reply.status == 200, reply
        return reply.body["result"]

    def refusal(self, method: str, **parameters: Any) -> Refusal:
        """The error of a call that must be refused."""
        return self.refused(self.post(method, **parameters))

    @staticmethod
    def refused(reply: Reply) -> Refusal:
        """The error in a reply: a code, which may be empty, and a description; no result."""
        assert isinstance(reply.body, dict), reply
        assert {"error", "error_description"} <= set(reply.body), reply
        assert "result" not in reply.body, reply
        return Refusal(reply.status, reply.body["error"], reply.body["error_description"])

    def upload(self, address: Any, files: dict[str, tuple[str, bytes]]) -> Reply:
        """POST to an upload address that attachRecord gave out."""
        assert isinstance(address, Secret)
        host = urlsplit(address.reveal()).netloc
        assert host == self.access.host
        return self.send("", address=address, key=False, files=files)

    def without_key(self, path: str) -> Reply:
        """POST to a path below the portal's root, without this test's own key."""
        return self.send(path, address=Secret(self.access.origin), key=False)


def _is_refused_for_rate(reply: Reply) -> bool:
    return isinstance(reply.body, dict) and reply.body.get("error") == "QUERY_LIMIT_EXCEEDED"
