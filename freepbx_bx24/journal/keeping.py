"""What each step of a call writes: beginning, the portal's answer, end; what is owed, failed, done, forgotten."""

from __future__ import annotations

import sqlite3
import time

from ..call import Ending, Outcome, Registration
from . import dialling, records
from .order import not_too_far
from .records import ATTACH, DONE, DROPPED, DUE, FINISH, HIDE, LONGEST_JSON, PARKED, REGISTER, SHOW, Registered

MOST_AT_ONCE = 200  # calls that are forgotten in one step: callers wait behind it
MOST_OF_A_CALL = 2000  # deliveries: a queue that rings for hours must not fill the disk
LONGEST_RULE = 500  # characters
OPEN_DAYS = 31.0  # the portal forgets an open call after 30 days (bitrix24-telephony, 5)
_OWED_AT_WILL = (SHOW, HIDE, ATTACH)
_CARDS = (SHOW, HIDE)


def begin(database: sqlite3.Connection, registration: Registration, due: float, user_id: int, rule: str) -> bool:
    """Write a call down, its register owed; False where it is known."""
    added = database.execute(
        "INSERT OR IGNORE INTO calls (uniqueid, linkedid, external_id, direction, number, line, started, started_at,"
        " user_id, rule, registration, written) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            registration.uniqueid,
            registration.linkedid,
            registration.external_id,
            registration.direction,
            registration.number,
            registration.line,
            registration.started.isoformat(),
            registration.started.timestamp(),
            user_id,
            records.plain(rule, LONGEST_RULE),
            records.registration_to_text(registration),
            time.time(),
        ),
    ).rowcount
    if added:
        _owe(database, registration.uniqueid, REGISTER, "", due)
    return bool(added)


def explain(database: sqlite3.Connection, uniqueid: str, why: str) -> None:
    """Add to the rule of a call, once."""
    database.execute(
        "UPDATE calls SET rule = substr(rule || '; ' || ?, 1, ?) WHERE uniqueid = ? AND instr(rule, ?) = 0",
        (why, LONGEST_RULE, uniqueid, why),
    )


def registered(database: sqlite3.Connection, uniqueid: str, answer: Registered, portal: str) -> bool:
    """Keep the portal's answer and settle register; False for an unknown call."""
    changed = database.execute(
        "UPDATE calls SET call_id = ?, registered = ?, portal = ? WHERE uniqueid = ?",
        (answer.call_id, records.registered_to_text(answer), portal, uniqueid),
    ).rowcount
    _settle(database, uniqueid, REGISTER)
    return bool(changed)


def unregistered(database: sqlite3.Connection, uniqueid: str, due: float) -> None:
    """Forget the portal's answer and owe register again.

    Register and finish count it as a refusal: a portal that loses this call again and again holds up no other call.
    """
    database.execute("UPDATE calls SET call_id = NULL, registered = NULL, portal = '' WHERE uniqueid = ?", (uniqueid,))
    database.execute(
        "UPDATE deliveries SET state = ?, due = ? WHERE uniqueid = ? AND kind = ?",
        (DUE, not_too_far(REGISTER, due, time.time()), uniqueid, REGISTER),
    )
    database.execute(
        "UPDATE deliveries SET refusals = refusals + 1 WHERE uniqueid = ? AND kind IN (?, ?)",
        (uniqueid, REGISTER, FINISH),
    )


def resume(database: sqlite3.Connection, now: float) -> None:
    """Make the registers due that were put off for a live attempt only."""
    database.execute(
        "UPDATE deliveries SET due = ? WHERE kind = ? AND state = ? AND attempts = 0 AND due > ?",
        (now, REGISTER, DUE, now),
    )


def bring_forward(database: sqlite3.Connection, now: float, seconds: float) -> None:
    """Move the due times that are still to come, though not into the past."""
    database.execute(
        "UPDATE deliveries SET due = max(due - ?, ?) WHERE state = ? AND due > ?", (seconds, now, DUE, now)
    )


def last_id(database: sqlite3.Connection) -> int:
    """The highest id that an item has; 0 without any."""
    return int(database.execute("SELECT coalesce(max(id), 0) FROM deliveries").fetchone()[0])


def keep_legs(database: sqlite3.Connection, uniqueid: str, legs: str) -> bool:
    """Keep a call's legs; False for an unknown call."""
    _check_length(legs)
    return bool(database.execute("UPDATE calls SET legs = ? WHERE uniqueid = ?", (legs, uniqueid)).rowcount)


def hung_up(database: sqlite3.Connection, ending: Ending) -> bool:
    """Keep what the hangup handler said; False for an unknown call."""
    values = (records.ending_to_text(ending), ending.uniqueid)
    return bool(database.execute("UPDATE calls SET ending = ? WHERE uniqueid = ?", values).rowcount)


def ended(database: sqlite3.Connection, outcome: Outcome, due: float) -> bool:
    """Write a call's end down, its finish owed; False where it is known or the call is not."""
    changed = database.execute(
        "UPDATE calls SET outcome = ? WHERE uniqueid = ? AND outcome IS NULL",
        (records.outcome_to_text(outcome), outcome.uniqueid),
    ).rowcount
    if changed:
        _owe(database, outcome.uniqueid, FINISH, "", due)
        database.execute(  # who gave the register up gave up its finish
            "UPDATE deliveries SET state = ?1 WHERE uniqueid = ?2 AND kind = ?3 AND EXISTS"
            " (SELECT 1 FROM deliveries WHERE uniqueid = ?2 AND kind = ?4 AND state = ?1)",
            (DROPPED, outcome.uniqueid, FINISH, REGISTER),
        )
    return bool(changed)


def finished(database: sqlite3.Connection, uniqueid: str) -> None:
    """The portal knows the end: a card can't be changed any more (bitrix24-telephony, 5)."""
    database.execute("UPDATE calls SET finished = 1 WHERE uniqueid = ?", (uniqueid,))
    _settle(database, uniqueid, FINISH)
    database.execute(
        "UPDATE deliveries SET state = ? WHERE uniqueid = ? AND kind IN (?, ?) AND state != ?",
        (DROPPED, uniqueid, *_CARDS, DONE),
    )


def owe(database: sqlite3.Connection, uniqueid: str, kind: str, payload: str, due: float) -> int | None:
    """Owe a card or a recording; its id, or None where that is pointless or too much."""
    _check_length(payload)
    if kind not in _OWED_AT_WILL:
        raise ValueError(f"{kind} is owed by the call's own steps")
    count, over = database.execute(
        "SELECT count(*), max(finished) FROM calls LEFT JOIN deliveries USING (uniqueid) WHERE uniqueid = ?",
        (uniqueid,),
    ).fetchone()
    if count >= MOST_OF_A_CALL or over is None or (over and kind in _CARDS):
        return None
    return _owe(database, uniqueid, kind, payload, due)


def done(database: sqlite3.Connection, delivery_id: int) -> bool:
    """Settle a card or a recording; False where it was not owed."""
    changed = database.execute(
        "UPDATE deliveries SET state = ?, last_error = '', attempts = attempts + 1"
        " WHERE id = ? AND state NOT IN (?, ?) AND kind IN (?, ?, ?)",
        (DONE, delivery_id, DONE, DROPPED, *_OWED_AT_WILL),
    ).rowcount
    return bool(changed)


def postpone(database: sqlite3.Connection, which: int | tuple[str, str], due: float, error: str, refused: bool) -> bool:
    """Count a try that failed and say when the next is; False where the item is not due."""
    item, values = _which(which)
    row = database.execute(f"SELECT id, kind FROM deliveries WHERE {item} AND state = ?", (*values, DUE)).fetchone()
    if row is None:
        return False
    database.execute(
        "UPDATE deliveries SET due = ?, last_error = ?, attempts = attempts + 1, refusals = refusals + ? WHERE id = ?",
        (not_too_far(row[1], due, time.time()), records.plain(error), int(refused), row[0]),
    )
    return True


def park(database: sqlite3.Connection, which: int | tuple[str, str], error: str) -> bool:
    """Leave a due item to a human; False where it is not due."""
    item, values = _which(which)
    changed = database.execute(
        "UPDATE deliveries SET state = ?, last_error = ?, attempts = attempts + 1, refusals = refusals + 1"
        f" WHERE {item} AND state = ?",
        (PARKED, records.plain(error), *values, DUE),
    ).rowcount
    return bool(changed)


def prune(database: sqlite3.Connection, before: float, now: float, most: int) -> int:
    """Forget old calls with their deliveries and stories: finished ones, then those whose end was never seen.

    One with something still due (a recording) or held back by a human stays. The pages that get free are used again;
    the file does not become smaller.
    """
    gone = 0
    for condition, written in (("finished = 1", before), ("finished = 0 AND outcome IS NULL", now - OPEN_DAYS * 86400)):
        waits = "('due', 'held')" if condition == "finished = 1" else "('held')"
        gone += database.execute(
            "DELETE FROM calls WHERE uniqueid IN (SELECT uniqueid FROM calls"
            f" WHERE {condition} AND written < ? AND NOT EXISTS (SELECT 1 FROM deliveries"
            f" WHERE deliveries.uniqueid = calls.uniqueid AND deliveries.state IN {waits}) ORDER BY written LIMIT ?)",
            (written, max(min(most, MOST_AT_ONCE) - gone, 0)),
        ).rowcount
    database.execute("DELETE FROM left_out WHERE at < ?", (before,))
    dialling.forget(database, now - dialling.KEPT_SECONDS)
    return gone


def _owe(database: sqlite3.Connection, uniqueid: str, kind: str, payload: str, due: float) -> int | None:
    return database.execute(
        "INSERT OR IGNORE INTO deliveries (uniqueid, kind, payload, number, started_at, due)"
        " SELECT uniqueid, ?, ?, number, started_at, ? FROM calls WHERE uniqueid = ?",
        (kind, payload, not_too_far(kind, due, time.time()), uniqueid),
    ).lastrowid


def _settle(database: sqlite3.Connection, uniqueid: str, kind: str) -> None:
    database.execute(
        "UPDATE deliveries SET state = ?, last_error = '', attempts = attempts + 1 WHERE uniqueid = ? AND kind = ?",
        (DONE, uniqueid, kind),
    )


def _which(which: int | tuple[str, str]) -> tuple[str, tuple[object, ...]]:
    return ("id = ?", (which,)) if isinstance(which, int) else ("uniqueid = ? AND kind = ?", which)


def _check_length(text: str) -> None:
    if len(text) > LONGEST_JSON:
        raise ValueError(f"{len(text)} characters are too many to keep: {LONGEST_JSON} at most")
