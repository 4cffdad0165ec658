"""How long callers waited for the portal lately, and what was told them: kept in memory, for the last hour."""

from __future__ import annotations

import logging
import threading
import time
from array import array
from bisect import bisect_left
from collections import Counter
from typing import Any, Callable, Sequence

WINDOW_SECONDS = 3600.0
MOST = 50_000  # registers that are kept: fourteen a second, for an hour
LONGEST_TEXT = 300


class Figures:
    """Safe to use from every thread. A register takes 17 bytes here, since there may be very many of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = array("d")  # when each went on, on the monotonic clock
        self._waited = array("d")
        self._told = bytearray()  # the place of each one's status in the list of those that there have been
        self._statuses: list[str] = []
        self._lock = threading.Lock()

    def note(self, status: str, seconds: float) -> None:
        """A caller went on. :param status: BX24_STATUS. :param seconds: since the script's start."""
        with self._lock:
            if status not in self._statuses:
                self._statuses.append(status)
            self._at.append(self._clock())
            self._waited.append(seconds)
            self._told.append(self._statuses.index(status))
            if len(self._at) > MOST:
                self._forget(MOST // 100)  # at once, since the rest moves up

    def value(self, in_time: str) -> dict[str, Any]:
        """Registers of the last hour: how many, how long callers waited, and the share that was told `in_time`.

        Seconds; null where there was none. Whoever was not asked about (left out) is not noted.
        """
        with self._lock:
            self._forget(bisect_left(self._at, self._clock() - WINDOW_SECONDS))
            seconds = sorted(self._waited)
            counted = Counter(self._statuses[place] for place in self._told)
        return {
            "registers": len(seconds),
            "p50_seconds": percentile(seconds, 50),
            "p95_seconds": percentile(seconds, 95),
            "in_time_percent": round(100 * counted[in_time] / len(seconds), 1) if seconds else None,
            "by_status": dict(sorted(counted.items())),
        }

    def _forget(self, oldest: int) -> None:
        """Keep no more of that many registers. Needs the lock."""
        del self._at[:oldest], self._waited[:oldest], self._told[:oldest]


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """The smallest of these values that so many percent of them do not exceed; None of nothing."""
    if not ordered:
        return None
    place = max(0, -(-len(ordered) * percent // 100) - 1)
    return round(ordered[place], 3)


class LastTrouble(logging.Handler):
    """Keeps the last warning or error that was logged. :ivar last: (wall clock seconds, level, one line), or None."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last: tuple[float, str, str] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it; never raises."""
        try:
            text = self.format(record).partition("\n")[0]
        except Exception:
            return
        self.last = (record.created, record.levelname, text[:LONGEST_TEXT])
