"""Items that may have been told although the journal owes them: looked up at the portal before anything is repeated."""

from __future__ import annotations

import logging
from typing import Sequence

from ..bitrix24 import statistic
from ..bitrix24.client import Urgency
from ..errors import AGAIN, PORTAL, PortalError
from ..journal.records import FINISH, REGISTER, Registered
from ..journal.store import Journal
from .errands import Errand
from .runtime import Runtime

LOG = logging.getLogger("bx24.delivery")


class Doubts:
    """Used by the delivery's one thread.

    The portal's own dedupe does not cover a replay: a finished call registers anew, and so does one that began more
    than half an hour ago. So where the journal is new, was damaged or is an older copy, calls older than that are
    looked up.

    :ivar known: calls that were looked up, and are not in the portal's statistics; forgotten with the process.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.known: set[str] = set()

    def settled(self, errands: Sequence[Errand]) -> list[Errand]:
        """Return the errands without those of calls that the portal has the end of.

        :raises PortalError: it can't be asked now.
        """
        runtime = self.runtime
        before = runtime.write(lambda journal: journal.uncertain_before).result()
        doubtful = {
            one.entry.registration.external_id: one.entry.uniqueid
            for one in errands
            if one.item.kind in (REGISTER, FINISH)
            and one.entry.written < before
            and one.entry.uniqueid not in self.known
        }
        if not doubtful:
            return list(errands)
        try:
            reply = runtime.client.call(
                statistic.METHOD,
                statistic.by_external_id(doubtful),
                total_seconds=runtime.request_seconds,
                urgency=Urgency.BACKLOG,
            )
            told = statistic.known_calls(reply.result, doubtful)
        except PortalError as error:
            if error.blame == PORTAL or error.remedy == AGAIN:
                raise
            LOG.warning("older calls can't be looked up, and may be told a second time: %s", error)
            told = {}
        self.known.update(doubtful.values())
        finished = {doubtful[external_id]: call_id for external_id, call_id in told.items()}

        def settle(journal: Journal) -> None:
            for uniqueid, call_id in finished.items():
                journal.registered(uniqueid, Registered(call_id))
                journal.finished(uniqueid)

        if finished:
            runtime.write(settle).result()
            for uniqueid in finished:
                LOG.info("%s: the portal has this call already", uniqueid)
                runtime.tell(uniqueid, "looked up", "the portal has this call already: nothing is told a second time")
        return [one for one in errands if one.entry.uniqueid not in finished]
