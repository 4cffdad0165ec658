"""`bx24 test-call`, `bx24 users` and `bx24 lines`, as typed beside a real portal."""

from __future__ import annotations

import json
import re
import time
from types import SimpleNamespace

import pytest

from freepbx_bx24.cli import trial
from freepbx_bx24.cli.main import main
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.sandbox.portal.interference import Reply
from freepbx_bx24.service import directory_file
from tests.support.prepared_machine import PreparedMachine, steps
from tests.support.running_service import asked

OPEN = "SHOW"
CONCISE = "core show channels concise"


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(trial, "RING_SECONDS", 1.0)


def test_a_call_is_told_step_by_step_with_times_and_makes_nothing_in_the_crm(
    machine: PreparedMachine, portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test-call", "--person", "102"]) == 0
    said = capsys.readouterr().out
    for step in ("register", "show", "hide", "finish", "attach"):
        assert re.search(rf"^ok  {step} +\d+\.\d\d s  ", said, re.MULTILINE), said
    assert said.splitlines()[-1] == "All steps went: calls reach the CRM."
    (call,) = portal.ledger()["calls"]
    assert (call["state"], call["STATUS_CODE"], call["finished_by"]) == ("finished", "200", 1102)
    assert len(call["records"]) == 1
    assert portal.world.entities == Portal().world.entities


def test_the_steps_as_json(machine: PreparedMachine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test-call", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["right"] is True and answer["call_id"]
    assert [step["what"] for step in answer["steps"]] == ["register", "show", "hide", "finish", "attach"]
    assert all(step["seconds"] >= 0 and not step["error"] for step in answer["steps"])


def test_where_register_is_refused_nothing_else_is_tried_and_the_remedy_is_said(
    machine: PreparedMachine, portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    portal.switches.webhook_allowed_for_register = False
    assert main(["test-call"]) == 1
    said = capsys.readouterr().out
    assert "BAD register" in said and "bx24 login" in said
    assert "finish" not in said


def test_a_card_that_does_not_open_leaves_no_open_call_behind(
    machine: PreparedMachine, portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    portal.scripted_replies.add("telephony.externalcall.show", Reply(400, {"error": "", "error_description": "No."}))
    assert main(["test-call"]) == 1
    assert "BAD show" in capsys.readouterr().out
    assert portal.ledger()["calls"][0]["state"] == "finished"


def test_whoever_interrupts_it_leaves_no_open_call_behind(
    machine: PreparedMachine, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trial, "time", SimpleNamespace(sleep=interrupted, monotonic=time.monotonic))
    assert main(["test-call"]) == 130
    assert [call["state"] for call in portal.ledger()["calls"]] == ["finished"]


def test_whom_the_portal_does_not_know_no_call_is_made_for(
    machine: PreparedMachine, portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test-call", "--person", "998"]) == 1
    assert "998 is nobody active in the portal" in capsys.readouterr().err
    assert portal.ledger()["calls"] == []


@pytest.mark.parametrize(
    "state, right, said",
    [("Up", True, "101 was answered"), ("Ringing", True, "101 rings"), ("", False, "101 does not ring")],
)
def test_a_telephone_is_rung_meanwhile_and_looked_at(
    machine: PreparedMachine, capsys: pytest.CaptureFixture[str], state: str, right: bool, said: str
) -> None:
    machine.answers["dialplan show from-internal"] = steps("101", "NoOp()")
    machine.answers["channel originate Local/101@from-internal application Wait 5"] = ""
    shown = f"PJSIP/101-00000001!from-internal!101!1!{state}!AppDial!(Outgoing Line)!!!!3!1!!1.1\n" if state else ""
    machine.answers[CONCISE] = f"Local/101@from-internal-00000000;1!from-internal!!1!Down!!!!!!3!0!!1.0\n{shown}"
    machine.console_is_written()
    assert main(["test-call", "--ring", "101"]) == (0 if right else 1)
    assert said in capsys.readouterr().out


def test_what_is_no_extension_is_not_rung(machine: PreparedMachine) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["test-call", "--ring", "101@from-internal,s,1"])
    assert ended.value.code == 2


# -- users ------------------------------------------------------------------------------------------------------------


def the_service_has_read_the_lists(machine: PreparedMachine, portal: Portal) -> None:
    people = {str(one.user_id): one.extension or "" for one in portal.world.employees if one.active}
    kept = {
        "version": 2,
        "portal": portal.url,
        "extensions": people,
        "phones": {},
        "names": {"1101": "Anton"},
        "lines": {},
    }
    directory_file.write(machine.folder / "state", json.dumps(kept))


def test_users_tells_who_is_whom_by_what_and_who_is_nobody(
    machine: PreparedMachine, portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    the_service_has_read_the_lists(machine, portal)
    machine.yaml.write_text(machine.yaml.read_text() + 'people: {"10103": 103}\n')
    machine.answers["database show AMPUSER"] += "/AMPUSER/300/device      : 300\n/AMPUSER/10103/device : 10103\n"
    machine.console_is_written()
    assert main(["users", "--json"]) == 0
    found = {one["extension"]: one for one in json.loads(capsys.readouterr().out)["users"]}
    assert found["101"] == {
        "extension": "101", "user_id": 1101, "name": "Anton", "by": "internal number", "here": True, "queues": ["400"],
    }  # fmt: skip
    assert (found["10103"]["user_id"], found["10103"]["by"]) == (1103, "people")
    assert (found["300"]["user_id"], found["300"]["by"]) == (None, None)
    assert found["150"]["here"] is False
    assert main(["users"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^300 +- +- +NOBODY: default_person's +-$", said, re.MULTILINE)
    assert re.search(r"^150 +1150 +- +internal number, not on .. +-$", said, re.MULTILINE)
    assert said.splitlines()[-1].endswith("5 extensions of this PBX; 1 nobody in Bitrix24.")


def test_users_without_any_list_says_where_to_get_one(
    machine: PreparedMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["users"]) == 1
    assert "nobody has read the portal's employees yet" in capsys.readouterr().err


# -- lines ------------------------------------------------------------------------------------------------------------


def test_lines_are_shown_beside_the_portals_and_sync_makes_those_that_are_missing_alone(
    machine: PreparedMachine, portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.answers["database get bx24 lines-off"] = "Value: +74957770101\n"
    machine.console_is_written()
    assert main(["lines"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^\+74957770101 Sales 102 +OFF; no: bx24 lines .. +74957770101$", said, re.MULTILINE), said
    assert re.search(r"^\+74957770000 - +101 +with its first call +-$", said, re.MULTILINE), said
    assert "telephony.externalline.add" not in asked(portal)
    assert main(["lines", "sync", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    sales, default = answer["lines"]
    assert (sales["in_portal"], sales["portal_name"], sales["off"]) == (True, "Sales", True)
    assert (default["in_portal"], default["default"]) == (False, True)
    assert asked(portal).count("telephony.externalline.add") == 1
    assert main(["lines", "sync"]) == 0
    assert asked(portal).count("telephony.externalline.add") == 1


def test_a_line_that_the_portal_refuses_is_said_with_its_words(
    machine: PreparedMachine, portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = Reply(400, {"error": "", "error_description": "DB error"})
    portal.scripted_replies.add("telephony.externalline.add", refusal)
    assert main(["lines", "sync"]) == 1
    assert "DB error" in capsys.readouterr().err
