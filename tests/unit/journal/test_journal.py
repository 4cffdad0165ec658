"""What the journal keeps, in which order it is owed, who may write it, and what survives a kill or a full disk."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from freepbx_bx24.call import Entity, Outcome, Person, Registration
from freepbx_bx24.errors import JournalError
from freepbx_bx24.journal import records
from freepbx_bx24.journal.intake_folder import intake_files
from freepbx_bx24.journal.records import DUE, FINISH, PARKED, REGISTER, Entry, Registered
from freepbx_bx24.journal.schema import SCHEMA_VERSION
from freepbx_bx24.journal.store import Journal
from tests.support.agi_script import REPOSITORY
from tests.support.in_time import in_time
from tests.support.journal_calls import ANSWER, CALL, END, MOSCOW, call, end


def owed(journal: Journal) -> list[tuple[str, str, str]]:
    return [(delivery.uniqueid, delivery.kind, delivery.state) for delivery in journal.owed()]


# -- several steps as one ------------------------------------------------------------------------------------


def test_several_steps_as_one_wait_for_the_disk_once(journal: Journal) -> None:
    said: list[str] = []
    journal._file.database.set_trace_callback(said.append)
    journal.as_one([lambda journal, one=one: journal.begin(call(f"{one}.1"), 0) for one in range(50)])
    assert [text for text in said if text.startswith(("BEGIN", "COMMIT"))] == ["BEGIN IMMEDIATE", "COMMIT"]
    assert len(journal.deliverable(1.0, 100)) == 1, "of one client"
    assert len(journal.owed()) == 50


def test_of_several_steps_as_one_all_are_done_or_none_and_the_next_step_is_its_own_again(journal: Journal) -> None:
    def fail(journal: Journal) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        journal.as_one([lambda journal: journal.begin(CALL, 0), fail])
    assert journal.entry("1.1") is None
    assert journal.begin(CALL, 0)
    assert not journal._file.database.in_transaction


# -- a call's way through it ---------------------------------------------------------------------------------


def test_a_call_that_begins_owes_its_registration_from_the_time_that_was_said(journal: Journal) -> None:
    assert journal.begin(CALL, due=100.0)
    assert journal.entry("1.1") == Entry(CALL)
    assert journal.next_due(99.9) is None
    assert journal.next_due(100.0) == records.Delivery(1, "1.1", REGISTER, "", 100.0, 0, 0, "", DUE)


def test_a_call_begins_once(journal: Journal) -> None:
    journal.begin(CALL, due=100.0)
    assert not journal.begin(replace(CALL, number="+70000000000"), due=5.0)
    assert journal.entry("1.1") == Entry(CALL)
    assert journal.earliest_due(0) == 100.0


def test_a_call_that_was_never_heard_of_is_none(journal: Journal) -> None:
    assert journal.entry("nobody") is None
    assert journal.next_due(1e12) is None
    assert journal.earliest_due(0) is None


def test_the_portals_answer_is_kept_and_nothing_is_owed_for_register(journal: Journal) -> None:
    journal.begin(CALL, due=0)
    journal.registered("1.1", ANSWER)
    assert journal.entry("1.1") == Entry(CALL, ANSWER)
    assert owed(journal) == []


def test_the_end_of_a_registered_call_is_owed_and_after_it_nothing_is(journal: Journal) -> None:
    journal.begin(CALL, due=0)
    journal.registered("1.1", ANSWER)
    assert journal.ended(END, due=5.0)
    assert journal.earliest_due(0) == 5.0
    delivery = journal.next_due(5.0)
    assert delivery is not None
    assert delivery.kind == FINISH
    journal.finished("1.1")
    assert journal.entry("1.1") == Entry(CALL, ANSWER, END, finished=True)
    assert owed(journal) == []


def test_a_call_ends_once(journal: Journal) -> None:
    journal.begin(CALL, due=0)
    journal.ended(END, due=0)
    assert not journal.ended(replace(END, talk_seconds=99), due=0)
    entry = journal.entry("1.1")
    assert entry is not None
    assert entry.outcome == END


def test_the_end_of_an_unknown_call_changes_nothing_and_says_so(journal: Journal) -> None:
    assert not journal.ended(END, due=0)
    assert owed(journal) == []


def test_a_finish_waits_until_its_call_is_registered(journal: Journal) -> None:
    journal.begin(CALL, due=50.0)
    journal.ended(END, due=1.0)
    assert journal.next_due(49.0) is None
    assert journal.earliest_due(0) == 50.0  # not 1.0: whoever sleeps until then would wake for nothing, again and again
    journal.registered("1.1", ANSWER)
    assert journal.earliest_due(0) == 1.0


def test_registers_come_first_then_what_has_been_due_for_longest(journal: Journal) -> None:
    for uniqueid in ("1.1", "2.2", "3.3"):
        journal.begin(call(uniqueid, number=uniqueid), due=10.0)
        journal.registered(uniqueid, ANSWER)
    journal.ended(end("2.2"), due=3.0)
    journal.ended(end("1.1"), due=1.0)
    journal.ended(end("3.3"), due=2.0)
    journal.begin(call("5.5", number="5"), due=9.0)
    journal.begin(call("4.4", number="4"), due=8.0)
    order = []
    while (delivery := journal.next_due(10.0)) is not None:
        order.append((delivery.uniqueid, delivery.kind))
        if delivery.kind == REGISTER:
            journal.registered(delivery.uniqueid, ANSWER)
        else:
            journal.finished(delivery.uniqueid)
    assert order == [("4.4", REGISTER), ("5.5", REGISTER), ("1.1", FINISH), ("3.3", FINISH), ("2.2", FINISH)]


def test_what_failed_comes_again_at_its_time_with_its_count_and_reason(journal: Journal) -> None:
    journal.begin(CALL, due=0)
    journal.postpone(("1.1", REGISTER), 30.0, "the portal is slow", refused=True)
    journal.postpone(1, 60.0, "the portal is down")
    assert journal.next_due(59.0) is None
    assert journal.next_due(60.0) == records.Delivery(1, "1.1", REGISTER, "", 60.0, 2, 1, "the portal is down", DUE)


def test_what_is_done_can_not_be_postponed(journal: Journal) -> None:
    journal.begin(CALL, due=0)
    journal.registered("1.1", ANSWER)
    assert not journal.postpone(("1.1", REGISTER), 1.0, "late news")
    assert owed(journal) == []


def test_what_is_parked_is_not_tried_again_but_stays_visible_with_its_reason(journal: Journal) -> None:
    journal.begin(CALL, due=0)
    journal.ended(END, due=0)
    assert journal.park(("1.1", REGISTER), "the portal knows nobody")
    assert journal.next_due(1e12) is None
    assert journal.earliest_due(0) is None
    assert sorted(owed(journal)) == [("1.1", FINISH, DUE), ("1.1", REGISTER, PARKED)]
    assert [delivery.last_error for delivery in journal.owed() if delivery.kind == REGISTER] == [
        "the portal knows nobody"
    ]


def test_a_call_that_the_portal_lost_is_registered_again_before_it_is_finished(journal: Journal) -> None:
    journal.begin(CALL, due=0)
    journal.registered("1.1", ANSWER)
    journal.ended(END, due=1.0)
    journal.unregistered("1.1", due=20.0)
    assert journal.entry("1.1") == Entry(CALL, None, END)
    assert journal.earliest_due(0) == 20.0
    again = journal.next_due(20.0)
    assert again is not None
    assert again.kind == REGISTER
    journal.registered("1.1", replace(ANSWER, call_id="externalCall.new"))
    finish = journal.next_due(20.0)
    assert finish is not None
    assert finish.kind == FINISH


# -- pruning -------------------------------------------------------------------------------------------------


def test_old_finished_calls_are_forgotten_a_few_at_once_and_no_others(journal: Journal) -> None:
    for number in range(5):
        journal.begin(call(f"{number}.1"), due=0)
        journal.registered(f"{number}.1", ANSWER)
    for number in range(4):
        journal.ended(end(f"{number}.1"), due=0)
        journal.finished(f"{number}.1")
    assert journal.prune(time.time() - 60) == 0
    assert journal.prune(time.time() + 60, most=3) == 3
    assert journal.prune(time.time() + 60, most=3) == 1
    assert journal.prune(time.time() + 60, most=3) == 0
    assert journal.entry("4.1") == Entry(call("4.1"), ANSWER)


def test_what_is_forgotten_leaves_no_deliveries_behind(journal: Journal, tmp_path: Path) -> None:
    journal.begin(CALL, due=0)
    journal.registered("1.1", ANSWER)
    journal.ended(END, due=0)
    journal.finished("1.1")
    journal.prune(time.time() + 60)
    with sqlite3.connect(str(tmp_path / "journal.sqlite")) as reader:
        assert reader.execute("SELECT count(*) FROM deliveries").fetchone() == (0,)
    reader.close()


# -- one writer, and what survives ---------------------------------------------------------------------------


def program(code: str, folder: Path) -> list[str]:
    """A Python program that has the names of this module, and the folder."""
    preamble = f"from tests.unit.journal.test_journal import *\nfolder = Path({str(folder)!r})\n"
    return [sys.executable, "-c", preamble + code]


def in_another_process(code: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        program(code, folder), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_a_second_process_is_refused_with_what_to_look_at(journal: Journal, tmp_path: Path) -> None:
    code = "try: Journal(folder)\nexcept JournalError as error: print(error, '|', error.hint)"
    printed, _ = in_another_process(code, tmp_path).communicate(timeout=30)
    assert f"another process holds {tmp_path / 'journal.lock'}" in printed
    assert "systemctl status freepbx-bx24" in printed


def test_a_second_journal_in_the_same_process_is_refused_too(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="another process"):
        Journal(tmp_path)


def test_the_next_may_write_once_the_first_has_closed(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.begin(CALL, due=0)
    first.close()
    second = Journal(tmp_path)
    assert second.entry("1.1") == Entry(CALL)
    second.close()


def test_what_was_acknowledged_is_there_after_a_kill_and_the_lock_went_with_the_process(tmp_path: Path) -> None:
    code = (
        "journal = Journal(folder)\n"
        "journal.begin(CALL, 7.0); journal.registered('1.1', ANSWER); journal.ended(END, 8.0)\n"
        "print('written', flush=True)\n"
        "journal._file.database.execute('BEGIN IMMEDIATE')\n"
        "journal._file.database.execute('DELETE FROM calls')\n"
        "print('in the middle', flush=True)\n"
        "time.sleep(60)\n"
    )
    writer = in_another_process(code, tmp_path)
    assert writer.stdout
    assert [writer.stdout.readline(), writer.stdout.readline()] == ["written\n", "in the middle\n"]
    reader = sqlite3.connect(f"file:{tmp_path / 'journal.sqlite'}?mode=ro", uri=True)
    assert reader.execute("SELECT uniqueid, call_id FROM calls").fetchall() == [("1.1", ANSWER.call_id)]
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert reader.execute("SELECT uniqueid, kind, due FROM deliveries WHERE state = 'due'").fetchall() == [
        ("1.1", FINISH, 8.0)
    ]
    reader.close()
    after = Journal(tmp_path)
    assert after.entry("1.1") == Entry(CALL, ANSWER, END)
    assert owed(after) == [("1.1", FINISH, DUE)]
    after.close()


def test_a_reader_never_holds_the_writer_up(journal: Journal, tmp_path: Path) -> None:
    journal.begin(CALL, due=0)
    reader = sqlite3.connect(str(tmp_path / "journal.sqlite"), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM calls").fetchall()
    began = time.monotonic()
    journal.registered("1.1", ANSWER)
    in_time(time.monotonic() - began, 1)
    reader.close()


def test_a_journal_of_a_newer_version_is_refused_with_what_to_do_and_left_as_it_is(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    with sqlite3.connect(str(tmp_path / "journal.sqlite")) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    before = (tmp_path / "journal.sqlite").read_bytes()
    for _ in range(2):  # the second time too: a refused journal lets go of its lock
        with pytest.raises(JournalError, match="newer version") as caught:
            Journal(tmp_path)
        assert "Install that version again" in caught.value.hint
    assert (tmp_path / "journal.sqlite").read_bytes() == before


def test_a_folder_that_is_missing_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file or directory") as caught:
        Journal(tmp_path / "nowhere")
    assert "/var/lib/freepbx-bx24" in caught.value.hint


def test_a_journal_whose_tables_are_gone_is_a_journal_error_when_read(journal: Journal) -> None:
    journal._file.database.execute("DROP TABLE deliveries")
    for read in (lambda: journal.next_due(0), lambda: journal.earliest_due(0), journal.owed):
        with pytest.raises(JournalError, match="can't be read"):
            read()


def test_a_full_disk_is_a_journal_error_and_once_there_is_room_the_journal_works_again(tmp_path: Path) -> None:
    code = (
        "import resource\n"
        "journal = Journal(folder); journal.begin(CALL, 0)\n"
        "used = max(path.stat().st_size for path in folder.iterdir())\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (used, resource.RLIM_INFINITY))\n"
        "for step in (lambda: journal.begin(call('2.2'), 0), lambda: journal.registered('1.1', ANSWER)):\n"
        "    try: step(); print('written?')\n"
        "    except JournalError as error: print('refused:', error)\n"
        "print(journal.entry('1.1') == Entry(CALL), journal.entry('2.2'))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "print(journal.begin(call('2.2'), 0)); journal.registered('1.1', ANSWER)\n"
        "print(journal.entry('1.1') == Entry(CALL, ANSWER), journal.entry('2.2') == Entry(call('2.2')))\n"
        "print(journal._file.database.execute('PRAGMA integrity_check').fetchall(), journal.stamp())\n"
    )
    printed, _ = in_another_process(code, tmp_path).communicate(timeout=30)
    lines = printed.splitlines()
    assert [line.startswith("refused: the journal can't be written") for line in lines[:2]] == [True, True], printed
    assert lines[2:] == ["True None", "True", "True True", "[('ok',)] None"]


def test_a_disk_without_room_is_a_journal_error_and_with_room_the_journal_works_again(tmp_path: Path) -> None:
    code = (
        "import subprocess\n"
        "subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', str(folder)], check=True)\n"
        "journal = Journal(folder); journal.begin(CALL, 0)\n"
        "try: (folder / 'ballast').write_bytes(b'x' * 1000000)\n"
        "except OSError as error: print(error.strerror)\n"
        "try: journal.begin(call('2.2'), 0); print('written?')\n"
        "except JournalError as error: print('refused:', error)\n"
        "(folder / 'ballast').unlink()\n"
        "print(journal.begin(call('2.2'), 0), journal.entry('1.1') == Entry(CALL))\n"
        "print(journal._file.database.execute('PRAGMA integrity_check').fetchall(), journal.stamp())\n"
    )
    done = subprocess.run(
        ["unshare", "--mount", *program(code, tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "No space left on device"
    assert lines[1].startswith("refused: the journal can't be written"), done.stdout
    assert lines[2:] == ["True True", "[('ok',)] None"]


# -- records and intake --------------------------------------------------------------------------------------

TEXT = some.text(some.characters(blacklist_categories=("Cs",)), max_size=30)
PEOPLE = some.lists(some.builds(Person, TEXT, some.integers(0, 10**10)), max_size=3).map(tuple)
ENTITIES = some.none() | some.builds(Entity, TEXT, some.integers(0, 10**18))


@given(
    some.builds(
        Registration,
        **dict.fromkeys(("uniqueid", "linkedid", "external_id", "direction", "number", "line", "source"), TEXT),
        people=PEOPLE,
        started=some.datetimes(timezones=some.just(MOSCOW)),
        create=some.booleans(),
        show=some.booleans(),
        entity=ENTITIES,
    )
)
def test_a_registration_comes_back_from_its_text_as_it_was(registration: Registration) -> None:
    assert records.registration_from_text(records.registration_to_text(registration)) == registration


@given(some.builds(Registered, TEXT, some.integers(), ENTITIES, some.integers()))
def test_an_answer_comes_back_from_its_text_as_it_was(answer: Registered) -> None:
    assert records.registered_from_text(records.registered_to_text(answer)) == answer


@given(some.builds(Outcome, TEXT, PEOPLE, some.integers(), TEXT, TEXT))
def test_an_outcome_comes_back_from_its_text_as_it_was(outcome: Outcome) -> None:
    assert records.outcome_from_text(records.outcome_to_text(outcome)) == outcome


def test_intake_files_come_in_the_order_of_writing_without_those_that_are_still_written(tmp_path: Path) -> None:
    for name in ("2-finish-1.1.frame", "1-register-1.1.result", ".3-register-2.2"):
        (tmp_path / name).touch()
    assert [path.name for path in intake_files(tmp_path)] == ["1-register-1.1.result", "2-finish-1.1.frame"]
    assert list(intake_files(tmp_path / "nowhere")) == []
