"""Registers that find no room go together, each gets what is its own, and nobody waits for what will not come."""

from __future__ import annotations

import ctypes
import threading
import time

import pytest

from freepbx_bx24.bitrix24.access import WebhookAccess
from freepbx_bx24.bitrix24.budget import PLANS, Budget, Plan, Urgency
from freepbx_bx24.bitrix24.client import Client
from freepbx_bx24.bitrix24.replies import Result
from freepbx_bx24.bitrix24.together import Together
from freepbx_bx24.bitrix24.transport import Transport
from freepbx_bx24.errors import (
    METHOD,
    CallNotFound,
    MethodBusy,
    PersonUnknown,
    PortalBroken,
    PortalBusy,
    PortalError,
    PortalTimeout,
    PortalUnreachable,
    PortalWaits,
)
from freepbx_bx24.sandbox.portal import Portal
from tests.support.in_time import in_time

REGISTER = "telephony.externalCall.register"
SLOT = 0.4  # seconds from one slot to the next where the bucket is full


class Wire:
    """Both ways to the portal: writes down what was sent, and answers with the number it was asked with."""

    def __init__(self, behave=None):
        self.single, self.batches, self.seconds = [], [], []
        self.behave = behave or (lambda number: Result(number, {"operating": 1.0}))
        self.answering = threading.Event()
        self.answering.set()

    def send_one(self, method, parameters, seconds):
        self.single.append(parameters["N"])
        answer = self.behave(parameters["N"])
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def send_batch(self, commands, seconds):
        numbers = {key: int(text.partition("N=")[2]) for key, text in commands.items()}
        self.batches.append(list(numbers.values()))
        self.seconds.append(seconds)
        assert self.answering.wait(5.0)
        return {key: self.behave(number) for key, number in numbers.items()}


class Callers:
    """Threads that ask, each with a number of its own, and what each of them got."""

    def __init__(self, together):
        self.together, self.got, self.took, self.threads = together, {}, {}, {}

    def ask(self, number, total_seconds=5.0, method=REGISTER, patience_seconds=None):
        def run():
            began = time.monotonic()
            try:
                self.got[number] = self.together.ask(method, {"N": number}, total_seconds, patience_seconds).result
            except BaseException as error:
                self.got[number] = error
            self.took[number] = time.monotonic() - began

        self.threads[number] = threading.Thread(target=run, daemon=True)
        self.threads[number].start()

    def waiting(self, count):
        """Wait until so many are in the group."""
        ends = time.monotonic() + 2.0
        while len(self.together._group) != count:
            assert time.monotonic() < ends
            time.sleep(0.001)

    def finish(self):
        for thread in self.threads.values():
            thread.join(6.0)
            assert not thread.is_alive(), "somebody waits for ever"
        return self.got


def full_budget(slot=SLOT):
    """A budget whose next slot comes after so many seconds, and each further one after as many."""
    budget = Budget(None, Plan(1.0 / slot, 2, 1))
    budget.admit([REGISTER], Urgency.REGISTER, 0.0)
    budget.answered([REGISTER])
    return budget


def group(count=4, behave=None, total_seconds=5.0, slot=SLOT):
    """A group of callers that waits for its slot, in the order of their numbers; the first one leads."""
    wire = Wire(behave)
    callers = Callers(Together(wire.send_one, wire.send_batch, full_budget(slot)))
    for number in range(count):
        callers.ask(number, total_seconds)
        callers.waiting(number + 1)
    return callers, wire


def until_senders_ended():
    """What is told to the budget, and what a thread's end says, comes after the answers."""
    for thread in threading.enumerate():
        if thread.name == "bx24-together":
            thread.join(2.0)


def test_where_there_is_room_everybody_goes_alone():
    wire = Wire()
    together = Together(wire.send_one, wire.send_batch, Budget(None, PLANS["self-hosted"]))
    assert [together.ask(REGISTER, {"N": number}, 1.0).result for number in range(100)] == list(range(100))
    assert wire.batches == []


def test_whoever_gets_a_slot_within_the_fifth_of_a_second_goes_alone_too():
    wire = Wire()
    together = Together(wire.send_one, wire.send_batch, full_budget(slot=0.1))
    assert together.ask(REGISTER, {"N": 7}, 1.0).result == 7
    assert (wire.single, wire.batches) == ([7], [])


def test_all_that_wait_when_the_slot_comes_go_as_one_batch_and_each_gets_its_own_answer():
    callers, wire = group(5)
    assert callers.finish() == {number: number for number in range(5)}
    assert (wire.single, wire.batches) == ([], [[0, 1, 2, 3, 4]])
    in_time(max(callers.took.values()), SLOT + 0.5)


def test_one_that_waits_alone_is_no_batch():
    callers, wire = group(1)
    assert callers.finish() == {0: 0}
    assert (wire.single, wire.batches) == ([0], [])


def test_no_batch_has_more_than_can_be_answered_in_time_and_the_rest_gets_the_next_slot():
    callers, wire = group(20, total_seconds=3.0, slot=0.6)
    assert callers.finish() == {number: number for number in range(20)}
    first, *rest = wire.batches
    # About 2.4 s are left when the slot comes, and nothing is known of a command but that 0.4 s are usual.
    assert 5 <= len(first) <= 6
    assert [number for numbers in wire.batches for number in numbers] == list(range(20))
    assert len(rest[0]) > len(first), "they were answered at once, so more of them fit"


def asked_with_patience(patience_seconds):
    wire = Wire()
    callers = Callers(Together(wire.send_one, wire.send_batch, full_budget(slot=0.5)))
    for number in range(8):
        callers.ask(number, 5.0, patience_seconds=patience_seconds)
        callers.waiting(number + 1)
    assert callers.finish() == {number: number for number in range(8)}
    return wire.batches


def test_a_batch_is_small_enough_for_the_callers_that_wait_for_it():
    # About 0.9 s of their patience are left when the slot comes.
    assert asked_with_patience(1.4)[0] == [0, 1]


def test_where_no_caller_waits_any_more_a_batch_is_as_large_as_its_time_allows():
    assert asked_with_patience(0.3) == [list(range(8))]


def test_a_batch_that_was_not_answered_in_time_makes_the_next_ones_smaller():
    callers, _ = group(6)
    sizer = callers.together._sizer

    def fails(commands, seconds):
        raise PortalTimeout("no answer")

    callers.together._send_batch = fails
    callers.finish()
    until_senders_ended()
    assert sizer.fits([REGISTER] * 10) == 3


def test_the_next_group_waits_for_the_slot_and_not_for_the_answer_of_the_one_before():
    callers, wire = group(2)
    wire.answering.clear()
    callers.waiting(0)
    for number in (2, 3):
        callers.ask(number)
    ends = time.monotonic() + 3.0
    while len(wire.batches) < 2 and time.monotonic() < ends:
        time.sleep(0.005)
    assert wire.batches == [[0, 1], [2, 3]]
    wire.answering.set()
    assert callers.finish() == {number: number for number in range(4)}


def test_each_gets_its_own_error_and_no_other():
    answers = {0: CallNotFound("", "no such call", 400), 1: Result("one"), 2: PersonUnknown("", "nobody", 400)}
    callers, _ = group(3, answers.__getitem__)
    got = callers.finish()
    assert (got[0], got[1], got[2]) == (answers[0], "one", answers[2])


@pytest.mark.parametrize(
    "failure",
    [PortalUnreachable("no way there", "look"), PortalBusy("QUERY_LIMIT_EXCEEDED", "Too many requests", 503)],
    ids=lambda failure: type(failure).__name__,
)
def test_where_the_whole_batch_fails_everybody_gets_that_error_as_one_of_its_own(failure):
    callers, wire = group(3)

    def fails(commands, seconds):
        raise failure

    callers.together._send_batch = fails
    got = list(callers.finish().values())
    assert {type(error) for error in got} == {type(failure)}
    assert {str(error) for error in got} == {str(failure)}
    assert {error.hint for error in got} == {failure.hint}
    assert len({id(error) for error in got}) == 3, "a traceback belongs to one thread"


@pytest.mark.parametrize("fault", [ZeroDivisionError("a mistake of ours"), SystemExit()], ids=["error", "exit"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_sender_that_fails_in_any_way_leaves_nobody_waiting(fault):
    callers, _ = group(3)

    def fails(commands, seconds):
        raise fault

    callers.together._send_batch = fails
    for error in callers.finish().values():
        assert isinstance(error, PortalBroken)
        assert error.ambiguous
    in_time(max(callers.took.values()), 2.0)
    until_senders_ended()


def test_a_command_without_an_answer_may_have_been_carried_out():
    callers, wire = group(3)
    callers.together._send_batch = lambda commands, seconds: {"c0": Result(0), "c2": Result(2)}
    got = callers.finish()
    assert (got[0], got[2]) == (0, 2)
    assert isinstance(got[1], PortalBroken)


def test_whoever_leaves_before_it_was_taken_was_not_sent():
    callers, wire = group(2)
    callers.ask(2, total_seconds=0.1)
    got = callers.finish()
    assert isinstance(got[2], PortalWaits)
    assert not got[2].ambiguous
    assert wire.batches == [[0, 1]]
    in_time(callers.took[2], 0.3)


def test_whoever_leaves_after_it_was_taken_may_have_been_carried_out():
    callers, wire = group(1)
    callers.ask(1, total_seconds=0.7)
    callers.waiting(2)
    wire.answering.clear()
    callers.threads[1].join(2.0)
    assert isinstance(callers.got[1], PortalTimeout)
    assert callers.got[1].ambiguous
    wire.answering.set()
    assert callers.finish()[0] == 0


def test_a_batch_has_the_time_of_its_most_patient_caller_and_the_leader_leaves_at_its_own():
    wire = Wire()
    callers = Callers(Together(wire.send_one, wire.send_batch, full_budget()))
    callers.ask(0, total_seconds=0.6)
    callers.waiting(1)
    callers.ask(1, total_seconds=4.0)
    callers.waiting(2)
    wire.answering.clear()
    callers.threads[0].join(2.0)
    assert isinstance(callers.got[0], PortalTimeout)
    assert 3.0 < wire.seconds[0] <= 4.0
    wire.answering.set()
    assert callers.finish()[1] == 1


def test_where_the_leader_has_no_time_for_the_slot_another_one_leads():
    wire = Wire()
    callers = Callers(Together(wire.send_one, wire.send_batch, full_budget()))
    callers.ask(0, total_seconds=0.25)
    for number in (1, 2):
        callers.ask(number)
    got = callers.finish()
    assert isinstance(got[0], PortalWaits)
    assert (got[1], got[2]) == (1, 2)
    assert wire.batches == [[1, 2]] or wire.batches == [[2, 1]]


class Killed(BaseException):
    """What ends a thread from outside."""


def test_a_leader_that_is_killed_while_it_waits_is_followed_by_another():
    callers, wire = group(3, slot=0.9)
    leader = callers.threads[0].ident
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(leader), ctypes.py_object(Killed))
    got = callers.finish()
    assert isinstance(got[0], Killed)
    assert (got[1], got[2]) == (1, 2)
    assert wire.batches == [[1, 2]]


def test_a_system_that_gives_no_thread_sends_all_the_same(monkeypatch):
    callers, wire = group(3)

    class NoThread(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "Thread", NoThread)
    assert callers.finish() == {0: 0, 1: 1, 2: 2}
    assert wire.batches == [[0, 1, 2]]


def test_a_method_that_pauses_does_not_join():
    wire, budget = Wire(), Budget(None, PLANS["ordinary"])
    budget.refused([REGISTER], MethodBusy("OPERATION_TIME_LIMIT", "", 429))
    together = Together(wire.send_one, wire.send_batch, budget)
    began = time.monotonic()
    with pytest.raises(PortalWaits) as caught:
        together.ask(REGISTER, {"N": 1}, 5.0)
    assert caught.value.blame == METHOD
    in_time(time.monotonic() - began, 0.3)
    assert together._group == []


def test_nor_with_others_whose_method_goes_on():
    callers, wire = group(2)
    callers.together._budget.refused(["telephony.externalCall.searchCrmEntities"], MethodBusy("", "", 429))
    callers.ask(2, method="telephony.externalCall.searchCrmEntities")
    got = callers.finish()
    assert isinstance(got[2], PortalWaits)
    assert wire.batches == [[0, 1]]


class Listening(Budget):
    """A budget that writes down what it is told."""

    def __init__(self, *args):
        super().__init__(*args)
        self.told = []

    def answered(self, methods):
        self.told.append(("answered", tuple(methods)))
        super().answered(methods)

    def refused(self, methods, error):
        self.told.append(("refused", tuple(methods), type(error).__name__))
        super().refused(methods, error)

    def heard(self, method, time):
        self.told.append(("heard", method, dict(time)))
        super().heard(method, time)


def test_the_budget_is_told_how_it_ended():
    budget = Listening(None, PLANS["self-hosted"])
    answers = {0: Result(0, {"operating": 2.0}), 1: CallNotFound("", "", 400)}
    wire = Wire(answers.__getitem__)
    together = Together(wire.send_one, wire.send_batch, budget)
    together.ask(REGISTER, {"N": 0}, 1.0)
    with pytest.raises(CallNotFound):
        together.ask(REGISTER, {"N": 1}, 1.0)
    assert budget.told == [
        ("answered", (REGISTER,)),
        ("heard", REGISTER, {"operating": 2.0}),
        ("refused", (REGISTER,), "CallNotFound"),
    ]


def test_of_many_commands_that_were_refused_the_budget_hears_once():
    budget = Listening(None, Plan(1.0 / SLOT, 2, 1))
    budget.admit([REGISTER], Urgency.REGISTER, 0.0)
    wire = Wire(lambda number: MethodBusy("OPERATION_TIME_LIMIT", "", 429))
    callers = Callers(Together(wire.send_one, wire.send_batch, budget))
    for number in range(4):
        callers.ask(number)
        callers.waiting(number + 1)
    assert {type(error) for error in callers.finish().values()} == {MethodBusy}
    until_senders_ended()
    assert budget.told == [("answered", (REGISTER,)), ("refused", (REGISTER,), "MethodBusy")]


def test_with_a_real_portal_forty_calls_at_once_each_get_a_call_of_their_own():
    budget = Budget(None, Plan(4.0, 8, 4))
    with Portal() as portal, Client(WebhookAccess(portal.webhook_url), Transport(), budget=budget) as client:
        got: dict[str, str | PortalError] = {}

        def register(number):
            parameters = {"USER_ID": 1, "PHONE_NUMBER": number, "TYPE": 2, "SHOW": 0, "EXTERNAL_CALL_ID": number}
            try:
                got[number] = client.ask(REGISTER, parameters, total_seconds=10.0).result["CALL_ID"]
            except PortalError as error:
                got[number] = error

        threads = [threading.Thread(target=register, args=(f"+7495000{number:04}",)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(15.0)
        ledger = portal.ledger()
    assert {row["CALL_ID"]: row["PHONE_NUMBER"] for row in ledger["calls"]} == {
        call_id: number for number, call_id in got.items()
    }
    assert len(ledger["requests"]) < 15
