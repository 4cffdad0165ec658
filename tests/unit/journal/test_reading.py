"""What is told to a journal without a write of its own, and what is read of it without being its owner."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from freepbx_bx24.errors import JournalError
from freepbx_bx24.journal.reading import read_only
from freepbx_bx24.journal.records import FINISH, HUNG_UP, PARKED, REGISTER, LeftOut
from freepbx_bx24.journal.store import MOST_WAITING, Journal
from tests.support.in_time import in_time
from tests.support.journal_calls import ANSWER, CALL, call, end

LEFT_OUT = LeftOut("9.9", 1000.0, "in", "+79160000001", "the number is excluded")


def stored_lines(folder: Path) -> list[str]:
    """The lines that are in the file, as another process sees it."""
    with read_only(folder) as journal:
        return [line.what for line in journal.story("1.1")]


def commits(journal: Journal) -> list[str]:
    """Every statement from now on that ends a transaction."""
    ended: list[str] = []
    journal._file.database.set_trace_callback(lambda text: ended.append(text) if text == "COMMIT" else None)
    return ended


# -- stories -------------------------------------------------------------------------------------------------


def test_lines_that_can_wait_go_with_the_next_write_and_cost_none_of_their_own(
    journal: Journal, tmp_path: Path
) -> None:
    ended = commits(journal)
    journal.tell_soon("1.1", "came", "from somebody")
    journal.begin(CALL, due=0)
    journal.tell_soon("1.1", "register", "asked")
    journal.tell_soon("1.1", "dialplan", "told")
    assert stored_lines(tmp_path) == ["came"]
    journal.registered("1.1", ANSWER)
    assert stored_lines(tmp_path) == ["came", "register", "dialplan"]
    assert len(ended) == 2


def test_a_line_says_when_it_happened_not_when_it_was_written(journal: Journal) -> None:
    journal.begin(CALL, due=0)
    began = time.time()
    journal.tell_soon("1.1", "register")
    time.sleep(0.2)
    journal.ended(end("1.1"), due=0)
    (line,) = journal.story("1.1")
    in_time(line.at - began, 0.15)


def test_whoever_reads_a_story_from_its_journal_misses_nothing(journal: Journal) -> None:
    journal.begin(CALL, due=0)
    journal.tell_soon("1.1", "register", "a\x1b[2Jb")
    assert [(line.what, line.detail) for line in journal.story("1.1")] == [("register", "a?[2Jb")]


def test_what_waits_is_written_when_the_journal_closes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(CALL, due=0)
    journal.tell_soon("1.1", "register")
    journal.close()
    assert stored_lines(tmp_path) == ["register"]


def test_a_write_that_fails_loses_no_line_and_none_is_there_twice(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.begin(CALL, due=0)
    journal.tell_soon("1.1", "first")
    change = journal._file.change

    def refuse(step: Any) -> None:
        def with_a_full_disk(database: sqlite3.Connection) -> None:
            step(database)
            raise sqlite3.OperationalError("database or disk is full")

        change(with_a_full_disk)

    monkeypatch.setattr(journal._file, "change", refuse)
    with pytest.raises(JournalError, match="full"):
        journal.registered("1.1", ANSWER)
    monkeypatch.undo()
    journal.tell_soon("1.1", "second")
    assert [line.what for line in journal.story("1.1")] == ["first", "second"]
    assert journal.entry("1.1").registered is None


def test_lines_told_within_several_steps_that_are_one_are_a_part_of_it(journal: Journal) -> None:
    journal.begin(CALL, due=0)
    ended = commits(journal)

    def told(what: str) -> Callable[[Journal], None]:
        def step(one: Journal) -> None:
            one.tell_soon("1.1", what)
            one.keep_legs("1.1", what)

        return step

    journal.as_one([told("first"), told("second")])
    assert len(ended) == 1
    assert [line.what for line in journal.story("1.1")] == ["first", "second"]
    assert len(ended) == 1

    def fails(one: Journal) -> None:
        told("third")(one)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        journal.as_one([fails])
    journal.stamp()
    assert [line.what for line in journal.story("1.1")] == ["first", "second", "third"]
    entry = journal.entry("1.1")
    assert entry is not None
    assert entry.legs == "second"


def test_a_disk_that_stays_full_does_not_fill_the_memory(journal: Journal) -> None:
    for number in range(MOST_WAITING + 500):
        journal.tell_soon("1.1", str(number))
    assert len(journal._waiting) == MOST_WAITING


def test_many_threads_may_tell_while_one_writes(journal: Journal) -> None:
    journal.begin(CALL, due=0)
    told = [threading.Thread(target=lambda: [journal.tell_soon("1.1", "line") for _ in range(10)]) for _ in range(5)]
    for thread in told:
        thread.start()
    for _ in range(20):
        journal.stamp()
    for thread in told:
        thread.join()
    assert len(journal.story("1.1")) == 50


# -- calls that are left out ---------------------------------------------------------------------------------


def test_a_call_that_is_left_out_is_found_by_number_and_time_and_its_first_reason_stays(journal: Journal) -> None:
    journal.leave_out_soon(LEFT_OUT)
    journal.leave_out_soon(LeftOut("9.9", 1001.0, "in", "", "another reason"))
    assert journal.left_out(0, 2000) == journal.left_out(0, 2000, "+79160000001") == [LEFT_OUT]
    assert journal.left_out(0, 2000, "9.9") == [LEFT_OUT]
    assert journal.left_out(0, 1000) == journal.left_out(1000.5, 2000) == journal.left_out(0, 2000, "+7916") == []


def test_of_calls_that_are_left_out_the_newest_1000_are_kept_and_not_longer_than_calls(journal: Journal) -> None:
    for number in range(1200):
        journal.leave_out_soon(LeftOut(f"9.{number}", float(number), "in", "1", "why"))
    found = journal.left_out(0, 5000)
    assert [call.uniqueid for call in found] == [f"9.{number}" for number in range(200, 1200)]
    assert journal.prune(before=1199.0) == 0
    assert [call.uniqueid for call in journal.left_out(0, 5000)] == ["9.1199"]


def test_a_file_that_has_no_place_for_them_yet_gets_one(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as database:
        database.execute("DROP TABLE left_out")
    database.close()
    journal = Journal(tmp_path)
    journal.leave_out_soon(LEFT_OUT)
    assert journal.left_out(0, 2000) == [LEFT_OUT]
    journal.close()


# -- what is owed --------------------------------------------------------------------------------------------


def test_a_finish_is_owed_since_the_call_ended_and_a_register_since_it_came(journal: Journal) -> None:
    journal.begin(CALL, due=0)
    journal.tell("1.1", HUNG_UP, at=5000.0)
    journal.ended(end("1.1"), due=0)
    since = {one.item.kind: one.since for one in journal.owed_of(["1.1"])}
    assert since == {REGISTER: pytest.approx(time.time(), abs=10), FINISH: 5000.0}


def test_what_is_owed_of_many_calls_comes_in_one_answer(journal: Journal) -> None:
    for number in range(1100):
        journal.begin(call(f"{number}.1", number=f"+7916{number:07}"), due=0)
    owed = journal.owed_of([f"{number}.1" for number in range(1100)])
    assert {(one.item.uniqueid, one.number) for one in owed} == {
        (f"{number}.1", f"+7916{number:07}") for number in range(1100)
    }
    journal.park(owed[0].item.id, "no")
    assert journal.count_owed() == {"due": 1099, PARKED: 1}
    assert [one.item.id for one in journal.outbox((PARKED,))] == [owed[0].item.id]
    assert len(journal.outbox(most=7)) == 7


# -- without being the owner ---------------------------------------------------------------------------------


def test_a_reader_sees_what_is_written_while_the_owner_works_and_holds_it_up_in_nothing(
    journal: Journal, tmp_path: Path
) -> None:
    with read_only(tmp_path) as reading:
        journal.begin(CALL, due=0)
        assert [entry.uniqueid for entry in reading.calls(0, 1e11)] == ["1.1"]
        journal.begin(call("2.2"), due=0)
        assert len(reading.calls(0, 1e11)) == 2
        assert reading.entry("nobody") is None


def test_a_reader_can_write_nothing(journal: Journal, tmp_path: Path) -> None:
    with read_only(tmp_path) as reading, pytest.raises(JournalError, match="readonly"):
        reading._ask(lambda database: database.execute("DELETE FROM calls"))


def test_a_journal_of_another_version_is_left_to_the_service(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as database:
        database.execute("PRAGMA user_version = 1")
    database.close()
    with pytest.raises(JournalError, match="version 1") as raised, read_only(tmp_path):
        pass
    assert "Start the service once" in raised.value.hint
