"""Calls whose end nobody told: Asterisk, the machine or the finish script died in their midst."""

from __future__ import annotations

import logging
import time
from typing import Sequence

from ..journal.records import HUNG_UP, Entry
from ..journal.store import Journal
from ..policy import decide_unseen_outcome
from . import intake, legs_text, story
from .runtime import Runtime

LOG = logging.getLogger("bx24.presence")


def look_after(runtime: Runtime) -> None:
    """End the calls whose channels are gone and whose finish has not come; watch those that are still up."""
    overdue = runtime.presence.overdue()
    if overdue:
        known = runtime.write(lambda journal: [journal.entry(uniqueid) for uniqueid in overdue]).result()
        without_end = [entry for entry in known if entry and entry.outcome is None and not entry.finished]
        _end(runtime, without_end, time.time(), seen=True)
    found = runtime.presence.lost_calls()
    if found is not None:
        channels, at, last_seen = found
        entries = runtime.write(lambda journal: journal.open_calls(at.wall)).result()
        for entry in entries:
            if entry.uniqueid in channels:
                runtime.presence.begin(entry.uniqueid, entry.registration.direction)
        gone = [entry for entry in entries if entry.uniqueid not in channels]
        _end(runtime, gone, last_seen or runtime.last_alive, seen=False)


def _end(runtime: Runtime, entries: Sequence[Entry], ended: float, *, seen: bool) -> None:
    """Write the end of calls down. :param ended: wall clock seconds until which they may have been up.

    :param seen: Asterisk has shown the hangup, and only the finish script is missing.
    """
    # What a script alone is at work on, or has left behind, tells its end by itself.
    left_behind = intake.at_work(runtime)
    outcomes = {}
    for entry in entries:
        if entry.uniqueid not in left_behind:
            legs = runtime.presence.end(entry.uniqueid) or entry.legs
            talker, seconds = legs_text.last_talk(legs, ended)
            rules = runtime.settings.rules
            outcomes[entry.uniqueid] = decide_unseen_outcome(rules, entry.registration, talker, seconds, seen=seen)

    how = "its finish script never came" if seen else "Asterisk has lost it"

    def write(journal: Journal) -> None:
        for outcome in outcomes.values():
            journal.tell_soon(outcome.uniqueid, HUNG_UP, story.unseen(how, outcome))
            journal.ended(outcome, time.time())

    if outcomes:
        runtime.write(write).result()
        runtime.wake.set()
    for uniqueid, outcome in outcomes.items():
        LOG.warning("%s: %s: told as %s, %d s", uniqueid, how, outcome.status_code, outcome.talk_seconds)
