"""Fills a journal with calls that are over, in seconds: a few by the journal's own steps, then copies of their rows."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from freepbx_bx24.journal.store import Journal
from tests.support.journal_calls import ANSWER, CALL, end

from .caller import client_of

BY_STEPS = 2000  # calls; some 0.3 ms each
STORY_LINES = 6
COPY = """
INSERT INTO calls SELECT {calls} FROM source_calls;
INSERT INTO deliveries SELECT {deliveries} FROM source_deliveries;
INSERT INTO story SELECT {story} FROM source_story;
"""


def fill(state: Path, calls: int) -> None:
    """A journal of so many calls, registered, told in full and finished; not one of them is owed."""
    by_steps = min(calls, BY_STEPS)
    with closing(Journal(state)) as journal:
        journal.as_one([lambda journal, number=number: _whole_call(journal, number) for number in range(by_steps)])
    with closing(sqlite3.connect(str(state / "journal.sqlite"), isolation_level=None)) as database:
        _copy(database, calls // by_steps - 1)


def _whole_call(journal: Journal, number: int) -> None:
    uniqueid = f"1690000000.{number}"
    started = datetime.now().astimezone() - timedelta(days=1, seconds=10 * number)
    registration = replace(
        CALL,
        uniqueid=uniqueid,
        linkedid=uniqueid,
        external_id=f"pbx-test-{uniqueid}",
        number=client_of(5_000_000 + number),
        started=started,
    )
    journal.begin(registration, time.time())
    journal.registered(uniqueid, replace(ANSWER, call_id=f"externalCall.{number}"), "http://127.0.0.1")
    for line in range(STORY_LINES):
        journal.tell(uniqueid, f"step {line}", "what a step of a call's life is told in, more or less")
    journal.ended(end(uniqueid), time.time())
    journal.finished(uniqueid)


def _copy(database: sqlite3.Connection, times: int) -> None:
    """Copy all rows so many times: calls of other names and, each time, of the day before."""
    tables = {"calls": "uniqueid", "deliveries": "id", "story": "id"}
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA cache_size = -200000")
    triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:  # the copied rows have their rank already
        database.execute(f"DROP TRIGGER {name}")
    selects = {}
    for table, key in tables.items():
        database.execute(f"CREATE TEMP TABLE source_{table} AS SELECT * FROM {table} ORDER BY {key}")
        changed = {
            "id": "NULL",
            "uniqueid": "'copy' || printf('%06d', {0}) || '-' || uniqueid",
            "started_at": "started_at - 86400.0 * {0} / 100",
        }
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        selects[table] = ", ".join(changed.get(column, column) for column in columns)
    database.execute("BEGIN")
    for time_of_it in range(1, times + 1):
        for statement in COPY.format(**selects).strip().splitlines():
            database.execute(statement.format(time_of_it))
    for _, sql in triggers:
        database.execute(sql)
    database.execute("COMMIT")
