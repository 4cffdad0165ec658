"""The service is not there: the scripts do its work by themselves, and the next service tells nothing twice."""

from __future__ import annotations

import json
from typing import Iterator

import pytest

from freepbx_bx24.sandbox.pbx.record import CallRecord, answer, busy, ring

from .world import World

CASES = {
    "130": (answer(0.5), {"talk": 2.5}, "200"),
    "131": (ring(), {"give_up_after": 3.0}, "304"),
    "132": (busy(0.5), {}, "304"),
}


@pytest.fixture(scope="module")
def records(world: World) -> Iterator[dict[str, tuple[str, CallRecord]]]:
    assert world.product.service is None
    placed = {}
    for extension, (behaviour, options, _) in CASES.items():
        world.pbx.phone(extension).behaviour = behaviour
        number = world.new_number()
        placed[extension] = (number, world.pbx.trunk.call(f"74957770{extension}", number, **options))
    yield {extension: (number, call.wait()) for extension, (number, call) in placed.items()}


@pytest.mark.parametrize("extension", CASES)
def test_a_call_reaches_the_crm_without_the_service(
    world: World, records: dict[str, tuple[str, CallRecord]], extension: str
) -> None:
    number, record = records[extension]
    call = world.finished(number)
    assert call["STATUS_CODE"] == CASES[extension][2]
    assert abs(call["CALL_DURATION"] - record.talk_seconds) <= 1


def test_the_next_service_takes_them_in_and_tells_the_crm_nothing_twice(
    world: World, records: dict[str, tuple[str, CallRecord]]
) -> None:
    with world.served():
        number = world.new_number()
        world.pbx.trunk.call("74957770130", number, talk=0.5).wait()
        world.finished(number)
        assert "taken in with what the script did" in world.log()
        requests = world.portal.ledger()["requests"]
        for number, _ in records.values():
            (call,) = world.crm_calls(number)
            finishes = [one for one in requests if one["method"].endswith("externalcall.finish")]
            assert sum(one["parameters"]["CALL_ID"] == call["CALL_ID"] for one in finishes) == 1


def test_a_test_call_rings_a_real_telephone_and_is_told_whole(world: World) -> None:
    phone = world.pbx.phone("133")
    phone.behaviour, before = answer(0.5), len(phone.records)
    done = world.pbx.root.run(["bx24", "test-call", "--ring", "133", "--person", "133", "--json"], check=False)
    answered = json.loads(done.stdout)
    assert answered["right"], done.stdout
    assert [step["what"] for step in answered["steps"]][-3:] == ["hide", "finish", "attach"]
    (record,) = phone.records[before:]
    assert record.final_status == 200  # its five seconds of silence may go on
    (call,) = [one for one in world.portal.ledger()["calls"] if one["CALL_ID"] == answered["call_id"]]
    assert (call["STATUS_CODE"], call["finished_by"], len(call["records"])) == ("200", 1133, 1)


def test_a_line_that_is_switched_off_is_left_alone_from_the_next_call_on(world: World) -> None:
    world.pbx.phone("102").behaviour = answer(0.2)
    world.pbx.root.run(["bx24", "off", "--line", "+74957770102"])
    try:
        number, other = world.new_number(), world.new_number()
        world.pbx.phone("101").behaviour = answer(0.2)
        calls = [world.pbx.trunk.call(f"7495777010{last}", who, talk=0.5) for last, who in ((2, number), (1, other))]
        assert all(call.wait().talk_seconds > 0 for call in calls)
        world.finished(other)
        assert world.crm_calls(number) == []
    finally:
        world.pbx.root.run(["bx24", "on", "--line", "+74957770102"])
    world.pbx.trunk.call("74957770102", number, talk=0.5).wait()
    assert world.finished(number)["STATUS_CODE"] == "200"
