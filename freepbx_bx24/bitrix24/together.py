"""Registers for which there is no room one by one go together: each caller asks alone, one batch carries them all."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Callable, Mapping, Sequence

from ..errors import METHOD, PortalBroken, PortalError, PortalTimeout, PortalWaits
from .batch import command
from .budget import Budget, Urgency
from .replies import Result
from .sizer import SECONDS_OF_A_BATCH, Sizer

LOG = logging.getLogger("bx24.together")

ALONE_SECONDS = 0.2  # so long a register waits for a request of its own

SendOne = Callable[[str, Mapping[str, object], float], Result]
SendBatch = Callable[[Mapping[str, str], float], Mapping[str, "Result | PortalError"]]


@dataclass(eq=False)
class _Member:
    """One caller in the group. :ivar woken: it has its answer, or is the one to wait for the slot now."""

    method: str
    command: str
    parameters: Mapping[str, object]
    ends: float
    patience_ends: float
    woken: threading.Event = field(default_factory=threading.Event)
    taken: bool = False
    answer: Result | PortalError | None = None


class Together:
    """Sends what callers wait for, at REGISTER's urgency; safe to use from every thread.

    It asks the budget before it sends and tells it how that ended: the two functions only send.

    :param send_one: method, parameters, seconds -> Result; raises PortalError.
    :param send_batch: key -> command, seconds -> key -> Result or PortalError; raises PortalError for the whole batch.
    """

    def __init__(self, send_one: SendOne, send_batch: SendBatch, budget: Budget) -> None:
        self._send_one, self._send_batch, self._budget = send_one, send_batch, budget
        self._sizer = Sizer()
        self._lock = threading.Lock()
        self._group: list[_Member] = []  # in order of arrival
        self._leader: _Member | None = None  # the one of the group that waits for the slot

    def ask(
        self, method: str, parameters: Mapping[str, object], total_seconds: float, patience_seconds: float | None = None
    ) -> Result:
        """Return the portal's answer, by a request of its own or as part of a batch.

        :param total_seconds: for waiting and asking together.
        :param patience_seconds: after so long the answer is of less use; batches are made small enough for that.
        :raises PortalWaits: no room in time; nothing was sent. :raises PortalTimeout: it was sent, but no answer came.
        :raises PortalError: as the portal's client raises them.
        """
        began = time.monotonic()
        ends = began + total_seconds
        try:
            self._budget.admit([method], Urgency.REGISTER, min(ALONE_SECONDS, total_seconds))
        except PortalWaits as wait:
            if wait.blame == METHOD:  # nor would it be let in with others
                raise
        else:
            return self._alone(method, parameters, ends)
        patience_ends = ends if patience_seconds is None else min(ends, began + patience_seconds)
        return self._with_others(_Member(method, command(method, parameters), parameters, ends, patience_ends))

    def _alone(self, method: str, parameters: Mapping[str, object], ends: float) -> Result:
        try:
            result = self._send_one(method, parameters, ends - time.monotonic())
        except PortalError as error:
            self._budget.refused([method], error)
            raise
        self._budget.answered([method])
        self._budget.heard(method, result.time)
        return result

    def _with_others(self, member: _Member) -> Result:
        with self._lock:
            self._group.append(member)
            self._appoint()
        try:
            while True:
                with self._lock:
                    member.woken.clear()
                    leads, answered = self._leader is member, member.answer is not None
                left = member.ends - time.monotonic()
                if answered or left <= 0:
                    break
                if leads:
                    self._lead(member, left)
                else:
                    member.woken.wait(left)
        finally:  # also where its thread is ended: the others get another leader
            with self._lock:
                if member in self._group:
                    self._group.remove(member)
                if self._leader is member:
                    self._leader = None
                    self._appoint()
                taken, answer = member.taken, member.answer
        if isinstance(answer, Result):
            return answer
        if answer is None and taken:
            raise PortalTimeout("sent with others, and the portal gave no answer in time")
        raise answer or PortalWaits("the portal's limits left no room in time")

    def _appoint(self) -> None:
        """Make the one that waits longest the leader, where there is none. Needs the lock."""
        if self._leader is None and self._group:
            self._leader = self._group[0]
            self._leader.woken.set()

    def _lead(self, leader: _Member, seconds: float) -> None:
        """Wait for the slot; when it comes, send those who are in the group by then, and leave the rest a new leader.

        As many go as will have their answer in time: one batch runs its commands one after the other, and answers none
        before the last. The rest is better off with the next slot.

        :raises PortalError: what the leader alone gets.
        """
        admitted = [leader.method]
        self._budget.admit(admitted, Urgency.REGISTER, seconds)
        with self._lock:
            now = time.monotonic()
            taken = [member for member in self._group if member.ends > now]
            patience = max((member.patience_ends for member in taken), default=now) - now
            # Where nobody waits any more, small batches would only be slower.
            in_seconds = patience if patience > 0 else SECONDS_OF_A_BATCH
            taken = taken[: self._sizer.fits([member.method for member in taken], in_seconds)]
            for member in taken:
                member.taken = True
                self._group.remove(member)
            self._leader = None
            self._appoint()
        if taken == [leader]:
            leader.answer = self._alone(leader.method, leader.parameters, leader.ends)
        elif taken:
            # A thread of its own: the batch has the time of the most patient, and the leader leaves at its own.
            try:
                threading.Thread(target=self._send, args=(admitted, taken), daemon=True, name="bx24-together").start()
            except RuntimeError:  # the system gives no thread
                self._send(admitted, taken)
        else:
            self._budget.answered(admitted)

    def _send(self, admitted: Sequence[str], taken: Sequence[_Member]) -> None:
        members = {f"c{number}": member for number, member in enumerate(taken)}
        commands = {key: member.command for key, member in members.items()}
        answers: Mapping[str, Result | PortalError] = {}
        failure: PortalError = PortalBroken("a batch brought no answer to one of its commands")
        began = time.monotonic()
        try:
            answers = self._send_batch(commands, max(member.ends for member in taken) - began)
        except PortalError as error:
            failure = error
        except Exception as error:
            LOG.exception("a batch of %d failed", len(taken))
            failure = PortalBroken(f"a batch failed: {type(error).__name__}")
        finally:  # whatever happens, nobody waits for what will not come
            with self._lock:
                for key, member in members.items():
                    answer = answers.get(key) or _copy(failure)
                    member.answer = replace(answer, together=len(taken)) if isinstance(answer, Result) else answer
                    member.woken.set()
        self._tell(admitted, taken, failure if not answers else None, time.monotonic() - began)

    def _tell(
        self, admitted: Sequence[str], taken: Sequence[_Member], failure: PortalError | None, seconds: float
    ) -> None:
        """Let the budget and the size of the next batch learn from this one, after all have their answers."""
        methods = [member.method for member in taken]
        if failure:
            self._budget.refused(admitted, failure)
            if isinstance(failure, PortalTimeout):
                self._sizer.timed_out(methods)
            return
        self._budget.answered(admitted)
        answers = [member.answer for member in taken]
        self._sizer.answered(methods, [one.time if isinstance(one, Result) else {} for one in answers], seconds)
        self._budget.heard_all(zip(methods, answers))


def _copy(error: PortalError) -> PortalError:
    """Return the same error for one more thread: raising writes the thread's own traceback into it."""
    copy = type(error).__new__(type(error), *error.args)
    copy.__dict__.update(error.__dict__)
    return copy
