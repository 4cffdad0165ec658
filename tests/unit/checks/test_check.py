"""`bx24 check` of machines that are in order in their own way, and what it says of what is good to know."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List

import pytest

from freepbx_bx24.bitrix24.introduction import clock_ahead, introduction
from freepbx_bx24.checks.manager import holes_of
from freepbx_bx24.checks.routes import bypass, connectors
from freepbx_bx24.cli.main import main
from freepbx_bx24.journal.records import LeftOut
from freepbx_bx24.journal.store import Journal
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.sandbox.portal.world import Employee
from tests.support import awful_servers
from tests.support.prepared_machine import PreparedMachine, steps

Findings = Callable[[], List[Dict[str, Any]]]


def texts(found: list[dict[str, Any]], what: str) -> list[str]:
    return [one["text"] for one in found if one["what"] == what]


def test_where_all_is_right_check_says_so_line_by_line_and_ends_with_0(
    machine: PreparedMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.console_is_written()
    assert main(["check"]) == 0
    *said, last = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok   ") for line in said), said
    assert last == f"All {len(said)} are in order."


def test_what_is_wrong_stands_with_its_remedy_below_it_and_the_exit_code_is_1(
    machine: PreparedMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.answers["database get bx24 off"] = "Value: 1\n"
    machine.answers["core show version"] = "Asterisk 18.1.0 built by root\n"
    machine.console_is_written()
    assert main(["check"]) == 1
    said = capsys.readouterr().out.splitlines()
    place = said.index("BAD  switch: calls are left alone")
    assert said[place + 1] == "     -> bx24 on"
    assert said[-1].startswith("1 failures, 2 warnings, ")


def test_warnings_alone_are_no_failure(machine: PreparedMachine, findings: Findings) -> None:
    machine.answers["core show version"] = "Asterisk 20.9.1 built by root\n"
    assert [one["level"] for one in findings() if one["level"] != "ok"] == ["warning"]  # `findings` looks at the code


def test_a_plain_asterisk_has_no_routes_of_freepbx_to_look_at(machine: PreparedMachine, findings: Findings) -> None:
    for command in [one for one in machine.answers if "from-pstn" in one or "ext-did" in one or "outbound" in one]:
        machine.answers[command] = "There is no existence of that context\n"
    for command in (
        "dialplan show bx24-pstn",
        "dialplan show macro-dialout-trunk-predial-hook",
        "dialplan show globals",
    ):
        machine.answers[command] = "There is no existence of that context\n"
    machine.answers["database show AMPUSER"] = "0 results found.\n"
    found = findings()
    assert [one for one in found if one["level"] != "ok"] == []
    assert not {"inbound routes", "outbound routes", "trunks", "extensions"} & {one["what"] for one in found}


def test_no_secret_is_shown_where_the_portal_is_down(
    machine: PreparedMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.console_is_written()
    with awful_servers.refusing() as address:
        machine.service.write_yaml(f"http://{address}/rest/1/0123456789abcdef/")
        assert main(["check"]) == 1
    said = capsys.readouterr()
    assert "Connection refused" in said.out
    assert "0123456789abcdef" not in said.out + said.err


def test_a_bundle_of_certificates_that_can_not_be_used_is_a_finding_and_no_crash(
    machine: PreparedMachine, findings: Findings
) -> None:
    bundle = machine.folder / "bundle.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    machine.service.write_yaml("https://example.bitrix24.com/rest/1/0123456789abcdef/")
    machine.change_yaml("webhook, ", f"webhook, ca_bundle: {bundle}, ")
    (text,) = texts(findings(), "portal")
    assert "holds no certificate" in text


def test_certificates_of_an_authority_that_nobody_knows_are_said_with_the_option_for_them(
    machine: PreparedMachine, findings: Findings
) -> None:
    with Portal(tls=True) as private:
        machine.service.write_yaml(private.webhook_url)
        found = [one for one in findings() if one["level"] != "ok"]
    assert [one["what"] for one in found] == ["portal"]
    assert "ca_bundle" in found[0]["hint"]


def test_people_without_an_extension_are_no_fault(machine: PreparedMachine, portal: Portal, findings: Findings) -> None:
    portal.world.employees += [Employee(3001, "New"), Employee(3002, "Newer", extension="")]
    found = findings()
    assert texts(found, "employees") == ["101 active in the portal"]
    assert [one for one in found if one["level"] != "ok"] == []


def test_internal_numbers_that_are_no_extension_here_are_good_to_know(findings: Findings) -> None:
    here, away = texts(findings(), "extensions")
    assert here.startswith("all 3 of this PBX")
    assert away.startswith("internal numbers of Bitrix24 that are no extension of this PBX: 104, 105, ")


def test_lines_that_the_portal_does_not_have_yet_are_named_and_no_fault(findings: Findings) -> None:
    listed, default = texts(findings(), "lines")
    assert listed.startswith("not in the portal yet; the service adds each once")
    assert listed.endswith(": +74957770101")
    assert default == "not in the portal yet; the portal makes it with its first call: +74957770000"


def test_where_one_of_many_calls_has_come_by_the_hooks_are_run(machine: PreparedMachine, findings: Findings) -> None:
    machine.answers["core show channels count"] = "120 calls processed\n"
    journal = Journal(machine.folder / "state")
    journal.leave_out_soon(LeftOut("1.1", time.time(), "in", "+79161234567", "excluded"))
    journal.close()
    assert texts(findings(), "calls") == ["calls have come by since Asterisk started"]


def test_an_asterisk_that_goes_away_in_between_is_a_finding_and_no_crash(
    machine: PreparedMachine, findings: Findings
) -> None:
    console = (machine.path / "asterisk").read_text()
    gone = '[ "$2" != "queue show" ] || { echo gone >&2; exit 1; }\n'
    machine.executable(machine.path / "asterisk", console.replace("#!/bin/sh\n", f"#!/bin/sh\n{gone}"))
    found = [one for one in findings() if one["level"] != "ok"]
    assert ["gone" in one["text"] for one in found] == [True]


@pytest.mark.parametrize(
    "version, found",
    [
        ("16.30.1", ["CVE-2024-42365", "CVE-2023-49294"]),
        ("18.20.1", ["CVE-2024-42365"]),
        ("19.8.1", ["CVE-2024-42365", "CVE-2023-49294"]),
        ("20.9.2", []),
        ("22.0.0", []),
        ("16.28.0~dfsg-0+deb11u4", []),  # its distribution mends it without another number
        ("certified-18.9-cert11", []),
        ("", []),
    ],
)
def test_which_holes_a_version_has(version: str, found: list[str]) -> None:
    assert [hole.name for hole in holes_of(version)] == found


@pytest.mark.parametrize(
    "shown, way",
    [
        (steps("_8.", "Macro(dialout-trunk,1,${EXTEN},,)"), ""),
        (steps("_8.", "Gosub(macro-dialout-enum,s,1(3,${EXTEN},))"), "dialout-enum"),
        (steps("_8.", "Dial(PJSIP/${EXTEN}@city,60)"), "Dial"),
    ],
)
def test_by_what_an_outbound_route_goes_around_us(shown: str, way: str) -> None:
    assert bypass(shown) == way


def test_other_connectors_are_known_by_their_names_and_we_are_none() -> None:
    assert connectors(["bx24", "admin", "Bitrix"], ["asterlink", "bx24", "python3", "bitrix-push"]) == [
        "the manager user Bitrix",
        "the program asterlink",
    ]


def test_what_makes_no_sense_in_what_the_portal_says_of_us_is_unknown() -> None:
    assert introduction([], {"a": 1}, None, None) == introduction({"ID": "x", "ADMIN": "Y"}, None, {"SCOPE": 7}, None)


def test_a_clock_is_compared_beyond_the_time_that_the_request_took() -> None:
    at = datetime(2026, 9, 21, tzinfo=timezone.utc).timestamp()
    assert clock_ahead({"start": at + 3}, at, at + 5) == 0
    assert clock_ahead({"start": at + 40}, at, at + 5) == 35
    assert clock_ahead({"start": at - 40}, at, at + 5) == -40
    assert clock_ahead({}, at, at) is None
    assert clock_ahead({"start": "soon"}, at, at) is None
