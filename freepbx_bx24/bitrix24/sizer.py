"""How many commands go into one batch, so that it is answered well before anybody's time-out: by what was measured."""

from __future__ import annotations

import threading
from typing import Mapping, Sequence

from .batch import MOST

# The portal kills a request after 60 s, and a batch runs its commands one after the other.
SECONDS_OF_A_BATCH = 15.0
FIRST_GUESS = 0.4  # seconds; what register and finish take on a portal of the cloud
SMOOTHING = 0.3  # weight of the newest measurement
_LONGEST = 60.0


def number(value: object) -> float | None:
    """Return a number from a reply's `time`; None for all else, NaN and what no clock says included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
        return None
    return float(value)


def seconds_of(time: Mapping[str, object]) -> float:
    """Return how long a command took by its `time` (in seconds, 60 at most); 0.0 where that is not said."""
    duration = number(time.get("duration"))
    if not duration:
        duration = (number(time.get("finish")) or 0.0) - (number(time.get("start")) or 0.0)
    return min(max(duration, 0.0), _LONGEST)


def smoothed(before: float, seconds: float) -> float:
    """Return the moving average of a command's seconds after one more measurement."""
    return before + SMOOTHING * (min(max(seconds, 0.0), _LONGEST) - before)


class Sizer:
    """The size of the next batch; safe to use from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}  # method -> a command's usual time
        self._most: dict[str, int] = {}  # method -> commands of it in a batch, where less than MOST

    def fits(self, methods: Sequence[str], seconds: float = SECONDS_OF_A_BATCH) -> int:
        """Return how many of these, counted from the first one, make the next batch: at least one, if there is one.

        :param seconds: in which the batch should be answered; 15 at most.
        """
        seconds = min(seconds, SECONDS_OF_A_BATCH)
        count: dict[str, int] = {}
        total = 0.0
        with self._lock:
            for index, method in enumerate(methods[:MOST]):
                count[method] = count.get(method, 0) + 1
                total += self._seconds.get(method, FIRST_GUESS)
                if index and (total > seconds or count[method] > self._most.get(method, MOST)):
                    return index
        return min(len(methods), MOST)

    def answered(self, methods: Sequence[str], times: Sequence[Mapping[str, object]], whole_seconds: float) -> None:
        """Take in how long a batch took.

        :param methods: those of its commands. :param times: their `time`, in the same order; empty where there is none.
        :param whole_seconds: from sending to the whole answer: what the commands leave over is spread over them.
        """
        own = [seconds_of(time) for time in times]
        spoken = sum(own)
        with self._lock:
            for method, seconds in zip(methods, own):
                even = whole_seconds / len(methods)
                taken = max(seconds, seconds / spoken * whole_seconds) if spoken else even
                self._seconds[method] = smoothed(self._seconds.get(method, FIRST_GUESS), taken)
            for method in set(methods):
                # What a time-out took away comes back with every batch that was answered.
                self._most[method] = min(MOST, self._most.get(method, MOST) + 1)

    def timed_out(self, methods: Sequence[str]) -> None:
        """No whole answer to a batch came in time: the next ones carry half as many of each of its methods."""
        with self._lock:
            for method in set(methods):
                self._most[method] = max(1, list(methods).count(method) // 2)
