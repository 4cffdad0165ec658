"""Notices a journal that is older than what was last run with: a restored snapshot, a log of changes that was deleted.

A number that only grows is kept in the journal and in a tiny file beside it, the journal's first: so the file is never
ahead of the journal it was written with. A journal that is behind the file was put there from an earlier time.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

_SET = "INSERT OR REPLACE INTO marks VALUES (?, ?)"
_STAMP = "stamp"
_UNCERTAIN = "uncertain_before"


def is_older(database: sqlite3.Connection, path: Path) -> bool:
    """Whether the journal is older than the last run, by the stamp file at `path`.

    Without that file it is taken for older where it was ever stamped: it was copied here alone.
    """
    in_journal, in_file = _mark(database, _STAMP), _read(path)
    return in_file > in_journal if in_file is not None else in_journal > 0


def next_stamp(database: sqlite3.Connection, path: Path) -> int:
    """The next number, written into the journal."""
    stamp = int(max(_mark(database, _STAMP), _read(path) or 0)) + 1
    database.execute(_SET, (_STAMP, stamp))
    return stamp


def write(path: Path, stamp: int) -> None:
    """Replace the stamp file, whole or not at all.

    :raises OSError: where it can't be written; the old one stays, which is never ahead.
    """
    hidden = path.with_name("." + path.name)
    with hidden.open("w", encoding="ascii") as file:
        file.write(f"{stamp}\n")
        file.flush()
        os.fsync(file.fileno())
    hidden.replace(path)


def uncertain_before(database: sqlite3.Connection) -> float:
    """Wall clock seconds before which the journal may not be whole; 0.0 where it is."""
    return _mark(database, _UNCERTAIN)


def set_uncertain(database: sqlite3.Connection, before: float) -> None:
    """Say that the journal may not be whole before that time; a later time that was said already stays."""
    database.execute(_SET, (_UNCERTAIN, max(before, _mark(database, _UNCERTAIN))))


def _mark(database: sqlite3.Connection, name: str) -> float:
    row = database.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
    return float(row[0]) if row else 0.0


def _read(path: Path) -> int | None:
    """The number in the file; None where there is none."""
    try:
        with path.open(encoding="ascii") as file:
            return int(file.read(32))
    except (OSError, ValueError):
        return None
