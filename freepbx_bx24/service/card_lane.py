"""A lane of their own for cards: whenever a call changes it looks who should have one, and says so at once."""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Mapping, Sequence

from ..bitrix24 import batch
from ..bitrix24.client import Urgency
from ..bitrix24.replies import Result
from ..errors import PortalError, PortalWaits
from ..journal.records import Delivery
from . import lane, story
from .back_off import LONGEST_SECONDS, back_off
from .card_orders import Due, Faces, owe_and_take, settled, users_of
from .errands import Errand, read_card

if TYPE_CHECKING:
    from .runtime import Runtime

LOG = logging.getLogger("bx24.cards")

GATHER_SECONDS = 0.3  # telephones that begin to ring within so long share one request
TOGETHER_SECONDS = 0.15  # calls whose time comes within so long go with one whose time has come
SCARCE_SECONDS = 1.5  # the scarcer requests are, the longer all cards wait for each other's request: so long at most
OVER_SECONDS = 2.0  # after a call's end: its finish hides the cards, and mostly has by then
WAIT_SECONDS = 1.0  # for the portal's limits: a card that comes later than that is of little use
REQUEST_SECONDS = 5.0  # a finish waits behind the cards of its call
TICK_SECONDS = 1.0  # who has left without hanging up is told by the time alone
LOOK_SECONDS = 5.0
AWAY_SECONDS = 1.0  # between two looks whether the portal is back; the delivery finds that out
MOST_CALLS = 50  # of one look: callers wait behind the journal's step


@dataclass
class _Waiting:
    """A call that is to be looked at. Monotonic seconds: since when, when its end was seen, and not before when."""

    since: float
    over: float = 0.0
    not_before: float = 0.0
    failures: int = 0


class CardLane(threading.Thread):
    """Shows and hides by levels: who should have a card, less who has one. An event lost or doubled changes nothing.

    Cards go in the journal first, all those of a look in one write. None is sent twice: what failed is dropped, and the
    call is looked at anew. The delivery's batches do not hold this thread up, nor does it hold up a finish for long.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="cards", daemon=True)
        self.runtime = runtime
        self.wake = threading.Event()
        self._lock = threading.Lock()
        self._news: dict[str, bool] = {}  # calls, and whether they are to be looked at at once
        self._waiting: dict[str, _Waiting] = {}
        self._failures = 0
        self._away_until = 0.0
        self._ticked = self._looked = self._gather = 0.0
        self._earlier: int | None = None  # items up to this id were owed when this process began

    def look_at(self, uniqueid: str, at_once: bool = False) -> None:
        """Something of a call has changed; from any thread, and at no cost.

        :param at_once: nothing is to be gathered: the next telephone that rings begins that anew.
        """
        with self._lock:
            self._news[uniqueid] = at_once and self._news.get(uniqueid, True)
        self.wake.set()

    def run(self) -> None:
        """Look until the service stops."""
        failed = LOG, "cards failed in an unforeseen way"
        lane.work(self.runtime, self.step, self.wake, beat="cards", again=AWAY_SECONDS, failed=failed)

    def step(self) -> float:
        """Look at the calls that have changed, and send what follows; returns the seconds until the next step."""
        if self._earlier is None:
            self._earlier = self.runtime.write(lambda journal: journal.last_id()).result()
        now = time.monotonic()
        if now - self._ticked >= self._scaled(TICK_SECONDS):
            self._ticked = now
            self.runtime.presence.tick()
        with self._lock:
            news, self._news = self._news, {}
        if not self.runtime.presence.connected:
            news = {}  # nothing is seen: the finish hides what there is, and all is looked at when it is seen again
        for uniqueid, at_once in news.items():
            self._waiting.setdefault(uniqueid, _Waiting(now - self._scaled(GATHER_SECONDS) * at_once))
            self.runtime.presence.learn_users(uniqueid)  # whoever is logged in there when it rings
        if self._waiting:
            self._gather = self._scaled(self.runtime.client.gathering(SCARCE_SECONDS))
        ready = self._ready(now)
        if self._away(now):
            for uniqueid, faces in ready.items():
                if faces is None or faces.over:
                    del self._waiting[uniqueid]  # its finish hides what there is
            return self._scaled(AWAY_SECONDS)
        if ready or now - self._looked >= self._scaled(LOOK_SECONDS):
            self._looked = now
            self._send(ready)
        return self._pause()

    def _ready(self, now: float) -> dict[str, Faces | None]:
        """Who rings and talks in the calls whose time has come."""
        moments: dict[str, tuple[float, Faces | None]] = {}
        for uniqueid, waiting in self._waiting.items():
            if now >= waiting.not_before:
                faces = self._faces(uniqueid)
                moments[uniqueid] = self._due(waiting, faces, now), faces
        if min((due for due, _ in moments.values()), default=math.inf) > now:
            return {}
        together = now + self._scaled(TOGETHER_SECONDS) + self._longer
        ready = {uniqueid: faces for uniqueid, (due, faces) in moments.items() if due <= together}
        return dict(itertools.islice(ready.items(), MOST_CALLS))

    def _due(self, waiting: _Waiting, faces: Faces | None, now: float) -> float:
        """When a call is to be looked at: at once where somebody talks and requests are not scarce."""
        if faces is None or faces.over:
            waiting.over = waiting.over or now
            due = self._end_of_wait(waiting)
        else:
            waiting.over = 0.0
            due = waiting.since + self._gather if faces.talking else self._end_of_wait(waiting)
        return due

    def _faces(self, uniqueid: str) -> Faces | None:
        presence, rules, directory = self.runtime.presence, self.runtime.settings.rules, self.runtime.directory
        now = presence.now(uniqueid)
        if now is None:
            return None
        users = presence.users.of(uniqueid)
        ringing, talking = (users_of(legs, users, rules, directory) for legs in (now.ringing, now.talking))
        return Faces(ringing, talking, now.gone, now.answered)

    def _send(self, looks: Mapping[str, Faces | None]) -> None:
        """Owe what has to change, send all that is due as one request, and keep what became of it."""
        runtime = self.runtime
        due = runtime.write(
            lambda journal: owe_and_take(journal, looks, runtime.directory, runtime.clock.now())
        ).result()
        failed = {uniqueid: self._waiting.pop(uniqueid).failures for uniqueid in looks}
        if not (due.errands or due.struck):
            return
        answers = self._answers(due.errands) if due.errands else {}
        self._keep(due, answers)
        now = time.monotonic()
        for one in due.errands:
            if isinstance(answers[one.item.id], PortalError):
                failures = failed.get(one.item.uniqueid, 0) + 1
                again = now + back_off(failures - 1, LONGEST_SECONDS) * runtime.scale
                self._waiting[one.item.uniqueid] = _Waiting(now, not_before=again, failures=failures)
        runtime.wake.set()  # the finish of one of these calls may have waited

    def _answers(self, errands: Sequence[Errand]) -> dict[int, Result | PortalError]:
        """Send the cards as one request; returns the answer to each by its item's id."""
        began = time.monotonic()
        try:
            answers = self._asked(errands)
        except PortalError as error:
            self._failed(error)
            answers = {one.item.id: error for one in errands}
        else:
            self._failures = 0
        for one in errands:
            users = read_card(one.item.payload).users
            said = story.card(one, users, answers[one.item.id], len(errands), time.monotonic() - began)
            self.runtime.tell(one.item.uniqueid, one.item.kind, said)
        return answers

    def _asked(self, errands: Sequence[Errand]) -> dict[int, Result | PortalError]:
        client, seconds = self.runtime.client, max(REQUEST_SECONDS * self.runtime.scale, 1.0)
        waits = self._scaled(WAIT_SECONDS)
        if len(errands) == 1:
            (one,) = errands
            answer = client.call(
                one.method, one.parameters, total_seconds=seconds, urgency=Urgency.CARD, wait_seconds=waits
            )
            return {one.item.id: answer}
        commands = {str(one.item.id): batch.command(one.method, one.parameters) for one in errands}
        answers = client.batch(commands, total_seconds=seconds, urgency=Urgency.CARD, wait_seconds=waits)
        return {one.item.id: answers[str(one.item.id)] for one in errands}

    def _keep(self, due: Due, answers: Mapping[int, Result | PortalError]) -> None:
        for item, why in due.struck:
            self._strike_off(item, why)
        told = [(one.item, answers[one.item.id]) for one in due.errands]
        steps = settled(told, [item for item, _ in due.struck], self._earlier or 0)
        self.runtime.write(lambda journal: journal.as_one(steps)).result()

    def _strike_off(self, item: Delivery, why: str) -> None:
        LOG.info("%s: %s is not sent: %s", item.uniqueid, item.kind, why)
        self.runtime.tell(item.uniqueid, item.kind, f"not sent: {why}")

    def _failed(self, error: PortalError) -> None:
        """Nothing more for a while: a portal that is away or asks for patience is left alone."""
        self._failures += 1
        usual = WAIT_SECONDS if isinstance(error, PortalWaits) else back_off(self._failures - 1, LONGEST_SECONDS)
        pause = min(max(error.pause_seconds, usual), LONGEST_SECONDS)
        self._away_until = time.monotonic() + pause * self.runtime.scale
        LOG.info("cards have to wait: %s", error)

    def _away(self, now: float) -> bool:
        return now < self._away_until or self.runtime.portal_down or self.runtime.breaker.open

    def _pause(self) -> float:
        """Seconds until something may be due."""
        moments = [max(one.not_before, self._end_of_wait(one)) for one in self._waiting.values()]
        if self.runtime.presence.watches:
            moments.append(self._ticked + self._scaled(TICK_SECONDS))
        return max(min([self._looked + self._scaled(LOOK_SECONDS), *moments]) - time.monotonic(), 0.01)

    def _end_of_wait(self, waiting: _Waiting) -> float:
        if waiting.over:
            return waiting.over + self._scaled(OVER_SECONDS) + self._longer
        return waiting.since + self._scaled(GATHER_SECONDS) + self._longer

    @property
    def _longer(self) -> float:
        """By how much all wait longer where requests are scarce."""
        return max(self._gather - self._scaled(GATHER_SECONDS), 0.0)

    def _scaled(self, seconds: float) -> float:
        return seconds * self.runtime.wait_scale
