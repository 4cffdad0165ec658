"""The journal's tables, how they are made, and how a file of an older version becomes one of today's."""

from __future__ import annotations

import sqlite3

from ..errors import JournalError

SCHEMA_VERSION = 4

# Where a delivery stands in the order follows from its call alone, so the file itself keeps it true, whoever writes:
# rank: 0 the register of a call still going on, 1 of one that has ended, 2 cards, 3 finish, 4 recording;
# reachable: the portal knows what the delivery needs: the call for a card and the end, both for a recording.
_PLACE = """
    UPDATE deliveries SET (rank, reachable) = (
        SELECT
            CASE deliveries.kind
                WHEN 'register' THEN outcome IS NOT NULL WHEN 'finish' THEN 3 WHEN 'attach' THEN 4 ELSE 2 END,
            CASE deliveries.kind
                WHEN 'register' THEN 1 WHEN 'attach' THEN finished AND call_id IS NOT NULL
                ELSE call_id IS NOT NULL END
        FROM calls WHERE calls.uniqueid = deliveries.uniqueid)
"""
_TRIGGERS = f"""
CREATE TRIGGER delivery_added AFTER INSERT ON deliveries BEGIN {_PLACE} WHERE id = NEW.id; END;
CREATE TRIGGER call_changed AFTER UPDATE OF call_id, outcome, finished ON calls
    BEGIN {_PLACE} WHERE uniqueid = NEW.uniqueid; END;
"""
# Clicks and callbacks of the portal, from the event to the end of what was dialled for them; `dial` is JSON text.
_CLICKS = """
CREATE TABLE clicks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    at REAL NOT NULL,
    number TEXT NOT NULL,
    call_id TEXT NOT NULL DEFAULT '',
    user_id INTEGER NOT NULL DEFAULT 0,
    dial TEXT NOT NULL DEFAULT '',
    uniqueid TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL,
    due REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    came REAL NOT NULL
);
CREATE INDEX clicks_by_call ON clicks (call_id);
CREATE INDEX clicks_by_time ON clicks (came);
CREATE INDEX clicks_open ON clicks (kind, id) WHERE state IN ('waiting', 'dialling');
"""
# Rows of a kilobyte have a rowid (version 1 had none): the pages above them then hold keys alone, so that they are few
# and a lost one takes less along. `started_at` is the start in wall clock seconds. `number` and `started_at` never
# change, so deliveries repeat them: the order by client number is then one index. Ids are never used twice: people
# type them.
_TABLES = f"""
CREATE TABLE calls (
    uniqueid TEXT NOT NULL PRIMARY KEY,
    linkedid TEXT NOT NULL,
    external_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    number TEXT NOT NULL,
    line TEXT NOT NULL,
    started TEXT NOT NULL,
    started_at REAL NOT NULL,
    user_id INTEGER NOT NULL DEFAULT 0,
    rule TEXT NOT NULL DEFAULT '',
    registration TEXT NOT NULL,
    portal TEXT NOT NULL DEFAULT '',
    call_id TEXT,
    registered TEXT,
    legs TEXT NOT NULL DEFAULT '',
    outcome TEXT,
    finished INTEGER NOT NULL DEFAULT 0,
    written REAL NOT NULL,
    ending TEXT
);
CREATE INDEX calls_by_start ON calls (started_at);
CREATE INDEX calls_by_number ON calls (number, started_at);
CREATE INDEX calls_to_forget ON calls (written) WHERE finished = 1;
CREATE INDEX calls_without_end ON calls (written) WHERE finished = 0 AND outcome IS NULL;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uniqueid TEXT NOT NULL REFERENCES calls ON DELETE CASCADE,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL DEFAULT '',
    number TEXT NOT NULL,
    started_at REAL NOT NULL,
    rank INTEGER NOT NULL DEFAULT 4,
    reachable INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    refusals INTEGER NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT 'due'
);
CREATE UNIQUE INDEX deliveries_once ON deliveries (uniqueid, kind) WHERE kind IN ('register', 'finish');
CREATE INDEX deliveries_of_call ON deliveries (uniqueid, kind);
CREATE INDEX deliveries_ready ON deliveries (rank, due) WHERE state = 'due' AND reachable = 1;
CREATE INDEX deliveries_holding_up ON deliveries (kind, number, started_at, uniqueid)
    WHERE state = 'due' AND refusals = 0;
CREATE INDEX deliveries_owed ON deliveries (due) WHERE state IN ('due', 'parked', 'held');
{_TRIGGERS}
CREATE TABLE story (
    id INTEGER PRIMARY KEY,
    uniqueid TEXT NOT NULL REFERENCES calls ON DELETE CASCADE,
    at REAL NOT NULL,
    what TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX story_of_call ON story (uniqueid);
CREATE TABLE marks (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
{_CLICKS}
"""
# Of use to people alone, so a file without it is none of an older version.
_LEFT_OUT = """
CREATE TABLE IF NOT EXISTS left_out (
    id INTEGER PRIMARY KEY,
    uniqueid TEXT NOT NULL UNIQUE,
    at REAL NOT NULL,
    direction TEXT NOT NULL,
    number TEXT NOT NULL,
    why TEXT NOT NULL
)
"""
# Version 1 had no ids, no payload, no count of refusals. The order of its rows by due time is all there is to number
# them by; a start that SQLite can't read is taken for the moment of writing.
_FROM_1 = f"""
ALTER TABLE calls RENAME TO calls_1;
ALTER TABLE deliveries RENAME TO deliveries_1;
DROP INDEX calls_by_age;
DROP INDEX deliveries_due;
{_TABLES}
INSERT INTO calls (uniqueid, linkedid, external_id, direction, number, line, started, started_at, registration,
                   call_id, registered, outcome, finished, written)
    SELECT uniqueid, linkedid, external_id, direction, number, line, started,
           coalesce((julianday(started) - 2440587.5) * 86400.0, written), registration,
           call_id, registered, outcome, finished, written FROM calls_1;
INSERT INTO deliveries (uniqueid, kind, number, started_at, due, attempts, last_error, state)
    SELECT old.uniqueid, kind, number, started_at, due, attempts, last_error, state
    FROM deliveries_1 AS old JOIN calls USING (uniqueid) ORDER BY kind DESC, due;
DROP TABLE deliveries_1;
DROP TABLE calls_1;
"""
# Version 2 did not keep what the hangup handler said, and took a dropped call for one that could have a recording.
_FROM_2 = f"""
ALTER TABLE calls ADD COLUMN ending TEXT;
DROP TRIGGER delivery_added;
DROP TRIGGER call_changed;
{_TRIGGERS}
{_PLACE};
{_CLICKS}
"""
# A new journal does not know what an earlier one, if there was one, had delivered.
_NEW = f"""{_TABLES}
INSERT INTO marks VALUES ('uncertain_before', (julianday('now') - 2440587.5) * 86400.0);
"""
_STEPS = {0: _NEW, 1: _FROM_1, 2: _FROM_2, 3: _CLICKS}  # version 3 knew no clicks


def version_of(database: sqlite3.Connection) -> int:
    """The version of a file; 0 for an empty one.

    :raises sqlite3.Error: where it can't be read.
    """
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def refuse_newer(version: int) -> None:
    """Keep off what a newer version wrote.

    :raises JournalError: for such a version.
    """
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"the journal was written by a newer version (schema {version}, this one knows {SCHEMA_VERSION})",
            "Install that version again, or move journal.sqlite away.",
        )


def migrate(database: sqlite3.Connection) -> int:
    """Make the tables, or bring those of an older version up to date, in one transaction; returns the old version.

    :raises JournalError: where the file is of a newer version.
    :raises sqlite3.Error: where it can't be written; it is then as it was.
    """
    version = version_of(database)
    refuse_newer(version)
    if version in _STEPS:
        try:
            database.executescript(
                f"BEGIN IMMEDIATE; {_STEPS[version]} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        except sqlite3.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
    database.execute(_LEFT_OUT)
    return version
