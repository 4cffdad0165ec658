"""Hands what the manager connection saw to its owner: in order, one thing at a time, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Callable, Deque, Sequence, Tuple

from ..errors import AmiError
from .ami_wire import Message

LOG = logging.getLogger("bx24.ami")

# Events that wait for the owner. A busy call makes some 50, so this is hundreds of calls, and at most some 100 MB.
MOST_EVENTS = 20_000
TOO_SLOW_HINT = "The service can't keep up: look at the machine's load and at this log for what holds it."

_Step = Tuple[Callable[[], None], int]  # what to do, and how many messages it holds


class Delivery:
    """The bounded queue between the thread that reads and the owner who works.

    The owner sees `on_connected(snapshot)`, then `on_event(event)` any number of times, then `on_disconnected()`, and
    so on again: never two of a kind without the other between, never two at the same time. What a callback raises is
    logged and changes nothing else. Where the owner is so slow that the queue is full, all that waits is dropped and
    `on_disconnected()` comes next: the gap is said, and the next connection does not begin behind a backlog.
    """

    def __init__(
        self,
        on_connected: Callable[[Sequence[Message]], None],
        on_event: Callable[[Message], None],
        on_disconnected: Callable[[], None],
    ) -> None:
        self._on_connected, self._on_event, self._on_disconnected = on_connected, on_event, on_disconnected
        self._steps: Deque[_Step] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._ends = False
        self._owner_is_connected = False
        self._began: float | None = None
        self._thread = threading.Thread(target=self._run, name="ami-events", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Deliver what waits, for at most that long, then end."""
        with self._changed:
            self._ends = True
            self._changed.notify()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    def held_seconds(self) -> float:
        """For how long the owner has been in the callback that he is in now; 0.0 where he is in none."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def connected(self, snapshot: Sequence[Message], events: Sequence[Message]) -> None:
        """A connection is up: first its snapshot, then what came before the snapshot was whole.

        :raises AmiError: the queue is full.
        """
        self._put(lambda: self._connect(snapshot), 1 + len(snapshot))
        for event in events:
            self.event(event)

    def event(self, event: Message) -> None:
        """One event. :raises AmiError: the queue is full, and emptied now."""
        self._put(lambda: self._on_event(event), 1)

    def disconnected(self) -> None:
        """The connection is gone. May be said twice."""
        self._put(self._disconnect, 0)

    def _put(self, do: Callable[[], None], size: int) -> None:
        with self._changed:
            full = size > 0 and self._size > 0 and self._size + size > MOST_EVENTS
            if full:
                self._steps.clear()
                self._size = 0
                do, size = self._disconnect, 0
            self._steps.append((do, size))
            self._size += size
            self._changed.notify()
        if full:
            raise AmiError(f"{MOST_EVENTS} events of Asterisk wait to be worked on: they are given up", TOO_SLOW_HINT)

    def _connect(self, snapshot: Sequence[Message]) -> None:
        self._owner_is_connected = True
        self._on_connected(snapshot)

    def _disconnect(self) -> None:
        if self._owner_is_connected:
            self._owner_is_connected = False
            self._on_disconnected()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._steps and not self._ends:
                    self._changed.wait()
                if not self._steps:
                    return
                do, size = self._steps.popleft()
                self._size -= size
            self._began = time.monotonic()
            try:
                do()
            except Exception:  # a bug in what is made of one event must not end all events
                LOG.exception("what Asterisk's manager interface said could not be worked on")
            self._began = None
