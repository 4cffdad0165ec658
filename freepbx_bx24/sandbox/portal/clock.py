"""The portal's one clock: real, or handed in by a test so that a day passes in a second."""

from __future__ import annotations

import threading
import time
from typing import Callable


class Clock:
    """Seconds for life times and windows (`monotonic`), and the wall clock for dates (`now`).

    Both go on without a jump when another source is handed in, so that what is already counted stays true. While the
    source is the machine's own, `now` is the machine's wall clock.
    """

    def __init__(self, source: Callable[[], float] = time.monotonic) -> None:
        """`source` gives seconds from any beginning; it never goes back."""
        self._lock = threading.Lock()
        self._source = source
        self._offset = 0.0
        self._wall_offset = time.time() - source()

    @property
    def source(self) -> Callable[[], float]:
        """The function that is read."""
        return self._source

    @source.setter
    def source(self, source: Callable[[], float]) -> None:
        with self._lock:
            wall, monotonic = self._wall(), self._source() + self._offset
            began = source()
            self._source, self._offset, self._wall_offset = source, monotonic - began, wall - began

    def monotonic(self) -> float:
        """Seconds from an arbitrary beginning."""
        with self._lock:
            return self._source() + self._offset

    def now(self) -> float:
        """Seconds since 1970."""
        with self._lock:
            return self._wall()

    def _wall(self) -> float:
        return time.time() if self._source is time.monotonic else self._source() + self._wall_offset


class SimulatedTime:
    """A source for Clock that moves only when it is told to, by `advance`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds = 0.0

    def __call__(self) -> float:
        """The seconds advanced so far."""
        with self._lock:
            return self._seconds

    def advance(self, seconds: float) -> None:
        """Let `seconds` (not negative) pass."""
        if seconds < 0:
            raise ValueError("time does not go back")
        with self._lock:
            self._seconds += seconds
