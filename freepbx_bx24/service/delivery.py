"""Delivers what the journal owes the portal, many items in one request; waits where the portal is down."""

from __future__ import annotations

import logging
import threading
import time
from typing import Sequence

from ..bitrix24 import batch
from ..bitrix24.client import Result, Urgency
from ..bitrix24.sizer import Sizer
from ..call import INBOUND
from ..errors import (
    LOGIN,
    METHOD,
    PORTAL,
    PortalBroken,
    PortalError,
    PortalRefused,
    PortalTimeout,
    PortalWaits,
)
from ..journal.records import FINISH, REGISTER, Delivery, Entry
from ..journal.store import Journal
from . import intake, lane, leads, story
from .agenda import LOOK_SECONDS, Agenda
from .at_work import at_work
from .back_off import LONGEST_SECONDS, back_off
from .doubts import Doubts
from .errands import Circumstances, Errand, Nothing, errand_for, screens
from .register import turn_of
from .runtime import Runtime
from .set_back import SetBack
from .settlement import Settlement
from .trouble import Trouble

LOG = logging.getLogger("bx24.delivery")

WAIT_SECONDS = 1.0  # for the portal's limits, before it is looked whether something more urgent is due now
GATHER_SECONDS = 6.0  # the scarcer requests are, the longer an end waits for others that share one: so long at most
# A batch is to be answered in so long: a live register of a client who is in it has to wait for it.
ANSWERED_IN_SECONDS = 8.0
LOGIN_SECONDS = 5.0  # between two looks whether somebody has logged in: they cost nothing
PRUNE_SECONDS = 600.0
STAMP_SECONDS = 60.0
START_SECONDS = 0.25
STORY_SECONDS = 4.0  # the longest that a line of a call's story waits for a write to ride on, while nothing fails
BUSY_SECONDS = 0.2  # until a live register of the same client is looked for again
BATCH_SECONDS = 70.0  # the portal gives a request up after 60 s

# How urgent something new is. A call whose register was late is still going on: somebody waits for its card.
URGENCY = {REGISTER: Urgency.CARD, FINISH: Urgency.FINISH}


class DeliveryThread(threading.Thread):
    """One request at a time, the journal's order; safe to kill at any instant: the journal decides what is owed."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="delivery", daemon=True)
        self.runtime = runtime
        self.agenda = Agenda(runtime)
        self.settlement = Settlement(runtime)
        self.doubts = Doubts(runtime)
        self.set_back = SetBack(runtime)
        self.sizer = Sizer()
        self.portal_failures = 0
        self.most = batch.MOST  # items in the next request
        self._trouble = Trouble(LOG, "the portal is told of calls again")
        self.suspect: Delivery | None = None  # the item that was alone when the portal failed last
        self.pruned = self.stamped = self.told = runtime.clock.monotonic()

    def run(self) -> None:
        """Deliver until the service stops."""
        # A script that found no service has written its note by then.
        runtime = self.runtime
        runtime.clock.wait(runtime.stopping, START_SECONDS)
        failed, wait = (LOG, "a delivery failed in an unforeseen way"), runtime.clock.wait
        lane.work(runtime, self.step, runtime.wake, beat="delivery", again=LOOK_SECONDS, failed=failed, wait=wait)

    def step(self) -> float:
        """Take in, send at most one request; returns how many seconds may pass before the next step."""
        runtime = self.runtime
        intake.read(runtime)
        runtime.ends.look()
        self.keep_up()
        self.set_back.look()
        items, new = self.agenda.due()
        gathering = self.gathering(items) if new else 0.0
        if gathering > 0:
            return runtime.ends.next_look(gathering)
        if not items:
            return runtime.ends.next_look(self.agenda.next_look())
        alone = at_work(runtime.state)
        errands = self.prepare([item for item in items if item.uniqueid not in alone])
        began = runtime.clock.monotonic()
        try:
            pause = self.take_turns(errands, new)
        except PortalWaits as waits:
            if waits.blame == METHOD:
                self.agenda.pause(errands, new, waits)
                return 0.0
            # Most of it was waited for already, unless it was clear at once that it is more than that.
            return max(min(waits.pause_seconds, WAIT_SECONDS) - (runtime.clock.monotonic() - began), 0.0)
        return pause if errands or not alone else BUSY_SECONDS

    def gathering(self, items: Sequence[Delivery]) -> float:
        """Seconds that these still wait for other calls' ends, where requests are scarce; nobody waits for an end."""
        if len(items) >= batch.MOST or any(item.kind != FINISH for item in items):
            return 0.0
        if not self.runtime.client.has_room(Urgency.CARD):
            return 0.0  # registers fill the bucket: an end waits long enough until its turn among them comes
        longest = self.runtime.client.gathering(GATHER_SECONDS)
        return min(longest - (self.runtime.clock.now() - min(item.due for item in items)), longest)

    def take_turns(self, errands: list[Errand], new: bool) -> float:
        """Send one request with what may go beside the live registers; returns the seconds until the next step.

        :raises PortalWaits: the portal's limits leave no room for it now.
        """
        runtime = self.runtime
        try:
            errands = self.doubts.settled(errands)
        except PortalWaits:
            raise
        except PortalError as error:
            runtime.clock.wait(runtime.stopping, self.portal_failed(errands, error))
            return 0.0
        if not errands:
            return 0.0
        chosen, urgency = self.choose(errands, new)
        turns = {one.item.id: turn_of(one.entry.registration) for one in chosen if one.item.kind == REGISTER}
        mine = {turn for turn in turns.values() if runtime.turns.take(turn)}
        try:
            # Where a live register of that client is under way, it is nearly through.
            chosen = [one for one in chosen if one.item.id not in turns or turns[one.item.id] in mine]
            if not chosen:
                return BUSY_SECONDS
            pause = self.deliver(chosen, urgency)
        finally:
            for turn in mine:
                runtime.turns.leave(turn)
        if pause:
            runtime.clock.wait(runtime.stopping, pause)  # everything waits, whatever wakes us: one probe at a time
        return 0.0

    def deliver(self, chosen: Sequence[Errand], urgency: Urgency) -> float:
        """Send one request, and write down what becomes of each errand; returns how long all has to wait for it.

        :raises PortalWaits: nothing was sent, for the portal's limits.
        """
        runtime, began = self.runtime, time.monotonic()
        try:
            chosen = leads.decided_late(runtime, chosen, urgency)
            answers = self.send(chosen, urgency)
        except PortalWaits:
            raise
        except PortalError as error:
            if len(chosen) > 1 or error.blame == PORTAL:
                for one in chosen:
                    runtime.tell(one.item.uniqueid, *story.late(one, error, len(chosen), _since(began)))
                return self.portal_failed(chosen, error)
            answers = {chosen[0].item.id: error}
        for one in chosen:
            answer = answers[one.item.id]
            runtime.tell(one.item.uniqueid, *story.late(one, answer, len(chosen), _since(began)))
        leads.learn_late(runtime, chosen, answers)
        waiting, trouble = self.settlement.settle(chosen, answers)
        if trouble is not None:
            return self.portal_failed(waiting, trouble)
        self.portal_answered(chosen, time.monotonic() - began)
        return 0.0

    def prepare(self, items: Sequence[Delivery]) -> list[Errand]:
        """What is asked for each item; those for which nothing needs to be asked any more are struck off."""
        with self.settlement.as_one():
            return self._prepared(items)

    def _prepared(self, items: Sequence[Delivery]) -> list[Errand]:
        runtime, errands, now = self.runtime, [], self.runtime.clock.now()
        calls = {item.uniqueid for item in items}
        ending = {item.uniqueid for item in items if item.kind == FINISH}

        def read(journal: Journal) -> tuple[dict[str, Entry | None], dict[str, list[tuple[str, str]]]]:
            return (
                {call: journal.entry(call) for call in calls},
                {call: journal.cards(call) for call in ending},
            )

        entries, cards = runtime.write(read).result()
        for item in items:
            entry = entries[item.uniqueid]
            if entry is None:
                continue
            try:
                circumstances = Circumstances(
                    now=now,
                    person=self.settlement.persons.get(item.id, 0),
                    watched=runtime.presence.is_whole(item.uniqueid),
                    shown=tuple(sorted(screens(entry, cards.get(item.uniqueid, [])).open)),
                )
                errand = errand_for(item, entry, runtime.directory, circumstances)
            except Exception as error:  # a call that makes no sense must not hold up all others
                LOG.exception("%s: %s failed in an unforeseen way", item.uniqueid, item.kind)
                self.settlement.refused(item, PortalRefused("", f"unforeseen: {type(error).__name__}", 0))
                continue
            if isinstance(errand, Nothing):
                self.settlement.strike_off(item, errand.why)
            else:
                errands.append(errand)
        return errands

    def choose(self, errands: Sequence[Errand], new: bool) -> tuple[list[Errand], Urgency]:
        """The errands of the next request and its urgency.

        While callers do not wait for the portal, a single item finds out whether it is back.
        """
        urgency = URGENCY[errands[0].item.kind] if new else Urgency.BACKLOG
        chosen = list(errands[: 1 if self.runtime.breaker.open else self.most])
        methods, commands = [method for one in chosen for method, _ in one.commands], 0
        fit = self.sizer.fits(methods, ANSWERED_IN_SECONDS)
        for taken, one in enumerate(chosen):
            commands += len(one.commands)
            if taken and commands > fit:
                return chosen[:taken], urgency
        return chosen, urgency

    def send(self, chosen: Sequence[Errand], urgency: Urgency) -> dict[int, Result | PortalError]:
        """Send the errands as one request; returns the answer to each by its item's id.

        :raises PortalError: where the request as a whole fails.
        """
        runtime = self.runtime
        client, waits = runtime.client, WAIT_SECONDS
        if len(chosen) == 1 and not chosen[0].before:
            (one,) = chosen
            seconds = runtime.request_seconds
            answer = client.call(one.method, one.parameters, total_seconds=seconds, urgency=urgency, wait_seconds=waits)
            return {one.item.id: answer}
        commands = {
            f"{one.item.id}.{number}": batch.command(method, parameters)
            for one in chosen
            for number, (method, parameters) in enumerate(one.commands)
        }
        methods = [batch.method_of(command) for command in commands.values()]
        seconds = max(BATCH_SECONDS * runtime.scale, runtime.request_seconds)
        began = time.monotonic()
        try:
            answers = client.batch(commands, total_seconds=seconds, urgency=urgency, wait_seconds=waits)
        except PortalTimeout:
            self.sizer.timed_out(methods)
            raise
        times = [answer.time if isinstance(answer, Result) else {} for answer in answers.values()]
        self.sizer.answered(methods, times, time.monotonic() - began)
        return {one.item.id: answers[f"{one.item.id}.{len(one.before)}"] for one in chosen}

    def portal_failed(self, errands: Sequence[Errand], error: PortalError) -> float:
        """The portal is down or does not let us in: everything waits (returns the seconds), then few find out more."""
        runtime = self.runtime
        pause = max(back_off(self.portal_failures, LONGEST_SECONDS), error.pause_seconds) * runtime.scale
        if error.remedy == LOGIN:
            pause = min(pause, LOGIN_SECONDS)
        runtime.portal_down = True
        self._trouble.say(f"the portal can't be told of calls: {error} {error.hint}")
        self.settlement.put_off(errands, error, pause)
        self.suspect = errands[0].item if len(errands) == 1 and error.ambiguous else None
        if isinstance(error, (PortalBroken, PortalTimeout)):
            # A portal that stumbles may stumble over one of the items: halving finds out which.
            self.most = max(1, len(errands) // 2)
        self.portal_failures += 1
        return pause

    def portal_answered(self, chosen: Sequence[Errand], seconds: float) -> None:
        """The portal works: the breaker may close; an item with which alone it fails is that item's own trouble."""
        runtime, suspect = self.runtime, self.suspect
        self.portal_failures, self.suspect, runtime.portal_down = 0, None, False
        self.most = min(self.most * 4, batch.MOST)
        self._trouble.say("")
        if suspect and all(errand.item.id != suspect.id for errand in chosen):
            self.settlement.refused(suspect, PortalRefused("", "the portal fails at this item alone", 0))
        inbound = chosen[0].entry.registration.direction == INBOUND
        longest = runtime.settings.wait_in if inbound else runtime.settings.wait_out
        if seconds / len(chosen) <= longest and runtime.breaker.answered():
            LOG.info("the portal answers in time again")

    def keep_up(self) -> None:
        """Note every minute that the journal is in use; forget old calls, in small steps."""
        now = self.runtime.clock.monotonic()
        if now - self.told >= STORY_SECONDS:
            self.told = now
            self.runtime.write(lambda journal: journal.write_story())
        if now - self.stamped >= STAMP_SECONDS:
            self.stamped = now
            self.runtime.write(lambda journal: journal.stamp())
        if now - self.pruned < PRUNE_SECONDS:
            return
        self.pruned = now
        before = self.runtime.clock.now() - self.runtime.settings.journal_days * 86400
        self.runtime.write(lambda journal: journal.prune(before))


def _since(began: float) -> float:
    return time.monotonic() - began
