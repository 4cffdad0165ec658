"""Notices that the wall clock was set back while the service runs, so that what is put off does not wait for it."""

from __future__ import annotations

import logging
import time

from .runtime import Runtime

LOG = logging.getLogger("bx24.delivery")
NOTICED_SECONDS = 1.0  # less is how two clocks are read one after the other, on a machine that is busy


class SetBack:
    """Compares the wall clock with the monotonic one. Used by the delivery's one thread.

    The journal's due times are wall clock seconds, since they outlive the machine's start. A clock that goes forward
    makes them due at once, which does no harm; one that is set back by an hour would have all deliveries rest so long.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.ahead = time.time() - time.monotonic()

    def look(self) -> None:
        """Where the clock was set back since the last look, bring forward what is put off, by as much."""
        now = time.time()
        ahead = now - time.monotonic()
        back, self.ahead = self.ahead - ahead, ahead
        if back > NOTICED_SECONDS:
            LOG.warning("the clock was set back by %.0f s: what is put off is put off by as much less", back)
            self.runtime.write(lambda journal: journal.bring_forward(now, back)).result()
