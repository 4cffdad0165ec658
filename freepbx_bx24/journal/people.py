"""What people ask of the journal and tell it: look a call up, read its story, retry, hold, release or drop an item."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any, Iterable, Sequence

from . import records
from .order import FIELDS
from .records import (
    DONE,
    DROPPED,
    DUE,
    FINISH,
    HELD,
    HIDE,
    PARKED,
    REGISTER,
    SHOW,
    Delivery,
    Entry,
    LeftOut,
    Owed,
    StoryLine,
)

_ENTRY_FIELDS = (
    "registration, registered, outcome, finished, portal, user_id, rule, legs, EXISTS (SELECT 1 FROM deliveries"
    " WHERE deliveries.uniqueid = calls.uniqueid AND kind IN ('register', 'finish') AND state IN ('parked', 'held')),"
    " written, ending"
)
_CALLS_AT_ONCE = 1000  # of the newest: more than a person reads
_LINES = 60  # of one call's story: the first, and the newest
_FIRST_LINES = 20

# A finish is owed since the call ended, all else since the call came.
_OWED = (
    f"SELECT {', '.join('deliveries.' + name for name in FIELDS.split(', '))}, deliveries.number,"
    " deliveries.started_at, CASE kind WHEN 'finish' THEN coalesce((SELECT max(at) FROM story"
    f" WHERE story.uniqueid = deliveries.uniqueid AND what = '{records.HUNG_UP}'), written) ELSE written END"
    " FROM deliveries JOIN calls USING (uniqueid)"
)
_MARKS = 500  # question marks of one statement: SQLite's own limit was 999 once
_OWED_AT_ONCE = 3000
_LEFT_OUT_KEPT = 1000  # the newest; a scanner that calls all day drives out the older ones

# What a person may do with an item, by the states in which it can be.
_RETRIED = (DUE, PARKED, HELD, DROPPED)
_HELD = (DUE, PARKED)
_RELEASED = (HELD,)
_DROPPED = (DUE, PARKED, HELD)


def entry(database: sqlite3.Connection, uniqueid: str) -> Entry | None:
    """What is known of a call.

    :raises records.UNPARSABLE: where its row makes no sense.
    """
    rows = database.execute(f"SELECT {_ENTRY_FIELDS} FROM calls WHERE uniqueid = ?", (uniqueid,)).fetchall()
    return _entry(rows[0]) if rows else None


def park_all(database: sqlite3.Connection, uniqueid: str, why: str) -> None:
    """Leave all that is due of a call to a human."""
    database.execute(
        "UPDATE deliveries SET state = ?, last_error = ? WHERE uniqueid = ? AND state = ?", (PARKED, why, uniqueid, DUE)
    )


def calls(database: sqlite3.Connection, since: float, until: float, number: str) -> list[Entry]:
    """Calls that began from `since` on and before `until`, the oldest first; of more than 1000 the newest.

    One whose row makes no sense is left out.
    """
    only, values = ("AND number = ?", [number]) if number else ("", [])
    rows = database.execute(
        f"SELECT {_ENTRY_FIELDS} FROM calls WHERE started_at >= ? AND started_at < ? {only}"
        " ORDER BY started_at DESC, uniqueid DESC LIMIT ?",
        (since, until, *values, _CALLS_AT_ONCE),
    ).fetchall()
    return _readable(reversed(rows))


def open_calls(database: sqlite3.Connection, before: float) -> list[Entry]:
    """Calls written before that time whose end is not known, the oldest first; one that makes no sense is left out."""
    rows = database.execute(
        f"SELECT {_ENTRY_FIELDS} FROM calls WHERE finished = 0 AND outcome IS NULL AND written < ? ORDER BY written",
        (before,),
    ).fetchall()
    return _readable(rows)


def cards(database: sqlite3.Connection, uniqueid: str) -> list[tuple[str, str]]:
    """(kind, payload) of a call's cards that are owed or delivered, in their order."""
    rows = database.execute(
        "SELECT kind, payload FROM deliveries WHERE uniqueid = ? AND kind IN (?, ?) AND state IN (?, ?) ORDER BY id",
        (uniqueid, SHOW, HIDE, DUE, DONE),
    )
    return [(row[0], row[1]) for row in rows]


def find(database: sqlite3.Connection, text: str) -> list[str]:
    """The uniqueids of the calls meant by a uniqueid, an external id or a canonical number, the newest first."""
    # `<pbx_id>-<uniqueid>`; both parts may have hyphens (Asterisk's systemname begins the uniqueid).
    tails = [text[place + 1 :] for place, character in enumerate(text[:200]) if character == "-"]
    found = [
        uniqueid
        for uniqueid in (text, *tails)
        if database.execute(
            "SELECT 1 FROM calls WHERE uniqueid = ? AND ? IN (uniqueid, external_id)", (uniqueid, text)
        ).fetchone()
    ]
    of_number = database.execute(
        "SELECT uniqueid FROM calls WHERE number = ? AND number != '' ORDER BY started_at DESC LIMIT ?",
        (text, _CALLS_AT_ONCE),
    )
    return found + [uniqueid for (uniqueid,) in of_number if uniqueid not in found]


def owed(database: sqlite3.Connection) -> list[Delivery]:
    """All that is due, parked or held, by due time."""
    return [
        Delivery(*row)
        for row in database.execute(
            f"SELECT {FIELDS} FROM deliveries WHERE state IN ('due', 'parked', 'held') ORDER BY due, id"
        )
    ]


def outbox(database: sqlite3.Connection, states: Sequence[str], most: int, kinds: Sequence[str]) -> list[Owed]:
    """What is in one of those states and of one of those kinds, by due time, `most` at most."""
    rows = database.execute(
        f"{_OWED} WHERE state IN ('due', 'parked', 'held') AND state IN ({_marks(states)})"
        f" AND kind IN ({_marks(kinds)}) ORDER BY due, id LIMIT ?",
        (*states, *kinds, most),
    )
    return [_owed(row) for row in rows]


def owed_of(database: sqlite3.Connection, uniqueids: Sequence[str]) -> list[Owed]:
    """What is due, parked or held of these calls, in the order of their ids."""
    found = []
    for place in range(0, len(uniqueids), _MARKS):
        some = uniqueids[place : place + _MARKS]
        rows = database.execute(
            f"{_OWED} WHERE deliveries.uniqueid IN ({_marks(some)}) AND state IN ('due', 'parked', 'held')"
            " ORDER BY id LIMIT ?",
            (*some, _OWED_AT_ONCE),
        )
        found += [_owed(row) for row in rows]
    return found


def count_owed(database: sqlite3.Connection) -> dict[str, int]:
    """How many items are due, parked and held; no key where it is none."""
    rows = database.execute(
        "SELECT state, count(*) FROM deliveries WHERE state IN ('due', 'parked', 'held') GROUP BY state"
    )
    return {str(state): int(count) for state, count in rows}


def delivery(database: sqlite3.Connection, delivery_id: int) -> Delivery | None:
    """One item by its id."""
    row = database.execute(f"SELECT {FIELDS} FROM deliveries WHERE id = ?", (delivery_id,)).fetchone()
    return Delivery(*row) if row else None


def retry(database: sqlite3.Connection, delivery_id: int, now: float) -> bool:
    """Due now and as if never refused: parked, held, put off, or even dropped; False for what is done or unknown."""
    item = delivery(database, delivery_id)
    if item is None or item.state not in _RETRIED:
        return False
    database.execute("UPDATE deliveries SET state = ?, due = ?, refusals = 0 WHERE id = ?", (DUE, now, delivery_id))
    if item.kind in (REGISTER, FINISH):
        database.execute("UPDATE calls SET finished = 0 WHERE uniqueid = ?", (item.uniqueid,))
    return True


def hold(database: sqlite3.Connection, delivery_id: int) -> bool:
    """Keep a due or parked item back until it is released; it holds up nobody. False where it is neither."""
    return _change(database, delivery_id, HELD, _HELD)


def release(database: sqlite3.Connection, delivery_id: int) -> bool:
    """Let a held item be due again at its own time; False where it is not held."""
    return _change(database, delivery_id, DUE, _RELEASED)


def drop(database: sqlite3.Connection, delivery_id: int) -> bool:
    """Give an item up for good; a register or finish takes all that is left of its call along. False for what is done.

    Nothing can be shown, finished or attached without its register, nothing attached without its finish.
    """
    item = delivery(database, delivery_id)
    if item is None or not _change(database, delivery_id, DROPPED, _DROPPED):
        return False
    if item.kind in (REGISTER, FINISH):
        database.execute(
            f"UPDATE deliveries SET state = ? WHERE uniqueid = ? AND state IN ({_marks(_DROPPED)})",
            (DROPPED, item.uniqueid, *_DROPPED),
        )
        database.execute("UPDATE calls SET finished = 1 WHERE uniqueid = ?", (item.uniqueid,))
    return True


def tell(database: sqlite3.Connection, uniqueid: str, at: float, what: str, detail: str) -> bool:
    """Add a line to a call's story; a full one keeps its beginning and forgets the oldest after that."""
    added = database.execute(
        "INSERT INTO story (uniqueid, at, what, detail) SELECT uniqueid, ?, ?, ? FROM calls WHERE uniqueid = ?",
        (at, records.plain(what, records.LONGEST_WORD), records.plain(detail), uniqueid),
    ).rowcount
    database.execute(
        "DELETE FROM story WHERE id IN (SELECT id FROM story WHERE uniqueid = ?1 ORDER BY id LIMIT"
        " max(0, (SELECT count(*) FROM story WHERE uniqueid = ?1) - ?2) OFFSET ?3)",
        (uniqueid, _LINES, _FIRST_LINES),
    )
    return bool(added)


def story(database: sqlite3.Connection, uniqueid: str) -> list[StoryLine]:
    """What happened to a call, in the order of happening."""
    rows = database.execute("SELECT at, what, detail FROM story WHERE uniqueid = ? ORDER BY id", (uniqueid,))
    return [StoryLine(*row) for row in rows]


def leave_out(database: sqlite3.Connection, call: LeftOut) -> None:
    """Note a call of which the CRM is told nothing; the newest 1000 are kept."""
    database.execute(
        "INSERT OR IGNORE INTO left_out (uniqueid, at, direction, number, why) VALUES (?, ?, ?, ?, ?)",
        (call.uniqueid, call.at, call.direction, records.plain(call.number, 80), records.plain(call.why)),
    )
    database.execute("DELETE FROM left_out WHERE id <= (SELECT max(id) FROM left_out) - ?", (_LEFT_OUT_KEPT,))


def left_out(database: sqlite3.Connection, since: float, until: float, text: str) -> list[LeftOut]:
    """Such calls from `since` on and before `until`, the oldest first; of one number or uniqueid where that is said."""
    rows = database.execute(
        "SELECT uniqueid, at, direction, number, why FROM left_out WHERE at >= ? AND at < ?"
        " AND (?3 = '' OR ?3 IN (number, uniqueid)) ORDER BY at, id",
        (since, until, text),
    )
    return [LeftOut(*row) for row in rows]


def _owed(row: tuple[Any, ...]) -> Owed:
    return Owed(Delivery(*row[:-3]), *row[-3:])


def _change(database: sqlite3.Connection, delivery_id: int, to: str, where: tuple[str, ...]) -> bool:
    changed = database.execute(
        f"UPDATE deliveries SET state = ? WHERE id = ? AND state IN ({_marks(where)})", (to, delivery_id, *where)
    ).rowcount
    return bool(changed)


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _readable(rows: Iterable[tuple[object, ...]]) -> list[Entry]:
    found = []
    for row in rows:
        with contextlib.suppress(*records.UNPARSABLE):
            found.append(_entry(row))
    return found


def _entry(row: tuple[object, ...]) -> Entry:
    registration, registered, outcome, finished, portal, user_id, rule, legs, parked, written, ending = row
    return Entry(
        records.registration_from_text(str(registration)),
        records.registered_from_text(str(registered)) if registered else None,
        records.outcome_from_text(str(outcome)) if outcome else None,
        bool(finished),
        str(portal),
        int(str(user_id)),
        str(rule),
        str(legs),
        bool(parked),
        float(str(written)),
        records.ending_from_text(str(ending)) if ending else None,
    )
