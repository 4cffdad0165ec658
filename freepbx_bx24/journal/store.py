"""The journal's SQLite file: calls and deliveries, written by the one process that holds its lock."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from pathlib import Path
from typing import Any, Iterator

from ..call import Outcome, Registration
from ..errors import JournalError
from . import records
from .records import DONE, DUE, FINISH, PARKED, REGISTER, Delivery, Entry, Registered

SCHEMA_VERSION = 1
SCHEMA = """
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
"""
_DELIVERY_FIELDS = "uniqueid, kind, due, attempts, last_error, state"
# What is owed and can be delivered: a register, or anything of a call that is registered. Takes (DUE, REGISTER).
_DELIVERABLE = (
    "deliveries AS wanted WHERE state = ? AND (kind = ? OR EXISTS ("
    "SELECT 1 FROM calls WHERE calls.uniqueid = wanted.uniqueid AND call_id IS NOT NULL))"
)


class Journal:
    """Calls and deliveries. One thread at a time may use an object; another process can't open the same folder.

    :param folder: the state folder; the file is `journal.sqlite`, the lock `journal.lock`.
    :raises JournalError: where the folder can't be written or another process holds the lock.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = _take_lock(folder / "journal.lock")
        try:
            self._database = _opened(folder / "journal.sqlite")
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Close the file and let go of the lock."""
        self._database.close()
        os.close(self._lock)

    def begin(self, registration: Registration, due: float) -> bool:
        """Write a call down with its registration owed from `due` on; False where the call is known already."""
        with self._transaction() as database:
            added = database.execute(
                "INSERT OR IGNORE INTO calls (uniqueid, linkedid, external_id, direction, number, line, started,"
                " registration, written) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    registration.uniqueid,
                    registration.linkedid,
                    registration.external_id,
                    registration.direction,
                    registration.number,
                    registration.line,
                    registration.started.isoformat(),
                    records.registration_to_text(registration),
                    time.time(),
                ),
            ).rowcount
            if added:
                self._owe(database, registration.uniqueid, REGISTER, due)
        return bool(added)

    def registered(self, uniqueid: str, answer: Registered) -> bool:
        """The portal has the call: keep its answer, nothing more is owed for register; False for an unknown call."""
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE calls SET call_id = ?, registered = ? WHERE uniqueid = ?",
                (answer.call_id, records.registered_to_text(answer), uniqueid),
            ).rowcount
            self._settle(database, uniqueid, REGISTER, DONE, "")
        return bool(changed)

    def unregistered(self, uniqueid: str, due: float) -> None:
        """The portal lost the call: its registration is owed again."""
        with self._transaction() as database:
            database.execute("UPDATE calls SET call_id = NULL, registered = NULL WHERE uniqueid = ?", (uniqueid,))
            database.execute(
                "UPDATE deliveries SET state = ?, due = ? WHERE uniqueid = ? AND kind = ?",
                (DUE, due, uniqueid, REGISTER),
            )

    def ended(self, outcome: Outcome, due: float) -> bool:
        """Write down how a call ended, its finish owed from `due` on; False where that is known already."""
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE calls SET outcome = ? WHERE uniqueid = ? AND outcome IS NULL",
                (records.outcome_to_text(outcome), outcome.uniqueid),
            ).rowcount
            if changed:
                self._owe(database, outcome.uniqueid, FINISH, due)
        return bool(changed)

    def finished(self, uniqueid: str) -> None:
        """The portal knows how the call ended: nothing more is owed."""
        with self._transaction() as database:
            database.execute("UPDATE calls SET finished = 1 WHERE uniqueid = ?", (uniqueid,))
            self._settle(database, uniqueid, FINISH, DONE, "")

    def postpone(self, uniqueid: str, kind: str, due: float, error: str) -> None:
        """A delivery failed and is tried again from `due` on."""
        with self._transaction() as database:
            database.execute(
                "UPDATE deliveries SET due = ?, last_error = ?, attempts = attempts + 1"
                " WHERE uniqueid = ? AND kind = ? AND state = ?",
                (due, error, uniqueid, kind, DUE),
            )

    def park(self, uniqueid: str, kind: str, error: str) -> None:
        """A delivery can't succeed by being repeated: kept for a human, with its reason."""
        with self._transaction() as database:
            self._settle(database, uniqueid, kind, PARKED, error)

    def entry(self, uniqueid: str) -> Entry | None:
        """What is known of a call."""
        rows = self._read("SELECT registration, registered, outcome, finished FROM calls WHERE uniqueid = ?", uniqueid)
        if not rows:
            return None
        registration, registered, outcome, finished = rows[0]
        return Entry(
            records.registration_from_text(registration),
            records.registered_from_text(registered) if registered else None,
            records.outcome_from_text(outcome) if outcome else None,
            bool(finished),
        )

    def next_due(self, now: float) -> Delivery | None:
        """The delivery to make next: registers first, then by time; a finish only once its call is registered."""
        rows = self._read(
            f"SELECT {_DELIVERY_FIELDS} FROM {_DELIVERABLE} AND due <= ? ORDER BY kind = ? DESC, due LIMIT 1",
            *(DUE, REGISTER, now, REGISTER),
        )
        return Delivery(*rows[0]) if rows else None

    def earliest_due(self) -> float | None:
        """When `next_due` will have something (wall clock seconds), or None where that needs something else first."""
        due = self._read(f"SELECT min(due) FROM {_DELIVERABLE}", DUE, REGISTER)[0][0]
        return None if due is None else float(due)

    def owed(self) -> list[Delivery]:
        """All that is still owed or parked, the oldest first."""
        rows = self._read(f"SELECT {_DELIVERY_FIELDS} FROM deliveries WHERE state != ? ORDER BY due", DONE)
        return [Delivery(*row) for row in rows]

    def prune(self, before: float, most: int = 200) -> int:
        """Forget finished calls written before that time, a few at once; returns how many went."""
        with self._transaction() as database:
            return database.execute(
                "DELETE FROM calls WHERE uniqueid IN (SELECT uniqueid FROM calls WHERE written < ? AND finished = 1"
                " LIMIT ?)",
                (before, most),
            ).rowcount

    def _owe(self, database: sqlite3.Connection, uniqueid: str, kind: str, due: float) -> None:
        database.execute(
            "INSERT OR IGNORE INTO deliveries (uniqueid, kind, due) VALUES (?, ?, ?)", (uniqueid, kind, due)
        )

    def _settle(self, database: sqlite3.Connection, uniqueid: str, kind: str, state: str, error: str) -> None:
        database.execute(
            "UPDATE deliveries SET state = ?, last_error = ?, attempts = attempts + 1 WHERE uniqueid = ? AND kind = ?",
            (state, error, uniqueid, kind),
        )

    def _read(self, query: str, *values: object) -> list[Any]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise JournalError(f"the journal can't be read: {error}") from error

    def _transaction(self) -> _Transaction:
        return _Transaction(self._database)


class _Transaction:
    """BEGIN IMMEDIATE to COMMIT; rolled back where anything is raised, and SQLite's errors become ours."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    def __enter__(self) -> sqlite3.Connection:
        try:
            self.database.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise JournalError(f"the journal can't be written: {error}") from error
        return self.database

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self.database.execute("COMMIT" if kind is None else "ROLLBACK")
        except sqlite3.Error as failure:
            if self.database.in_transaction:
                self.database.execute("ROLLBACK")
            if kind is None:
                raise JournalError(f"the journal can't be written: {failure}") from failure
        if isinstance(error, sqlite3.Error):
            raise JournalError(f"the journal can't be written: {error}") from error


def _opened(path: Path) -> sqlite3.Connection:
    """The database, its schema made where it is new.

    :raises JournalError: where it can't be opened or is of a newer version.
    """
    try:
        database = sqlite3.connect(str(path), isolation_level=None, check_same_thread=False, timeout=5)
    except sqlite3.Error as error:
        raise JournalError(f"{path} can't be opened: {error}") from error
    try:
        # FULL: a call that was acknowledged survives a power cut; WAL: readers never hold the writer up.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            database.execute(f"PRAGMA {pragma}")
        _migrate(database)
    except BaseException as error:
        database.close()
        if isinstance(error, sqlite3.Error):
            raise JournalError(f"{path} can't be opened: {error}") from error
        raise
    return database


def _migrate(database: sqlite3.Connection) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"the journal was written by a newer version (schema {version}, this one knows {SCHEMA_VERSION})",
            "Install that version again, or move journal.sqlite away.",
        )
    if version == 0:
        database.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


def _take_lock(path: Path) -> int:
    """The one writer's lock: a lock on a file, which the kernel drops with the process, never a pid to guess by."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise JournalError(f"{path} can't be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise JournalError(
            f"another process holds {path}", "`bx24 serve` runs already: see `systemctl status freepbx-bx24`."
        ) from None
    return descriptor


def intake_files(folder: Path) -> Iterator[Path]:
    """What AGI scripts left while no service could answer them, in the order of writing."""
    try:
        names = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return
    yield from names
