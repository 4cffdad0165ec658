"""One SQLite file of ours: locked, opened, looked over, written in whole transactions; its errors become ours."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Callable, TypeVar

from ..errors import JournalError
from . import schema

Answer = TypeVar("Answer")
Step = Callable[[sqlite3.Connection], Answer]

# SQLITE_CORRUPT and SQLITE_NOTADB; Python tells codes since 3.11, before that there is the text alone.
_DAMAGE_CODES = (11, 26)
_DAMAGE_WORDS = ("malformed", "not a database", "could not decode")
# What reading a damaged file raises: the module can't decode SQLite's own messages where they quote garbage.
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
_NOT_OURS = ("no such table", "no such column")


def connect(path: Path) -> sqlite3.Connection:
    """Open the file read-write, look it over, and bring it to today's version.

    :raises JournalError: where the file is of a newer version.
    :raises sqlite3.Error, UnicodeDecodeError: where it can't be opened; `is_damage` says whether it is broken.
    """
    database = sqlite3.connect(str(path), isolation_level=None, check_same_thread=False, timeout=5)
    try:
        schema.refuse_newer(schema.version_of(database))
        _look_over(database)
        # FULL: a call that was acknowledged survives a power cut; WAL: readers never hold the writer up.
        # cache_size in KiB: the calls of now. More of the file is in the system's memory, and costs no more there.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-512"):
            database.execute(f"PRAGMA {pragma}")
        schema.migrate(database)
        _look_for_tables(database)
    except BaseException:
        database.close()
        raise
    return database


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file itself is broken, not that it can't be reached or written."""
    if not isinstance(error, sqlite3.DatabaseError):
        return isinstance(error, UnicodeDecodeError)
    code = getattr(error, "sqlite_errorcode", None)
    said = str(error).lower()
    return (code is not None and code & 0xFF in _DAMAGE_CODES) or any(word in said for word in _DAMAGE_WORDS)


def ask(database: sqlite3.Connection, step: Step[Answer]) -> Answer:
    """Have a step read.

    :raises JournalError: where it can't, for all but damage.
    :raises sqlite3.DatabaseError, UnicodeDecodeError: where the file is damaged.
    """
    try:
        return step(database)
    except UNREADABLE as error:
        if is_damage(error):
            raise
        raise JournalError(f"the journal can't be read: {error}") from error


def change(database: sqlite3.Connection, step: Step[Answer]) -> Answer:
    """Have a step write, all of it or nothing.

    :raises JournalError: where it can't, for all but damage.
    :raises sqlite3.DatabaseError, UnicodeDecodeError: where the file is damaged.
    """
    try:
        database.execute("BEGIN IMMEDIATE")
        answer = step(database)
        database.execute("COMMIT")
        return answer
    except BaseException as error:
        _roll_back(database)
        if not isinstance(error, sqlite3.Error) or is_damage(error):
            raise
        raise JournalError(f"the journal can't be written: {error}") from error


def take_lock(path: Path) -> int:
    """The one writer's lock: a lock on a file, which the kernel drops with the process, never a pid to guess by.

    :raises JournalError: where another process holds it or the folder can't be written.
    """
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


def _roll_back(database: sqlite3.Connection) -> None:
    if database.in_transaction:  # SQLite rolls back by itself after some failures
        with contextlib.suppress(sqlite3.Error):  # what failed first is what is said
            database.execute("ROLLBACK")


def _look_over(database: sqlite3.Connection) -> None:
    said = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if said != "ok":
        raise sqlite3.DatabaseError(f"malformed: {' '.join(said.split())}")


def _look_for_tables(database: sqlite3.Connection) -> None:
    """A file of today's version without today's tables is damaged too, although each of its pages is sound."""
    for table in ("calls", "deliveries", "story", "marks"):
        try:
            database.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
        except sqlite3.OperationalError as error:
            if any(word in str(error) for word in _NOT_OURS):
                raise sqlite3.DatabaseError(f"malformed: {error}") from error
            raise
