"""What may be delivered now, and in which order: per call, per client number by start, across calls by urgency."""

from __future__ import annotations

import math
import sqlite3
from typing import Any, Iterator, Sequence

from .records import ATTACH, FINISH, HIDE, KINDS, REGISTER, SHOW, Delivery

CARDS = (SHOW, HIDE)
# The longest that an item of a kind is ever put off, in seconds. One that is due later than that from now was put off
# by a clock that has been set back since: it is due now.
LONGEST_BACK_OFF = {REGISTER: 7200.0, SHOW: 7200.0, HIDE: 7200.0, FINISH: 7200.0, ATTACH: 86400.0}

FIELDS = "id, uniqueid, kind, payload, due, attempts, refusals, last_error, state"
_WANTED = ", ".join(f"wanted.{name}" for name in FIELDS.split(", "))
# The classes of urgency (the rank that schema.py keeps) and the kinds of each.
_RANKS: dict[int, tuple[str, ...]] = {0: (REGISTER,), 1: (REGISTER,), 2: CARDS, 3: (FINISH,), 4: (ATTACH,)}

# A register waits for the earliest call of its number whose register is due and was not refused: two registers of one
# new client side by side would make two leads. Without a number there is no client to keep apart.
_REGISTER_BEFORE = """
    SELECT id FROM deliveries AS earlier
    WHERE state = 'due' AND refusals = 0 AND kind = 'register' AND number = wanted.number AND number != ''
    AND (earlier.started_at, earlier.uniqueid) < (wanted.started_at, wanted.uniqueid)
    ORDER BY started_at, uniqueid LIMIT 1"""
# A finish waits for the cards of its call and for the finish of an earlier call of its number (a call-back that is
# told after the missed call closes it: bitrix24-telephony 7.3), unless that finish itself waits for a register that
# was refused, parked, held or dropped: such a call holds up nobody.
_FINISH_BEFORE = """
    SELECT id FROM deliveries AS card
    WHERE state = 'due' AND refusals = 0 AND uniqueid = wanted.uniqueid AND kind IN ('show', 'hide')
    AND card.id < wanted.id
    UNION ALL
    SELECT id FROM deliveries AS earlier
    WHERE state = 'due' AND refusals = 0 AND kind = 'finish' AND number = wanted.number AND number != ''
    AND (earlier.started_at, earlier.uniqueid) < (wanted.started_at, wanted.uniqueid)
    AND (reachable = 1 OR EXISTS (
        SELECT 1 FROM deliveries AS its_register
        WHERE state = 'due' AND refusals = 0 AND kind = 'register' AND its_register.uniqueid = earlier.uniqueid))
    LIMIT 1"""
_CARD_BEFORE = """
    SELECT id FROM deliveries AS card
    WHERE state = 'due' AND refusals = 0 AND uniqueid = wanted.uniqueid AND kind IN ('show', 'hide')
    AND card.id < wanted.id LIMIT 1"""
_NOTHING_BEFORE = "SELECT id FROM deliveries WHERE 0"
_BEFORE = {0: _REGISTER_BEFORE, 1: _REGISTER_BEFORE, 2: _CARD_BEFORE, 3: _FINISH_BEFORE, 4: _NOTHING_BEFORE}

_READY = "deliveries AS wanted WHERE state = 'due' AND reachable = 1 AND rank = ?"
_PAST, _TOO_FAR = "due <= ? AND due >= ?", "due > ?"


def deliverable(
    database: sqlite3.Connection, now: float, most: int, kinds: Sequence[str] = KINDS, since: float = -math.inf
) -> list[Delivery]:
    """What may be delivered at `now` (wall clock seconds), the most urgent first, `most` at most.

    :param since: what fell due before that is left out, unless it holds something newer up.
    :raises sqlite3.Error: where the file can't be read.
    """
    found: list[Delivery] = []
    calls: set[str] = set()
    numbers: set[str] = set()
    for row in _ready_rows(database, now, kinds, since):
        if len(found) >= most:
            break
        item, before = Delivery(*row[:-2]), row[-2]
        number: str = row[-1]
        if item.uniqueid in calls:
            continue
        if item.kind in CARDS:
            run = _cards_of(database, item.uniqueid, now, kinds)[: most - len(found)]
        elif item.kind == REGISTER:
            if number and number in numbers:
                continue
            # Whoever holds up an urgent register is as urgent: it goes in that one's place.
            run = [item] if before is None else _if_due(database, before, now)
            numbers.update([number] if run else [])
        else:
            run = [item] if before is None else []
        found += run
        calls.update(one.uniqueid for one in run)
    return found


def earliest_due(database: sqlite3.Connection, now: float, kinds: Sequence[str] = KINDS) -> float | None:
    """When `deliverable` will have something (wall clock seconds; not after `now` where it has already).

    :param kinds: of these alone; a class of urgency counts as a whole.

    None where something else must happen first: nothing is owed, or all of it waits for a human or for a call's end.

    :raises sqlite3.Error: where the file can't be read.
    """
    found = []
    for rank, of_rank in _RANKS.items():
        if not set(of_rank) & set(kinds):
            continue
        query = f"SELECT due FROM {_READY} AND {{}} AND NOT EXISTS ({_BEFORE[rank]}) ORDER BY due LIMIT 1"
        far = now + LONGEST_BACK_OFF[of_rank[0]]
        if database.execute(query.format(_TOO_FAR), (rank, far)).fetchone():
            return now
        row = database.execute(query.format("due <= ?"), (rank, far)).fetchone()
        found += [float(row[0])] if row else []
    return min(found, default=None)


def not_too_far(kind: str, due: float, now: float) -> float:
    """A due time within the longest back-off of its kind: what is put off further would be taken for due."""
    return min(due, now + LONGEST_BACK_OFF[kind])


def _ready_rows(
    database: sqlite3.Connection, now: float, kinds: Sequence[str], since: float
) -> Iterator[tuple[Any, ...]]:
    """Rows that are due and reachable by urgency, each with the id of what holds it up and its client number."""
    for rank, of_rank in _RANKS.items():
        if not set(of_rank) & set(kinds):
            continue
        for condition, limits in ((_PAST, (now, since)), (_TOO_FAR, (now + LONGEST_BACK_OFF[of_rank[0]],))):
            query = f"SELECT {_WANTED}, ({_BEFORE[rank]}), number FROM {_READY} AND {condition} ORDER BY due, id"
            yield from database.execute(query, (rank, *limits))


def _is_due(item: Delivery, now: float) -> bool:
    return item.due <= now or item.due > now + LONGEST_BACK_OFF[item.kind]


def _if_due(database: sqlite3.Connection, delivery_id: int, now: float) -> list[Delivery]:
    rows = database.execute(f"SELECT {FIELDS} FROM deliveries WHERE id = ?", (delivery_id,))
    return [item for item in (Delivery(*row) for row in rows) if _is_due(item, now)]


def _cards_of(database: sqlite3.Connection, uniqueid: str, now: float, kinds: Sequence[str]) -> list[Delivery]:
    """The cards of a call that may go one after the other now; one that is not due yet holds up those after it."""
    rows = database.execute(
        f"SELECT {FIELDS} FROM deliveries WHERE uniqueid = ? AND state = 'due' AND kind IN ('show', 'hide')"
        " ORDER BY id",
        (uniqueid,),
    )
    run = []
    for item in (Delivery(*row) for row in rows):
        if _is_due(item, now) and item.kind in kinds:
            run.append(item)
        elif not item.refusals:
            break
    return run
