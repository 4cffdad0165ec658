"""The operating limit: seconds that an application or webhook spent in one method over the last ten minutes."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Tuple

BUCKET_SECONDS = 60
BUCKETS = 10
UNCOUNTED_SECONDS = 0.1  # hits no longer than this are not counted

Key = Tuple[str, str]  # who (an application or a webhook), and the method in lower case


class OperatingTime:
    """Seconds by minute, for each caller and method. `moment` is the portal's monotonic clock throughout."""

    def __init__(self) -> None:
        self._minutes: dict[Key, dict[int, float]] = defaultdict(dict)

    def charge(self, key: Key, seconds: float, moment: float) -> None:
        """Count a hit that ended at `moment`."""
        if seconds > UNCOUNTED_SECONDS:
            minutes, minute = self._counted(key, moment), int(moment // BUCKET_SECONDS)
            minutes[minute] = minutes.get(minute, 0.0) + seconds

    def used(self, key: Key, moment: float) -> float:
        """Seconds in the window."""
        return math.fsum(self._counted(key, moment).values())

    def seconds_to_reset(self, key: Key, moment: float) -> float:
        """Until the oldest counted minute leaves the window; the whole window where nothing is counted."""
        oldest = min(self._counted(key, moment), default=None)
        return BUCKET_SECONDS * BUCKETS if oldest is None else (oldest + BUCKETS) * BUCKET_SECONDS - moment

    def _counted(self, key: Key, moment: float) -> dict[int, float]:
        """The minutes of the window; older ones are dropped."""
        minutes, first = self._minutes[key], int(moment // BUCKET_SECONDS) - BUCKETS + 1
        for minute in [minute for minute in minutes if minute < first]:
            del minutes[minute]
        return minutes
