"""Erases one client's number from the journal: its calls with all that hangs on them, and what was left out."""

from __future__ import annotations

import re
import sqlite3
from typing import NamedTuple, Sequence

FORGOTTEN = "***"
NATIONAL = 10  # digits in which all ways to write one subscriber's number agree
_GOES_ON = 31 * 86400.0  # seconds: so long a call without an end may still get one; then it is pruned anyway
_OWED = "SELECT 1 FROM deliveries WHERE deliveries.uniqueid = calls.uniqueid AND state IN ('due', 'parked', 'held')"


class Forgotten(NamedTuple):
    """What was erased: calls, and calls that were left out.

    `kept`: calls that go on, or that the CRM is still owed, and callbacks that are still to be made.
    """

    calls: int
    left_out: int
    kept: int


def forget(database: sqlite3.Connection, numbers: Sequence[str], now: float) -> Forgotten:
    """Erase a number in all its forms. What the CRM is owed is not erased: it would never learn of it.

    :param numbers: the canonical form first, then others that a call which was left out may have.
    """
    marks = ", ".join("?" * len(numbers))
    stays = f"(EXISTS ({_OWED}) OR (outcome IS NULL AND written > ?))"
    kept = database.execute(
        f"SELECT count(*) FROM calls WHERE number IN ({marks}) AND {stays}", (*numbers, now - _GOES_ON)
    ).fetchone()[0]
    calls = database.execute(
        f"DELETE FROM calls WHERE number IN ({marks}) AND NOT {stays}", (*numbers, now - _GOES_ON)
    ).rowcount
    left_out = database.execute(f"DELETE FROM left_out WHERE number IN ({marks})", numbers).rowcount
    if not kept:  # other calls' stories may name it: whose turn it was, which lead was made
        for number in numbers:
            database.execute(
                "UPDATE story SET detail = replace(detail, ?, ?) WHERE instr(detail, ?)", (number, FORGOTTEN, number)
            )
    return Forgotten(calls, left_out, int(kept) + _forget_clicks(database, numbers[0]))


def _forget_clicks(database: sqlite3.Connection, number: str) -> int:
    """Erase the number from clicks and callbacks that are over; how many go on, and are no calls yet.

    A refused one has it as it was written in the portal, so its last digits are compared. The row stays, without it:
    the portal may tell the same click once more.
    """
    goes_on = 0
    for row_id, written, state, is_call in database.execute(
        "SELECT id, number, state, EXISTS (SELECT 1 FROM calls WHERE calls.uniqueid = clicks.uniqueid) FROM clicks"
    ).fetchall():
        if _tail(written) != _tail(number):
            continue
        if state in ("waiting", "dialling"):
            goes_on += not is_call
        else:
            database.execute("UPDATE clicks SET number = ?, dial = '' WHERE id = ?", (FORGOTTEN, row_id))
    return goes_on


def _tail(number: str) -> str:
    return re.sub("[^0-9]", "", number)[-NATIONAL:]


def overwrite_what_is_deleted(database: sqlite3.Connection) -> None:
    """From now on the pages of what is deleted are filled with zeroes."""
    database.execute("PRAGMA secure_delete=ON").fetchone()


def empty_log(database: sqlite3.Connection) -> bool:
    """Write the log of changes into the file and cut it; False where a reader is in the way."""
    busy = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    return not busy
