"""What etc/extensions_bx24.conf does with real calls: which ones start a script, and that all of them flow."""

from __future__ import annotations

import time
from typing import Iterator, Mapping, Sequence

import pytest

from freepbx_bx24.sandbox.pbx.record import answer, unavailable
from tests.install.pbx_machine import REPOSITORY, Machine

CUSTOM = "/etc/asterisk/extensions_custom.conf"
AGI = "/usr/share/asterisk/agi-bin"
SEEN = "/tmp/bx24-seen"
CLIENT = "+79161234567"
# In place of our scripts: writes down how it was called, answers nothing, ends.
RECORDER = f"""#!/bin/bash
printf '%s' "${{0##*/}}" >>{SEEN}
printf ' %s' "$@" >>{SEEN}
echo >>{SEEN}
"""
# One line for each way into the hooks: with the variables that FreePBX has set by then, and a mark after them.
WAYS_IN = """
[test-out]
exten => _[+0-9a-z].,1,Set(DIAL_NUMBER=${EXTEN})
 same => n,%s
 same => n,AGI(mark.sh,after ${BX24_STATUS} ${BX24_REASON})
[test-in]
exten => s,1,Gosub(bx24-in,s,1(${TEST_DID}))
 same => n,AGI(mark.sh,after ${BX24_STATUS} ${BX24_REASON})
[test-agisighup]
exten => s,1,Gosub(bx24-in,s,1(1))
 same => n,AGI(mark.sh,after ${AGISIGHUP})
[test-forwarded]
exten => _X.,1,Gosub(bx24-in,s,1(74957770101))
 same => n,Dial(Local/${EXTEN}@test-out/n,5)
"""


@pytest.fixture
def pbx(machine: Machine) -> Iterator[Machine]:
    """A machine with our dialplan alone: recorders stand where our scripts would."""
    machine.removed()
    custom = machine.text(CUSTOM)
    macro = machine.pbx.asterisk.settings.major < 21
    hook = "Macro(dialout-trunk-predial-hook,)" if macro else "Gosub(macro-dialout-trunk-predial-hook,s,1())"
    for name in ("bx24_register.py", "bx24_finish.py", "mark.sh"):
        machine.root.outside(f"{AGI}/{name}").write_text(RECORDER, encoding="utf-8")
        machine.root.outside(f"{AGI}/{name}").chmod(0o755)
    machine.root.copy_in(REPOSITORY / "etc/extensions_bx24.conf", "/etc/asterisk/extensions_bx24.conf")
    machine.write(CUSTOM, custom + WAYS_IN % hook + "\n#tryinclude extensions_bx24.conf\n")
    machine.shell(f"install -o asterisk /dev/null {SEEN}")
    machine.pbx.asterisk.reload_dialplan()
    yield machine
    machine.write(CUSTOM, custom)
    machine.shell(f"rm -f {AGI}/bx24_*.py {AGI}/mark.sh /etc/asterisk/extensions_bx24.conf {SEEN}")
    machine.pbx.asterisk.rx("database del bx24 off")
    machine.pbx.asterisk.reload_dialplan()


def call(machine: Machine, where: str, variables: Mapping[str, str], until: str = "mark.sh") -> Sequence[str]:
    """Let a call file (Asterisk's spool) run a channel through `EXTEN@CONTEXT`; return what the recorders saw."""
    machine.root.outside(SEEN).write_text("", encoding="utf-8")
    lines = [f"Channel: Local/{where}/n", "Application: Wait", "Data: 1"]
    lines += [f"Setvar: {name}={value}" for name, value in variables.items()]
    prepared = machine.root.outside("/var/spool/asterisk/tmp/bx24-test.call")
    machine.shell("install -d -o asterisk -g asterisk /var/spool/asterisk/tmp /var/spool/asterisk/outgoing")
    prepared.write_text("\n".join(lines) + "\n", encoding="utf-8")
    machine.shell("cd /var/spool/asterisk && chown asterisk: tmp/bx24-test.call && mv tmp/bx24-test.call outgoing/")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        seen = machine.text(SEEN).splitlines()
        if any(line.startswith(until) for line in seen) and not machine.pbx.asterisk.channels():
            return machine.text(SEEN).splitlines()
        time.sleep(0.1)
    raise AssertionError(f"no {until} after {machine.text(SEEN)!r}\n{machine.pbx.asterisk.log_tail()}")


def test_an_inbound_call_runs_register_with_its_did_then_goes_its_way_then_runs_finish(pbx: Machine) -> None:
    caller = pbx.pbx.trunk.call(did="74957770101", number=CLIENT, talk=0.5).wait()
    assert caller.final_status == 200
    pbx.pbx.settle()
    assert pbx.text(SEEN).splitlines() == ["bx24_register.py in 74957770101", "bx24_finish.py in"]


@pytest.mark.parametrize("did", ["+74957770101", None, "sales-team"], ids=str)
def test_every_form_of_did_reaches_register(pbx: Machine, did: str) -> None:
    pbx.pbx.trunk.call(did=did, number=CLIENT, talk=0.2).wait()
    pbx.pbx.settle()
    assert pbx.text(SEEN).splitlines()[0] == f"bx24_register.py in {did or 's'}"


def test_a_call_to_a_did_with_a_comma_still_reaches_the_catch_all_route(pbx: Machine) -> None:
    with_hook = pbx.pbx.trunk.call(did="7495,1,2", number=CLIENT, give_up_after=5).wait()
    pbx.shell("rm /etc/asterisk/extensions_bx24.conf")
    pbx.pbx.asterisk.reload_dialplan()
    without = pbx.pbx.trunk.call(did="7495,1,2", number=CLIENT, give_up_after=5).wait()
    assert with_hook.final_status == without.final_status


def test_an_outbound_call_runs_register_with_the_dialled_number_once_over_two_trunks(pbx: Machine) -> None:
    pbx.pbx.trunk.behaviour = unavailable()
    pbx.pbx.reserve_trunk.behaviour = answer(0.2)
    try:
        record = pbx.pbx.phone(101).call("89161234567", talk=0.5).wait()
    finally:
        pbx.pbx.trunk.behaviour = answer(0.2)
    assert record.final_status == 200
    pbx.pbx.settle()
    assert pbx.text(SEEN).splitlines() == ["bx24_register.py out 89161234567", "bx24_finish.py out"]


def test_an_internal_call_runs_no_script(pbx: Machine) -> None:
    assert pbx.pbx.phone(101).call("102", talk=0.3).wait().final_status == 200
    pbx.pbx.settle()
    assert pbx.text(SEEN) == ""


def test_an_emergency_route_runs_no_script(pbx: Machine) -> None:
    pbx.pbx.phone(101).call("112", talk=0.3).wait()
    pbx.pbx.settle()
    assert pbx.text(SEEN) == ""


@pytest.mark.parametrize("number", ["112", "911", "999", "101", "104", "01", "04"])
def test_an_emergency_number_runs_no_script_whatever_its_route(pbx: Machine, number: str) -> None:
    assert call(pbx, f"{number}@test-out", {}) == ["mark.sh after  "]


def test_the_admin_adds_emergency_numbers_in_his_own_file(pbx: Machine) -> None:
    pbx.write(CUSTOM, pbx.text(CUSTOM) + "\n[bx24-emergency]\nexten => 9112,1,NoOp()\n")
    pbx.pbx.asterisk.reload_dialplan()
    assert call(pbx, "9112@test-out", {}) == ["mark.sh after  "]


@pytest.mark.parametrize(
    ("variables", "number"),
    [
        ({"EMERGENCYROUTE": "YES"}, "89161234567"),
        ({"INTRACOMPANYROUTE": "YES"}, "7001"),
        ({"BX24_DIR": "in"}, "89161234567"),
        ({"BX24_DIR": "out"}, "89161234567"),
    ],
)
def test_these_outbound_calls_run_no_script(pbx: Machine, variables: Mapping[str, str], number: str) -> None:
    assert call(pbx, f"{number}@test-out", variables) == ["mark.sh after  "]


@pytest.mark.parametrize("variables", [{"BX24_DIR": "in"}, {"AMPUSER": "101"}, {"AMPUSER": '"'}])
def test_a_second_pass_and_an_extensions_simulated_call_run_no_script(
    pbx: Machine, variables: Mapping[str, str]
) -> None:
    assert call(pbx, "s@test-in", {"TEST_DID": "74957770101", **variables}) == ["mark.sh after  "]


@pytest.mark.parametrize("where", ["s@test-in", "89161234567@test-out"])
def test_bx24_skip_leaves_a_call_out_and_says_why(pbx: Machine, where: str) -> None:
    assert call(pbx, where, {"BX24_SKIP": "1"}) == ["mark.sh after SKIPPED left out by BX24_SKIP"]


@pytest.mark.parametrize("where", ["s@test-in", "89161234567@test-out"])
def test_the_switch_in_astdb_works_on_the_next_call_without_any_script(pbx: Machine, where: str) -> None:
    pbx.pbx.asterisk.rx("database put bx24 off 1")
    assert call(pbx, where, {}) == ["mark.sh after SKIPPED switched off by bx24 off"]
    pbx.pbx.asterisk.rx("database del bx24 off")
    assert call(pbx, where, {}, until="bx24_finish")[0].startswith("bx24_register.py")


def test_a_call_forwarded_outside_is_one_call(pbx: Machine) -> None:
    seen = call(pbx, "89161234567@test-forwarded", {}, until="bx24_finish")
    assert [line for line in seen if line.startswith("bx24_register")] == ["bx24_register.py in 74957770101"]


@pytest.mark.parametrize(
    "hostile",
    ['"', '" | "1" = "1', "${SHELL(touch /tmp/pwned)}", "1)(,;", "\\", "a,b,c"],
    ids=["quote", "expression", "shell", "brackets", "backslash", "commas"],
)
def test_hostile_text_in_any_variable_starts_one_script_and_breaks_no_expression(pbx: Machine, hostile: str) -> None:
    names = ("TEST_DID", "BX24_SKIP", "EMERGENCYROUTE", "INTRACOMPANYROUTE", "CALLERID(name)", "CALLERID(num)")
    log = pbx.root.outside("/var/log/asterisk/full")
    before = log.stat().st_size
    for where in ("s@test-in", "89161234567@test-out"):
        if hostile.startswith("1") and where.startswith("s@"):
            continue  # BX24_SKIP is filtered to "1": left out, as asked
        seen = call(
            pbx, where, {name: hostile for name in names if name != "BX24_SKIP" or "1" not in hostile}, "bx24_finish"
        )
        assert len([line for line in seen if line.startswith("bx24_register.py")]) == 1
        assert "mark.sh after  " in seen
    said = log.read_text(encoding="utf-8", errors="replace")[before:]
    assert "syntax error" not in said and "ast_expr" not in said
    assert not pbx.exists("/tmp/pwned")


def test_agisighup_has_its_own_value_again_after_the_hook(pbx: Machine) -> None:
    assert "mark.sh after mine" in call(pbx, "s@test-agisighup", {"AGISIGHUP": "mine"})


@pytest.mark.parametrize("missing", ["extensions_bx24.conf", "the scripts"])
def test_calls_flow_when_our_files_are_gone(pbx: Machine, missing: str) -> None:
    pbx.shell("rm /etc/asterisk/extensions_bx24.conf" if "conf" in missing else f"rm {AGI}/bx24_*.py")
    pbx.pbx.asterisk.restart()
    assert pbx.pbx.trunk.call(did="74957770101", number=CLIENT, talk=0.5).wait().final_status == 200
    assert pbx.pbx.phone(101).call("89161234567", talk=0.5).wait().final_status == 200
    pbx.pbx.settle()
