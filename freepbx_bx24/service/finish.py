"""Answers a finish frame: decides what became of the call and writes down that the CRM must learn it."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import replace
from datetime import datetime

from ..call import INBOUND, Outcome, Registration
from ..errors import JournalError, PortalError
from ..journal.records import Entry, Registered
from ..pbx import frame as frames
from ..policy import Rules, Skip, decide_outcome, decide_registration
from . import portal_calls
from .runtime import Runtime

LOG = logging.getLogger("bx24.finish")


def rebuilt_registration(rules: Rules, frame: frames.Frame) -> Registration | Skip:
    """What register would have decided, from the finish frame alone: its own record was lost.

    The uniqueid begins with the second in which the channel was made (Asterisk), the DNID is the number that was dialled.
    """
    beginning = frames.beginning(frame)
    inbound = beginning.direction == INBOUND
    dialled = frame.environment("dnid")
    created = re.search(r"([0-9]{9,11})\.[0-9]+$", beginning.uniqueid)
    started = datetime.fromtimestamp(int(created[1])).astimezone() if created else beginning.started
    decision = decide_registration(
        rules,
        replace(
            beginning,
            started=min(started, beginning.started),
            did=dialled if inbound else beginning.did,
            number=beginning.number if inbound else dialled,
            entity_type="",
            entity_id="",
        ),
    )
    return replace(decision, show=False) if isinstance(decision, Registration) else decision


def handle(runtime: Runtime, frame: frames.Frame) -> None:
    """Write a call's end down; the delivery tells the portal.

    :raises JournalError: where the journal can't be read.
    """
    uniqueid = frame.uniqueid
    entry = runtime.unwritten.get(uniqueid)
    if entry is None:
        entry = runtime.write(lambda journal: journal.entry(uniqueid)).result()
    if entry is None:
        rebuilt = rebuilt_registration(runtime.settings.rules, frame)
        if isinstance(rebuilt, Skip):
            LOG.info("%s: left out: %s", uniqueid, rebuilt.why)
            return
        LOG.warning("%s: register left nothing behind: rebuilt from what finish knows", uniqueid)
        entry = Entry(rebuilt)
        call_id = frame.fact("call_id")
        with_answer = Registered(call_id) if call_id else None
        runtime.write(lambda journal: journal.begin(rebuilt, time.time()))
        if with_answer:
            runtime.write(lambda journal: journal.registered(uniqueid, with_answer))
    outcome = decide_outcome(runtime.settings.rules, entry.registration, frames.ending(frame))
    LOG.info("%s: %s, %d s", uniqueid, outcome.status_code, outcome.talk_seconds)
    try:
        written = uniqueid not in runtime.unwritten
        if written:
            runtime.write(lambda journal: journal.ended(outcome, time.time())).result()
    except JournalError:
        written = False
    if not written:  # the disk refuses: tell the portal now, in the background
        runtime.portal_threads.submit(_register_and_finish, runtime, runtime.unwritten.pop(uniqueid, entry), outcome)
    runtime.wake.set()


def _register_and_finish(runtime: Runtime, entry: Entry, outcome: Outcome) -> None:
    try:
        registered = entry.registered or portal_calls.register(
            runtime.client, runtime.directory, replace(entry.registration, show=False), runtime.request_seconds
        )
        portal_calls.finish(runtime.client, runtime.directory, registered, outcome, runtime.request_seconds)
    except PortalError as error:
        LOG.error("%s: this call is lost for the CRM: the disk refused it and the portal too: %s", entry.uniqueid, error)
