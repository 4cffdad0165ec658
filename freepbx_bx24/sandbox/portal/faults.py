"""Random faults of a portal and of the network before it, by probability and from one seed, so that a run repeats."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Sequence
from typing import Callable

from freepbx_bx24.sandbox.portal.errors import system_error
from freepbx_bx24.sandbox.portal.interference import Reply, Script

GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def _system(name: str) -> Reply:
    error = system_error(name)
    return Reply(error.status, {"error": error.code, "error_description": error.description})


def _drop_before(hang: Callable[[], None]) -> Script:
    return ConnectionResetError("a fault before the commit")


def _silence(hang: Callable[[], None]) -> Script:
    def wait_and_drop(reply: Reply) -> Reply:
        hang()
        raise ConnectionResetError("a fault after the commit")

    return wait_and_drop


def cut_body(reply: Reply) -> Reply:
    """The head of `reply` and the first half of its body; then the connection ends."""
    body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    headers = {"Content-Type": "application/json; charset=utf-8", **reply.headers, "Content-Length": str(len(body))}
    return Reply(reply.status, body[: len(body) // 2], headers)


def _empty_body(reply: Reply) -> Reply:
    return Reply(reply.status, b"", {"Content-Type": "application/json; charset=utf-8"})


# kind -> what is done to a request; the first four before it is worked on, so that nothing is committed.
KINDS: dict[str, Callable[[Callable[[], None]], Script]] = {
    "503": lambda hang: _system("too_many_requests"),
    "401": lambda hang: _system("expired_token"),
    "500": lambda hang: _system("internal"),
    "reset": _drop_before,
    "timeout_after_commit": _silence,
    "502_html": lambda hang: lambda reply: Reply(502, GATEWAY, {"Content-Type": "text/html"}),
    "cut_body": lambda hang: cut_body,
    "empty_body": lambda hang: _empty_body,
}


def checked(chances: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """The same pairs. :raises ValueError: an unknown kind, or probabilities that are none together."""
    for probability, kind in chances:
        if kind not in KINDS:
            raise ValueError(f"there is no fault {kind!r}; there are {', '.join(KINDS)}")
        if probability < 0:
            raise ValueError("a probability is not negative")
    if sum(probability for probability, _ in chances) > 1 + 1e-9:
        raise ValueError("the probabilities come to more than 1")
    return list(chances)


class Faults:
    """The list of (probability, kind) that a test has set, and the dice.

    Each REST request (a batch is one) meets one fault at most: the probabilities add up. Token requests meet none, for
    a lost refresh token ends everything; a test scripts those.
    """

    def __init__(self, seed: int = 0) -> None:
        self.chances: list[tuple[float, str]] = []
        self._lock = threading.Lock()
        self._random = random.Random(seed)

    def seed(self, seed: int) -> None:
        """Begin the sequence of this seed."""
        with self._lock:
            self._random.seed(seed)

    def draw(self) -> str | None:
        """The fault of the next request, if any; with the same seed and list the same sequence."""
        with self._lock:
            point = self._random.random()
        for probability, kind in self.chances:
            if point < probability:
                return kind
            point -= probability
        return None

    def script(self, kind: str, hang: Callable[[], None]) -> Script:
        """What a fault does; `hang` lets the time pass in which no answer comes."""
        return KINDS[kind](hang)
