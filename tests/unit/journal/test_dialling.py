"""Clicks and callbacks are written down before they are dialled, and each is dialled by one alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Iterator

import pytest

from freepbx_bx24.journal import carry, dialling, schema
from freepbx_bx24.journal.database import connect
from freepbx_bx24.journal.dialling import CALLBACK, CLICK, DIALLING, OVER, REFUSED, WAITING, Row
from freepbx_bx24.journal.store import Journal

ONE = Row(CLICK, 1000.0, "+74950000001", "externalCall.1", 12)
FORM = Row(CALLBACK, 1000.0, "+74950000001")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    journal = Journal(tmp_path)
    yield journal.dialling(lambda database: database)
    journal.close()


def test_an_event_that_is_told_again_within_seconds_is_the_same_click(database: sqlite3.Connection) -> None:
    dialling.over(database, dialling.add(database, ONE, 1000.0))
    assert dialling.is_double(database, "externalCall.1", 1004.0)
    assert not dialling.is_double(database, "externalCall.1", 1006.0)
    assert not dialling.is_double(database, "externalCall.2", 1000.0)


def test_while_a_click_is_dialled_another_one_of_the_same_call_is_the_same(database: sqlite3.Connection) -> None:
    row = dialling.add(database, ONE, 1000.0)
    assert dialling.is_double(database, "externalCall.1", 1020.0)
    assert dialling.dial(database, row, "click1000.1")
    assert dialling.is_double(database, "externalCall.1", 1020.0)
    dialling.over(database, row)
    assert not dialling.is_double(database, "externalCall.1", 1020.0)
    assert dialling.is_tied(database, "externalCall.1") and not dialling.is_tied(database, "externalCall.2")


def test_one_alone_dials_what_waits(database: sqlite3.Connection) -> None:
    row = dialling.add(database, ONE, 1000.0)
    assert [dialling.dial(database, row, "click1000.1") for _ in range(2)] == [True, False]
    assert [(one.id, one.state, one.attempts) for one in dialling.open_rows(database, CLICK)] == [(row, DIALLING, 1)]
    dialling.put_off(database, row, 2000.0)
    assert [(one.state, one.due) for one in dialling.open_rows(database, CLICK)] == [(WAITING, 2000.0)]
    dialling.over(database, row)
    assert dialling.open_rows(database, CLICK) == []


def test_what_was_refused_uses_up_nothing(database: sqlite3.Connection) -> None:
    for state in (REFUSED, WAITING, OVER):
        dialling.add(database, Row(CLICK, 1.0, "+7", f"call.{state}", 12, state=state), 1000.0)
        dialling.add(database, Row(CALLBACK, 1.0, "+7", state=state), 1000.0)
    assert dialling.clicks_of(database, 12, 999.0) == 2
    assert (dialling.clicks_of(database, 12, 1000.0), dialling.clicks_of(database, 13, 999.0)) == (0, 0)
    assert dialling.callbacks(database, 999.0) == dialling.callbacks(database, 999.0, "+7") == 2
    assert dialling.callbacks(database, 999.0, "+8") == 0


def test_what_is_over_is_forgotten_after_its_time_and_nothing_else(database: sqlite3.Connection) -> None:
    over = dialling.add(database, ONE, 1000.0)
    dialling.over(database, over)
    waits = dialling.add(database, FORM, 1000.0)
    dialling.forget(database, 1001.0)
    assert not dialling.is_tied(database, "externalCall.1")
    assert [row.id for row in dialling.open_rows(database, CALLBACK)] == [waits]


def test_a_damaged_journal_hands_its_clicks_on(tmp_path: Path, database: sqlite3.Connection) -> None:
    dialling.add(database, ONE, 1000.0)
    with closing(connect(tmp_path / "new.sqlite")) as new:
        schema.migrate(new)
        database.row_factory = sqlite3.Row
        carry.over(database, new)
        assert dialling.is_double(new, "externalCall.1", 1000.0)
