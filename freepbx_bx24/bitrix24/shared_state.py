"""Where this machine stands with the portal: one state for all processes, a process's own where that can't be had."""

from __future__ import annotations

import copy
import logging
import os
from pathlib import Path
from typing import Callable

from . import limits, shared_file
from .limits import Plan, State
from .state_text import from_text, to_text

LOG = logging.getLogger("bx24.budget")

LOCK_SECONDS = 0.1  # a holder needs a tenth of a millisecond; one that was stopped would need for ever
AWAY_SECONDS = 2.0  # how long a process counts for itself before it tries the file again


class SharedState:
    """The state in a file; whoever uses it sees to it that one thread does at a time.

    A file that can't be had, read or written is no reason to wait: the process goes on with what it saw last, and adds
    what it sent meanwhile as soon as it has the file again.

    :param place: the file; None: the process counts for itself alone.
    :ivar own: the state as this process saw it last.
    """

    def __init__(self, place: Path | None, plan: Plan, clock: Callable[[], float]) -> None:
        self._place, self._plan, self._clock = place, plan, clock
        self.own = limits.unknown(plan, clock())
        self._unshared = 0.0  # level of what was sent while the file could not be had
        self._away_until = 0.0
        self._complained = False
        self._shared = False  # our own state has been the file's
        self._seen: tuple[int, int] | None = None  # of the file, when `own` was what it says

    def is_as_seen(self) -> bool:
        """Return whether `own` is what the file says: one look at it, where no lock and no reading is needed."""
        if self._place is None:
            return True
        try:
            return self._seen is not None and self._seen == shared_file.mark(self._place.lstat())
        except OSError:
            return False

    def change(self, change: Callable[[State], bool]) -> None:
        """Run a change on the state of this moment.

        :param change: returns whether it changed more than the passing of time does.
        """
        descriptor = self._locked()
        try:
            before = self.own.at
            now = self._clock()  # not earlier: whoever had the lock until now has written a later moment
            self.own = limits.drained(self.own, self._plan, now)
            unshared = max(0.0, self._unshared - self._plan.drain * max(0.0, now - before))
            found = self._read(descriptor, now)
            state = limits.joined(found, self.own, unshared, self._plan) if found else self.own
            level = state.level
            changed = change(state)
            self.own = state
            if found and (not (changed or unshared) or self._written(descriptor, state)):
                self._unshared = 0.0
            else:
                self._unshared = unshared + state.level - level
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _locked(self) -> int:
        """Return the file's descriptor with its lock, -1 where the process has to count for itself."""
        if self._place is None or self._clock() < self._away_until:
            return -1
        try:
            return shared_file.locked(self._place, LOCK_SECONDS)
        except OSError as error:
            self._lost(error)
            return -1

    def _read(self, descriptor: int, now: float) -> State | None:
        """Return what the file says; None where it can't be had.

        An empty one was just made: nobody of ours has sent anything, unless it was there before, and we know what it
        said. One that can't be understood says nothing.
        """
        if descriptor < 0:
            return None
        try:
            mark = shared_file.mark(os.fstat(descriptor))
            if mark == self._seen:
                return self.own
            text = shared_file.read(descriptor)
        except OSError as error:
            self._lost(error)
            return None
        self._seen = mark
        if not text:
            return copy.deepcopy(self.own) if self._shared else limits.nothing_sent(now)
        self._shared = True
        found = from_text(text, self._plan, now)
        return limits.drained(found, self._plan, now) if found else limits.unknown(self._plan, now)

    def _written(self, descriptor: int, state: State) -> bool:
        self._seen = None
        try:
            self._seen = shared_file.write(descriptor, to_text(state))
        except OSError as error:
            self._lost(error)
            return False
        self._shared = True
        if self._complained:
            self._complained = False
            LOG.info("the request budget is shared with other processes again")
        return True

    def _lost(self, error: OSError) -> None:
        self._seen = None
        self._away_until = self._clock() + AWAY_SECONDS
        if not self._complained:
            self._complained = True
            LOG.warning("the request budget can't be shared with other processes: %s", error.strerror or error)
