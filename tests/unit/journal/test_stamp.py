"""A journal that is new, or older than what was last run with, says before when it may not be whole."""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from freepbx_bx24.errors import JournalError
from freepbx_bx24.journal.records import Entry
from freepbx_bx24.journal.store import Journal
from tests.support.agi_script import REPOSITORY
from tests.support.journal_calls import CALL, call


def about_now():
    """Not when the tests were collected: that may be minutes ago."""
    return pytest.approx(time.time(), abs=60)


def settled(folder: Path) -> None:
    """A folder whose journal is known to be whole, closed."""
    journal = Journal(folder)
    journal._file.database.execute("DELETE FROM marks WHERE name = 'uncertain_before'")
    journal.begin(CALL, 0)
    journal.close()


def uncertain_before(folder: Path) -> float:
    journal = Journal(folder)
    try:
        return journal.uncertain_before
    finally:
        journal.close()


def killed_after(code: str, folder: Path) -> None:
    """Run it with the journal in a process that is killed where it says so."""
    program = (
        f"from tests.unit.journal.test_stamp import *\njournal = Journal(Path({str(folder)!r}))\n"
        f"{code}\nprint('now', flush=True)\ntime.sleep(60)"
    )
    writer = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert writer.stdout
    assert writer.stdout.readline() == "now\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()


def test_a_new_journal_knows_nothing_of_what_was_before_it(tmp_path: Path) -> None:
    assert uncertain_before(tmp_path) == about_now()


def test_the_mark_stays_as_it_was_over_restarts(tmp_path: Path) -> None:
    assert uncertain_before(tmp_path) == uncertain_before(tmp_path)


@pytest.mark.parametrize("code", ["", "journal.begin(call('2.2'), 0)", "journal.stamp()"])
def test_after_a_restart_or_a_kill_a_journal_is_as_whole_as_it_was(tmp_path: Path, code: str) -> None:
    settled(tmp_path)
    assert uncertain_before(tmp_path) == 0.0
    killed_after(code, tmp_path)
    assert uncertain_before(tmp_path) == 0.0


def test_a_restored_snapshot_is_older_than_the_last_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settled(tmp_path)
    shutil.copy(tmp_path / "journal.sqlite", tmp_path / "snapshot")
    assert uncertain_before(tmp_path) == 0.0
    shutil.copy(tmp_path / "snapshot", tmp_path / "journal.sqlite")
    with caplog.at_level(logging.WARNING, "bx24.journal"):
        assert uncertain_before(tmp_path) == about_now()
    assert "older than the last run" in caplog.text
    assert uncertain_before(tmp_path) == about_now()  # once said, it stays said


def test_a_snapshot_of_the_same_run_is_older_once_the_run_was_stamped_again(tmp_path: Path) -> None:
    settled(tmp_path)
    journal = Journal(tmp_path)
    journal._file.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(tmp_path / "journal.sqlite", tmp_path / "snapshot")
    journal.stamp()
    journal.close()
    shutil.copy(tmp_path / "snapshot", tmp_path / "journal.sqlite")
    assert uncertain_before(tmp_path) == about_now()


def test_a_deleted_log_of_changes_is_noticed_and_what_was_in_the_file_goes_on(tmp_path: Path) -> None:
    settled(tmp_path)
    killed_after("journal.begin(call('2.2'), 0)", tmp_path)
    (tmp_path / "journal.sqlite-wal").unlink()
    journal = Journal(tmp_path)
    assert (journal.entry("1.1"), journal.entry("2.2")) == (Entry(CALL), None)
    assert journal.uncertain_before == about_now()
    assert journal.begin(call("2.2"), 0)
    journal.close()
    assert list(tmp_path.glob("*damaged*")) == []


def test_so_is_that_of_a_journal_that_had_nothing_else(tmp_path: Path) -> None:
    killed_after("journal.begin(call('2.2'), 0)\njournal.stamp()", tmp_path)
    (tmp_path / "journal.sqlite-wal").unlink()
    (tmp_path / "journal.sqlite-shm").unlink()
    journal = Journal(tmp_path)
    assert journal.entry("2.2") is None
    assert journal.uncertain_before == about_now()
    journal.close()


@pytest.mark.parametrize("left", [None, "", "garbage", "\x00\x00"])
def test_a_journal_without_a_stamp_beside_it_was_copied_here(tmp_path: Path, left: str | None) -> None:
    settled(tmp_path)
    (tmp_path / "journal.run").unlink()
    if left is not None:
        (tmp_path / "journal.run").write_text(left)
    assert uncertain_before(tmp_path) == about_now()


def test_a_stamp_that_can_not_be_written_is_said_and_keeps_nobody_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".journal.run").mkdir()
    with caplog.at_level(logging.ERROR, "bx24.journal"):
        journal = Journal(tmp_path)
    assert "journal.run can't be written" in caplog.text
    assert journal.begin(CALL, 0)
    with pytest.raises(JournalError, match="journal.run can't be written"):
        journal.stamp()
    (tmp_path / ".journal.run").rmdir()
    journal.stamp()
    journal._file.database.execute("DELETE FROM marks WHERE name = 'uncertain_before'")
    journal.close()
    assert uncertain_before(tmp_path) == 0.0
