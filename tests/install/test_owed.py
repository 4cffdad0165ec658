"""What --uninstall does while the CRM is still owed calls, and what it says of the portal."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest

from freepbx_bx24.cli import events
from tests.install.shell import Shell


def owed(shell: Shell, *answers: tuple[int, list[str], bool]) -> None:
    """`bx24 outbox list` gives these answers one after the other, then the last one: due items, calls, the service."""
    state, programs = shell.directory / "state", shell.directory / "opt/venv/bin"
    (state / "intake").mkdir(parents=True)
    (state / "journal.sqlite").write_text("journal", encoding="utf-8")
    programs.mkdir(parents=True)
    (programs / "python3").symlink_to(sys.executable)
    for at, (due, calls, service) in enumerate(answers):
        items = [{"uniqueid": call} for call in calls]
        answer = {"items": items, "counts": {"due": due, "parked": 0, "held": 0}, "service": service, "more": False}
        (shell.directory / f"answer{at}").write_text(json.dumps(answer), encoding="utf-8")
    last = len(answers) - 1
    take = f"n=$(cat {shell.directory}/n 2>/dev/null || echo 0); echo $((n + 1)) >{shell.directory}/n"
    shell.program("../opt/venv/bin/bx24", f"{take}; cat {shell.directory}/answer$((n > {last} ? {last} : n)) || exit 1")
    shell.begin = f"state={state}; sleep() {{ :; }}; set -e"


def settled(shell: Shell, options: str = "") -> tuple[int, str]:
    done = shell.run(f"read_options --uninstall {options}; settle_owed; echo goes on")
    return done.returncode, done.stdout + done.stderr


def test_where_nothing_is_owed_nothing_is_said(shell: Shell) -> None:
    owed(shell, (0, [], True))
    assert settled(shell) == (0, "goes on\n")


def test_the_service_is_given_time_to_tell_what_is_owed(shell: Shell) -> None:
    owed(shell, (3, ["1.1", "1.2"], True), (1, ["1.2"], True), (0, [], True))
    code, said = settled(shell)
    assert (code, "still owed 2 calls" in said, said.endswith("goes on\n")) == (0, True, True)


def test_what_gets_no_further_or_waits_for_a_person_ends_the_waiting_and_nothing_was_changed(shell: Shell) -> None:
    owed(shell, (2, ["1.1", "1.2"], True), (1, ["1.2"], True))
    shell.begin += "; owed_patience=0"
    code, said = settled(shell)
    assert (code, "still owed 2 calls; nothing was changed" in said) == (1, True)
    owed_now = (shell.directory / "answer0", shell.directory / "answer1")
    for answer in owed_now:  # parked: not due
        answer.write_text(answer.read_text(encoding="utf-8").replace('"due": 2', '"due": 0'), encoding="utf-8")
    (shell.directory / "n").unlink()
    code, said = settled(shell)
    assert (code, "given time" in said, "--uninstall --force" in said) == (1, False, True)


def test_without_the_service_it_is_not_waited(shell: Shell) -> None:
    owed(shell, (1, ["1.1"], False))
    code, said = settled(shell)
    assert (code, "given time" in said, "still owed 1 call; nothing" in said) == (1, False, True)


@pytest.mark.parametrize(("options", "kept"), [("--force", True), ("--force --purge", False)])
def test_force_removes_all_the_same_and_says_what_becomes_of_the_calls(shell: Shell, options: str, kept: bool) -> None:
    owed(shell, (1, ["1.1"], True))
    code, said = settled(shell, options)
    assert (code, "the CRM is not told of 1 call" in said, "it is kept in" in said) == (0, True, kept)


def test_what_scripts_left_for_a_service_that_did_not_answer_is_owed_too(shell: Shell) -> None:
    owed(shell, (0, ["1.1"], False))
    for name in ("17-register-1.1.frame", "18-finish-1.1.frame", "19-register-pbx-1.2.frame", ".20-register-1.3.frame"):
        (shell.directory / "state/intake" / name).touch()
    assert shell.run("owed_calls").stdout == "3 2 0\n"
    (shell.directory / "state/journal.sqlite").unlink()
    assert shell.run("owed_calls").stdout == "3 2 0\n"


def test_a_journal_that_can_not_be_read_wants_force(shell: Shell) -> None:
    owed(shell)
    code, said = settled(shell)
    assert (code, "can not be counted" in said) == (1, True)


def test_a_dry_run_says_how_many_and_waits_for_none(shell: Shell) -> None:
    owed(shell, (1, ["1.1"], True))
    assert settled(shell, "--dry-run") == (
        0,
        "The CRM is still owed 1 call; without --force this would be waited for\ngoes on\n",
    )


@pytest.mark.parametrize(
    ("portal", "said"),
    [
        ("  url: https://example.bitrix24.ru\n", "the local application (https://example.bitrix24.ru)"),
        ("  webhook_file: /etc/w\n", "the inbound webhook"),
        ("  #url: https://example.bitrix24.ru\n  #webhook_file: /etc/w\n", ""),
    ],
)
def test_what_is_left_in_the_portal_is_named(shell: Shell, portal: str, said: str) -> None:
    (shell.etc / "freepbx_bx24.yaml").write_text(f"portal:\n{portal}", encoding="utf-8")
    found = shell.run("what_the_portal_keeps").stdout
    assert said in found and bool(found) is bool(said)


@pytest.mark.parametrize("logged_in", [True, False])
def test_events_are_unbound_where_an_application_was_let_in_by_a_command_that_bx24_takes(
    shell: Shell, logged_in: bool
) -> None:
    shell.program("../opt/venv/bin/bx24", "")
    if logged_in:
        (shell.directory / "token.json").touch()
    done = shell.run(f"state={shell.directory}; : >$manifest; begin_changes; unbind_events")
    assert done.returncode == 0, done.stderr
    typed = [call.partition("bx24 events ")[2].split() for call in shell.calls if "bx24 events " in call]
    assert len(typed) == int(logged_in)
    parser = argparse.ArgumentParser()
    events.add_arguments(parser)
    assert all(parser.parse_args(words).what == "unbind" for words in typed)


def test_events_that_can_not_be_unbound_hold_nothing_up(shell: Shell, tmp_path: Path) -> None:
    shell.program("../opt/venv/bin/bx24", "echo 'no portal'; exit 1")
    (shell.directory / "token.json").touch()
    done = shell.run(f"state={shell.directory}; set -e; : >$manifest; begin_changes; unbind_events; echo goes on")
    assert done.stdout.endswith("no portal\ngoes on\n")
    assert "could not be unbound" in done.stderr
