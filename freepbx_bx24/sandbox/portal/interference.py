"""What a test does to requests on their way: delay them, hold them at a gate, replace or alter their replies."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Callable, Union


@dataclass
class Reply:
    """An HTTP answer: `body` is JSON data, or bytes to send as they are."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


Script = Union[Reply, ConnectionError, Callable[[Reply], Reply]]


class ReplyInstead(Exception):
    """A script for one command of a batch that is an answer to a whole request: bytes, a page, a status of a proxy."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"a scripted HTTP {reply.status}")
        self.reply = reply


class ScriptedReplies:
    """Replies handed in by a test, used up in order per method; the commands of a batch use them as well."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scripts: dict[str, list[Script]] = defaultdict(list)

    def add(self, method: str, script: Script, times: int = 1) -> None:
        """Use `script` for the next `times` requests of `method` (any case).

        A Reply is sent instead of running the method (a fault before commit), a ConnectionError drops the connection
        instead. A function is given the real reply after the method ran (after commit) and returns the one to send; if
        it raises ConnectionError, the connection is dropped without an answer. The requests for tokens are the method
        `oauth/token`.
        """
        with self._lock:
            self._scripts[method.lower()] += [script] * times

    def take(self, method: str) -> Script | None:
        """The script for this request of `method` (lower case), if there is one left."""
        with self._lock:
            waiting = self._scripts.get(method)
            return waiting.pop(0) if waiting else None

    def clear(self) -> None:
        """Forget all that is left."""
        with self._lock:
            self._scripts.clear()


class Gate:
    """Holds the requests of one method, before the portal works on them, until `release`; a context manager."""

    def __init__(self, forget: Callable[[], None]) -> None:
        self._changed = threading.Condition()
        self._open = False
        self._aborted = False
        self._forget = forget
        self.arrived = 0

    def wait_for_arrival(self, count: int = 1, timeout: float = 10.0) -> None:
        """Return when `count` requests have come to the gate; TimeoutError after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.arrived >= count, timeout):
                raise TimeoutError(f"{self.arrived} of {count} requests came to the gate in {timeout} s")

    def release(self) -> None:
        """Let all through, now and from now on."""
        self._forget()
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Drop the connections of those held, their requests undone."""
        with self._changed:
            self._aborted = True
        self.release()

    def pass_through(self) -> None:
        """Called by a request: wait here. Raises ConnectionAbortedError when the portal stops meanwhile."""
        with self._changed:
            self.arrived += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._open)
            if self._aborted:
                raise ConnectionAbortedError("the portal stopped")

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Interference:
    """All means of a test in one place; nothing here holds the portal's lock."""

    def __init__(self) -> None:
        self.delay_seconds: dict[str, float] = {}
        self.slow_seconds = 0.0  # before each request of any method
        self.scripted_replies = ScriptedReplies()
        self._gates: dict[str, Gate] = {}
        self._stopping = threading.Event()

    def gate(self, method: str) -> Gate:
        """A closed gate for `method` (any case); one at a time per method."""
        name = method.lower()
        gate = Gate(lambda: self._remove(name, gate))
        self._gates[name] = gate
        return gate

    def _remove(self, name: str, gate: Gate) -> None:
        if self._gates.get(name) is gate:
            del self._gates[name]

    def hold(self, method: str) -> None:
        """Let a request of `method` (lower case) wait as the test wishes."""
        self.wait(self.delay_seconds.get(method, 0.0))
        gate = self._gates.get(method)
        if gate:
            gate.pass_through()

    def wait(self, seconds: float) -> None:
        """Let real seconds pass. :raises ConnectionAbortedError: the portal stops meanwhile."""
        if seconds and self._stopping.wait(seconds):
            raise ConnectionAbortedError("the portal stopped")

    def begin(self) -> None:
        """The portal starts to answer."""
        self._stopping.clear()

    def end(self) -> None:
        """The portal stops: whoever waits loses the connection."""
        self._stopping.set()
        for gate in list(self._gates.values()):
            gate.abort()

    def clear(self) -> None:
        """No delays, no scripts, open gates."""
        self.delay_seconds.clear()
        self.slow_seconds = 0.0
        self.scripted_replies.clear()
        for gate in list(self._gates.values()):
            gate.release()
