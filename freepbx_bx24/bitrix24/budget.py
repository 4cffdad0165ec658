"""One request budget for everything on this machine that talks to the portal: who may send now, who has to wait."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import logging
import random
import threading
import time as clocks
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterable, Mapping, Sequence

from ..errors import METHOD, PORTAL, MethodBusy, PortalBusy, PortalError, PortalRefused, PortalWaits
from . import limits, operating
from .limits import PLANS, REGISTERS_IN_A_ROW, TAKE_TURNS, Plan, State, Turn, Urgency, Wait
from .replies import Result
from .shared_state import SharedState

__all__ = ["PLANS", "Budget", "Plan", "Urgency"]

LOG = logging.getLogger("bx24.budget")

STUCK_SECONDS = 0.25  # a thread that holds our own lock longer hangs in the disk
LONGEST_NAP = 0.5  # another process may have ended the back-off
SHORTEST_NAP = 0.001
FORGOTTEN_AFTER = 70.0  # the portal kills a request after 60 s


def boot_clock() -> float:
    """Return the seconds since the machine was started: the same for all processes, and never set by anybody."""
    return clocks.clock_gettime(getattr(clocks, "CLOCK_BOOTTIME", clocks.CLOCK_MONOTONIC))


@dataclass(order=True)
class _Waiter:
    urgency: Urgency
    number: int
    methods: tuple[str, ...] = field(compare=False)
    wait: Wait = field(default=limits.NONE, compare=False)
    admitted: threading.Event = field(default_factory=threading.Event, compare=False)
    gone: bool = field(default=False, compare=False)


class Budget:
    """The portal's limits, shared by all processes of this machine; safe to use from every thread.

    A file that can't be had stops no call: this process then counts for itself (see SharedState); so do its other
    threads while one of them hangs in the disk.

    :param place: the file that they share; None: this process counts for itself alone.
    :param plan: one of PLANS. :param clock: seconds that run the same for all processes.
    :param nap: waits for an event or some seconds. :param jitter: a random number from 0 to 1.
    """

    def __init__(
        self,
        place: Path | None,
        plan: Plan,
        clock: Callable[[], float] = boot_clock,
        nap: Callable[[threading.Event, float], object] = threading.Event.wait,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._place, self._plan = place, plan
        self._clock, self._nap, self._jitter = clock, nap, jitter
        self._lock = threading.Lock()
        self._waiters: list[_Waiter] = []
        self._numbers = itertools.count()
        self._flights: deque[tuple[tuple[str, ...], float]] = deque()
        self._state = SharedState(place, plan, clock)
        self._spare = Budget(None, plan, clock, nap, jitter) if place else None
        self._stuck = False
        self._passed = 0  # registers in a row that went past a waiting card or finish

    @property
    def half_full(self) -> bool:
        """Return whether the bucket is half as full as we fill it."""
        return self.limited and self._now().level >= self._plan.burst / 2.0

    @property
    def limited(self) -> bool:
        """Return whether the plan has a limit at all."""
        return bool(self._plan.drain)

    @property
    def scarcity(self) -> float:
        """Return how scarce requests are: 0.0 up to a half-full bucket, 1.0 where a recording would find no room."""
        return limits.scarcity(self._now(), self._plan)

    def has_room(self, urgency: Urgency) -> bool:
        """Return whether the bucket has room for one more request of this class now."""
        return limits.has_room(self._now(), self._plan, urgency)

    def _now(self) -> State:
        """Return the state of this moment: another process may have sent the most of it, where that matters."""
        if self.limited:
            self._tell(lambda state: False)
        return self._state.own

    def admit(self, methods: Sequence[str], urgency: Urgency, wait_seconds: float) -> None:
        """Return when one HTTP request that carries these methods may go; it is counted as sent.

        Whoever was admitted says how it ended by exactly one of `answered` and `refused`, with the same methods.
        Waiters of this process go in order of urgency, then of arrival. Where it is certain that there will be no room
        in time, it is said at once.

        :param methods: the one method of a single call, or those of all commands of a batch.
        :raises PortalWaits: there is no room within `wait_seconds`: `blame` says whether it is for these methods or for
            all, `pause_seconds` when to ask again.
        """
        if self._goes_at_once(methods, urgency):
            return
        ends = self._clock() + wait_seconds
        waiter = _Waiter(urgency, next(self._numbers), tuple(methods))
        try:
            while self._enter():
                try:
                    if self._admits(waiter, ends):
                        return
                finally:
                    self._lock.release()
                seconds = min(waiter.wait.seconds, ends - self._clock(), LONGEST_NAP)
                self._nap(waiter.admitted, max(seconds, SHORTEST_NAP))
        finally:
            waiter.gone = True
        if self._spare:
            self._spare.admit(methods, urgency, ends - self._clock())

    def heard(self, method: str, time: Mapping[str, object]) -> None:
        """Take in the `time` of a reply to this method (of each command of a batch); it is not trusted."""
        if "operating" not in time:  # a portal without that limit: nothing to share with anybody
            return
        near = False

        def take_in(state: State) -> bool:
            nonlocal near
            near = limits.heard(state, method, time)
            return True

        self._tell(take_in)
        if near:
            LOG.warning(
                "%s has used %d s of its operating time; the portal stops it at about %d s in ten minutes",
                *(method, operating.WARN_AT, operating.LIMIT),
            )

    def refused(self, methods: Sequence[str], error: PortalError) -> None:
        """Say that the request failed, and how.

        Where the portal had too much, everybody waits, or the methods that it names. An error of the portal's own that
        means something else is an answer; no answer says nothing of the limits.
        """
        sent_at = self._landed(methods)
        if isinstance(error, MethodBusy):
            said = vars(error).get("pause_seconds", 0.0)  # of this very error: the portal's word

            def pause(state: State) -> bool:
                for method in set(methods):
                    limits.method_refused(state, method, said, error.pause_seconds)
                return True

            self._tell(pause)
        elif isinstance(error, PortalBusy):

            def back_off(state: State) -> bool:
                limits.refused(state, self._plan, sent_at, error.pause_seconds, self._jitter())
                return True

            self._tell(back_off)
            LOG.warning("the portal asks for patience (%s): everything waits", error.code or error.status)
        elif isinstance(error, PortalRefused):
            self._portal_answers(sent_at)

    def answered(self, methods: Sequence[str]) -> None:
        """Say that the portal answered the request."""
        self._portal_answers(self._landed(methods))

    def heard_all(self, answers: Iterable[tuple[str, object]]) -> None:
        """Take in what the commands of an answered batch say: (method, its Result or its error) each.

        What several of them say of the same limit is one refusal.
        """
        busy: dict[str, tuple[str, PortalBusy]] = {}
        for method, answer in answers:
            if isinstance(answer, Result):
                self.heard(method, answer.time)
            elif isinstance(answer, PortalBusy):
                busy[method if answer.blame == METHOD else ""] = (method, answer)
        for method, error in busy.values():
            self.refused([method], error)

    def _portal_answers(self, sent_at: float) -> None:
        # Whoever was admitted during a back-off saw it then: where we know of none, this answer can't end one.
        if self._state.own.refusals or (self._spare and self._spare._state.own.refusals):
            self._tell(lambda state: limits.answered(state, sent_at))

    def _goes_at_once(self, methods: Sequence[str], urgency: Urgency) -> bool:
        """Let a request in that nothing can hold up: a caller does not wait for a lock and a file that say nothing new.

        What another process writes from now on is later than this request.
        """
        now = self._clock()
        nothing = limits.nothing_in_the_way(self._state.own, self._plan, methods, urgency, now)
        if self._waiters or not nothing or not self._state.is_as_seen():
            return False
        self._forget_flights(now)
        self._flights.append((tuple(methods), now))
        return True

    def _forget_flights(self, now: float) -> None:
        with contextlib.suppress(IndexError):  # another thread took it
            while self._flights and self._flights[0][1] < now - FORGOTTEN_AFTER:
                self._flights.popleft()

    def _landed(self, methods: Sequence[str]) -> float:
        """Take the oldest such request from those under way; return when it was admitted, now where it is not known."""
        wanted = tuple(methods)
        for flight in list(self._flights):
            if flight[0] == wanted:
                with contextlib.suppress(ValueError):  # another thread took it
                    self._flights.remove(flight)
                    return flight[1]
        return self._clock()

    def _enter(self) -> bool:
        """Take our lock; False where whoever has it hangs in the disk. Without a file nobody hangs."""
        if not self._spare:
            return self._lock.acquire()
        self._stuck = not self._lock.acquire(timeout=0 if self._stuck else STUCK_SECONDS)
        return not self._stuck

    def _admits(self, waiter: _Waiter, ends: float) -> bool:
        """Let in whoever may go; True where this one is among them. Needs our lock.

        :raises PortalWaits: it is not, and there is no time left or none that could help.
        """
        if not waiter.admitted.is_set():
            if waiter not in self._waiters:
                bisect.insort(self._waiters, waiter)
            self._state.change(self._serve)
        if waiter.admitted.is_set():
            return True
        left, wait = ends - self._clock(), waiter.wait
        if left > 0 and not (wait.certain and wait.seconds > left):
            return False
        waiter.gone = True  # under the lock: nobody lets it in after this
        raise _waits(wait)

    def _serve(self, state: State) -> bool:
        """Let in the waiters that may go, the most urgent first; True where that changed the state."""
        self._forget_flights(state.at)
        self._waiters = [waiter for waiter in self._waiters if not waiter.gone]
        any_went = False
        while True:
            went = self._serve_one(state)
            if went is None:
                return any_went and (self.limited or state.at < state.resume_at)
            any_went = True
            self._waiters.remove(went)

    def _serve_one(self, state: State) -> _Waiter | None:
        """Let in the most urgent waiter that may go; returns it."""
        patient = next((one for one in self._waiters if one.urgency in TAKE_TURNS and self._may_take(one, state)), None)
        has_turn = patient if self._passed >= REGISTERS_IN_A_ROW else None
        for waiter in ([has_turn] if has_turn else []) + [one for one in self._waiters if one is not has_turn]:
            turn = Turn.NOBODYS if has_turn is None else Turn.OURS if waiter is has_turn else Turn.ANOTHERS
            flying = self._flying() if waiter.urgency >= Urgency.BACKLOG else {}
            waiter.wait = limits.wait(state, self._plan, waiter.methods, waiter.urgency, flying, turn)
            if waiter.wait.seconds > 0:
                continue
            limits.take(state, waiter.urgency, self._plan)
            self._flights.append((waiter.methods, state.at))
            if waiter.urgency in TAKE_TURNS:
                self._passed = 0
            elif waiter.urgency is Urgency.REGISTER and patient:
                self._passed += 1
            waiter.admitted.set()
            return waiter
        return None

    def _may_take(self, waiter: _Waiter, state: State) -> bool:
        """Return whether it is room alone that this waiter lacks at most."""
        return limits.wait(state, self._plan, waiter.methods, waiter.urgency, {}, Turn.OURS).blame == PORTAL

    def _flying(self) -> Mapping[str, int]:
        return Counter(method.lower() for methods, _ in list(self._flights) for method in methods)

    def _tell(self, change: Callable[[State], bool]) -> None:
        """Run a change on the state, and wake whoever may go after it."""
        if not self._enter():
            if self._spare:
                self._spare._tell(change)
            return
        try:
            self._state.change(lambda state: change(state) | self._serve(state))
        finally:
            self._lock.release()


def _waits(wait: Wait) -> PortalWaits:
    what = f"{wait.method} pauses" if wait.method else "the portal's limits leave no room"
    error = PortalWaits(f"{what} for {wait.seconds:.1f} s")
    error.blame, error.pause_seconds, error.method = wait.blame, wait.seconds, wait.method
    return error
