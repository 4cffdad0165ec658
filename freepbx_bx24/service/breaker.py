"""The breaker: after three slow or failed registers in a row no caller waits until the portal answers in time."""

from __future__ import annotations

import threading

FAILURES_TO_OPEN = 3


class Breaker:
    """Counts overruns and refusals in a row; safe to use from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0

    @property
    def open(self) -> bool:
        """True while callers must not wait."""
        with self._lock:
            return self._failures >= FAILURES_TO_OPEN

    def failed(self) -> bool:
        """Count an overrun or a refusal; True where this one opened the breaker."""
        with self._lock:
            self._failures += 1
            return self._failures == FAILURES_TO_OPEN

    def answered(self) -> bool:
        """The portal answered in time; True where this closed the breaker."""
        with self._lock:
            was_open = self._failures >= FAILURES_TO_OPEN
            self._failures = 0
            return was_open
