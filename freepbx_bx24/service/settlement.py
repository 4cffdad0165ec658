"""What becomes of deliveries after the portal's answer: written down as told, looked up, put off, or parked."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import partial
from typing import Callable, Iterator, Mapping, Sequence

from ..bitrix24 import statistic, telephony
from ..bitrix24.client import Result, Urgency
from ..errors import AGAIN, METHOD, PORTAL, PortalBroken, PortalError, PortalRefused, PortalWaits
from ..journal.records import FINISH, PARKED, REGISTER, Delivery, Registered
from ..journal.store import Journal
from . import story
from .back_off import FIRST_SECONDS, LONGEST_ITEM_SECONDS, LONGEST_SECONDS, TRIES, back_off
from .errands import Errand, Fate, fate
from .runtime import Runtime

LOG = logging.getLogger("bx24.delivery")
Step = Callable[[Journal], object]


class Settlement:
    """Writes down what answers mean. Used by the delivery's one thread.

    :ivar persons: item -> how many of its call's people the portal has said not to know.
    :ivar earlier: items up to this id were owed when this process began: the last one may have died between the
        portal's work and the journal's note of it.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.earlier = runtime.write(lambda journal: journal.last_id()).result()
        self.persons: dict[int, int] = {}
        self._gathered: list[Step] | None = None

    @contextmanager
    def as_one(self) -> Iterator[None]:
        """What is written down within the block is one change of the journal, at its end: one sync, not fifty."""
        self._gathered = []
        try:
            yield
        finally:
            try:
                self._write_gathered()
            finally:
                self._gathered = None

    def write(self, step: Step) -> None:
        """Write down now, or with all others of the block."""
        if self._gathered is None:
            self.runtime.write(step).result()
        else:
            self._gathered.append(step)

    def _write_gathered(self) -> None:
        steps, self._gathered = self._gathered or [], []
        if steps:
            self.runtime.write(lambda journal: journal.as_one(steps)).result()

    def settle(
        self, errands: Sequence[Errand], answers: Mapping[int, Result | PortalError]
    ) -> tuple[list[Errand], PortalError | None]:
        """Take the answers in, by the ids of the items.

        Returns the errands that have to wait together with everything else, and for which error; none and None where
        the portal works.
        """
        with self.as_one():
            return self._settle(errands, answers)

    def _settle(
        self, errands: Sequence[Errand], answers: Mapping[int, Result | PortalError]
    ) -> tuple[list[Errand], PortalError | None]:
        unsure, waiting, trouble = [], [], None
        for errand in errands:
            answer, item = answers[errand.item.id], errand.item
            if isinstance(answer, Result):
                try:
                    self.write(DELIVERED[item.kind](self.runtime, errand, answer))
                    self.persons.pop(item.id, None)
                    continue
                except PortalBroken as broken:  # an answer to this item, and one that can't be used
                    answer = PortalRefused("", broken.message, 200)
            verdict = fate(errand, answer)
            if verdict is Fate.NEXT_PERSON:
                who = f"user {errand.user_id}" if errand.user_id else "that extension"
                LOG.warning("%s: the portal does not know %s: the next person is tried", item.uniqueid, who)
                self.runtime.tell(item.uniqueid, item.kind, f"the portal does not know {who}: the next person is tried")
                self.persons[item.id] = self.persons.get(item.id, 0) + 1
            elif verdict is Fate.LOOK_UP:
                unsure.append(errand)
            elif verdict is Fate.DELIVERED:
                self.strike_off(item, answer.message)
            elif verdict is not Fate.LATER:
                self.refused(item, answer, at_once=verdict is Fate.HOPELESS)
            elif answer.blame == PORTAL:
                waiting.append(errand)
                trouble = answer
            else:
                self.put_off([errand], answer)
        if unsure:
            self._write_gathered()  # what is known, before anything else is asked
            failed = self.look_up(unsure)
            if failed is not None:
                waiting, trouble = waiting + unsure, failed
        return waiting, trouble

    def look_up(self, errands: Sequence[Errand]) -> PortalError | None:
        """Finishes that the portal calls unknown: an earlier one may have been carried out, or the call is lost.

        Returns the error where the portal can't be asked now.
        """
        runtime = self.runtime
        call_ids = {one.entry.registered.call_id: one for one in errands if one.entry.registered}
        try:
            answer = runtime.client.call(
                statistic.METHOD,
                statistic.by_call_id(call_ids),
                total_seconds=runtime.request_seconds,
                urgency=Urgency.FINISH,
            )
            known = statistic.finished_calls(answer.result, call_ids)
        except PortalError as error:
            if isinstance(error, PortalWaits) or (error.blame == METHOD and error.remedy == AGAIN):
                self.put_off(errands, error)
                return None
            if error.blame == PORTAL:
                return error
            # Without the right to see statistics: what may have been sent before has most likely arrived.
            LOG.warning("whether calls are finished can't be looked up: %s", error)
            known = {
                call_id
                for call_id, errand in call_ids.items()
                if errand.item.attempts or errand.item.id <= self.earlier
            }
        for call_id, errand in call_ids.items():
            found = "the portal has its end already" if call_id in known else "the portal has no such call"
            runtime.tell(errand.item.uniqueid, "looked up", f"{call_id}: {found}")
            if call_id in known:
                self.write(_finish(errand.item.uniqueid))
            else:
                self.lost(errand.item.uniqueid)
        return None

    def lost(self, uniqueid: str) -> None:
        """The portal has neither the call nor its end: it is registered anew, with its own beginning, then finished."""
        LOG.warning("%s: the portal lost this call: it is registered anew", uniqueid)
        # Not at once: a portal that forgets all would be flooded.
        due = self.runtime.clock.now() + LONGEST_SECONDS * self.runtime.scale
        self.runtime.tell(uniqueid, story.PUT_OFF, story.put_off(REGISTER, due, "the portal lost this call"))
        self.write(lambda journal: journal.unregistered(uniqueid, due))

    def refused(self, item: Delivery, error: PortalError, *, at_once: bool = False) -> None:
        """The portal refuses this very item: it has a back-off of its own, and in the end waits for a human."""
        LOG.warning("%s: %s not delivered: %s", item.uniqueid, item.kind, error)
        if at_once or item.refusals + 1 >= TRIES:
            self.runtime.tell(item.uniqueid, PARKED, f"{item.kind}, for a person to decide: {error.message}")
            self.write(lambda journal: journal.park(item.id, error.message))
            LOG.error("%s: %s is %s for you to look at: %s %s", item.uniqueid, item.kind, PARKED, error, error.hint)
            return
        due = self.runtime.clock.now() + back_off(item.refusals, LONGEST_ITEM_SECONDS) * self.runtime.scale
        self.runtime.tell(item.uniqueid, story.PUT_OFF, story.put_off(item.kind, due, error.message))
        self.write(lambda journal: journal.postpone(item.id, due, error.message, refused=True))

    def put_off(self, errands: Sequence[Errand], error: PortalError, seconds: float = 0.0) -> None:
        """Nobody's fault: the items wait so long, or as long as the error asks for."""
        pause = seconds or max(error.pause_seconds, FIRST_SECONDS) * self.runtime.scale
        due = self.runtime.clock.now() + pause
        for one in errands:
            self.runtime.tell(one.item.uniqueid, story.PUT_OFF, story.put_off(one.item.kind, due, error.message))
        if error.blame == METHOD:
            methods = " and ".join(sorted({errand.method for errand in errands}))
            LOG.info("%s has to wait: %s", methods, error)
        ids = [errand.item.id for errand in errands]
        self.write(lambda journal: journal.as_one([partial(_postpone, one, due, error.message) for one in ids]))

    def strike_off(self, item: Delivery, why: str) -> None:
        """What can't be asked of a register or finish is for a human."""
        LOG.info("%s: %s is not sent: %s", item.uniqueid, item.kind, why)
        self.runtime.tell(item.uniqueid, item.kind, f"not sent: {why}")
        self.write(lambda journal: journal.park(item.id, why))


def _postpone(delivery_id: int, due: float, why: str, journal: Journal) -> None:
    journal.postpone(delivery_id, due, why)


def _registered(runtime: Runtime, errand: Errand, answer: Result) -> Step:
    said = telephony.parse_registered(answer.result)
    uniqueid = errand.item.uniqueid
    if said.lead_error:
        LOG.info("%s: registered, but no lead was made: %s", uniqueid, said.lead_error)
    made = said.entity in said.made
    registered = Registered(said.call_id, errand.user_id, said.entity, said.created_lead or 0, errand.opens, made)
    LOG.info("%s: registered late as %s", uniqueid, registered.call_id)
    origin = runtime.client.origin

    def keep(journal: Journal) -> None:
        journal.registered(uniqueid, registered, origin)
        runtime.cards.look_at(uniqueid, at_once=True)  # its look waits behind this step

    return keep


def _finished(runtime: Runtime, errand: Errand, answer: Result) -> Step:
    problem = telephony.parse_finished(answer.result).problem
    if problem:  # such as: no CRM record, so no activity; the call is finished all the same
        LOG.info("%s: finished, but: %s", errand.item.uniqueid, problem)
    return _finish(errand.item.uniqueid)


def _finish(uniqueid: str) -> Step:
    LOG.info("%s: finished", uniqueid)
    return lambda journal: journal.finished(uniqueid)


# What the journal is to keep of an answer, by the kind of item.
DELIVERED: Mapping[str, Callable[[Runtime, Errand, Result], Step]] = {
    REGISTER: _registered,
    FINISH: _finished,
}
