"""An owner of a manager connection who writes down what is delivered to him."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Sequence

from freepbx_bx24.pbx.ami import Ami
from freepbx_bx24.pbx.ami_wire import Message

from .running_service import wait_until


class Owner:
    """What came, in its order: ("connected", snapshot), ("event", event), ("disconnected", None)."""

    def __init__(self, on_event: Callable[[Message], None] = lambda event: None) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.connected_at: list[float] = []  # monotonic seconds
        self.beats: list[float] = []
        self.inside = 0
        self.together = 0  # the most callbacks at one time
        self._on_event = on_event

    def connected(self, snapshot: Sequence[Message]) -> None:
        self.connected_at.append(time.monotonic())
        self._write("connected", [row.get("Channel", "") for row in snapshot])

    def event(self, event: Message) -> None:
        self._write("event", event)
        self._on_event(event)

    def disconnected(self) -> None:
        self._write("disconnected", None)

    def beat(self) -> None:
        self.beats.append(time.monotonic())

    def _write(self, what: str, value: Any) -> None:
        self.inside += 1
        self.together = max(self.together, self.inside)
        self.seen.append((what, value))
        self.inside -= 1

    @property
    def events(self) -> list[Message]:
        return [value for what, value in self.seen if what == "event"]

    @property
    def names(self) -> list[str]:
        """ "connected", "disconnected", or the event's own name."""
        return [value["Event"] if what == "event" else what for what, value in self.seen]

    def count(self, what: str) -> int:
        return sum(one == what for one, _ in list(self.seen))

    def wait_for(self, what: str, times: int = 1, seconds: float = 10.0) -> None:
        wait_until(lambda: self.count(what) >= times, seconds, lambda: f"{what}: {self.names[-30:]}")

    def wait_for_event(self, name: str, seconds: float = 10.0) -> Message:
        """The first event of that name."""
        wait_until(lambda: name in self.names, seconds, lambda: f"{name}: {self.names[-30:]}")
        return next(event for event in self.events if event["Event"] == name)

    def sessions(self) -> list[list[Message]]:
        """The events of each connection; asserts that connecting and disconnecting alternate, and hold all events."""
        sessions: list[list[Message]] = []
        up = False
        for what, value in self.seen:
            assert up == (what != "connected"), self.names
            if what == "event":
                sessions[-1].append(value)
            elif what == "connected":
                sessions.append([])
                up = True
            else:
                up = False
        return sessions


@contextmanager
def connection(
    port: int, user: str, secret: str, owner: Owner | None = None, scale: float = 0.05
) -> Iterator[tuple[Ami, Owner]]:
    """A started connection for the length of a test, its times hurried."""
    owner = owner or Owner()
    callbacks = (owner.connected, owner.event, owner.disconnected, owner.beat)
    ami = Ami("127.0.0.1", port, user, secret, *callbacks, scale=scale)
    ami.start()
    try:
        yield ami, owner
    finally:
        ami.stop()
    assert owner.together <= 1
