"""FreePBX's hooks before a Dial(): where they run, what they find, and how a wrong last line drops the call."""

from __future__ import annotations

import re
from typing import Mapping

import pytest

from freepbx_bx24.sandbox.pbx.calls import Call
from freepbx_bx24.sandbox.pbx.configs import FIRST_WITHOUT_MACRO
from freepbx_bx24.sandbox.pbx.harness import SandboxPbx
from freepbx_bx24.sandbox.pbx.record import answer, ring, unavailable

from .admins import admins_dialplan

CLIENT = "+79161234567"
PORTABLE = 'ExecIf($["${MACRO_CONTEXT}" = ""]?Return())'
HOOKS = ("dialout-trunk", "dialout-one", "dial-ringall", "dial-hunt")
# Last lines of a hook: whether calls go on where hooks are called by Macro() (FreePBX 16), and by Gosub() (17).
LAST_LINES: Mapping[str, tuple[bool, bool]] = {
    "Return()": (False, True),
    "NoOp(and no more)": (True, False),
    "MacroExit()": (True, False),
    PORTABLE: (True, True),
}
REPORTING = {
    "dialout-trunk": "${DIAL_NUMBER} ${DIAL_TRUNK} ${DIAL_TRUNK_OPTIONS}",
    "dialout-one": "${DEXTEN} ${D_OPTIONS}",
    "dial-ringall": "${FILTERED_DIAL} ${ds}",
    "dial-hunt": "${EXTTOCALL} ${ds}",
}
SIP_HEADERS = "b(func-apply-sipheaders^s^1)"


def is_16(pbx: SandboxPbx) -> bool:
    return pbx.asterisk.settings.major < FIRST_WITHOUT_MACRO


def after_answer(pbx: SandboxPbx) -> str:
    """What FreePBX has the telephone do that answers for a group, a queue or a follow-me."""
    return "M(auto-blkvm)" if is_16(pbx) else "U(macro-auto-blkvm)"


def hooks(line: str) -> str:
    return "\n".join(f"[macro-{hook}-predial-hook]\nexten => s,1,{line}\n" for hook in HOOKS)


def reporting(more: str = "NoOp()") -> str:
    """All hooks say what they find, do something more and end as they should."""
    return "\n".join(
        f"[macro-{hook}-predial-hook]\nexten => s,1,Log(NOTICE,{hook} {found})\n"
        f" same => n,{more}\n same => n,{PORTABLE}\n"
        for hook, found in REPORTING.items()
    )


def one_of_each(pbx: SandboxPbx) -> Mapping[str, Call]:
    """A call for each hook."""
    return {
        "dialout-trunk": pbx.phone(104).call("89161234567", talk=0.3),
        "dialout-one": pbx.trunk.call("74957770114", CLIENT, talk=0.3),
        "dial-ringall": pbx.trunk.call("74957771200", CLIENT, talk=0.3),
        "dial-hunt": pbx.trunk.call("74957771301", CLIENT, talk=0.3),
    }


@pytest.mark.parametrize("last_line", LAST_LINES)
def test_a_hooks_last_line_lets_the_call_through_or_drops_it_as_the_release_wants(
    pbx: SandboxPbx, last_line: str
) -> None:
    with admins_dialplan(pbx, hooks(f"NoOp(here)\n same => n,{last_line}")):
        ended = {hook: call.wait(12) for hook, call in one_of_each(pbx).items()}
        pbx.settle()
    goes_on = LAST_LINES[last_line][0 if is_16(pbx) else 1]
    assert {hook: record.final_status == 200 for hook, record in ended.items()} == dict.fromkeys(HOOKS, goes_on)
    offered = [record.endpoint for record in pbx.records if not record.placed]
    assert bool(offered) == goes_on
    if not goes_on:
        assert ended["dialout-trunk"].final_status == 603


def test_a_return_where_nobody_has_called_by_gosub_is_what_drops_the_call_on_16_and_a_missing_one_on_17(
    pbx: SandboxPbx,
) -> None:
    wrong = "Return()" if is_16(pbx) else "NoOp()"
    with admins_dialplan(pbx, hooks(wrong)) as log:
        pbx.phone(104).call("89161234567").wait(12)
        said = log.text()
    assert ("Return without Gosub: stack is empty" in said) == is_16(pbx)
    assert ("Auto fallthrough" in said) != is_16(pbx)


def test_the_hook_before_one_telephone_still_sees_the_letter_that_is_taken_away_after_it(pbx: SandboxPbx) -> None:
    with admins_dialplan(pbx, reporting("Set(D_OPTIONS=${D_OPTIONS}U(admins-Test))")) as log:
        pbx.trunk.call("74957770114", CLIENT, talk=0.3).wait(12)
        assert log.said("dialout-one") == ["114 HhTtr"]
        # The name of what the hook has added has lost its T as well, so it is not found; the call goes on all the same.
        (dialled,) = log.dials("PJSIP/city-")
    assert re.fullmatch(rf"PJSIP/114/\S+,15,HhtrU\(admins-est\)I{re.escape(SIP_HEADERS)}", dialled)


def test_what_a_colleague_dials_keeps_its_letters(pbx: SandboxPbx) -> None:
    with admins_dialplan(pbx, reporting()) as log:
        pbx.phone(104).call("114", talk=0.3).wait(12)
        assert log.said("dialout-one") == ["114 HhTtr"]
        (dialled,) = log.dials("PJSIP/104-")
    assert dialled.endswith(f",15,HhTtr{SIP_HEADERS}")


def test_the_hook_of_a_ring_group_sees_all_members_and_options_without_that_letter(pbx: SandboxPbx) -> None:
    with admins_dialplan(pbx, reporting()) as log:
        pbx.trunk.call("74957771200", CLIENT, talk=0.3).wait(12)
        (found,) = log.said("dial-ringall")
        (dialled,) = log.dials("PJSIP/city-")
        assert not log.said("dialout-one")
    members, _, ds = found.partition(" ")
    assert members == "121-122-123"
    assert ds.startswith("PJSIP/121/sip:121@")
    assert ds.endswith(f",15,Hhtr{after_answer(pbx)}")
    assert dialled == ds + SIP_HEADERS


def test_the_hook_of_a_hunt_group_runs_once_for_each_member(pbx: SandboxPbx) -> None:
    pbx.phone(131).behaviour = ring()
    with admins_dialplan(pbx, reporting()) as log:
        pbx.trunk.call("74957771301", CLIENT, talk=0.3).wait(12)
        assert log.said("dial-hunt") == [f"{member} ,3,Hhtr{after_answer(pbx)}" for member in (131, 132)]


def test_a_group_with_an_outside_number_shows_it_in_its_hook_and_the_trunks_hook_runs_for_it(pbx: SandboxPbx) -> None:
    with admins_dialplan(pbx, reporting()) as log:
        pbx.trunk.call("74957771306", CLIENT, talk=1.5).wait(12)
        (found,) = log.said("dial-ringall")
        assert log.said("dialout-trunk") == ["89160003006 1 T"]
    assert found.startswith("131-89160003006# ")
    assert "&Local/89160003006@from-internal/n," in found


def test_the_hook_before_one_telephone_runs_for_each_member_of_a_queue(pbx: SandboxPbx) -> None:
    for extension in (141, 142, 143):
        pbx.phone(extension).behaviour = ring()
    with admins_dialplan(pbx, reporting()) as log:
        pbx.trunk.call("74957771402", CLIENT, talk=1.0).wait(12)
        found = sorted(log.said("dialout-one"))
        dialled = log.dials("Local/142@from-queue-")
    assert found == [f"{member} HhTtr{after_answer(pbx)}" for member in (141, 142, 143)]
    assert len(dialled) == 1
    assert dialled[0].endswith(f",,Hhtr{after_answer(pbx)}I{SIP_HEADERS}")


def test_a_queues_members_may_not_transfer_whoever_has_called_it(pbx: SandboxPbx) -> None:
    with admins_dialplan(pbx, reporting()) as log:
        pbx.phone(104).call("704", talk=0.8).wait(12)
        dialled = log.dials("Local/142@from-queue-")
    assert dialled[0].endswith(f",,Hhtr{after_answer(pbx)}I{SIP_HEADERS}")


def test_follow_me_runs_the_hook_of_the_group_outside_and_for_the_others_and_that_of_one_for_the_person(
    pbx: SandboxPbx,
) -> None:
    pbx.phone(156).behaviour = ring()
    pbx.phone(151).behaviour = answer(0.5)
    with admins_dialplan(pbx, reporting()) as log:
        pbx.trunk.call("74957771505", CLIENT, talk=0.5).wait(12)
        outer, inner = log.said("dial-ringall")
        (own,) = log.said("dialout-one")
    assert outer == f"156-151 Local/FMPR-156@from-internal&Local/FMGL-151@from-internal,21,HhtrI{after_answer(pbx)}"
    assert inner.startswith("151 PJSIP/151/sip:151@")
    assert own == f"156 HhTtr{after_answer(pbx)}"


def test_the_trunks_own_options_come_last(pbx: SandboxPbx) -> None:
    with admins_dialplan(pbx, reporting("Set(DIAL_TRUNK_OPTIONS=${DIAL_TRUNK_OPTIONS}U(admins))")) as log:
        assert pbx.phone(104).call("89161234567", talk=0.3).wait(12).final_status == 200
        (dialled,) = log.dials("PJSIP/104-")
    assert dialled == (
        "PJSIP/89161234567@city,300,TU(admins)b(func-apply-sipheaders^s^1,(1))U(sub-send-obroute-email^89161234567^1)"
    )


def test_a_trunk_that_the_hook_leaves_out_is_followed_by_the_next_on_16_and_by_nothing_on_17(pbx: SandboxPbx) -> None:
    bypass = 'ExecIf($["${DIAL_TRUNK}" = "1"]?Set(PREDIAL_HOOK_RET=BYPASS))\n same => n,' + (
        'ExecIf($["${DIAL_TRUNK}" != "1"]?Set(PREDIAL_HOOK_RET=))'
    )
    with admins_dialplan(pbx, reporting(bypass)):
        caller = pbx.phone(104).call("89161234567", talk=0.3).wait(12)
    assert not pbx.trunk.calls
    assert bool(pbx.reserve_trunk.calls) == is_16(pbx)
    assert (caller.final_status == 200) == is_16(pbx)


def test_the_hook_runs_again_for_the_next_trunk(pbx: SandboxPbx) -> None:
    pbx.trunk.on_number("79160000002", unavailable())
    with admins_dialplan(pbx, reporting()) as log:
        pbx.phone(104).call("89160000002", talk=0.3).wait(12)
        assert log.said("dialout-trunk") == ["89160000002 1 T", "79160000002 2 T"]


def test_the_blank_hooks_of_freepbx_stand_aside_for_an_admins_own(pbx: SandboxPbx) -> None:
    with admins_dialplan(pbx, reporting()) as log:
        pbx.asterisk.reload_dialplan()
        said = log.text()
        shown = pbx.asterisk.rx("dialplan show macro-dial-hunt-predial-hook")
    assert "Log(NOTICE" in shown
    for hook in HOOKS:
        assert f"Unable to register extension 's' priority 1 in 'macro-{hook}-predial-hook', already in use" in said
