"""Clicks and callbacks in the journal: there before they are dialled, so that none is forgotten, or dialled twice."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass, fields

from ..clicks import CALLBACKS_OF_A_NUMBER_SECONDS, DOUBLE_SECONDS
from .records import plain

CLICK, CALLBACK = "click", "callback"
# A row's way: it waits to be dialled, is being dialled (or the call goes on), and is over, or never was to be dialled.
WAITING, DIALLING, OVER, REFUSED = "waiting", "dialling", "over", "refused"

MINUTE, HOUR = 60.0, CALLBACKS_OF_A_NUMBER_SECONDS
KEPT_SECONDS = 7 * 86_400.0  # far longer than the portal repeats an event


@dataclass(frozen=True)
class Row:
    """One click or callback. Times are wall clock seconds.

    :ivar id: 0 until it is written. :ivar at: the event's own time. :ivar number: whom it is for (E.164; what came
        where it was no number). :ivar dial: JSON text: what is dialled and shown. :ivar uniqueid: of the channel that
        dials the client, given by us before it exists. :ivar due: when it is dialled.
    """

    kind: str
    at: float
    number: str
    call_id: str = ""
    user_id: int = 0
    dial: str = ""
    uniqueid: str = ""
    state: str = WAITING
    due: float = 0.0
    attempts: int = 0
    id: int = 0


_COLUMNS = tuple(one.name for one in fields(Row))


def is_double(database: sqlite3.Connection, call_id: str, at: float) -> bool:
    """Whether this click was told before, or is being dialled just now.

    The portal gives the same CALL_ID for a second click until the first is finished there.
    """
    found = database.execute(
        "SELECT 1 FROM clicks WHERE kind = ? AND call_id = ? AND (abs(at - ?) <= ? OR state IN (?, ?)) LIMIT 1",
        (CLICK, call_id, at, DOUBLE_SECONDS, WAITING, DIALLING),
    ).fetchone()
    return found is not None


def is_tied(database: sqlite3.Connection, call_id: str) -> bool:
    """Whether a call of the journal has this CALL_ID already: its finish ends it, so a second one needs its own."""
    return database.execute("SELECT 1 FROM clicks WHERE call_id = ? LIMIT 1", (call_id,)).fetchone() is not None


def clicks_of(database: sqlite3.Connection, user_id: int, since: float) -> int:
    """How many clicks of a person came since then and were not refused."""
    return _count(database, "kind = 'click' AND user_id = ? AND came > ? AND state != 'refused'", (user_id, since))


def callbacks(database: sqlite3.Connection, since: float, number: str = "") -> int:
    """How many callbacks came since then and were not refused. :param number: those for it alone."""
    only, parameters = (" AND number = ?", (since, number)) if number else ("", (since,))
    return _count(database, f"kind = 'callback' AND came > ? AND state != 'refused'{only}", parameters)


def is_told(database: sqlite3.Connection, row: Row) -> bool:
    """Whether this very callback event was told before: it names no call, so time and number must do."""
    return bool(_count(database, "kind = 'callback' AND number = ? AND abs(at - ?) < 0.5", (row.number, row.at)))


def add(database: sqlite3.Connection, row: Row, now: float) -> int:
    """Write a row down; returns its id, which is never used again."""
    values = {**asdict(row), "number": plain(row.number, 40), "came": now}
    del values["id"]
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    return int(database.execute(f"INSERT INTO clicks ({names}) VALUES ({marks})", values).lastrowid or 0)


def name(database: sqlite3.Connection, row_id: int, uniqueid: str) -> None:
    """Say what the channel's uniqueid will be."""
    database.execute("UPDATE clicks SET uniqueid = ? WHERE id = ?", (uniqueid, row_id))


def dial(database: sqlite3.Connection, row_id: int, uniqueid: str) -> bool:
    """It is dialled from now on, by this channel; False where it no longer waits: somebody else has it."""
    changed = database.execute(
        "UPDATE clicks SET state = ?, uniqueid = ?, attempts = attempts + 1 WHERE id = ? AND state = ?",
        (DIALLING, uniqueid, row_id, WAITING),
    )
    return changed.rowcount == 1


def put_off(database: sqlite3.Connection, row_id: int, due: float) -> None:
    """It waits for its next attempt."""
    database.execute("UPDATE clicks SET state = ?, due = ? WHERE id = ?", (WAITING, due, row_id))


def over(database: sqlite3.Connection, row_id: int) -> None:
    """Nothing more is dialled for it."""
    database.execute("UPDATE clicks SET state = ? WHERE id = ?", (OVER, row_id))


def open_rows(database: sqlite3.Connection, kind: str) -> list[Row]:
    """What waits or is being dialled, the oldest first."""
    rows = database.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM clicks WHERE kind = ? AND state IN ('waiting', 'dialling') ORDER BY id",
        (kind,),
    )
    return [Row(**dict(zip(_COLUMNS, row))) for row in rows]


def forget(database: sqlite3.Connection, before: float) -> None:
    """Forget what came before that time and is over."""
    database.execute("DELETE FROM clicks WHERE came < ? AND state IN (?, ?)", (before, OVER, REFUSED))


def _count(database: sqlite3.Connection, condition: str, parameters: tuple[object, ...]) -> int:
    return int(database.execute(f"SELECT count(*) FROM clicks WHERE {condition}", parameters).fetchone()[0])
