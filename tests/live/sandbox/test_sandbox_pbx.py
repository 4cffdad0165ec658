"""Real SIP calls through a real Asterisk with FreePBX's shape of dialplan, and whether the witnesses tell the truth."""

from __future__ import annotations

import time
import wave
from pathlib import Path

import pytest

from freepbx_bx24.sandbox.pbx.harness import SandboxPbx
from freepbx_bx24.sandbox.pbx.record import CallRecord, answer, busy, dead, decline, ring, unavailable

from .admins import admins_dialplan

CLIENT = "+79161234567"
TOLERANCE = 0.35  # seconds; two cores, and the suites may run beside other work


def same_talk(one: CallRecord, other: CallRecord) -> bool:
    return abs(one.talk_seconds - other.talk_seconds) < TOLERANCE


def test_the_asterisk_is_of_the_suites_major_version_and_boots_within_four_seconds(pbx: SandboxPbx) -> None:
    started = time.monotonic()
    pbx.asterisk.restart()
    assert time.monotonic() - started < 6.0  # the stop included
    assert f"Asterisk {pbx.asterisk.settings.major}." in pbx.asterisk.rx("core show version")


def test_every_packaged_module_line_loads(pbx: SandboxPbx) -> None:
    assert "Error loading module" not in pbx.root.outside("/var/log/asterisk/full").read_text(encoding="utf-8")


def test_an_inbound_call_is_answered_by_the_extension_of_its_did_and_both_ends_agree(pbx: SandboxPbx) -> None:
    caller = pbx.trunk.call(did="74957770101", number=CLIENT, name="Иван", talk=1.5).wait(12)
    phone = pbx.phone(101).received().wait(12)
    assert (phone.from_user, phone.from_name) == (CLIENT, "Иван")
    assert (caller.final_status, phone.final_status) == (200, 200)
    assert abs(caller.talk_seconds - 1.5) < TOLERANCE
    assert same_talk(caller, phone)
    assert (caller.ended_by, phone.ended_by, phone.ended_how) == ("us", "them", "BYE")
    assert abs(phone.ring_seconds - 0.3) < TOLERANCE


def test_the_called_person_may_hang_up_first(pbx: SandboxPbx) -> None:
    pbx.phone(102).behaviour = answer(0.2, talk=1.0)
    caller = pbx.trunk.call(did="+74957770102", number=CLIENT).wait(12)
    assert (caller.ended_by, caller.ended_how) == ("them", "BYE")
    assert abs(caller.talk_seconds - 1.0) < TOLERANCE


@pytest.mark.parametrize(
    ("did", "extension"), [("74957770000", 101), (None, 101), ("74957770180", 180), ("137", 137)], ids=str
)
def test_a_did_leads_to_its_extension(pbx: SandboxPbx, did: str, extension: int) -> None:
    pbx.trunk.call(did=did, number=CLIENT, talk=0.1).wait(12)
    assert pbx.phone(extension).received().wait(12).final_status == 200


def test_a_did_that_nobody_has_is_answered_by_a_voice_and_rings_nobody(pbx: SandboxPbx) -> None:
    record = pbx.trunk.call(did="74957779999", number=CLIENT, talk=2.5).wait(12)
    assert (record.final_status, record.ended_by) == (200, "us")
    assert not pbx.phones.records


def test_a_busy_phone_is_busy_to_the_caller(pbx: SandboxPbx) -> None:
    pbx.phone(101).behaviour = busy()
    caller = pbx.trunk.call(did="74957770101", number=CLIENT).wait(12)
    assert (caller.final_status, caller.talk_seconds) == (486, 0.0)
    assert pbx.phone(101).received().wait(12).final_status == 486


def test_a_phone_that_declines_ends_the_call(pbx: SandboxPbx) -> None:
    pbx.phone(101).behaviour = decline(0.3)
    assert pbx.trunk.call(did="74957770101", number=CLIENT).wait(12).final_status >= 400
    assert pbx.phone(101).received().wait(12).final_status == 603


def test_a_call_that_nobody_answers_is_given_back_after_the_ring_time(pbx: SandboxPbx) -> None:
    pbx.asterisk.rx("database put AMPUSER 101/ringtimer 1")
    pbx.phone(101).behaviour = ring()
    caller = pbx.trunk.call(did="74957770101", number=CLIENT).wait(12)
    pbx.asterisk.rx("database del AMPUSER 101/ringtimer")
    phone = pbx.phone(101).received().wait(12)
    assert (caller.final_status, caller.ended_how) == (503, "REFUSED")
    assert (phone.ended_by, phone.ended_how) == ("them", "CANCEL")
    assert abs(phone.ring_seconds - 1.0) < TOLERANCE


def test_a_caller_may_give_up_while_it_rings(pbx: SandboxPbx) -> None:
    pbx.phone(101).behaviour = ring()
    caller = pbx.trunk.call(did="74957770101", number=CLIENT, give_up_after=0.7).wait(12)
    phone = pbx.phone(101).received().wait(12)
    assert (caller.final_status, caller.ended_by, caller.ended_how) == (487, "us", "CANCEL")
    assert (phone.ended_by, phone.ended_how) == ("them", "CANCEL")
    assert abs(phone.ring_seconds - 0.7) < TOLERANCE


def test_a_caller_may_give_up_before_anything_rings(pbx: SandboxPbx) -> None:
    with admins_dialplan(pbx, "[from-pstn-custom]\nexten => 74957770998,1,Wait(5)\n same => n,Congestion(1)\n"):
        caller = pbx.trunk.call(did="74957770998", number=CLIENT, give_up_after=0.3).wait(12)
    assert (caller.final_status, caller.ended_how) == (487, "CANCEL")
    assert caller.at("100") is not None
    assert caller.at("180") is None


def test_a_phone_that_is_off_never_answers_anything(pbx: SandboxPbx) -> None:
    pbx.phone(103).behaviour = dead()
    caller = pbx.trunk.call(did="74957770103", number=CLIENT, give_up_after=0.7).wait(12)
    assert caller.ended_how == "CANCEL"
    phone = pbx.phone(103).received()
    assert set(phone.record.moments) == {"invite"}
    pbx.phone(103).calls.clear()  # it is told nothing, so it would wait for half a minute


def test_a_hostile_display_name_reaches_asterisk_as_it_was_sent(pbx: SandboxPbx) -> None:
    name = b'\\"a\\" ${SHELL(id)};,\'%0d%0aX: y <script>'
    pbx.trunk.call(did="74957770101", number=CLIENT, name=name, talk=0.1).wait(12)
    seen = pbx.phone(101).received().wait(12).from_name
    for part in ("${SHELL(id)};,'", "%0d%0aX: y", "<script>"):
        assert part in seen


def test_a_number_on_the_blacklist_rings_nobody(pbx: SandboxPbx) -> None:
    pbx.asterisk.rx("database put blacklist 74950000013 1")
    assert pbx.trunk.call(did="74957770101", number="74950000013").wait(12).final_status == 503
    assert not pbx.phone(101).calls


def test_the_first_phone_of_a_group_that_answers_stops_the_others(pbx: SandboxPbx) -> None:
    for extension in (101, 103):
        pbx.phone(extension).behaviour = ring()
    caller = pbx.trunk.call(did="74957770200", number=CLIENT, talk=0.5).wait(12)
    assert same_talk(caller, pbx.phone(102).received().wait(12))
    for extension in (101, 103):
        assert pbx.phone(extension).received().wait(12).ended_how == "CANCEL"


def test_a_queues_caller_talks_to_the_member_who_answers_first(pbx: SandboxPbx) -> None:
    for extension in (101, 103):
        pbx.phone(extension).behaviour = ring()
    pbx.phone(102).behaviour = answer(0.6)
    caller = pbx.trunk.call(did="74957770300", number=CLIENT, talk=2.0).wait(12)
    member = pbx.phone(102).received().wait(12)
    assert member.ended_by == "them"
    # The queue answers the caller first, so his 2 seconds hold the waiting as well.
    assert 0.5 < member.talk_seconds < 2.0 - 0.6 + TOLERANCE
    assert abs(caller.talk_seconds - 2.0) < TOLERANCE
    for extension in (101, 103):
        assert pbx.phone(extension).received().wait(12).ended_how == "CANCEL"


def test_a_menu_answers_first_and_the_person_later(pbx: SandboxPbx) -> None:
    caller = pbx.trunk.call(did="74957770400", number=CLIENT, talk=3.5).wait(12)
    person = pbx.phone(101).received().wait(12)
    assert abs(caller.talk_seconds - person.talk_seconds - 2.3) < 2 * TOLERANCE


def test_an_outbound_call_goes_out_over_the_first_trunk_with_its_number(pbx: SandboxPbx) -> None:
    pbx.trunk.on_number("79161234567", answer(0.4))
    phone = pbx.phone(101).call("89161234567", talk=1.0).wait(12)
    outside = pbx.trunk.received().wait(12)
    assert (outside.request_user, outside.from_user) == ("89161234567", "74957770000")
    assert (phone.ended_by, outside.ended_by) == ("us", "them")
    assert abs(phone.talk_seconds - 1.0) < TOLERANCE
    assert same_talk(phone, outside)
    assert not pbx.reserve_trunk.calls


def test_an_outbound_call_that_the_first_trunk_refuses_goes_out_over_the_second(pbx: SandboxPbx) -> None:
    pbx.trunk.on_number("79160000002", unavailable())
    phone = pbx.phone(101).call("89160000002", talk=0.5).wait(12)
    assert pbx.trunk.received().wait(12).final_status == 503
    outside = pbx.reserve_trunk.received().wait(12)
    assert (outside.request_user, outside.from_user) == ("79160000002", "74957770001")
    assert same_talk(phone, outside)


def test_an_outbound_call_that_no_trunk_takes_fails(pbx: SandboxPbx) -> None:
    for trunk in (pbx.trunk, pbx.reserve_trunk):
        trunk.on_number("79160000003", unavailable())
    assert pbx.phone(101).call("89160000003").wait(12).final_status == 503


def test_a_busy_client_is_busy_to_the_phone_and_no_second_trunk_is_tried(pbx: SandboxPbx) -> None:
    pbx.trunk.on_number("79160000004", busy())
    assert pbx.phone(101).call("89160000004").wait(12).final_status == 486
    assert not pbx.reserve_trunk.calls


def test_a_phone_may_give_up_an_outbound_call(pbx: SandboxPbx) -> None:
    pbx.trunk.on_number("79160000005", ring())
    assert pbx.phone(101).call("89160000005", give_up_after=0.6).wait(12).ended_how == "CANCEL"
    assert pbx.trunk.received().wait(12).ended_how == "CANCEL"


def test_an_internal_call_touches_no_trunk(pbx: SandboxPbx) -> None:
    caller = pbx.phone(101).call("102", talk=0.5).wait(12)
    called = pbx.phone(102).received().wait(12)
    assert (called.from_user, called.from_name) == ("101", "Extension 101")
    assert same_talk(caller, called)
    assert not pbx.trunk.calls


def test_a_forwarded_extension_is_reached_outside(pbx: SandboxPbx) -> None:
    pbx.asterisk.rx("database put CF 104 89160000006")
    caller = pbx.trunk.call(did="74957770104", number=CLIENT, talk=0.5).wait(12)
    pbx.asterisk.rx("database del CF 104")
    assert same_talk(caller, pbx.trunk.received().wait(12))
    assert not pbx.phone(104).calls


def test_a_blind_transfer_leads_the_client_to_the_next_person(pbx: SandboxPbx) -> None:
    caller = pbx.trunk.call(did="74957770101", number=CLIENT)
    first = pbx.phone(101).received()
    first.wait_answered()
    time.sleep(0.5)
    first.transfer("102")
    second = pbx.phone(102).received()
    second.wait_answered()
    time.sleep(0.5)
    caller.hang_up()
    assert caller.wait(12).talk_seconds > first.wait(12).talk_seconds + second.wait(12).talk_seconds - TOLERANCE


def test_an_attended_transfer_connects_the_client_with_the_person_asked(pbx: SandboxPbx) -> None:
    caller = pbx.trunk.call(did="74957770101", number=CLIENT)
    first = pbx.phone(101).received()
    first.wait_answered()
    asking = pbx.phone(101).call("102")
    asking.wait_answered()
    second = pbx.phone(102).received()
    time.sleep(0.3)
    first.transfer_to(asking)
    first.wait(12)
    asking.wait(12)
    time.sleep(0.5)
    assert not second.record.ended_how
    caller.hang_up()
    assert second.wait(12).ended_by == "them"


OUTBOUND_HOOK = """
[macro-dialout-trunk-predial-hook]
exten => s,1,Set(DB(seen/${DIAL_TRUNK})=%s)
 same => n,Set(DB(seen/emergency)=${EMERGENCYROUTE})
 same => n,ExecIf($["${MACRO_CONTEXT}" = ""]?Return())
"""
INBOUND_HOOK = """
[from-pstn]
exten => _[+0-9*#]!,1,Set(DB(seen/did)=${EXTEN}/${AMPUSER}/${FROM_DID})
 same => n,Goto(hooked-pstn,${EXTEN},1)
[hooked-pstn]
include => from-pstn-custom
include => ext-did
include => ext-did-post-custom
include => from-did-direct
include => ext-did-catchall
"""


def test_the_outbound_hook_of_freepbx_runs_before_each_trunk_with_freepbxs_variables(pbx: SandboxPbx) -> None:
    seen = "${DIAL_TRUNK} ${DIAL_NUMBER} ${OUTNUM} ${OUT_1}${OUT_1_SUFFIX} ${AMPUSER} ${CALLERID(num)}"
    pbx.trunk.on_number("79160000002", unavailable())
    with admins_dialplan(pbx, OUTBOUND_HOOK % seen):
        pbx.phone(105).call("89160000002", talk=0.1).wait(12)
        shown = pbx.asterisk.rx("database show seen")
        pbx.phone(105).call("112", talk=0.1).wait(12)
        emergency = pbx.asterisk.rx("database show seen/emergency")
    assert "1 89160000002 89160000002 PJSIP@city 105 74957770000" in shown
    assert "2 79160000002 79160000002 PJSIP@city 105 74957770001" in shown
    assert "YES" not in shown
    assert "YES" in emergency


def test_an_inbound_hook_added_to_from_pstn_runs_before_every_route(pbx: SandboxPbx) -> None:
    with admins_dialplan(pbx, INBOUND_HOOK):
        assert pbx.trunk.call(did="+74957770106", number=CLIENT, talk=0.1).wait(12).final_status == 200
    assert "+74957770106//" in pbx.asterisk.rx("database get seen did")


def test_a_recorded_call_leaves_a_file_with_sound_in_it(pbx: SandboxPbx) -> None:
    pbx.asterisk.rx("dialplan set global RECORD_CALLS yes")
    pbx.phone(107).behaviour = answer(0.1, sound=True)
    pbx.trunk.call(did="74957770107", number=CLIENT, talk=1.5, sound=True).wait(12)
    pbx.settle()
    pbx.asterisk.rx("dialplan set global RECORD_CALLS no")
    (path,) = pbx.root.outside("/var/spool/asterisk/monitor").rglob("in-74957770107-*.wav")
    with wave.open(str(path)) as recording:
        assert abs(recording.getnframes() / recording.getframerate() - 1.5) < 0.5
        assert max(recording.readframes(4000)) > 0


def test_ten_calls_at_once_are_ten_calls_in_everybodys_records(pbx: SandboxPbx) -> None:
    calls = [
        pbx.trunk.call(did=f"74957770{110 + place}", number=f"+7916555000{place}", talk=1.0 + place / 10)
        for place in range(10)
    ]
    for place, call in enumerate(calls):
        caller, phone = call.wait(12), pbx.phone(110 + place).received().wait(12)
        assert phone.from_user == f"+7916555000{place}"
        assert abs(caller.talk_seconds - (1.0 + place / 10)) < TOLERANCE
        assert same_talk(caller, phone)


def test_sixty_calls_at_once_are_all_answered(pbx: SandboxPbx) -> None:
    for extension in range(120, 180):
        pbx.trunk.call(did=f"74957770{extension}", number=CLIENT, talk=2.0)
    records = pbx.settle()
    assert len(records) == 120
    assert {record.final_status for record in records} == {200}


def test_calls_work_again_after_asterisk_was_killed(pbx: SandboxPbx) -> None:
    cut = pbx.trunk.call(did="74957770101", number=CLIENT)
    cut.wait_answered()
    pbx.asterisk.kill()
    assert not pbx.asterisk.running
    pbx.asterisk.start()
    cut.hang_up()
    pbx.phone(101).received().hang_up()
    cut.wait(12)
    pbx.phone(101).received().wait(12)
    assert pbx.trunk.call(did="74957770108", number=CLIENT, talk=0.2).wait(12).final_status == 200


def test_the_records_turn_into_plain_data(pbx: SandboxPbx, tmp_path: Path) -> None:
    pbx.trunk.call(did="74957770101", number=CLIENT, talk=0.3).wait(12)
    plain = pbx.settle()[0].as_dict()
    assert plain["endpoint"] == "city"
    assert plain["request_user"] == "74957770101"
    assert plain["talk_seconds"] == pytest.approx(0.3, abs=TOLERANCE)
