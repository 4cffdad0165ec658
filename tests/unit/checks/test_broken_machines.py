"""Machines with one fault each: `bx24 check` names that fault and what mends it, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from freepbx_bx24.checks import clone, host
from freepbx_bx24.cli import check
from freepbx_bx24.journal.records import REGISTER
from freepbx_bx24.journal.store import Journal
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.sandbox.portal.clock import SimulatedTime
from freepbx_bx24.sandbox.portal.interference import Reply
from freepbx_bx24.sandbox.portal.world import Employee
from tests.support import awful_servers
from tests.support.ami_server import USER
from tests.support.journal_calls import call
from tests.support.prepared_machine import INCLUDES, PreparedMachine, included, steps

COMMANDS = Path(__file__).parents[3] / "docs" / "commands.md"
Findings = Callable[[], List[Dict[str, Any]]]
Break = Callable[[PreparedMachine, Portal, pytest.MonkeyPatch], None]


def named(findings: Findings) -> list[dict[str, Any]]:
    """What is found that is not in order."""
    found = findings()
    assert all(one["hint"] for one in found if one["level"] != "ok")
    return [one for one in found if one["level"] != "ok"]


def test_of_a_machine_in_order_nothing_is_named(findings: Findings) -> None:
    assert named(findings) == []


# -- one fault each: what is done; what is then said: what it is about, how bad, a word of its reason and its hint -----


def misspelt(machine: PreparedMachine, *_: object) -> None:
    machine.change_yaml("default_person", "default_persn")


def unreachable(machine: PreparedMachine, *_: object) -> None:
    with awful_servers.refusing() as address:
        machine.service.write_yaml(f"http://{address}/rest/1/0123456789abcdef/")


def slow_clock(_: PreparedMachine, portal: Portal, __: object) -> None:
    portal.clock = simulated = SimulatedTime()
    simulated.advance(90)


def deleted_webhook(machine: PreparedMachine, portal: Portal, _: object) -> None:
    secret = portal.webhook_url.split("/")[-2]
    machine.service.write_yaml(portal.webhook_url.replace(secret, "0123456789abcdef"))


def dismissed_creator(_: PreparedMachine, portal: Portal, __: object) -> None:
    portal.world.employees[0].active = False


def no_webhooks(_: PreparedMachine, portal: Portal, __: object) -> None:
    portal.switches.webhook_allowed_for_register = False


def no_crm(_: PreparedMachine, portal: Portal, __: object) -> None:
    portal.credentials.webhook_scopes = frozenset({"telephony", "user"})


def no_telephony(_: PreparedMachine, portal: Portal, __: object) -> None:
    portal.credentials.webhook_scopes = frozenset({"crm", "user"})


def no_administrator(_: PreparedMachine, portal: Portal, __: object) -> None:
    portal.world.employees[0].admin = False


def expired_plan(_: PreparedMachine, portal: Portal, __: object) -> None:
    portal.scripted_replies.add("app.info", Reply(200, {"result": {"LICENSE": "ru_pro", "PAYMENT_EXPIRED": "Y"}}))


def unknown_person(machine: PreparedMachine, *_: object) -> None:
    machine.change_yaml("person: 102", "person: 998")


def shared_number(_: PreparedMachine, portal: Portal, __: object) -> None:
    portal.world.employees += [Employee(3001, "New", extension="150")]


def extension(name: str) -> Break:
    def have(machine: PreparedMachine, *_: object) -> None:
        machine.answers["database show AMPUSER"] += f"/AMPUSER/{name}/device             : {name}\n"

    return have


def strange_member(machine: PreparedMachine, *_: object) -> None:
    extension("300")(machine, *_)  # type: ignore[call-arg]
    machine.answers["queue show"] += "      Fax (Local/300@from-queue/n from hint:300@ext-local) (Not in use)\n"


def says(command: str, said: str) -> Break:
    def answer(machine: PreparedMachine, *_: object) -> None:
        machine.answers[command] = said

    return answer


def no_asterisk(machine: PreparedMachine, *_: object) -> None:
    machine.executable(
        machine.path / "asterisk", "#!/bin/sh\necho 'Unable to connect to remote asterisk' >&2; exit 1\n"
    )


def no_python(machine: PreparedMachine, *_: object) -> None:
    machine.executable(
        machine.agi_folder / "bx24_finish.py",
        '#!/opt/nowhere/bin/python3 -IS\nimport sys\n\nsys.path.append("/opt/nowhere/lib")\n',
    )


def no_script(machine: PreparedMachine, *_: object) -> None:
    (machine.agi_folder / "bx24_register.py").unlink()


def more_routes(machine: PreparedMachine, *_: object) -> None:
    machine.change_yaml('default_line: "+74957770000"\n', "")
    machine.answers["dialplan show ext-did-0002"] += steps("74957770105", "Set(__FROM_DID=${EXTEN})")


def mistyped_line(machine: PreparedMachine, *_: object) -> None:
    machine.change_yaml("lines:\n", 'lines:\n  "+74957770110": {name: Shop}\n')


def wrong_secret(machine: PreparedMachine, *_: object) -> None:
    text = (machine.folder / "manager_bx24.conf").read_text()
    (machine.folder / "manager_bx24.conf").write_text(text.replace("only-in-the-digest", "another"))


def no_folder(machine: PreparedMachine, *_: object) -> None:
    machine.yaml.write_text(machine.yaml.read_text() + "recordings: {folders: [/mnt/nowhere]}\n")


def no_encoder(machine: PreparedMachine, _: object, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.path / "lame").unlink()
    for tool in ("cat", "tr", "sh"):
        (machine.path / tool).symlink_to(shutil.which(tool) or "")
    monkeypatch.setenv("PATH", str(machine.path))


def full_disk(_: object, __: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "LEAST_FREE", 10**18)


def no_log_folder(machine: PreparedMachine, _: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BX24_LOG", str(machine.folder / "gone" / "log"))


def no_service(machine: PreparedMachine, *_: object) -> None:
    machine.hang_up()


def parked(machine: PreparedMachine, *_: object) -> None:
    journal = Journal(machine.folder / "state")
    journal.begin(call("1.1"), 0.0, 1101, "")
    journal.park(("1.1", REGISTER), "no such line")
    journal.close()


def owed_for_long(machine: PreparedMachine, _: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "OLDEST_OWED", -1.0)
    journal = Journal(machine.folder / "state")
    journal.begin(call("1.1"), 0.0, 1101, "")
    journal.close()


def nothing_comes_by(machine: PreparedMachine, *_: object) -> None:
    machine.answers["core show channels count"] = "120 calls processed\n"
    Journal(machine.folder / "state").close()


def no_journal(machine: PreparedMachine, *_: object) -> None:
    machine.answers["core show channels count"] = "120 calls processed\n"
    (machine.folder / "state" / "journal.sqlite").write_text("this is no journal, and never was one\n" * 100)


def no_state(_: object, __: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BX24_STATE_DIR", "/nowhere")
    monkeypatch.setattr(check, "become_service_user", lambda: None)  # which says it to root


def copied(machine: PreparedMachine, _: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    other, own = machine.folder / "machine-id", machine.folder / "own-machine-id"
    other.write_text("0123456789abcdef0123456789abcdef\n")
    own.write_text("fedcba9876543210fedcba9876543210\n")
    clone.remember(machine.folder / "state", "pbx-test", other)
    monkeypatch.setattr(clone, "MACHINE_ID", own)


BROKEN = "There is no existence of that context\n"
FAULTS: dict[str, tuple[Break, str, str, str, str]] = {
    "a misspelt option": (misspelt, "configuration", "failure", ":3:", "Correct the file"),
    "a portal that is down": (unreachable, "portal", "failure", "Connection refused", "network"),
    "a clock that is behind": (slow_clock, "clock", "warning", "90 s behind", "timedatectl set-ntp true"),
    "a webhook that was deleted": (deleted_webhook, "portal login", "failure", "INVALID_CREDENTIALS", "new webhook"),
    "a webhook whose creator has gone": (dismissed_creator, "portal login", "failure", "can't be authorized", "owner"),
    "a portal that lets no webhook register": (no_webhooks, "portal telephony", "failure", "WRONG_AUTH", "bx24 login"),
    "a webhook without the right crm": (no_crm, "portal rights", "failure", "lacks the right crm", "tick crm"),
    "a webhook without telephony": (no_telephony, "portal rights", "failure", "the right telephony", "tick telephony"),
    "a webhook of no administrator": (no_administrator, "portal user", "warning", "Admin (user 1)", "administrator"),
    "a plan that has expired": (expired_plan, "portal plan", "failure", "expired", "My plan"),
    "a person whom nobody knows": (unknown_person, "person", "failure", "998 (line +74957770101)", "number 998"),
    "a number that two have": (shared_number, "internal numbers", "failure", "user:1150 and user:3001", "Bitrix24"),
    "an extension of five digits": (extension("10101"), "extensions", "warning", "10101", '"10101": user:12'),
    "an extension of nobody": (extension("300"), "extensions", "warning", "300", "skip.extensions"),
    "a queue's member of nobody": (strange_member, "queues", "warning", "300 (queue 400)", "Telephony users"),
    "an Asterisk that does not run": (no_asterisk, "dialplan", "failure", "Unable to connect", "fwconsole start"),
    "hooks that are not loaded": (
        says("dialplan show bx24-in", BROKEN),
        *("dialplan", "failure", "not loaded: bx24-in", "dialplan reload"),
    ),
    "calls that come past our hook": (
        says("dialplan show from-pstn", included(*INCLUDES)),
        *("inbound hook", "failure", "do not pass", "./install.sh"),
    ),
    "an outbound hook of somebody else": (
        says("dialplan show macro-dialout-trunk-predial-hook", steps("s", "NoOp(mine)")),
        *("outbound hook", "failure", "do not pass", "Gosub(bx24-out,s,1)"),
    ),
    "a mirror that leads elsewhere": (
        says("dialplan show bx24-pstn", included("ext-did")),
        *("inbound mirror", "failure", "does not lead", "./install.sh"),
    ),
    "calls that are switched off": (
        says("database get bx24 off", "Value: 1\n"),
        *("switch", "failure", "left alone", "bx24 on"),
    ),
    "a Python that is gone": (no_python, "scripts", "failure", "/opt/nowhere/bin/python3 is gone", "./install.sh"),
    "a script that is gone": (no_script, "scripts", "failure", "no such file", "./install.sh"),
    "a number that is no line": (more_routes, "inbound routes", "warning", "74957770105", "under lines"),
    "a line that is mistyped": (mistyped_line, "inbound routes", "warning", "+74957770110", "Correct the number"),
    "a trunk that goes around us": (
        says("pjsip show endpoint city", " context               : shop-in\n"),
        *("trunks", "warning", "context is shop-in", "from-pstn"),
    ),
    "an outbound route that goes around us": (
        says("dialplan show outrt-1", steps("_8.", "Macro(dialout-dundi,1,${EXTEN},,)")),
        *("outbound routes", "warning", "dialout-dundi", "Gosub(bx24-out,s,1)"),
    ),
    "another connector": (
        says("manager show users", f"\nusername\n--------\nasterlink\n{USER}\n--------\n"),
        *("other connectors", "warning", "asterlink", "lines_not_listed"),
    ),
    "a manager user that does not log in": (wrong_secret, "manager interface", "failure", "Authentication", "manager"),
    "a manager user that sees no calls": (
        says(f"manager show user {USER}", "   read perm: system\n"),
        *("manager interface", "failure", "does not see calls", "read = call"),
    ),
    "an Asterisk with a known hole": (
        says("core show version", "Asterisk 20.9.1 built by root\n"),
        *("Asterisk", "warning", "CVE-2024-42365", "20.9.2"),
    ),
    "recordings that are nowhere": (no_folder, "recordings", "failure", "/mnt/nowhere is not", "recordings.folders"),
    "no encoder": (no_encoder, "encoder", "warning", "sent as wav", "apt-get install ffmpeg"),
    "a disk that is full": (full_disk, "disk", "failure", "MB free", "df -h"),
    "a log that can't be written": (no_log_folder, "log", "failure", "can not be written", "chown"),
    "a service that does not run": (no_service, "service", "failure", "agi.sock", "systemctl restart"),
    "a call that the portal refused": (parked, "backlog", "warning", "1 items wait for a person", "bx24 outbox"),
    "calls that are owed for long": (owed_for_long, "backlog", "warning", "the oldest for", "bx24 outbox"),
    "calls that do not come by": (nothing_comes_by, "calls", "warning", "of 120 calls", "asterisk -rvvv"),
    "a journal that is damaged": (no_journal, "backlog", "failure", "damaged", "Start the service"),
    "a machine without our folder": (no_state, "state folder", "failure", "no /nowhere", "./install.sh"),
    "a machine that was copied": (copied, "pbx_id", "warning", "copied from the one that is pbx-test", "pbx_id into"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_is_named_with_its_remedy_and_nothing_else_is(
    name: str,
    machine: PreparedMachine,
    portal: Portal,
    monkeypatch: pytest.MonkeyPatch,
    findings: Findings,
) -> None:
    broken, what, level, reason, remedy = FAULTS[name]
    broken(machine, portal, monkeypatch)
    found = named(findings)
    if what != "configuration":  # of a broken YAML each mistake is told, each with its line
        assert len(found) == 1, found
    assert (found[0]["what"], found[0]["level"]) == (what, level), found
    assert reason in found[0]["text"]
    assert remedy in found[0]["hint"]
    assert {one["what"] for one in found} == {what}
    assert f"`{what}`" in COMMANDS.read_text(encoding="utf-8"), "docs/commands.md has to say what was looked at"
