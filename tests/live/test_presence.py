"""What the service sees through Asterisk's manager interface: cards for who rings or talks, and calls nobody ended."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from typing import Iterator

import pytest

from freepbx_bx24.bitrix24.telephony import REGISTER
from freepbx_bx24.reasons import words_of
from freepbx_bx24.sandbox.pbx.calls import Call
from freepbx_bx24.sandbox.pbx.record import answer, ring
from tests.support.running_service import wait_until

from .fire import owed
from .world import AGI_BIN, SCALE, World, hang_up_all, wait_quiet

FINISH_SCRIPT = f"{AGI_BIN}/bx24_finish.py"
UNSEEN = words_of("en").causes["UNSEEN"]


@contextlib.contextmanager
def watching(world: World, scale: str = SCALE) -> Iterator[int]:
    """The service, once it says that it watches Asterisk's calls; gives where its log began."""
    mark = world.log_mark()
    with world.served(scale):
        world.wait_watched(mark)
        yield mark


@pytest.fixture(autouse=True)
def quiet(world: World) -> Iterator[None]:
    """A test that fails leaves no call to the next one."""
    wait_quiet(world)
    yield
    hang_up_all(world)


def shown(world: World, number: str) -> list[int]:
    """User ids of those to whom the portal has shown the card of a number's call, in order."""
    calls = [call["CALL_ID"] for call in world.crm_calls(number)]
    cards = [card for card in world.portal.ledger()["cards"] if card["CALL_ID"] in calls]
    return [card["USER_ID"] for card in cards if card["action"] == "show"]


def hidden(world: World, number: str) -> list[int]:
    calls = [call["CALL_ID"] for call in world.crm_calls(number)]
    cards = [card for card in world.portal.ledger()["cards"] if card["CALL_ID"] in calls]
    return [card["USER_ID"] for card in cards if card["action"] == "hide"]


def talking(world: World, extension: str, number: str) -> Call:
    """An inbound call that is answered and goes on, and that the CRM knows."""
    phone = world.pbx.phone(extension)
    phone.behaviour = answer(0.2)
    call = world.pbx.trunk.call(f"74957770{extension}", number)
    call.wait_answered(15)
    wait_until(lambda: len(world.crm_calls(number)) == 1, 10, world.explain)
    return call


def lasts(call: Call) -> float:
    """For how many seconds a call has been up."""
    assert call.record.answered
    return time.monotonic() - call.record.answered.monotonic


def nothing_owed(world: World, known: set[str]) -> bool:
    return not [item for item in owed(world) if item[0] not in known]


def test_the_user_that_the_installer_made_sees_asterisks_calls(world: World) -> None:
    with watching(world) as mark:
        assert "Asterisk's calls are watched: 0 channels are up" in world.log_since(mark)
        assert "calls are not watched" not in world.log_since(mark)


# At the scale of "1" the request that the caller waited for is answered late; else it has timed out, and the register
# is delivered anew.
@pytest.mark.parametrize("scale", [SCALE, "1"], ids=["delivered later", "answered late"])
def test_a_card_goes_to_who_rings_when_the_portal_answers_late(world: World, scale: str) -> None:
    number, phone = world.new_number(), world.pbx.phone("161")
    phone.behaviour = ring()
    with watching(world, scale):
        with world.portal.gate(REGISTER) as gate:
            rung = len(phone.records)
            call = world.pbx.trunk.call("74957770161", number)
            wait_until(lambda: len(phone.records) > rung and phone.records[-1].at("180") is not None, 15, world.explain)
            assert world.crm_calls(number) == []
            gate.release()
        wait_until(lambda: 1161 in shown(world, number), 10, world.explain)
        call.hang_up()
        call.wait()
        seen = world.finished(number)
        wait_until(lambda: 1161 in hidden(world, number), 5, world.explain)
    assert (seen["STATUS_CODE"], seen["finished_by"]) == ("304", 1161)  # whose phone rang last


@pytest.mark.parametrize("scale", [SCALE, "1"], ids=["delivered later", "answered late"])
def test_a_card_goes_to_who_talks_when_the_portal_answers_after_the_call_was_answered(world: World, scale: str) -> None:
    number, phone = world.new_number(), world.pbx.phone("162")
    phone.behaviour = answer(0.2)
    with watching(world, scale):
        with world.portal.gate(REGISTER) as gate:
            call = world.pbx.trunk.call("74957770162", number)
            call.wait_answered(15)
            wait_until(lambda: "simple_bridge" in world.pbx.asterisk.rx("bridge show all"), 5)
            time.sleep(0.3)  # the service reads of it in a moment
            assert world.crm_calls(number) == []
            gate.release()
        wait_until(lambda: 1162 in shown(world, number), 10, world.explain)
        call.hang_up()
        record = call.wait()
        seen = world.finished(number)
    assert (seen["STATUS_CODE"], seen["finished_by"]) == ("200", 1162)
    assert abs(seen["CALL_DURATION"] - record.talk_seconds) <= 1


def test_a_call_that_lasts_through_a_restart_of_the_service_keeps_its_call_id_and_its_seconds(world: World) -> None:
    number = world.new_number()
    with watching(world):
        call = talking(world, "163", number)
        (registered,) = world.crm_calls(number)
        world.product.stop(signal.SIGKILL)
        mark = world.log_mark()
        world.serve()
        world.wait_watched(mark)
        assert "Asterisk's calls are watched: 2 channels are up" in world.log_since(mark)
        wait_until(lambda: lasts(call) > 4.0, 10)
        call.hang_up()
        record = call.wait()
        seen = world.finished(number)
    assert seen["CALL_ID"] == registered["CALL_ID"]
    assert (seen["STATUS_CODE"], seen["finished_by"], seen["FAILED_REASON"]) == ("200", 1163, "")
    assert abs(seen["CALL_DURATION"] - record.talk_seconds) <= 1
    assert record.talk_seconds > 4


def test_calls_that_asterisk_loses_when_it_dies_are_told_with_what_was_seen_of_them(world: World) -> None:
    answered, rung, out = world.new_number(), world.new_number(), world.new_number()
    known = {item[0] for item in owed(world)}
    with watching(world) as mark:
        talk = talking(world, "164", answered)
        world.pbx.phone("165").behaviour = ring()
        waiting = world.pbx.trunk.call("74957770165", rung)
        world.pbx.trunk.on_number(out, answer(0.2))
        outbound = world.pbx.phone("166").call("8" + out[2:])
        outbound.wait_answered(15)
        wait_until(lambda: len(world.crm_calls(rung)) == 1, 10, world.explain)
        wait_until(lambda: lasts(outbound) > 3.0, 10)
        mark = world.log_mark()
        world.pbx.asterisk.kill()
        seconds = {answered: lasts(talk), out: lasts(outbound)}
        world.pbx.asterisk.start()
        world.wait_watched(mark)
        for call in (talk, waiting, outbound):  # theirs ends when they notice
            call.hang_up()
        seen = {number: world.finished(number) for number in (answered, rung, out)}
        wait_until(lambda: nothing_owed(world, known), 10, lambda: str(owed(world)))
    assert [(seen[number]["STATUS_CODE"], seen[number]["finished_by"]) for number in seen] == [
        ("200", 1164),
        ("304", 1165),
        ("200", 1166),
    ]
    assert [seen[number]["FAILED_REASON"] for number in (answered, out)] == [UNSEEN, UNSEEN]
    assert re.fullmatch(rf"rang 165 for [0-9]+ s; {UNSEEN}", seen[rung]["FAILED_REASON"])
    assert seen[rung]["CALL_DURATION"] == 0
    for number, lasted in seconds.items():
        assert abs(seen[number]["CALL_DURATION"] - lasted) <= 1, (seen[number], lasted)


def test_a_power_cut_takes_service_and_asterisk_along_and_the_call_is_told_once(world: World) -> None:
    number = world.new_number()
    with watching(world):
        call = talking(world, "167", number)
        wait_until(lambda: lasts(call) > 2.0, 10)
        world.pbx.asterisk.kill()
        world.product.stop(signal.SIGKILL)
        most = lasts(call)
        world.pbx.asterisk.start()
        world.serve()
        call.hang_up()
        seen = world.finished(number)
    assert (seen["STATUS_CODE"], seen["finished_by"], seen["FAILED_REASON"]) == ("200", 1167, UNSEEN)
    # How long it lasted nobody can know: the service was last known to be alive some time before.
    assert 1 <= seen["CALL_DURATION"] <= most + 1


@contextlib.contextmanager
def without_finish_script(world: World) -> Iterator[None]:
    """The hangup handler can't start its script."""
    script = world.pbx.root.outside(FINISH_SCRIPT)
    mode = script.stat().st_mode
    script.chmod(0o640)
    try:
        yield
        wait_quiet(world)
    finally:
        script.chmod(mode)


def test_a_call_whose_finish_script_never_comes_is_told_as_asterisk_showed_it(world: World) -> None:
    answered, missed, out = world.new_number(), world.new_number(), world.new_number()
    world.pbx.phone("168").behaviour = answer(0.3)
    world.pbx.phone("169").behaviour = ring()
    world.pbx.trunk.on_number(out, answer(0.2))
    with watching(world) as mark, without_finish_script(world):
        calls = {
            answered: world.pbx.trunk.call("74957770168", answered, talk=3.0),
            missed: world.pbx.trunk.call("74957770169", missed, give_up_after=2.0),
            out: world.pbx.phone("170").call("8" + out[2:], talk=2.0),
        }
        records = {number: call.wait() for number, call in calls.items()}
        seen = {number: world.finished(number) for number in calls}
        said = world.log_since(mark)
    assert [(seen[number]["STATUS_CODE"], seen[number]["finished_by"]) for number in seen] == [
        ("200", 1168),
        ("304", 1169),
        ("200", 1170),
    ]
    for number, record in records.items():
        assert abs(seen[number]["CALL_DURATION"] - record.talk_seconds) <= 1
        assert re.fullmatch(r"rang 169 for [12] s" if number == missed else "", seen[number]["FAILED_REASON"])
    assert said.count("its finish script never came") == 3
