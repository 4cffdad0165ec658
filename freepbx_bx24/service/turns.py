"""One register a client number at a time: two at once of one new client would make two leads."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Iterator


class Turns:
    """Who is registering which number now; safe to use from every thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: set[str] = set()

    def take(self, number: str, seconds: float = 0.0) -> bool:
        """Take the turn of a number, waiting up to `seconds` for it; False where somebody else still has it."""
        with self._changed:
            if not self._changed.wait_for(lambda: number not in self._taken, seconds):
                return False
            self._taken.add(number)
            return True

    def leave(self, number: str) -> None:
        """Let the next one have the turn."""
        with self._changed:
            self._taken.discard(number)
            self._changed.notify_all()

    @contextmanager
    def turn(self, number: str, seconds: float) -> Iterator[bool]:
        """Have the turn for a block of code; False, and no turn, where it did not come in time."""
        taken = self.take(number, seconds)
        try:
            yield taken
        finally:
            if taken:
                self.leave(number)
