"""What people do with their telephones: pick up for a colleague, park, log in at a desk, have two of them."""

from __future__ import annotations

import time
from typing import Iterator

import pytest

from freepbx_bx24.errors import SandboxError
from freepbx_bx24.sandbox.pbx.harness import SandboxPbx
from freepbx_bx24.sandbox.pbx.received import ReceivedCall
from freepbx_bx24.sandbox.pbx.record import answer, busy, ring
from freepbx_bx24.sandbox.pbx.registered import Registration

CLIENT = "+79161234567"
TOLERANCE = 0.35  # seconds; two cores, and other work beside


def devices(pbx: SandboxPbx, user: str) -> str:
    return pbx.asterisk.rx(f"database get AMPUSER {user}/device").partition("Value: ")[2].strip()


def user_at(pbx: SandboxPbx, device: str) -> str:
    return pbx.asterisk.rx(f"database get DEVICE {device}/user").partition("Value: ")[2].strip()


@pytest.fixture
def desk(pbx: SandboxPbx) -> Iterator[str]:
    """A desk where its own user is logged in, as at the start."""
    yield "139"
    pbx.phone(139).call("*11139").wait(12)
    assert (user_at(pbx, "139"), devices(pbx, "139")) == ("139", "139")


@pytest.mark.parametrize("code", ["**121", "*8"])
def test_a_colleague_picks_up_a_call_that_rings_elsewhere(pbx: SandboxPbx, code: str) -> None:
    pbx.phone(121).behaviour = ring()
    caller = pbx.trunk.call("74957770121", CLIENT)
    rung = pbx.phone(121).received()
    time.sleep(0.4)
    colleague = pbx.phone(123).call(code)
    caller.wait_answered(10)
    time.sleep(0.5)
    caller.hang_up()
    assert caller.wait(12).talk_seconds > 0.4
    assert colleague.wait(12).talk_seconds > 0.4
    assert rung.wait(12).ended_how == "CANCEL"


def test_a_call_of_a_ring_group_is_picked_up_by_the_groups_number(pbx: SandboxPbx) -> None:
    for extension in (121, 122, 123):
        pbx.phone(extension).behaviour = ring()
    caller = pbx.trunk.call("74957771200", CLIENT)
    pbx.phone(121).received()
    time.sleep(0.4)
    colleague = pbx.phone(124).call("**602")
    caller.wait_answered(10)
    caller.hang_up()
    assert colleague.wait(12).final_status == 200


def test_the_key_for_any_call_takes_none_of_another_track(pbx: SandboxPbx) -> None:
    pbx.phone(121).behaviour = ring()
    caller = pbx.trunk.call("74957770121", CLIENT, give_up_after=2.0)
    pbx.phone(121).received()
    time.sleep(0.4)
    assert pbx.phone(133).call("*8").wait(12).final_status >= 400
    assert caller.wait(12).final_status == 487


def test_a_parked_call_waits_and_is_fetched_from_its_place(pbx: SandboxPbx) -> None:
    caller = pbx.trunk.call("74957770121", CLIENT)
    first = pbx.phone(121).received()
    first.wait_answered()
    time.sleep(0.3)
    first.transfer("70")
    assert first.wait(12).final_status == 200
    time.sleep(0.5)
    fetching = pbx.phone(122).call("71")
    fetching.wait_answered()
    time.sleep(0.5)
    caller.hang_up()
    assert fetching.wait(12).talk_seconds > 0.4
    assert caller.wait(12).talk_seconds > fetching.record.talk_seconds + 0.4


def test_who_logs_in_at_a_desk_is_rung_and_calls_there_until_he_logs_off(pbx: SandboxPbx, desk: str) -> None:
    pbx.phone(131).behaviour = ring()
    assert pbx.phone(desk).call("*11131").wait(12).final_status == 200
    assert (user_at(pbx, desk), devices(pbx, "131"), devices(pbx, "139")) == ("131", "131&139", "")
    pbx.trunk.call("74957770131", CLIENT, talk=0.5).wait(12)
    assert pbx.phone(desk).received().wait(12).talk_seconds > 0.3
    pbx.phone(desk).call("132", talk=0.3).wait(12)
    assert pbx.phone(132).received().wait(12).from_user == "131"
    assert pbx.phone(desk).call("*12").wait(12).final_status == 200
    assert (user_at(pbx, desk), devices(pbx, "131")) == ("none", "131")
    assert pbx.trunk.call("74957770139", CLIENT).wait(12).final_status == 503


def test_nobody_logs_in_at_a_telephone_that_is_somebodys_own(pbx: SandboxPbx) -> None:
    assert pbx.phone(132).call("*11131").wait(12).final_status >= 400
    assert user_at(pbx, "132") == "132"


def test_a_second_telephone_calls_in_its_persons_name(pbx: SandboxPbx) -> None:
    pbx.phone("99138").call("132", talk=0.3).wait(12)
    assert pbx.phone(132).received().wait(12).from_user == "138"
    pbx.phone("99138").call("89161234567", talk=0.3).wait(12)
    assert pbx.trunk.received().wait(12).request_user == "89161234567"


def test_a_second_telephone_rings_only_while_it_is_on(pbx: SandboxPbx) -> None:
    pbx.trunk.call("74957770138", CLIENT, talk=0.3).wait(12)
    assert not pbx.phone("99138").calls
    pbx.phone("99138").behaviour = ring()
    pbx.trunk.call("74957770138", CLIENT, talk=0.3).wait(12)
    assert pbx.phone("99138").received().wait(12).ended_how == "CANCEL"


def test_a_second_call_comes_in_only_with_call_waiting(pbx: SandboxPbx) -> None:
    first = pbx.trunk.call("74957770131", CLIENT)
    pbx.phone(131).received().wait_answered()
    assert pbx.trunk.call("74957770131", CLIENT, talk=0.3).wait(12).final_status == 200
    pbx.asterisk.rx("database del CW 131")
    try:
        assert pbx.trunk.call("74957770131", CLIENT).wait(12).final_status == 486
    finally:
        pbx.asterisk.rx("database put CW 131 ENABLED")
    first.hang_up()


def test_a_queue_gives_nobody_a_second_call(pbx: SandboxPbx) -> None:
    first = pbx.trunk.call("74957770131", CLIENT)
    pbx.phone(131).received().wait_answered()
    pbx.trunk.call("74957771302", CLIENT, talk=1.5).wait(12)
    assert len(pbx.phone(131).calls) == 1
    first.hang_up()


def test_an_extension_rings_as_long_as_its_own_setting_says(pbx: SandboxPbx) -> None:
    pbx.asterisk.rx("database put AMPUSER 132/ringtimer 2")
    pbx.phone(132).behaviour = ring()
    try:
        pbx.trunk.call("74957770132", CLIENT).wait(12)
    finally:
        pbx.asterisk.rx("database del AMPUSER 132/ringtimer")
    assert abs(pbx.phone(132).received().wait(12).ring_seconds - 2.0) < TOLERANCE


def test_follow_me_that_is_switched_off_rings_the_person_alone(pbx: SandboxPbx) -> None:
    pbx.asterisk.rx("database put AMPUSER 136/followme/ddial EXTENSION")
    pbx.phone(136).behaviour = answer(1.5)
    try:
        assert pbx.trunk.call("74957771305", CLIENT, talk=0.3).wait(12).final_status == 200
    finally:
        pbx.asterisk.rx("database put AMPUSER 136/followme/ddial DIRECT")
    assert not pbx.phone(131).calls


def test_a_person_who_is_busy_hands_his_follow_me_on_before_his_seconds_are_over(pbx: SandboxPbx) -> None:
    pbx.asterisk.rx("database put AMPUSER 136/followme/prering 9")
    pbx.phone(136).behaviour = busy()
    pbx.phone(131).behaviour = answer(0.2)
    try:
        caller = pbx.trunk.call("74957771305", CLIENT, talk=0.3).wait(12)
    finally:
        pbx.asterisk.rx("database put AMPUSER 136/followme/prering 1")
    assert caller.final_status == 200
    assert pbx.phone(136).received().wait(12).final_status == 486
    rung, placed = pbx.phone(131).received().wait(12).started, caller.started
    assert rung and placed
    assert rung.monotonic - placed.monotonic < 4.0


def test_a_person_who_must_not_be_disturbed_is_left_out_of_his_follow_me(pbx: SandboxPbx) -> None:
    pbx.asterisk.rx("database put DND 136 YES")
    try:
        caller = pbx.trunk.call("74957771305", CLIENT, talk=0.3).wait(12)
    finally:
        pbx.asterisk.rx("database del DND 136")
    assert caller.final_status == 200
    assert not pbx.phone(136).calls
    assert pbx.phone(131).received().wait(12).final_status == 200


def test_a_call_is_answered_at_the_moment_a_test_says_so(pbx: SandboxPbx) -> None:
    pbx.phone(131).behaviour = ring()
    caller = pbx.trunk.call("74957770131", CLIENT)
    rung = pbx.phone(131).received()
    time.sleep(0.3)
    assert not caller.record.answered
    assert isinstance(rung, ReceivedCall)
    rung.answer()
    caller.wait_answered(5)
    caller.hang_up()
    caller.wait(12)


def test_a_registration_that_the_pbx_refuses_is_an_error(pbx: SandboxPbx) -> None:
    stranger = Registration(pbx.phones.agent, "131", "not the password", "131-9", ("127.0.0.1", pbx.sip_port))
    with pytest.raises(SandboxError, match="401"):
        stranger.begin()
    assert "131-9" not in pbx.asterisk.rx("pjsip show contacts")


def test_keys_that_no_telephone_has_are_refused(pbx: SandboxPbx) -> None:
    call = pbx.trunk.call("74957771004", CLIENT, talk=0.3)
    with pytest.raises(ValueError, match="not keys"):
        call.press("x")
    call.wait(12)
