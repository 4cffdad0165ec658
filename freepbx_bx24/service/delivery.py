"""Delivers what the journal owes the portal: late registers, then finishes; waits where the portal is down."""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import replace

from ..call import INBOUND
from ..errors import JournalError, PortalError, PortalRefused
from ..journal.records import FINISH, PARKED, REGISTER, Delivery, Entry
from . import intake, portal_calls
from .runtime import Runtime

LOG = logging.getLogger("bx24.delivery")

FIRST_SECONDS = 2.0
LONGEST_SECONDS = 60.0  # between two probes of a portal that is down
LONGEST_ITEM_SECONDS = 3600.0  # between two tries of an item that the portal refuses
TRIES = 8  # of an item that the portal refuses, before it is parked for a human
RINGING_SECONDS = 20.0  # a late card is worth showing while the phone may still ring
LOOK_SECONDS = 5.0  # how often the intake folder is looked at
PRUNE_SECONDS = 600.0
STAMP_SECONDS = 60.0


class DeliveryThread(threading.Thread):
    """One item at a time, the journal's order; safe to kill at any instant, since the journal decides what is owed."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="delivery", daemon=True)
        self.runtime = runtime
        self.portal_failures = 0
        self.pruned = self.stamped = time.monotonic()

    def run(self) -> None:
        """Deliver until the service stops."""
        while not self.runtime.stopping.is_set():
            try:
                pause = self.step()
            except JournalError:  # its thread has said so in the log
                pause = LOOK_SECONDS
            except Exception:  # a bug must not end all deliveries
                if self.runtime.stopping.is_set():  # the journal has closed under us: the next start goes on
                    return
                LOG.exception("a delivery failed in an unforeseen way")
                pause = LOOK_SECONDS
            if pause > 0 and self.runtime.wake.wait(pause):
                self.runtime.wake.clear()

    def step(self) -> float:
        """Take in, deliver at most one item; returns how many seconds may pass before the next step."""
        runtime = self.runtime
        intake.read(runtime)
        self.keep_up()
        now = time.time()
        item = runtime.write(lambda journal: journal.next_due(now)).result()
        if item is None:
            earliest = runtime.write(lambda journal: journal.earliest_due(now)).result()
            return LOOK_SECONDS if earliest is None else min(max(earliest - now, 0.05), LOOK_SECONDS)
        began = time.monotonic()
        try:
            entry = runtime.write(lambda journal: journal.entry(item.uniqueid)).result()
            if entry is None:
                return 0.0
            DELIVER[item.kind](runtime, entry)
        except JournalError:
            raise
        except PortalError as error:
            return self.failed(item, error)
        except Exception as error:  # a bug in one item must not hold up all others
            if runtime.stopping.is_set():
                raise
            LOG.exception("%s: %s failed in an unforeseen way", item.uniqueid, item.kind)
            return self.failed(item, PortalRefused("unforeseen", type(error).__name__, 0))
        self.portal_failures = 0
        budget = runtime.settings.wait_in if entry.registration.direction == INBOUND else runtime.settings.wait_out
        if time.monotonic() - began <= budget and runtime.breaker.answered():
            LOG.info("the portal answers in time again")
        return 0.0

    def failed(self, item: Delivery, error: PortalError) -> float:
        """Two kinds of blame: the item is refused (its own back-off, in the end parked), or the portal is down."""
        runtime = self.runtime
        LOG.warning("%s: %s not delivered: %s", item.uniqueid, item.kind, error)
        refused = portal_calls.refused_itself(error)
        if refused and item.refusals + 1 >= TRIES:
            runtime.write(lambda journal: journal.park(item.id, error.message)).result()
            LOG.error("%s: %s is %s for you to look at: %s", item.uniqueid, item.kind, PARKED, error)
            return 0.0
        tries = item.refusals if refused else self.portal_failures
        longest = LONGEST_ITEM_SECONDS if refused else LONGEST_SECONDS
        pause = min(FIRST_SECONDS * 2 ** min(tries, 12), longest) * random.uniform(0.75, 1.25) * runtime.scale
        due = time.time() + pause
        runtime.write(lambda journal: journal.postpone(item.id, due, error.message, refused)).result()
        if refused:
            return 0.0
        self.portal_failures += 1
        runtime.stopping.wait(pause)  # everything waits, whatever wakes us: one probe at a time
        return 0.0

    def keep_up(self) -> None:
        """Note every minute that the journal is in use; forget old calls, in small steps."""
        now = time.monotonic()
        if now - self.stamped >= STAMP_SECONDS:
            self.stamped = now
            self.runtime.write(lambda journal: journal.stamp())
        if now - self.pruned < PRUNE_SECONDS:
            return
        self.pruned = now
        before = time.time() - self.runtime.settings.journal_days * 86400
        self.runtime.write(lambda journal: journal.prune(before))


def deliver_register(runtime: Runtime, entry: Entry) -> None:
    """Register late: with the original start; the card only while the phone may still ring."""
    registration = entry.registration
    age = time.time() - registration.started.timestamp()
    ringing = registration.show and entry.outcome is None and age < RINGING_SECONDS
    client = runtime.client
    registered = portal_calls.register(
        client, runtime.directory, replace(registration, show=ringing), runtime.request_seconds
    )
    LOG.info("%s: registered late as %s", entry.uniqueid, registered.call_id)
    runtime.write(lambda journal: journal.registered(entry.uniqueid, registered, client.origin)).result()


def deliver_finish(runtime: Runtime, entry: Entry) -> None:
    """Finish; a call that the portal lost is registered anew first."""
    if entry.registered is None or entry.outcome is None:
        return
    uniqueid = entry.uniqueid
    known = portal_calls.finish_and_settle(
        runtime.client, runtime.directory, entry.registered, entry.outcome, runtime.request_seconds
    )
    if known:
        runtime.write(lambda journal: journal.finished(uniqueid)).result()
        LOG.info("%s: finished", uniqueid)
    else:
        LOG.warning("%s: the portal lost this call: it is registered anew", uniqueid)
        due = time.time() + LONGEST_SECONDS * runtime.scale  # not at once: a portal that forgets all would be flooded
        runtime.write(lambda journal: journal.unregistered(uniqueid, due)).result()


DELIVER = {REGISTER: deliver_register, FINISH: deliver_finish}
