"""A journal of version 1, made by that version's own schema, becomes one of today; a newer one is left alone."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from freepbx_bx24.call import Ending
from freepbx_bx24.errors import JournalError
from freepbx_bx24.journal import dialling, records, schema
from freepbx_bx24.journal.records import ATTACH, DONE, DUE, FINISH, PARKED, REGISTER, Delivery, Entry
from freepbx_bx24.journal.store import Journal
from tests.support.journal_calls import ANSWER, CALL, call, end

VERSION_1 = """
CREATE TABLE calls (
    uniqueid TEXT PRIMARY KEY,
    linkedid TEXT NOT NULL,
    external_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    number TEXT NOT NULL,
    line TEXT NOT NULL,
    started TEXT NOT NULL,
    registration TEXT NOT NULL,
    call_id TEXT,
    registered TEXT,
    outcome TEXT,
    finished INTEGER NOT NULL DEFAULT 0,
    written REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX calls_by_age ON calls (written);
CREATE TABLE deliveries (
    uniqueid TEXT NOT NULL REFERENCES calls ON DELETE CASCADE,
    kind TEXT NOT NULL,
    due REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT 'due',
    PRIMARY KEY (uniqueid, kind)
) WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (state, due);
PRAGMA user_version = 1;
"""
REGISTERING, OPEN, OWED, STUCK, FINISHED = "1.1", "2.2", "3.3", "4.4", "5.5"
DELIVERIES = [
    (REGISTERING, REGISTER, 100.0, 3, "the portal is down", DUE),
    (OPEN, REGISTER, 10.0, 1, "", DONE),
    (OWED, REGISTER, 10.0, 1, "", DONE),
    (OWED, FINISH, 40.0, 2, "the portal is slow", DUE),
    (STUCK, REGISTER, 30.0, 8, "the portal refused", PARKED),
    (STUCK, FINISH, 50.0, 0, "", DUE),
    (FINISHED, REGISTER, 10.0, 1, "", DONE),
    (FINISHED, FINISH, 20.0, 1, "", DONE),
]


def one_call(uniqueid: str) -> Entry:
    return Entry(
        call(uniqueid, number=f"+7{uniqueid}"),
        ANSWER if uniqueid in (OPEN, OWED, FINISHED) else None,
        end(uniqueid) if uniqueid in (OWED, STUCK, FINISHED) else None,
        uniqueid == FINISHED,
        parked=uniqueid == STUCK,
    )


def make_version_1(path: Path) -> None:
    """A file as version 1 left it: a call in each state, an owed and a parked item among them."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.executescript(VERSION_1)
        for uniqueid in (REGISTERING, OPEN, OWED, STUCK, FINISHED):
            entry = one_call(uniqueid)
            one = entry.registration
            database.execute(
                "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(uniqueid, one.linkedid, one.external_id, one.direction, one.number, one.line),
                    *(one.started.isoformat(), records.registration_to_text(one)),
                    entry.registered and entry.registered.call_id,
                    entry.registered and records.registered_to_text(entry.registered),
                    entry.outcome and records.outcome_to_text(entry.outcome),
                    *(entry.finished, 1000.0),
                ),
            )
        database.executemany("INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?)", DELIVERIES)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    make_version_1(tmp_path / "journal.sqlite")
    return tmp_path


def test_every_call_of_version_1_is_there_with_all_that_was_known(old: Path) -> None:
    journal = Journal(old)
    for uniqueid in (REGISTERING, OPEN, OWED, STUCK, FINISHED):
        assert journal.entry(uniqueid) == one_call(uniqueid)
    start = CALL.started.timestamp()
    assert len(journal.calls(start - 0.01, start + 0.01)) == 5
    assert journal.find(f"+7{OPEN}") == [OPEN]
    journal.close()


def test_what_version_1_owed_or_parked_is_owed_and_parked_as_it_was(old: Path) -> None:
    journal = Journal(old)
    items = {(item.uniqueid, item.kind): item for item in journal.owed()}
    owed = {row[:2]: row for row in DELIVERIES if row[-1] != DONE}
    assert items.keys() == owed.keys()
    for key, (uniqueid, kind, due, attempts, error, state) in owed.items():
        assert items[key] == Delivery(items[key].id, uniqueid, kind, "", due, attempts, 0, error, state)
    assert [(item.uniqueid, item.kind) for item in journal.deliverable(100.0, 9)] == [
        (REGISTERING, REGISTER),
        (OWED, FINISH),
    ]
    journal.registered(REGISTERING, ANSWER)
    journal.ended(end(OPEN), 0)
    journal.finished(OWED)
    assert [(item.uniqueid, item.kind) for item in journal.deliverable(100.0, 9)] == [(OPEN, FINISH)]
    journal.close()


def test_a_journal_that_was_brought_up_to_date_is_whole_and_like_a_new_one(old: Path, tmp_path: Path) -> None:
    journal = Journal(old)
    assert journal.uncertain_before == 0.0
    journal.close()
    (tmp_path / "new").mkdir()
    Journal(tmp_path / "new").close()

    def tables(folder: Path) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(folder / "journal.sqlite")) as database:
            assert database.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            assert database.execute("PRAGMA foreign_key_check").fetchall() == []
            assert database.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA_VERSION,)
            return database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()

    assert tables(old) == tables(tmp_path / "new")


def test_a_start_that_sqlite_can_not_read_hinders_nothing(old: Path) -> None:
    with closing(sqlite3.connect(old / "journal.sqlite")) as database, database:
        database.execute("UPDATE calls SET started = 'yesterday' WHERE uniqueid = ?", (OPEN,))
    journal = Journal(old)
    assert [entry.uniqueid for entry in journal.calls(999.0, 1001.0)] == [OPEN]  # the moment in which it was written
    journal.close()


def test_a_step_up_that_fails_leaves_the_file_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = schema._STEPS[1]
    monkeypatch.setitem(schema._STEPS, 1, whole + "INSERT INTO nowhere VALUES (1);")
    with pytest.raises(JournalError, match="no such table: main.nowhere|no such table: nowhere"):
        Journal(old)
    with closing(sqlite3.connect(old / "journal.sqlite")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM deliveries").fetchone() == (len(DELIVERIES),)
    monkeypatch.setitem(schema._STEPS, 1, whole)
    journal = Journal(old)
    assert journal.entry(OWED) == one_call(OWED)
    journal.close()


def test_a_journal_of_version_2_keeps_its_calls_and_forgets_that_a_dropped_call_could_have_a_recording(
    tmp_path: Path,
) -> None:
    version_2 = (
        schema._TABLES.replace(schema._CLICKS, "")
        .replace(",\n    ending TEXT", "")
        .replace(" AND call_id IS NOT NULL\n", "\n")
    )
    assert "ending" not in version_2
    make_version_1(tmp_path / "journal.sqlite")
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(schema._STEPS, 1, schema._FROM_1.replace(schema._TABLES, version_2))
        patched.setattr(schema, "SCHEMA_VERSION", 2)
        with closing(sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)) as database:
            assert schema.migrate(database) == 1
            database.execute("UPDATE calls SET finished = 1 WHERE uniqueid = ?", (REGISTERING,))  # as drop does
            database.execute(
                "INSERT INTO deliveries (uniqueid, kind, number, started_at, due) VALUES (?, 'attach', '', 0, 0)",
                (REGISTERING,),
            )
    journal = Journal(tmp_path)
    assert journal.entry(OWED) == one_call(OWED)
    assert ATTACH not in [item.kind for item in journal.deliverable(100.0, 9)]
    ending = Ending(OPEN, "in", CALL.started, dial_status="ANSWER", queue="400", files=("/m/a.wav", "b.wav"))
    assert journal.hung_up(ending)
    assert journal.entry(OPEN) == replace(one_call(OPEN), ending=ending)
    journal.close()


def test_a_journal_of_version_3_keeps_its_calls_and_learns_of_clicks(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(schema._STEPS, 0, schema._NEW.replace(schema._CLICKS, ""))
        patched.setattr(schema, "SCHEMA_VERSION", 3)
        journal = Journal(tmp_path)
        journal.begin(CALL, 0)
        journal.close()
    journal = Journal(tmp_path)
    assert journal.entry(CALL.uniqueid) == Entry(CALL)
    assert journal.dialling(lambda database: dialling.add(database, dialling.Row("click", 1.0, "+7"), 2.0)) == 1
    journal.close()


def test_what_an_earlier_version_wrote_of_a_calls_end_names_no_recordings() -> None:
    before = json.loads(records.ending_to_text(Ending(OPEN, "in", CALL.started, queue="400")))
    del before["files"], before["voicemail_file"]
    assert records.ending_from_text(json.dumps(before)) == Ending(OPEN, "in", CALL.started, queue="400")
