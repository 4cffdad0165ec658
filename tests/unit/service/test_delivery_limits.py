"""Where the portal's limits leave no room the delivery waits: without spinning, and without a word to the journal."""

from __future__ import annotations

import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Iterator

import pytest

from freepbx_bx24.bitrix24 import operating
from freepbx_bx24.bitrix24.budget import PLANS, Budget, Urgency
from freepbx_bx24.bitrix24.client import webhook_client
from freepbx_bx24.errors import MethodBusy
from freepbx_bx24.journal.records import FINISH, REGISTER, Delivery, Entry
from freepbx_bx24.journal.store import Journal
from freepbx_bx24.sandbox.portal import Portal, Reply
from freepbx_bx24.service import intake, portal_calls
from freepbx_bx24.service.agenda import Agenda
from freepbx_bx24.service.delivery import DeliveryThread
from freepbx_bx24.service.runtime import Runtime
from freepbx_bx24.settings import load
from tests.support.journal_calls import CALL, call, end
from tests.support.running_service import RunningService, asked, wait_until

REGISTERS = "telephony.externalCall.register"
STATISTIC = "voximplant.statistic.get"
LONG_AGO = datetime.timestamp(CALL.started)


class Spied(DeliveryThread):
    """The real thing, which counts its steps."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.steps = 0

    def step(self) -> float:
        self.steps += 1
        return super().step()


@pytest.fixture
def runtime(portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """The parts of a service in this process, on the ordinary plan, in real time."""
    service = RunningService(tmp_path, portal)
    service.write_yaml(portal.webhook_url, plan="ordinary")
    monkeypatch.setenv("BX24_CONFIG", str(service.yaml))
    monkeypatch.setenv("BX24_TEST_TIME_SCALE", "1")
    one = Runtime(load(), tmp_path / "state", Journal(tmp_path / "state"))
    yield one
    one.stopping.set()
    one.wake.set()
    one.stop(1.0)


@pytest.fixture
def delivery(runtime: Runtime) -> Iterator[Spied]:
    one = Spied(runtime)
    yield one
    runtime.stopping.set()
    runtime.wake.set()
    if one.ident is not None:
        one.join(5.0)


def another_process(runtime: Runtime) -> Budget:
    """Somebody else on this machine who shares the budget."""
    return Budget(runtime.state / "budget", PLANS["ordinary"])


def fill(runtime: Runtime, level: int) -> None:
    budget = another_process(runtime)
    for _ in range(level):
        budget.admit([REGISTERS], Urgency.REGISTER, 5.0)


def use_up(runtime: Runtime, method: str) -> None:
    """Half of a method's operating time is gone, which is all that a backlog may have."""
    another_process(runtime).heard(method, {"operating": operating.BACKLOG_UP_TO, "duration": 0.35})


def begin(runtime: Runtime, calls: int, due: float = LONG_AGO) -> list[str]:
    """Calls of as many clients."""
    names = [f"{number}.1" for number in range(calls)]

    def write(journal: Journal) -> None:
        for number, uniqueid in enumerate(names):
            journal.begin(call(uniqueid, number=f"+7916{number:07}", entity=None), due)

    runtime.write(write).result()
    return names


def hang_up(runtime: Runtime, names: list[str], due: float = LONG_AGO) -> None:
    runtime.write(lambda journal: [journal.ended(end(uniqueid), due) for uniqueid in names]).result()


def entry_of(runtime: Runtime, uniqueid: str) -> Entry:
    entry = runtime.write(lambda journal: journal.entry(uniqueid)).result()
    assert entry
    return entry


def owed(runtime: Runtime) -> list[Delivery]:
    return runtime.write(lambda journal: journal.owed()).result()


def register(runtime: Runtime, names: list[str]) -> None:
    """Have the portal know these calls, at nobody's expense."""
    with webhook_client((runtime.state.parent / "webhook").read_text().strip()) as client:
        ask = portal_calls.asking(client, Urgency.REGISTER)
        for uniqueid in names:
            known = portal_calls.register(ask, runtime.directory, entry_of(runtime, uniqueid).registration, 15.0)
            runtime.write(partial(Journal.registered, uniqueid=uniqueid, answer=known)).result()


def finished(portal: Portal) -> int:
    return sum(call["state"] == "finished" for call in portal.ledger()["calls"])


def leave_behind(runtime: Runtime, kind: str, uniqueid: str, started: float) -> None:
    """What a script leaves that found no service, as the guard writes it."""
    fields = {
        "kind": kind,
        "direction": "in",
        "argument": "74957770101",
        "deadline": "1.0",
        "started": str(started),
        "agi_uniqueid": uniqueid,
        "agi_callerid": "+79161234567",
        "fact_dial_status": "ANSWER",
        "fact_answered_seconds": "5",
    }
    frame = "".join(f"{name}={value}\0" for name, value in fields.items()) + "\0"
    (runtime.state / "intake" / f"{int(started * 1e9)}-{kind}-{uniqueid}.frame").write_text(frame)


def run_for(delivery: Spied, seconds: float) -> float:
    """Let it run; returns the seconds of processor time that this process has used meanwhile."""
    began = time.process_time()
    delivery.start()
    time.sleep(seconds)
    return time.process_time() - began


@pytest.mark.parametrize(("age", "is_new"), [(0.0, True), (3600.0, False)])
def test_what_scripts_left_behind_is_as_old_as_its_call_whenever_it_is_taken_in(
    runtime: Runtime, age: float, is_new: bool
) -> None:
    leave_behind(runtime, REGISTER, "1790000001.1", time.time() - age)
    intake.read(runtime)
    items, new = Agenda(runtime).due()
    assert ([item.kind for item in items], new) == ([REGISTER], is_new)


def test_the_end_of_a_call_that_a_script_left_behind_is_a_backlog_too(runtime: Runtime) -> None:
    long_ago = time.time() - 3600.0
    leave_behind(runtime, REGISTER, "1790000001.1", long_ago)
    leave_behind(runtime, FINISH, "1790000001.1", long_ago + 30.0)
    intake.read(runtime)
    register(runtime, ["1790000001.1"])
    items, new = Agenda(runtime).due()
    assert ([item.kind for item in items], new) == ([FINISH], False)


def test_a_backlog_that_finds_the_bucket_full_waits_without_spinning_and_without_a_write(
    runtime: Runtime, delivery: Spied, portal: Portal
) -> None:
    hang_up(runtime, begin(runtime, 120))
    fill(runtime, 40)
    used = run_for(delivery, 3.0)
    assert asked(portal) == []
    assert 2 <= delivery.steps <= 8
    assert used < 1.0
    assert {item.attempts for item in owed(runtime)} == {0}


def test_a_method_without_operating_time_pauses_once_for_the_whole_backlog_and_the_others_go_on(
    runtime: Runtime, delivery: Spied, portal: Portal
) -> None:
    names = begin(runtime, 120)
    register(runtime, names[:60])
    hang_up(runtime, names)
    use_up(runtime, REGISTERS)
    run_for(delivery, 0.0)
    wait_until(lambda: finished(portal) == 60, 15.0)
    time.sleep(2.0)
    assert asked(portal).count(REGISTERS.lower()) == 60, "those of before"
    assert {(item.kind, item.attempts) for item in owed(runtime)} == {(REGISTER, 0), (FINISH, 0)}
    assert delivery.steps <= 30


@pytest.mark.parametrize("refusal", ["our own limits", "the portal's"])
def test_a_finish_that_cant_be_looked_up_for_the_limits_is_looked_up_later_and_not_told_anew(
    runtime: Runtime, delivery: Spied, portal: Portal, refusal: str
) -> None:
    (name,) = begin(runtime, 1)
    register(runtime, [name])
    hang_up(runtime, [name], time.time())
    before = entry_of(runtime, name)
    assert before.registered and before.outcome
    ask = portal_calls.asking(runtime.client, Urgency.FINISH)  # the answer to this one was lost
    portal_calls.finish(ask, runtime.directory, before.registered, before.outcome, 15.0)
    busy = MethodBusy("OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", 429)
    if refusal == "our own limits":
        another_process(runtime).refused([STATISTIC], busy)
    else:
        portal.scripted_replies.add(STATISTIC, Reply(429, {"error": busy.code, "error_description": busy.message}))
    delivery.step()
    after = entry_of(runtime, name)
    assert (after.registered, after.finished) == (before.registered, False), "not taken for lost"
    (item,) = owed(runtime)
    assert (item.kind, item.attempts, item.refusals) == (FINISH, 1, 0)


def test_calls_that_end_together_share_a_request_where_requests_are_scarce(
    runtime: Runtime, delivery: Spied, portal: Portal
) -> None:
    names = begin(runtime, 8, due=time.time())
    register(runtime, names)
    fill(runtime, 24)
    before = len(portal.ledger()["requests"])
    delivery.start()
    for name in names:
        hang_up(runtime, [name], time.time())
        runtime.wake.set()
        time.sleep(0.05)
    wait_until(lambda: finished(portal) == 8, 10.0)
    assert len(portal.ledger()["requests"]) - before <= 2


def test_where_there_is_room_no_call_waits_for_another_ones_end(
    runtime: Runtime, delivery: Spied, portal: Portal
) -> None:
    names = begin(runtime, 4, due=time.time())
    register(runtime, names)
    before = len(portal.ledger()["requests"])
    delivery.start()
    for told, name in enumerate(names, 1):
        hang_up(runtime, [name], time.time())
        runtime.wake.set()
        wait_until(lambda: finished(portal) == told, 10.0)  # noqa: B023
    assert len(portal.ledger()["requests"]) - before == 4
