"""Every kind of call through real Asterisks: what the CRM has is what the phones saw.

The calls are placed at the same time, each with its own DID, extension and client, and looked at one by one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping

import pytest

from freepbx_bx24.sandbox.pbx.calls import Call
from freepbx_bx24.sandbox.pbx.record import Behaviour, CallRecord, answer, busy, decline, ring, unavailable
from tests.support.running_service import wait_until

from .world import World


@dataclass(frozen=True)
class Scenario:
    """One call: who places it, how the other end takes it, and what the CRM must have (None: nothing at all)."""

    number: str
    extension: str
    place: Callable[[World, Scenario], Call]
    phone: Behaviour | None = None
    outside: Behaviour | None = None
    line: str = "+74957770000"
    code: str | None = "200"
    missed: bool = False

    @property
    def national(self) -> str:
        return "8" + self.number[2:]


def inbound(did: str | None = "", **options: float) -> Callable[[World, Scenario], Call]:
    def place(world: World, scenario: Scenario) -> Call:
        called = f"74957770{scenario.extension}" if did == "" else did
        return world.pbx.trunk.call(called, scenario.number, **options)

    return place


def outbound(**options: float) -> Callable[[World, Scenario], Call]:
    return lambda world, scenario: world.pbx.phone(scenario.extension).call(scenario.national, **options)


SCENARIOS: Mapping[str, Scenario] = {
    "inbound answered": Scenario("+79161110110", "110", inbound(talk=3.2), answer(0.7)),
    "inbound answered, the agent hangs up": Scenario("+79161110111", "111", inbound(), answer(1.2, talk=2.4)),
    "inbound not answered": Scenario(
        "+79161110112", "112", inbound(give_up_after=2.5), ring(), code="304", missed=True
    ),
    "inbound busy": Scenario("+79161110113", "113", inbound(), busy(0.4), code="304", missed=True),
    "inbound declined": Scenario("+79161110114", "114", inbound(), decline(0.4), code="304", missed=True),
    "a DID in +E.164": Scenario("+79161110115", "115", inbound("+74957770115", talk=1.5), answer(0.3)),
    "no DID": Scenario("+79161110101", "101", inbound(None, talk=1.5), answer(0.3)),
    "a line of the YAML": Scenario("+79161110102", "102", inbound(talk=1.5), answer(0.3), line="+74957770102"),
    "outbound answered": Scenario("+79161110116", "116", outbound(talk=2.6), outside=answer(1.1)),
    "outbound busy": Scenario("+79161110117", "117", outbound(), outside=busy(0.3), code="486"),
    "outbound, the agent gives up": Scenario(
        "+79161110118", "118", outbound(give_up_after=1.5), outside=ring(), code="603-S"
    ),
    "outbound over the second trunk": Scenario("+79161110119", "119", outbound(talk=1.5), outside=answer(0.4)),
}
ANONYMOUS_EXTENSION, INTERNAL_FROM, INTERNAL_TO, EMERGENCY_EXTENSION = "120", "121", "122", "123"


@dataclass
class Ran:
    """What the endpoints saw of all calls, and what the CRM had of other tests' calls before."""

    world: World
    records: dict[str, CallRecord]
    before: int
    mark: int  # where Asterisk's log began

    def told(self) -> list[dict[str, Any]]:
        """The calls that the CRM has since, in order of registration."""
        calls: list[dict[str, Any]] = self.world.portal.ledger()["calls"]
        return calls[self.before :]


@pytest.fixture(scope="module")
def ran(served: World) -> Iterator[Ran]:
    served.drop_parked()
    pbx, before = served.pbx, len(served.portal.ledger()["calls"])
    mark = served.asterisk_log_mark()
    for scenario in SCENARIOS.values():
        if scenario.phone is not None:
            pbx.phone(scenario.extension).behaviour = scenario.phone
        if scenario.outside is not None:
            pbx.trunk.on_number(scenario.number, scenario.outside)
            pbx.reserve_trunk.on_number(scenario.number, scenario.outside)
    pbx.trunk.on_number(SCENARIOS["outbound over the second trunk"].number, unavailable())
    for extension in (ANONYMOUS_EXTENSION, INTERNAL_TO):
        pbx.phone(extension).behaviour = answer(0.3)
    placed = {name: scenario.place(served, scenario) for name, scenario in SCENARIOS.items()}
    placed["anonymous"] = pbx.trunk.call(f"74957770{ANONYMOUS_EXTENSION}", "anonymous", talk=1.5)
    placed["internal"] = pbx.phone(INTERNAL_FROM).call(INTERNAL_TO, talk=1.5)
    placed["emergency"] = pbx.phone(EMERGENCY_EXTENSION).call("112", talk=1.5)
    ran = Ran(served, {name: call.wait(40) for name, call in placed.items()}, before, mark)
    told = sum(scenario.code is not None for scenario in SCENARIOS.values())
    wait_until(
        lambda: sum(call["state"] == "finished" for call in ran.told()) >= told,
        20,
        served.explain,
    )
    yield ran


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_crm_has_each_call_once_with_the_seconds_that_the_phones_saw(ran: Ran, name: str) -> None:
    scenario, record = SCENARIOS[name], ran.records[name]
    call = ran.world.finished(scenario.number)
    answered = [leg for leg in ran.world.pbx.records if leg.from_user == record.from_user and leg.answered]
    # Of the end that hung up: the other one hears of it when the hangup handler has run.
    seconds = min((leg.talk_seconds for leg in answered), default=0.0)
    assert abs(call["CALL_DURATION"] - seconds) <= 1, (call, [leg.as_dict() for leg in answered])
    assert (record.talk_seconds > 0) == (scenario.code == "200"), record.as_dict()
    assert call["STATUS_CODE"] == scenario.code
    assert call["missed"] is scenario.missed


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_crm_has_direction_line_and_person_of_each_call(ran: Ran, name: str) -> None:
    scenario = SCENARIOS[name]
    call = ran.world.finished(scenario.number)
    assert call["direction"] == ("incoming" if scenario.phone else "outgoing")
    assert call["LINE_NUMBER"] == scenario.line
    # A missed call belongs to whose phone rang last, one of whose phones none has rung to the line's person.
    expected = "101" if name == "inbound busy" else scenario.extension
    assert call["finished_by"] == 1000 + int(expected)
    assert call["EXTERNAL_CALL_ID"].startswith("pbx-")


def test_a_hidden_number_reaches_the_phone_and_not_the_crm(ran: Ran) -> None:
    assert ran.records["anonymous"].talk_seconds > 1
    assert "the caller hides the number" in ran.world.log()
    assert all(call["PHONE_NUMBER"] for call in ran.world.portal.ledger()["calls"])


def test_an_internal_call_starts_no_script(ran: Ran) -> None:
    assert ran.records["internal"].talk_seconds > 1
    assert scripts_of(ran, INTERNAL_FROM) == []


def test_an_emergency_call_starts_no_script(ran: Ran) -> None:
    assert ran.records["emergency"].talk_seconds > 1
    assert scripts_of(ran, EMERGENCY_EXTENSION) == []
    assert scripts_of(ran, "116") != []  # the same look finds those of an ordinary call


def test_nothing_else_reached_the_crm(ran: Ran) -> None:
    expected = {scenario.number for scenario in SCENARIOS.values()}
    assert {call["PHONE_NUMBER"] for call in ran.told()} == expected


def scripts_of(ran: Ran, extension: str) -> list[str]:
    """Asterisk's log lines of AGI scripts run by an extension's phone in these calls."""
    lines = ran.world.asterisk_log(ran.mark).splitlines()
    return [line for line in lines if f"<PJSIP/{extension}-" in line and "AGI" in line]


def test_a_caller_who_hangs_up_while_register_runs_is_a_missed_call(served: World) -> None:
    number, phone = served.new_number(), served.pbx.phone("124")
    before = len(phone.records)
    with served.portal.gate("telephony.externalCall.register") as gate:
        call = served.pbx.trunk.call("74957770124", number)
        served.wait_for_register(number)
        call.hang_up()
        call.wait()
        gate.release()
    seen = served.finished(number)
    assert (seen["STATUS_CODE"], seen["CALL_DURATION"], seen["missed"]) == ("304", 0, True)
    assert len(phone.records) == before


def test_calls_are_left_alone_while_bx24_is_off_and_registered_again_when_it_is_on(served: World) -> None:
    served.pbx.phone("125").behaviour = answer(0.2)
    served.pbx.root.run(["bx24", "off"])
    number = served.new_number()
    try:
        started = served.asterisk_log().count("Launched AGI Script")
        assert served.pbx.trunk.call("74957770125", number, talk=1.0).wait().talk_seconds > 0.5
        assert served.asterisk_log().count("Launched AGI Script") == started
    finally:
        served.pbx.root.run(["bx24", "on"])
    assert served.crm_calls(number) == []
    number = served.new_number()
    served.pbx.trunk.call("74957770125", number, talk=1.0).wait()
    assert served.finished(number)["STATUS_CODE"] == "200"


def test_check_finds_everything_right(served: World) -> None:
    done = served.pbx.root.run(["bx24", "check"], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = [line for line in done.stdout.splitlines() if line.startswith(("BAD", "warn"))]
    assert wrong == [], done.stdout
    assert "trunks: inbound calls of " in done.stdout


def test_status_users_and_lines_tell_what_this_pbx_is(served: World) -> None:
    def asked(*words: str) -> Any:
        return json.loads(served.pbx.root.run(["bx24", *words, "--json"], check=False).stdout)

    status = asked("status")
    assert status["off"] is False and status["lines_off"] == []
    assert status["live"]["manager_interface"] and status["live"]["callers_wait"]
    people = {one["extension"]: one for one in asked("users")["users"]}
    assert (people["101"]["user_id"], people["101"]["here"], people["101"]["queues"]) == (1101, True, ["700", "710"])
    assert people["199"]["here"] is False
    lines = {one["number"]: one for one in asked("lines")["lines"]}
    assert lines["+74957770102"]["person"] == "102"
