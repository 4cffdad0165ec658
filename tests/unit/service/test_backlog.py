"""A backlog drains in few requests within the limits of an ordinary plan, and nobody who calls now waits for it."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from freepbx_bx24.call import Outcome, Registration
from freepbx_bx24.journal.store import Journal
from freepbx_bx24.sandbox.portal import Portal
from tests.support.agi_script import AgiRun
from tests.support.in_time import in_time
from tests.support.journal_calls import CALL
from tests.support.running_service import RunningService, asked, wait_until

pytestmark = pytest.mark.endurance

CALLS = 250  # each owes a register and a finish
LIVE_EVERY_SECONDS = 2.0
PORTAL_SECONDS = 1.0  # what the portal takes for each request: a backlog that drains in an instant holds nobody up
REGISTER, FINISH = "telephony.externalcall.register", "telephony.externalcall.finish"
Requests = list[dict[str, Any]]


@pytest.fixture
def ordinary(portal: Portal, service: RunningService) -> Iterator[RunningService]:
    """A service and a portal of the cloud's ordinary plan, in real time."""
    portal.switches.plan = "ordinary"
    portal.switches.operating_limit_seconds = 480.0
    portal.switches.method_seconds = {REGISTER: 0.35, FINISH: 0.35}
    service.write_yaml(portal.webhook_url, plan="ordinary")
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    yield service


def missed_call(number: int, started: datetime) -> tuple[Registration, Outcome]:
    uniqueid = f"{int(started.timestamp())}.{number}"
    registration = replace(
        CALL,
        uniqueid=uniqueid,
        linkedid=uniqueid,
        external_id=f"pbx-test-{uniqueid}",
        number=f"+7916{number:07}",
        started=started,
        entity=None,
    )
    return registration, Outcome(uniqueid, registration.people, 0, "304", "")


def queue(state: Path, calls: int, due: Callable[[datetime], float]) -> None:
    """What a service leaves that could not reach the portal for hours: calls that began and ended, nothing told."""
    first = datetime.now().astimezone() - timedelta(hours=5)
    with closing(Journal(state)) as journal:

        def write(journal: Journal, number: int) -> None:
            registration, outcome = missed_call(number, first + timedelta(seconds=10 * number))
            journal.begin(registration, due(registration.started))
            journal.ended(outcome, due(registration.started))

        journal.as_one([lambda journal, number=number: write(journal, number) for number in range(calls)])


def owed_in_full(state: Path) -> int:
    with closing(Journal(state)) as journal:
        return len(journal.owed())


def commands(request: dict[str, Any]) -> list[str]:
    """The methods of a request, in lower case."""
    if request["method"] != "batch":
        return [request["method"].lower()]
    return [command.partition("?")[0].lower() for command in request["parameters"]["cmd"].values()]


def told(requests: Requests, uniqueid: str) -> dict[str, Any]:
    """The request that registered a call."""
    return next(one for one in requests if REGISTER in commands(one) and uniqueid in str(one["parameters"]))


def between(requests: Requests, since: float, until: dict[str, Any]) -> int:
    """How many others came after that moment and before that request."""
    return sum(since <= one["arrived"] and one["sequence"] < until["sequence"] for one in requests)


def test_live_calls_find_their_place_before_a_backlog_that_drains_in_few_requests(
    portal: Portal, ordinary: RunningService, figure: Callable[[str], None]
) -> None:
    state = ordinary.directory / "state"
    queue(state, CALLS, due=datetime.timestamp)
    assert owed_in_full(state) == 2 * CALLS
    portal.delay_seconds["batch"] = PORTAL_SECONDS
    ordinary.start()
    # Who is who is read once at the start, and the YAML's line is made; what is counted here are deliveries.
    at_the_start = {"user.get", "telephony.externalline.get", "telephony.externalline.add"}
    wait_until(lambda: at_the_start <= set(asked(portal)), 20, ordinary.log)
    began = time.time()
    live: list[tuple[str, float, AgiRun]] = []

    def drained() -> bool:
        return sum(call["state"] == "finished" for call in ordinary.calls()) >= CALLS

    while not drained():
        in_time(time.time() - began, 50, ordinary.log())
        uniqueid, handed_over = f"{int(time.time())}.{len(live)}", time.time()
        caller = {"callerid": f"+7926{len(live):07}"}
        live.append((uniqueid, handed_over, ordinary.register(uniqueid, environment=caller)))
        time.sleep(max(handed_over + LIVE_EVERY_SECONDS - time.time(), 0.0))
    seconds = time.time() - began
    sent = [one for one in portal.ledger()["requests"] if {REGISTER, FINISH} & set(commands(one))]
    taken = len(sent) - len(live)  # the live calls have not ended yet
    for uniqueid, _, _ in live:
        ordinary.finish(uniqueid)
    calls = ordinary.wait_for_calls(CALLS + len(live), seconds=20.0)
    requests: Requests = portal.ledger()["requests"]
    others = [between(requests, handed_over, told(requests, uniqueid)) for uniqueid, handed_over, _ in live]
    figure(
        f"{2 * CALLS} deliveries in {taken} requests and {seconds:.0f} s beside {len(live)} live calls, one every "
        f"{LIVE_EVERY_SECONDS:.0f} s; others between a caller and the portal: {max(others)} at most; the longest wait"
        f" {max(run.seconds for _, _, run in live):.2f} s"
    )
    assert len(live) >= 5
    assert {run.variables["BX24_STATUS"] for _, _, run in live} == {"REGISTERED"}
    assert max(others) <= 1
    assert {one["status"] for one in requests} == {200}, "no 503 and no 429"
    assert taken <= 2 * CALLS / 20
    assert len(ordinary.calls()) == len(calls) == CALLS + len(live), "each call once"
    assert len({call["EXTERNAL_CALL_ID"] for call in calls}) == len(calls)
    everything = [method for one in requests for method in commands(one)]
    assert everything.count(REGISTER) == everything.count(FINISH) == len(calls), "each delivery once"
    ordinary.stop()
    assert owed_in_full(state) == 0


def test_what_ends_now_is_told_before_a_backlog_of_registers_is_through(
    portal: Portal, ordinary: RunningService
) -> None:
    queue(ordinary.directory / "state", CALLS, due=datetime.timestamp)
    portal.delay_seconds["batch"] = PORTAL_SECONDS
    ordinary.start()
    ordinary.register("1790000999.1", environment={"callerid": "+79260000001"})
    ordinary.finish("1790000999.1")
    (first,) = ordinary.wait_for_calls(1, seconds=10.0)[:1]
    assert first["EXTERNAL_CALL_ID"] == "pbx-test-1790000999.1"
    assert sum(call["state"] == "open" for call in ordinary.calls()) < CALLS
