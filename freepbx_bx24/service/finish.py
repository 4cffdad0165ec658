"""Answers a finish frame: writes down what the hangup handler says, and the call's end where nothing else will."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from ..bitrix24.client import Urgency
from ..call import Outcome
from ..errors import JournalError, PortalError
from ..journal.records import Entry, Registered
from ..journal.store import Journal
from ..pbx import frame as frames
from ..policy import Skip
from . import ends, outputs, portal_calls, story
from .rebuilt import rebuilt_registration
from .runtime import Runtime

LOG = logging.getLogger("bx24.finish")


def since(frame: frames.Frame) -> float:
    """From when on it is owed what a frame tells: since its script began, however much later it is taken in."""
    return min(frame.started, time.time())


def handle(runtime: Runtime, frame: frames.Frame) -> None:
    """Write a call's end down; the delivery tells the portal.

    :raises JournalError: where the journal can't be read.
    """
    uniqueid = frame.uniqueid
    entry = runtime.unwritten.pop(uniqueid, None) or runtime.write(lambda journal: journal.entry(uniqueid)).result()
    if entry is None:
        rebuilt = rebuilt_registration(runtime.settings.rules, runtime.directory, frame)
        if isinstance(rebuilt, Skip):
            LOG.info("%s: left out: %s", uniqueid, rebuilt.why)
            return
        LOG.warning("%s: register left nothing behind: rebuilt from what finish knows", uniqueid)
        call_id = frame.fact("call_id")
        entry = Entry(rebuilt, Registered(call_id) if call_id else None)
        runtime.tell(uniqueid, story.CAME, "register left nothing behind: rebuilt from what the hangup handler knows")
    elif entry.registered is None and frame.fact("status") == outputs.REGISTERED and frame.fact("call_id"):
        # The service died between its answer to the channel and its note of it. A script alone may have finished the
        # call since: registered once more it would be another one (telephony 6.4).
        learnt = Registered(frame.fact("call_id"))
        entry = replace(entry, registered=learnt)
        runtime.write(lambda journal: _learn(journal, uniqueid, learnt))  # before all that follows: one thread writes
    entry = replace(entry, ending=frames.ending(frame))
    if runtime.presence.is_up(uniqueid) is None:
        _end(runtime, entry, since(frame))
        return
    if _kept(runtime, entry, since(frame)):
        runtime.ends.expect(uniqueid)
    else:
        _end(runtime, entry, since(frame))


def _end(runtime: Runtime, entry: Entry, due: float) -> None:
    """The call is over, as far as can be known."""
    assert entry.ending
    end = ends.end_of(runtime, entry, entry.ending.ended.timestamp())
    outcome = ends.outcome_of(runtime, end)
    if ends.wants_search(runtime, end, outcome) and _kept(runtime, entry, due, end.legs):
        runtime.ends.settle_soon(entry.uniqueid)
        return
    LOG.info("%s: %s, %d s", entry.uniqueid, outcome.status_code, outcome.talk_seconds)

    def write(journal: Journal) -> None:
        _keep(journal, entry, due)
        ends.write(runtime, journal, end, outcome, due)

    try:
        runtime.write(lambda journal: journal.as_one([write])).result()
    except JournalError:  # the disk refuses: tell the portal now, in the background
        runtime.in_background(_register_and_finish, runtime, entry, outcome)
    runtime.wake.set()


def _kept(runtime: Runtime, entry: Entry, due: float, legs: str = "") -> bool:
    """Whether what the hangup handler said, and the legs, are in the journal now; False where the disk refuses."""

    def keep(journal: Journal) -> None:
        _keep(journal, entry, due)
        if legs:
            journal.keep_legs(entry.uniqueid, legs)

    try:
        runtime.write(lambda journal: journal.as_one([keep])).result()
    except JournalError:
        return False
    return True


def _keep(journal: Journal, entry: Entry, due: float) -> None:
    """Write down what the hangup handler said, and the call's beginning where the journal does not have that."""
    if journal.begin(entry.registration, due, 0, entry.registration.rule) and entry.registered:
        journal.registered(entry.uniqueid, entry.registered)
    if entry.ending:
        journal.hung_up(entry.ending)


def _learn(journal: Journal, uniqueid: str, registered: Registered) -> None:
    """Keep what the channel knows of its register, unless the delivery has been quicker."""
    known = journal.entry(uniqueid)
    if known is not None and known.registered is None:
        journal.registered(uniqueid, registered)


def _register_and_finish(runtime: Runtime, entry: Entry, outcome: Outcome) -> None:
    try:
        ask, seconds = portal_calls.asking(runtime.client, Urgency.FINISH), runtime.request_seconds
        registered = entry.registered or portal_calls.register(
            ask, runtime.directory, replace(entry.registration, show=False), seconds
        )
        portal_calls.finish(ask, runtime.directory, registered, outcome, seconds)
        LOG.info("%s: finished, past the journal", entry.uniqueid)
    except PortalError as error:
        LOG.error("%s: lost for the CRM: the disk refused it and the portal too: %s", entry.uniqueid, error)
    except Exception:
        LOG.exception("%s: lost for the CRM in an unforeseen way", entry.uniqueid)
