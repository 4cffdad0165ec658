"""One click or callback that is being dialled: what Asterisk shows, and how it ends where no client was reached."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..call import Outcome
from ..clicks import BUSY, NO_TRUNK, UNAVAILABLE, Refused
from ..journal import dialling
from ..journal.dialling import CALLBACK, Row
from ..journal.store import Journal
from ..outcome import CAUSE_CODES
from ..pbx.call_legs import CLIENT, CallLegs
from . import click_calls
from .click_calls import Dial

if TYPE_CHECKING:
    from .presence import Presence
    from .runtime import Runtime

# A route's next trunk is dialled some milliseconds after the one before has failed.
NEXT_TRUNK_SECONDS = 0.6
# From the end of the channel that dials the client until its hangup handler has told what it knows.
HANDLER_SECONDS = 3.0
# Until a former service's calls have been found in Asterisk, or not.
RESUME_SECONDS = 20.0
LOST = Refused(UNAVAILABLE, "LOST")
AWAY = Refused(UNAVAILABLE, "PERSON_AWAY")
# How a trunk says that it did not reach the client, by DialStatus. After the first two no other trunk is tried.
_CLIENT = {
    "BUSY": Refused(BUSY, "CLIENT_BUSY"),
    "NOANSWER": Refused(UNAVAILABLE, "CLIENT_SILENT"),
    "CHANUNAVAIL": Refused(NO_TRUNK, "CLIENT_AWAY"),
    "CONGESTION": Refused(NO_TRUNK, "CLIENT_AWAY"),
}


@dataclass
class Running:
    """A row that is being dialled. Times are monotonic seconds.

    :ivar began: when it was ordered. :ivar answered: when whoever was rung first has answered. :ivar resumed: a former
        service ordered it. :ivar refused: how it ends, where that could not be written down yet. :ivar known: a call of
        the journal has its uniqueid.
    """

    row: Row
    dial: Dial
    began: float
    answered: float | None = None
    resumed: bool = False
    refused: Refused | None = None
    known: bool = False

    def failure(self, presence: Presence, now: float) -> Refused | None:
        """How it has failed, None where it goes on or is over in a way that others tell."""
        legs = presence.legs(self.row.uniqueid)
        if legs is None:
            lost = self.resumed and presence.connected and now - self.began > RESUME_SECONDS and not self.known
            return LOST if lost else None
        if legs.gone is not None:
            # Its hangup handler tells the end of a call that got as far as the client's number.
            waits = now - legs.gone.monotonic < HANDLER_SECONDS
            handled = self.answered is not None and (self.row.kind != CALLBACK or self.known)
            return None if waits or handled else AWAY
        return None if self.row.kind == CALLBACK else client_failed(legs, now)


def client_failed(legs: CallLegs, now: float) -> Refused | None:
    """Whether no trunk has reached the client, and none will be tried any more: the person may still hear a tone."""
    dialled = [leg for leg in legs.legs if leg.party == CLIENT and leg.rang is not None]
    if legs.answered is not None or not dialled:
        return None
    last = dialled[-1]
    if last.ended not in _CLIENT or any(not leg.ended for leg in dialled):
        return None
    until = last.rang.until if last.rang else None
    final = last.ended in ("BUSY", "NOANSWER")
    if until is None or (not final and now - until.monotonic < NEXT_TRUNK_SECONDS):
        return None
    refused = _CLIENT[last.ended]
    return Refused(CAUSE_CODES.get(last.cause, refused.code), refused.why) if not final else refused


def over(runtime: Runtime, running: Running, refused: Refused, journal: Journal) -> None:
    """Write down that a click has failed. A call that is not tied to the portal's has nothing to be finished."""
    row, rules, now = running.row, runtime.settings.rules, time.time()
    entry = journal.entry(row.uniqueid)
    if entry is not None and entry.outcome is None:
        legs = runtime.presence.end(row.uniqueid)
        if legs:
            journal.keep_legs(row.uniqueid, legs)
        ended: Outcome = click_calls.outcome(rules, entry.registration, refused)
        journal.ended(ended, now)
    journal.dialling(lambda database: dialling.over(database, row.id))
