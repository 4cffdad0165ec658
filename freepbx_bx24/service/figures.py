"""How long callers waited for the portal lately, and what was told them: kept in memory, for the last hour."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from typing import Any, Callable, Deque, NamedTuple, Sequence

WINDOW_SECONDS = 3600.0
MOST = 50_000  # registers that are kept: fourteen a second, for an hour
LONGEST_TEXT = 300


class _Waited(NamedTuple):
    at: float  # monotonic
    status: str
    seconds: float


class Figures:
    """Safe to use from every thread; `note` is one append, so it costs a caller nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waited: Deque[_Waited] = deque(maxlen=MOST)
        self._lock = threading.Lock()

    def note(self, status: str, seconds: float) -> None:
        """A caller went on. :param status: BX24_STATUS. :param seconds: since the script's start."""
        with self._lock:
            self._waited.append(_Waited(self._clock(), status, seconds))

    def value(self, in_time: str) -> dict[str, Any]:
        """Registers of the last hour: how many, how long callers waited, and the share that was told `in_time`.

        Seconds; null where there was none. Whoever was not asked about (left out) is not noted.
        """
        oldest = self._clock() - WINDOW_SECONDS
        with self._lock:
            while self._waited and self._waited[0].at < oldest:
                self._waited.popleft()
            kept = [*self._waited]
        counted = Counter(one.status for one in kept)
        seconds = sorted(one.seconds for one in kept)
        return {
            "registers": len(kept),
            "p50_seconds": percentile(seconds, 50),
            "p95_seconds": percentile(seconds, 95),
            "in_time_percent": round(100 * counted[in_time] / len(kept), 1) if kept else None,
            "by_status": dict(sorted(counted.items())),
        }


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
