"""The supervised service is killed and stopped while calls come in: each call reaches the portal once, nobody waits."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Callable

import pytest

from freepbx_bx24.journal.store import Journal
from tests.support.agi_script import AgiRun
from tests.support.in_time import in_time
from tests.support.running_service import RunningService, wait_until

pytestmark = pytest.mark.endurance

ANSWERED = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "35", "DIALEDPEERNUMBER": "101/sip:101@127.0.0.1"}
REGISTER, FINISH = "telephony.externalcall.register", "telephony.externalcall.finish"
CALLS = 20
BACK_SECONDS = 2.0
BACK_UNDER_LOAD_SECONDS = 5.0
REGISTER_WAIT = 2.0  # of the settings of these tests


def service_process(service: RunningService) -> int:
    """The process number of the service itself; 0 while there is none."""
    assert service.process
    path = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
    return int((path.read_text().split() or ["0"])[0])


def kill_and_wait(service: RunningService, number: int = signal.SIGKILL) -> float:
    """Send a signal to the service; seconds until another process answers in its place."""
    wait_until(lambda: service_process(service) > 0, 5, service.log)
    victim, began = service_process(service), time.monotonic()
    os.kill(victim, number)
    wait_until(lambda: service_process(service) not in (0, victim) and service.answers(), 15, service.log)
    return time.monotonic() - began


def one_call(service: RunningService, uniqueid: str, talk: float, knows_nothing: bool) -> AgiRun:
    client = {"callerid": "+7916" + uniqueid.partition(".")[0][-7:]}
    run = service.register(uniqueid, environment=client)
    time.sleep(talk)
    # Sometimes the channel still has what register has set, sometimes (a masqueraded channel) it has not.
    known = {} if knows_nothing else {name: run.variables.get(name, "") for name in ("BX24_STATUS", "BX24_CALL_ID")}
    service.finish(uniqueid, environment=client, variables={**ANSWERED, **known})
    return run


def expect_each_call_once(service: RunningService, uniqueids: list[str]) -> None:
    """Every call is in the portal's ledger, finished, and none of them twice; also a while later."""
    wait_until(lambda: len(service.wait_for_calls(len(uniqueids), seconds=40)) >= len(uniqueids), 40, service.log)
    intake = service.directory / "state" / "intake"
    wait_until(lambda: not [path for path in intake.iterdir() if path.suffix in (".frame", ".result")], 20, service.log)
    time.sleep(1)
    calls = service.calls()
    assert Counter(call["EXTERNAL_CALL_ID"] for call in calls) == Counter(f"pbx-test-{name}" for name in uniqueids)
    assert {call["state"] for call in calls} == {"finished"}
    assert {call["CALL_DURATION"] for call in calls} == {35}
    cards = Counter(call["CALL_ID"] for call in calls)
    assert max(cards.values()) == 1


def during(
    service: RunningService, trouble: Callable[[random.Random], None], seed: int
) -> tuple[list[str], list[AgiRun]]:
    """Place calls, a few at a time, while `trouble` goes on; the calls and what their register scripts did."""
    chance = random.Random(seed)
    service.portal.delay_seconds.update({REGISTER: 0.2, FINISH: 0.1})  # so that many a death is in mid-request
    uniqueids = [f"17900{seed:03}{number:02}.77" for number in range(CALLS)]
    with ThreadPoolExecutor(5) as threads:
        troubled = threads.submit(trouble, random.Random(seed + 1))
        runs = [
            threads.submit(one_call, service, name, chance.uniform(0.0, 0.4), chance.random() < 0.5)
            for name in uniqueids
        ]
        done = [run.result() for run in runs]
        troubled.result()
    return uniqueids, done


@pytest.mark.parametrize("seed", [11, 22, 33])
def test_a_service_killed_at_any_instant_under_load_loses_no_call_and_tells_none_twice(
    service: RunningService, seed: int
) -> None:
    back: list[float] = []

    def kill_now_and_then(chance: random.Random) -> None:
        for _ in range(5):
            time.sleep(chance.uniform(0.05, 0.6))
            back.append(kill_and_wait(service))

    service.start(supervised=True)
    uniqueids, runs = during(service, kill_now_and_then, seed)
    assert len(back) == 5
    in_time(max(back), BACK_UNDER_LOAD_SECONDS)
    assert {run.exit_code for run in runs} == {0}
    assert {run.variables["BX24_STATUS"] for run in runs} <= {"REGISTERED", "PENDING"}
    in_time(max(run.seconds for run in runs), REGISTER_WAIT + 1)
    expect_each_call_once(service, uniqueids)


def test_a_service_killed_together_with_its_supervisor_is_replaced_by_the_next_start(service: RunningService) -> None:
    service.start(supervised=True)

    def kill_both(chance: random.Random) -> None:
        time.sleep(chance.uniform(0.1, 0.5))
        service.stop(signal.SIGKILL)
        time.sleep(0.5)
        service.start(supervised=True)

    uniqueids, runs = during(service, kill_both, 44)
    assert {run.variables["BX24_STATUS"] for run in runs} <= {"REGISTERED", "PENDING"}
    expect_each_call_once(service, uniqueids)


def test_a_service_that_has_run_for_a_while_is_back_within_two_seconds_as_in_production(
    service: RunningService,
) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    service.start(supervised=True)
    time.sleep(10.5)  # from then on it is started again at once
    in_time(kill_and_wait(service), BACK_SECONDS)
    assert "it is started again at once" in service.log()
    assert service.register().variables["BX24_STATUS"] == "REGISTERED"


def test_a_service_that_stands_still_is_replaced_and_callers_go_on_meanwhile(service: RunningService) -> None:
    service.start(supervised=True)
    wait_until(lambda: "the service is ready after" in service.log(), 10, service.log)
    service.register("1790009000.1")
    victim = service_process(service)
    os.kill(victim, signal.SIGSTOP)
    stopped = time.monotonic()
    uniqueids = ["1790009000.1"]
    pending = []
    while service_process(service) == victim:
        in_time(time.monotonic() - stopped, 10, service.log())
        uniqueids.append(f"17900090{len(uniqueids):02}.1")
        pending.append(service.register(uniqueids[-1]))
        time.sleep(0.5)
    assert {run.variables["BX24_STATUS"] for run in pending[:-1]} == {"PENDING"}
    assert len(pending) > 2
    in_time(max(run.seconds for run in pending), 1.0)
    wait_until(service.answers, 5, service.log)
    assert "the service does not beat for " in service.log()  # 3 s, and what a busy machine adds
    for name in uniqueids:
        service.finish(name, variables=ANSWERED)
    expect_each_call_once(service, uniqueids)


def test_a_call_that_a_dead_service_was_registering_is_told_once_though_its_hangup_script_works_alone(
    service: RunningService,
) -> None:
    service.start()
    with service.portal.gate(REGISTER) as gate, ThreadPoolExecutor(1) as threads:
        run = threads.submit(service.register)
        gate.wait_for_arrival(1)
        service.stop(signal.SIGKILL)
        assert run.result().variables["BX24_STATUS"] == "PENDING"
    intake = service.directory / "state" / "intake"
    wait_until(lambda: bool(list(intake.glob("*-register-*.frame"))), 5, service.log)
    service.portal.delay_seconds[REGISTER] = 5.0  # so that nobody registers it before its end
    service.start()
    wait_until(lambda: not list(intake.glob("*-register-*.frame")), 5, service.log)
    service.stop(signal.SIGKILL)
    service.portal.delay_seconds.clear()
    service.finish(variables=ANSWERED)
    service.start()
    expect_each_call_once(service, ["1790000120.77"])


def test_a_call_that_a_dead_service_did_not_write_down_as_registered_is_told_once_though_a_script_alone_has_finished_it(
    service: RunningService, lost_once: Callable[[str], None]
) -> None:
    service.start()
    registered = service.register().variables
    service.wait_for_calls(state="open")
    service.stop(signal.SIGKILL)
    with closing(Journal(service.directory / "state")) as journal:  # as if it had died a moment earlier
        journal.unregistered("1790000120.77", time.time())
    lost_once(FINISH)
    service.finish(variables={**registered, **ANSWERED})
    wait_until(lambda: service.portal.ledger()["calls"][0]["state"] == "finished", 10, service.log)
    service.start()
    expect_each_call_once(service, ["1790000120.77"])


def test_a_pipe_among_the_calls_that_wait_holds_none_of_them_up(service: RunningService) -> None:
    os.mkfifo(service.directory / "state" / "intake" / "1-pipe.frame")
    service.start()
    one_call(service, "1790000120.77", 0.0, False)
    service.wait_for_calls()
