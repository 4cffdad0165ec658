"""The clocks that the delivery goes by and its waiting for them: a test lets a day pass in a minute by another one."""

from __future__ import annotations

import threading
import time


class Clock:
    """This machine's clocks."""

    def now(self) -> float:
        """Wall clock seconds, as the journal's due times are."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that nobody sets, for durations."""
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for an event, so many seconds at most; True where it is set."""
        return event.wait(seconds)
