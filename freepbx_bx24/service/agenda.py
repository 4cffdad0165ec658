"""Which items may go next: what is new before a backlog, and nothing of a kind whose method has to pause."""

from __future__ import annotations

from typing import Sequence

from ..bitrix24 import batch
from ..errors import PortalWaits
from ..journal.records import FINISH, REGISTER, Delivery
from ..journal.store import Journal
from .errands import Errand
from .runtime import Runtime

KINDS = (REGISTER, FINISH)  # cards and recordings have lanes of their own
NEW_SECONDS = 60.0  # an item that fell due since then, and was not tried yet, is no backlog
LOOK_SECONDS = 5.0  # the longest between two looks: the intake folder is looked at as well
PAUSED_LOOK_SECONDS = 1.0  # while a kind pauses, so long at most until what others owe is looked at
LONGEST_PAUSE = 60.0  # a method whose seconds come free earlier than was reckoned is found out after that


class Agenda:
    """Used by the delivery's one thread.

    What is new is asked for by itself: behind a backlog of registers, the most urgent kind of all, it would not be seen
    until the last of them is through. A method without operating time left pauses here, once for all its items: asking
    the budget for each fifty of them in turn would go through the whole backlog once a minute, and write to all of it.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._pauses: dict[tuple[str, bool], float] = {}  # (kind, whether it is new) -> until when, monotonic

    def due(self) -> tuple[list[Delivery], bool]:
        """What may go now, fifty items at most, and whether it is new."""
        now = self.runtime.clock.now()
        since = now - NEW_SECONDS
        new_kinds, late_kinds = self._kinds(new=True), self._kinds(new=False)

        def look(journal: Journal) -> tuple[list[Delivery], bool]:
            lately = journal.deliverable(now, batch.MOST, new_kinds, since)
            # What holds a new item up comes along, and is late itself.
            new = [item for item in lately if item.attempts == 0 and since <= item.due <= now]
            return (new, True) if new else (journal.deliverable(now, batch.MOST, late_kinds), False)

        return self.runtime.write(look).result()

    def pause(self, errands: Sequence[Errand], new: bool, waits: PortalWaits) -> None:
        """Leave the kinds that need this method out for as long as it has to wait."""
        kinds = {one.item.kind for one in errands if waits.method in (method.lower() for method, _ in one.commands)}
        until = self.runtime.clock.monotonic() + min(waits.pause_seconds, LONGEST_PAUSE)
        for kind in kinds or {one.item.kind for one in errands}:
            self._pauses[kind, new] = until

    def next_look(self) -> float:
        """Seconds after which something may be due, where nothing is now."""
        now = self.runtime.clock.now()
        earliest = self.runtime.write(lambda journal: journal.earliest_due(now, KINDS)).result()
        if earliest is None:
            return LOOK_SECONDS
        pauses = [until - self.runtime.clock.monotonic() for until in self._pauses.values()]
        ends = min((left for left in pauses if left > 0), default=0.0)
        return min(max(earliest - now, min(ends, PAUSED_LOOK_SECONDS), 0.05), LOOK_SECONDS)

    def _kinds(self, new: bool) -> list[str]:
        now = self.runtime.clock.monotonic()
        return [kind for kind in KINDS if self._pauses.get((kind, new), now) <= now]
