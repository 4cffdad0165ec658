"""Reads what can be read of a damaged journal of any version and writes it into a new one: what is owed comes first."""

from __future__ import annotations

import math
import sqlite3
import time
from dataclasses import dataclass
from typing import Any, Iterator

from ..errors import JournalError
from . import records
from .database import UNREADABLE, change
from .records import DONE, DROPPED, DUE, FINISH, HELD, KINDS, PARKED, REGISTER

_STATES = (DUE, DONE, PARKED, HELD, DROPPED)
_NOT_FINISHED = "SELECT uniqueid FROM calls WHERE finished = 0"
# The damage may have taken an item and left its call, or brought back older pages: what the call says is what counts.
_MEND = (
    f"DELETE FROM deliveries WHERE kind = '{FINISH}' AND uniqueid IN ({_NOT_FINISHED} AND outcome IS NULL)",
    f"UPDATE deliveries SET state = '{DONE}' WHERE state = '{DUE}' AND kind = '{REGISTER}'"
    f" AND uniqueid IN ({_NOT_FINISHED} AND call_id IS NOT NULL)",
    f"UPDATE deliveries SET state = '{DUE}' WHERE state = '{DONE}' AND kind = '{REGISTER}'"
    f" AND uniqueid IN ({_NOT_FINISHED} AND call_id IS NULL)",
    f"UPDATE deliveries SET state = '{DUE}' WHERE state = '{DONE}' AND kind = '{FINISH}'"
    f" AND uniqueid IN ({_NOT_FINISHED})",
    f"INSERT OR IGNORE INTO deliveries (uniqueid, kind, number, started_at, due) SELECT uniqueid, '{REGISTER}', number,"
    " started_at, :now FROM calls WHERE call_id IS NULL AND finished = 0",
    f"INSERT OR IGNORE INTO deliveries (uniqueid, kind, number, started_at, due) SELECT uniqueid, '{FINISH}', number,"
    " started_at, :now FROM calls WHERE outcome IS NOT NULL AND finished = 0",
)
_MEND_FINISHED = (
    f"UPDATE deliveries SET state = '{DONE}' WHERE state = '{DUE}' AND kind IN ('{REGISTER}', '{FINISH}')"
    " AND uniqueid IN (SELECT uniqueid FROM calls WHERE finished = 1)"
)


@dataclass
class Counts:
    """What came along and what is known to be lost (there may be more that left no trace)."""

    calls: int = 0
    unfinished: int = 0
    owed: int = 0
    lost_calls: int = 0
    lost_deliveries: int = 0
    without_room: bool = False

    def __str__(self) -> str:
        if not self.calls and not self.lost_calls:
            return "nothing of it, for no call in it can be read"
        text = (
            f"{self.calls} calls of it, {self.unfinished} of them not finished, and {self.owed} deliveries owed; "
            f"known to be lost: {self.lost_calls} calls, {self.lost_deliveries} deliveries"
        )
        return text + (", and the finished calls, for which there is no room" if self.without_room else "")


def is_readable(source: sqlite3.Connection) -> bool:
    """Whether SQLite can make out our tables in it; makes it read a file that is shorter than its header says."""
    try:
        source.execute("PRAGMA writable_schema=ON")
        source.execute("SELECT uniqueid, registration, registered, outcome, finished, written FROM calls LIMIT 0")
        source.execute("SELECT uniqueid, kind, due, attempts, last_error, state FROM deliveries LIMIT 0")
    except UNREADABLE:
        return False
    return True


def over(source: sqlite3.Connection, into: sqlite3.Connection) -> Counts:
    """Carry a journal's rows over: unfinished calls with their deliveries, then the finished ones as far as they go.

    :param source: read-only, `is_readable`, with `sqlite3.Row` as its row factory.
    :param into: a new and empty journal.
    :raises JournalError: where what is owed can't be written.
    """
    counts = Counts()
    finished: set[object] = set()

    def what_is_owed(database: sqlite3.Connection) -> None:
        for row in _each(source, "calls"):
            if row is not None and row["finished"] == 1:
                finished.add(row["uniqueid"])
            else:
                _add_call(database, row, counts)
        counts.unfinished = counts.calls
        counts.lost_deliveries += _add_deliveries(source, database, finished)
        _add_clicks(source, database)
        for statement in _MEND:
            database.execute(statement, {"now": time.time()} if ":now" in statement else {})

    def what_is_finished(database: sqlite3.Connection) -> None:
        for row in _each(source, "calls"):
            if row is not None and row["finished"] == 1:
                _add_call(database, row, counts)
        _add_deliveries(source, database, set())
        database.execute(_MEND_FINISHED)
        _add_story(source, database)

    change(into, what_is_owed)
    before = counts.calls
    try:
        change(into, what_is_finished)
    except JournalError:  # what is owed is safe, and worth more than old rows
        counts.calls, counts.without_room = before, True
    owed = "SELECT count(*) FROM deliveries WHERE state IN ('due', 'parked', 'held')"
    counts.owed = into.execute(owed).fetchone()[0]
    return counts


def _each(source: sqlite3.Connection, table: str) -> Iterator[dict[str, Any] | None]:
    """The rows of a table: one after the other up to the damage, then one by one; None for each that can't be read."""
    key = _key_of(source, table)
    seen: set[object] = set()
    last: object = None
    try:
        for row in source.execute(f"SELECT {key} AS its_key, * FROM {table} NOT INDEXED"):
            last = row["its_key"]
            seen.add(last)
            yield dict(row)
        return
    except UNREADABLE:
        seen.discard(last)  # without a rowid one key has several rows
    for value in _keys(source, table, key):
        if value not in seen:
            rows = _rows(source, table, key, value)
            yield from map(dict, rows)
            if not rows:
                yield None


def _key_of(source: sqlite3.Connection, table: str) -> str:
    """What finds a row without an index: the rowid, or in version 1, which had none, the uniqueid."""
    try:
        source.execute(f"SELECT rowid FROM {table} LIMIT 0")
    except UNREADABLE:
        return "uniqueid"
    return "rowid"


def _keys(source: sqlite3.Connection, table: str, key: str) -> list[object]:
    """The keys of a table that can be read: from its beginning and from its end up to the damage, and from indexes."""
    indexes = _rows(source, "sqlite_master", "type = 'index' AND tbl_name", table)
    found: dict[object, None] = {}
    for way in ("NOT INDEXED", *(f"INDEXED BY '{index['name']}'" for index in indexes)):
        for direction in ("ASC", "DESC"):
            try:
                for row in source.execute(f"SELECT {key} FROM {table} {way} ORDER BY {key} {direction}"):
                    found[row[0]] = None
            except UNREADABLE:  # the damage, or an index that leaves rows out and can't be asked for all of them
                continue
    return list(found)


def _rows(source: sqlite3.Connection, table: str, key: str, value: object) -> list[sqlite3.Row]:
    try:
        return source.execute(f"SELECT * FROM {table} WHERE {key} = ?", (value,)).fetchall()
    except UNREADABLE:
        return []


def _add_call(database: sqlite3.Connection, row: dict[str, Any] | None, counts: Counts) -> None:
    """Write one call; a part of it that makes no sense counts as not known, a call without its registration as lost."""
    try:
        if row is None:
            raise ValueError("not readable")
        registration = records.registration_from_text(row["registration"])
        if registration.uniqueid != row["uniqueid"]:
            raise ValueError("another call's registration")
        started_at = registration.started.timestamp()
        written = _finite(row["written"])
        finished = int(row["finished"])
    except (*records.UNPARSABLE, OverflowError):
        counts.lost_calls += 1
        return
    registered = _if_parsed(row["registered"], records.registered_from_text)
    outcome = _if_parsed(row["outcome"], records.outcome_from_text)
    counts.lost_deliveries += row["outcome"] is not None and outcome is None and not finished
    added = database.execute(
        "INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(registration.uniqueid, registration.linkedid, registration.external_id, registration.direction),
            *(registration.number, registration.line, registration.started.isoformat(), started_at),
            *(_whole(row.get("user_id")), _text(row.get("rule")), row["registration"], _text(row.get("portal"))),
            *(registered and records.registered_from_text(registered).call_id, registered, _text(row.get("legs"))),
            *(outcome, finished, written, _if_parsed(row.get("ending"), records.ending_from_text)),
        ),
    )
    counts.calls += added.rowcount


def _add_deliveries(source: sqlite3.Connection, database: sqlite3.Connection, skipped: set[object]) -> int:
    """Write the deliveries of the calls that are there; returns how many of others are lost."""
    lost = 0
    for row in _each(source, "deliveries"):
        if row is None or row["uniqueid"] not in skipped:
            lost += row is None or not _add_delivery(database, row)
    return lost


def _add_delivery(database: sqlite3.Connection, row: dict[str, Any]) -> bool:
    """Write one delivery; False where it makes no sense or its call is lost."""
    try:
        known = row["kind"] in KINDS and row["state"] in _STATES
        times = (_finite(row["due"]), int(row["attempts"]), _whole(row.get("refusals")), _text(row["last_error"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    if not known:
        return False
    values = (row.get("id"), row["kind"], _text(row.get("payload")), *times, row["state"], row["uniqueid"])
    database.execute(
        "INSERT OR IGNORE INTO deliveries (id, uniqueid, kind, payload, number, started_at, due, attempts, refusals,"
        " last_error, state) SELECT ?, uniqueid, ?, ?, number, started_at, ?, ?, ?, ?, ? FROM calls WHERE uniqueid = ?",
        values,
    )
    return bool(database.execute("SELECT 1 FROM calls WHERE uniqueid = ?", (row["uniqueid"],)).fetchone())


def _add_clicks(source: sqlite3.Connection, database: sqlite3.Connection) -> None:
    """Write the clicks and callbacks, so that none is dialled a second time; one that can't be read is let go."""
    columns = (
        "id",
        "kind",
        "at",
        "number",
        "call_id",
        "user_id",
        "dial",
        "uniqueid",
        "state",
        "due",
        "attempts",
        "came",
    )
    marks = ", ".join("?" * len(columns))
    for row in _each(source, "clicks"):
        if row is not None:
            values = [row[name] for name in columns]
            database.execute(f"INSERT OR IGNORE INTO clicks ({', '.join(columns)}) VALUES ({marks})", values)


def _add_story(source: sqlite3.Connection, database: sqlite3.Connection) -> None:
    for row in _each(source, "story"):
        try:
            if row is None:
                continue
            values = (int(row["id"]), _finite(row["at"]), _text(row["what"]), _text(row["detail"]), row["uniqueid"])
        except (TypeError, ValueError, OverflowError):
            continue
        database.execute(
            "INSERT OR IGNORE INTO story (id, at, what, detail, uniqueid)"
            " SELECT ?, ?, ?, ?, uniqueid FROM calls WHERE uniqueid = ?",
            values,
        )


def _if_parsed(text: object, parse: Any) -> str | None:
    """The text, or None where it does not parse."""
    try:
        parse(text)
    except records.UNPARSABLE:
        return None
    return str(text)


def _finite(value: object) -> float:
    number = float(str(value))
    if not math.isfinite(number):
        raise ValueError("not a time")
    return number


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
