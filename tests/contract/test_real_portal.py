"""The any-portal tests against a portal that is not of their own process: what runs, fails, shows and stays behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import pytest
import requests
from open_questions import QUESTIONS
from portal_client import PHONE
from portal_under_test import LABEL

from freepbx_bx24.sandbox.portal import Portal

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PORTAL_COMMAND = ("-m", "freepbx_bx24.cli.main", "sandbox", "portal", "--port", "0")
DEVIATING = ("-m", "tests.support.deviating_portal")
ONLY_REAL = ("-k", "[real")
WHO = {"BX24_TEST_USER": "1101", "BX24_TEST_PHONE": PHONE}
CREATING = {
    "test_an_unknown_number_becomes_a_client_once[]",
    "test_a_created_client_is_found_by_its_number_and_gets_the_activity[]",
}
SHOW_ALL = ("--tb=long", "--showlocals", "--log-level=DEBUG", "-rA")


class Run(NamedTuple):
    """A run of the any-portal tests: exit code, all it wrote, and the outcome of each test by its name."""

    code: int
    text: str
    outcomes: dict[str, str]

    def names(self, portal: str, *outcomes: str) -> set[str]:
        """Names of the tests that ran against "sandbox" or "real", without the portal's name."""
        wanted = outcomes or ("passed", "failed", "error")
        found = {name for name, outcome in self.outcomes.items() if f"[{portal}" in name and outcome in wanted}
        return {name.replace(f"[{portal}", "[") for name in found}


@contextmanager
def other_portal(*command: str) -> Iterator[dict[str, str]]:
    """A portal in another process; yields what it prints: Portal, Webhook, Ledger."""
    with subprocess.Popen(
        [sys.executable, *command], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            printed = {}
            for line in process.stdout:
                name, colon, value = line.partition(":")
                if not colon:  # its last line, on how to stop it
                    break
                printed[name] = value.strip()
            yield printed
        finally:
            process.terminate()


def run(directory: Path, *arguments: str, **environment: str) -> Run:
    """The any-portal tests."""
    files = sorted(str(path.relative_to(REPOSITORY)) for path in HERE.glob("test_any_portal_*.py"))
    return pytest_run(directory, *files, *arguments, **environment)


def pytest_run(directory: Path, *arguments: str, **environment: str) -> Run:
    """Whatever `arguments` ask of pytest, with `environment` for its only BX24_TEST_ variables."""
    report = directory / "report.xml"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BX24_TEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments],
        cwd=REPOSITORY,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    outcomes: dict[str, str] = {}
    xml = report.read_text(encoding="utf-8") if report.exists() else "<testsuites/>"
    for case in ElementTree.fromstring(xml).iter("testcase"):
        kinds = {child.tag for child in case}
        outcomes[case.attrib["name"]] = next(
            (name for tag, name in (("failure", "failed"), ("error", "error"), ("skipped", "skipped")) if tag in kinds),
            "passed",
        )
    return Run(done.returncode, done.stdout + done.stderr + xml, outcomes)


def functions(names: set[str]) -> set[str]:
    return {name.partition("[")[0] for name in names}


def fresh_ledger() -> dict[str, Any]:
    with Portal() as portal:
        return portal.ledger()


# -- which tests run -----------------------------------------------------------------------------------------------


def test_without_the_variable_there_is_the_sandbox_alone_and_nothing_is_skipped(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "types or clien", **WHO)
    assert done.code == 0
    assert len(done.outcomes) > 5
    assert set(done.outcomes.values()) == {"passed"}
    assert set(done.outcomes) == {name for name in done.outcomes if "[sandbox" in name}
    assert "contract tests run against: sandbox\n" in done.text
    assert "this portal" not in done.text


def test_every_expectation_holds_at_another_portal_which_is_left_as_it_was(tmp_path: Path) -> None:
    with other_portal(*PORTAL_COMMAND) as portal:
        done = run(tmp_path, BX24_TEST_PORTAL=portal["Webhook"], **WHO)
        ledger = requests.get(portal["Ledger"], timeout=5).json()
    host = portal["Portal"].partition("//")[2]
    assert done.code == 0, done.text
    assert set(done.outcomes.values()) == {"passed"}
    assert len(done.names("real")) > 100
    assert done.names("sandbox") - done.names("real") == CREATING
    assert f"contract tests run against: sandbox, {host}\n" in done.text
    assert portal["Webhook"].split("/")[-2] not in done.text
    # The same portal, so the same answers, to every question.
    assert all(question in done.text for question in QUESTIONS.values())
    assert not {"<>", "not asked"} & set(re.findall("<>|not asked", done.text))
    # What it leaves: finished calls of one number, none of them missed; no client, no activity, no line.
    assert {call["state"] for call in ledger["calls"]} == {"finished"}
    assert not any(call["missed"] for call in ledger["calls"])
    named = [call["EXTERNAL_CALL_ID"] for call in ledger["calls"] if call["EXTERNAL_CALL_ID"]]
    assert len(named) > 50
    assert all(name.startswith(LABEL) for name in named)
    fresh = fresh_ledger()
    for part in ("entities", "lines", "activities"):
        assert ledger[part] == fresh[part]


def test_an_application_may_be_given_and_creation_be_allowed(tmp_path: Path) -> None:
    with other_portal(*DEVIATING) as portal:
        done = run(
            tmp_path,
            "-k",
            "[real and (register or finish or statistic or upload or clien) and not long",
            BX24_TEST_PORTAL=portal["Portal"],
            BX24_TEST_TOKEN=portal["Token"],
            BX24_TEST_CREATE="1",
            **WHO,
        )
        ledger = requests.get(portal["Ledger"], timeout=5).json()
    assert done.code == 0, done.text
    assert done.names("real", "passed") >= CREATING
    assert "test_the_result_has_the_portals_types[]" in done.names("real", "passed")
    assert {request["auth"] for request in ledger["requests"]} == {"oauth"}
    assert portal["Token"] not in done.text
    told = set(re.findall(r"Left behind, delete it by hand: (\w+ \d+)", done.text))
    known = {(row["CRM_ENTITY_TYPE"], row["CRM_ENTITY_ID"]) for row in fresh_ledger()["entities"]}
    kept = {(row["CRM_ENTITY_TYPE"], row["CRM_ENTITY_ID"]) for row in ledger["entities"]} - known
    assert told == {f"{kind} {number}" for kind, number in kept}


# -- which tests fail ----------------------------------------------------------------------------------------------


def test_a_portal_that_deviates_fails_the_right_expectations_by_name_and_no_key_is_shown(tmp_path: Path) -> None:
    deviations = ("documented-error-code", "line-id-is-a-number", "show-tells-the-keys", "upload-has-another-field")
    with other_portal(*DEVIATING, *deviations, "batch-is-dropped") as portal:
        arguments = ("-k", "(cards or line or upload or batch or order) and not long", *SHOW_ALL)
        done = run(tmp_path, *arguments, BX24_TEST_PORTAL=portal["Webhook"], **WHO)
    assert done.code == 1
    assert functions(done.names("real", "failed")) == {
        "test_the_id_of_a_line_is_a_number_in_add_and_text_in_update",
        "test_cards_come_and_go_for_the_people_named",
        "test_a_call_that_is_unknown_or_finished_has_no_cards",
        "test_a_shown_call_is_still_open_and_goes_on",
        "test_an_upload_address_takes_a_file_for_its_call",
        "test_batch_files_each_answer_under_its_key",
        "test_batch_halts_at_the_first_error_when_asked",
        "test_batch_takes_fifty_commands_and_refuses_the_rest",
        "test_recordings_within_a_batch_are_taken_or_refused_each_for_itself",
    }
    assert "test_lines_are_refused_in_the_portals_order_and_words" in functions(done.names("real", "passed"))
    assert done.names("sandbox", "failed", "error") == done.names("real", "error") == set()
    assert re.search(r"Which code has a telephony error\?\n +sandbox +empty\n <> this portal ERROR_CORE\n", done.text)
    assert "was not reached: ConnectionError" in done.text
    assert "<secret>" in done.text  # the keys were there to be shown
    for key in (portal["Webhook"].split("/")[-2], "telephony%7C"):
        assert key not in done.text


def test_no_token_is_shown_by_what_fails(tmp_path: Path) -> None:
    with other_portal(*DEVIATING, "show-tells-the-keys", "upload-has-another-field", "batch-is-dropped") as portal:
        done = run(
            tmp_path,
            "-k",
            "[real and (cards or upload or batch) and not long",
            *SHOW_ALL,
            BX24_TEST_PORTAL=portal["Portal"],
            BX24_TEST_TOKEN=portal["Token"],
            **WHO,
        )
    assert len(done.names("real", "failed")) > 5
    assert portal["Token"] not in done.text
    assert "telephony%7C" not in done.text


def test_a_portal_that_refuses_the_key_is_told_at_each_test_and_asked_once(tmp_path: Path) -> None:
    with other_portal(*DEVIATING, "applications-only") as portal:
        done = run(tmp_path, "-k", "[real and types", BX24_TEST_PORTAL=portal["Webhook"], **WHO)
        ledger = requests.get(portal["Ledger"], timeout=5).json()
    assert done.code == 1
    assert set(done.outcomes.values()) == {"error"}
    assert "it keeps register, finish and lines for applications" in done.text
    assert "this portal no: WRONG_AUTH_TYPE" in done.text
    assert len(ledger["requests"]) == 1 < len(done.outcomes)


# -- settings ---------------------------------------------------------------------------------------------------------


def test_pytest_stops_at_a_wrong_setting_in_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, BX24_TEST_PORTAL="https://p.example/rest/1/s3cret/")
    assert done.code == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: BX24_TEST_USER must be" in done.text
    assert "s3cret" not in done.text


def test_a_wrong_setting_that_is_met_late_shows_no_key_either(tmp_path: Path) -> None:
    """Where pytest is not told of tests/contract it finds the settings while it collects, and shows a traceback."""
    settings = {"BX24_TEST_PORTAL": "https://p.example/rest/1/s3cret/", "BX24_TEST_TOKEN": ""}
    others = [f"--ignore={path}" for path in (HERE.parent / name for name in ("unit", "install", "live", "bench"))]
    done = pytest_run(tmp_path, "tests", *others, *SHOW_ALL, **settings)
    assert done.code != 0
    assert "BX24_TEST_USER must be" in done.text
    assert "s3cret" not in done.text
