"""What people ask about calls and what is owed of them: the journal's rows as plain values, ready for JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Mapping

from ..bitrix24.directory import Directory
from ..call import INBOUND, Person
from ..errors import ServiceError
from ..journal.reading import STATES, Reading
from ..journal.records import ATTACH, FINISH, PARKED, REGISTER, Delivery, Entry, LeftOut, Owed
from ..numbers import canonical
from ..outcome import ANSWERED
from ..policy import Rules

Value = dict[str, Any]
Arguments = Mapping[str, str]

LONGEST_ARGUMENT = 200
MOST_CALLS = 1000  # of a list; the journal gives the newest
MOST_OTHERS = 50  # calls of a number beside the one that is told in full
MOST_ITEMS = 1000
FOREVER = 1e11  # wall clock seconds: the year 5138


@dataclass(frozen=True)
class Desk:
    """What a question is answered from. `rules` is None where the configuration can't be read.

    :ivar doing: what is being done of a recording's item: (words, percent or None).
    :ivar live: how the running service stands (`standing.live`), None where none runs or nobody asks for it.
    """

    journal: Reading
    directory: Directory
    rules: Rules | None
    now: float
    doing: Mapping[int, tuple[str, int | None]] = field(default_factory=dict)
    live: Mapping[str, Any] | None = None

    def number(self, text: str) -> str:
        """A number as people type it in its canonical form; as it is where that can't be told."""
        return (canonical(text, self.rules.country, self.rules.area_code) if self.rules else "") or text


def calls(desk: Desk, arguments: Arguments) -> Value:
    """The calls from `since` on (wall clock seconds), of one `number` where that is given."""
    since, number = _seconds(arguments.get("since", "0")), desk.number(arguments.get("number", ""))
    entries = desk.journal.calls(since, FOREVER, number)
    owed = _by_call(desk.journal.owed_of([entry.uniqueid for entry in entries]))
    values = [call_value(entry, owed.get(entry.uniqueid, []), desk.directory) for entry in entries]
    left_out = [left_out_value(one) for one in desk.journal.left_out(since, FOREVER, number)]
    return {
        "since": moment(since),
        "calls": values,
        "left_out": left_out,
        "counts": _counts(values, left_out),
        "more": len(values) >= MOST_CALLS,
    }


def why(desk: Desk, arguments: Arguments) -> Value:
    """The story of the newest call that `text` (a uniqueid, external id or number) means, and the others in short."""
    text = arguments.get("text", "")
    found = desk.journal.find(text) or desk.journal.find(desk.number(text))
    left_out = desk.journal.left_out(0, FOREVER, text) or desk.journal.left_out(0, FOREVER, desk.number(text))
    entries = [entry for entry in map(desk.journal.entry, found[: MOST_OTHERS + 1]) if entry]
    owed = _by_call(desk.journal.owed_of([entry.uniqueid for entry in entries]))
    return {
        "call": _told(desk, entries[0], owed.get(entries[0].uniqueid, [])) if entries else None,
        "others": [call_value(one, owed.get(one.uniqueid, []), desk.directory) for one in entries[1:]],
        "left_out": [left_out_value(one) for one in left_out[-MOST_OTHERS:]],
        "more": len(found) > MOST_OTHERS + 1,
    }


def outbox(desk: Desk, arguments: Arguments) -> Value:
    """What the CRM is still owed, by due time."""
    counted = desk.journal.count_owed()
    items = desk.journal.outbox(STATES, MOST_ITEMS)
    return {
        "items": [item_value(owed) for owed in items],
        "counts": {state: counted.get(state, 0) for state in STATES},
        "more": sum(counted.values()) > len(items),
    }


def item(desk: Desk, arguments: Arguments) -> Value:
    """One item by its `id`, whatever became of it, and its call's whole story."""
    delivery_id = _whole(arguments.get("id", ""))
    found = desk.journal.delivery(delivery_id)
    if found is None:
        raise ServiceError(f"there is no item {delivery_id}", "See `bx24 outbox list`.")
    entry = desk.journal.entry(found.uniqueid)
    owed = desk.journal.owed_of([found.uniqueid])
    since = next((one.since for one in owed if one.item.id == found.id), None)
    return {
        "item": _delivery_value(found, entry.registration.number if entry else "", since),
        "call": _told(desk, entry, owed) if entry else None,
    }


def recordings(desk: Desk, arguments: Arguments) -> Value:
    """The recordings that the CRM is still owed, by due time, each with what is being done of it."""
    items = desk.journal.outbox(STATES, MOST_ITEMS, (ATTACH,))
    counts = dict.fromkeys(STATES, 0)
    values = []
    for owed in items:
        counts[owed.item.state] += 1
        entry = desk.journal.entry(owed.item.uniqueid)
        words, percent = desk.doing.get(owed.item.id, ("", None))
        waits = "the call's finish" if entry and not entry.finished else ""
        values.append({**item_value(owed), "doing": words, "percent": percent, "waits_for": waits})
    return {"items": values, "counts": counts, "more": len(items) >= MOST_ITEMS}


def call_value(entry: Entry, owed: list[Owed], directory: Directory) -> Value:
    """One call as docs/commands.md describes it."""
    registration, registered, outcome = entry.registration, entry.registered, entry.outcome
    people = outcome.people if outcome and outcome.people else registration.people
    return {
        "uniqueid": entry.uniqueid,
        "external_id": registration.external_id,
        "direction": registration.direction,
        "number": registration.number,
        "line": registration.line,
        "started": registration.started.isoformat(),
        "person": _person(people[0] if people else Person(), directory),
        "outcome": _outcome(entry),
        "talk_seconds": outcome.talk_seconds if outcome else None,
        "status_code": outcome.status_code if outcome else None,
        "reason": outcome.reason if outcome else "",
        "state": entry.state,
        "call_id": registered.call_id if registered else None,
        "crm": {"type": registered.entity.type, "id": registered.entity.id}
        if registered and registered.entity
        else None,
        "created_lead": (registered.created_lead or None) if registered else None,
        "rule": entry.rule,
        "owed": [item_value(one) for one in owed],
    }


def left_out_value(call: LeftOut) -> Value:
    """A call of which the CRM is told nothing."""
    return {
        "uniqueid": call.uniqueid,
        "direction": call.direction,
        "number": call.number,
        "started": moment(call.at),
        "why": call.why,
    }


def item_value(owed: Owed) -> Value:
    """One item of what is owed."""
    return _delivery_value(owed.item, owed.number, owed.since)


def moment(seconds: float) -> str:
    """Wall clock seconds as ISO 8601 in this machine's zone; a time that no calendar has is the nearest it has."""
    return datetime.fromtimestamp(min(max(seconds, 0.0), FOREVER)).astimezone().isoformat(timespec="milliseconds")


def _delivery_value(one: Delivery, number: str, since: float | None) -> Value:
    return {
        "id": one.id,
        "uniqueid": one.uniqueid,
        "number": number,
        "kind": one.kind,
        "state": one.state,
        "since": moment(since) if since is not None else None,
        "due": moment(one.due),
        "attempts": one.attempts,
        "refusals": one.refusals,
        "last_error": one.last_error,
    }


def _told(desk: Desk, entry: Entry, owed: list[Owed]) -> Value:
    lines = desk.journal.story(entry.uniqueid)
    story = [{"at": moment(line.at), "what": line.what, "detail": line.detail} for line in lines]
    return {**call_value(entry, owed, desk.directory), "story": story}


def _person(person: Person, directory: Directory) -> Value:
    user_id = directory.user_id(person) or person.user_id
    return {
        "extension": person.extension or directory.extension(user_id),
        "user_id": user_id or None,
        "name": directory.name(user_id),
    }


def _outcome(entry: Entry) -> str:
    if entry.outcome is None:
        return "going on"
    if entry.outcome.status_code == ANSWERED:
        return "answered"
    return "missed" if entry.registration.direction == INBOUND else "not answered"


def _counts(values: list[Value], left_out: list[Value]) -> Value:
    counts = {"calls": len(values), "answered": 0, "missed": 0, "not answered": 0, "going on": 0}
    for value in values:
        counts[value["outcome"]] += 1
    owing = [value for value in values if any(_is_late(one, value) for one in value["owed"])]
    parked = [value for value in owing if any(one["state"] == PARKED for one in value["owed"])]
    counts = {name.replace(" ", "_"): count for name, count in counts.items()}
    finished = sum(value["state"] == "finished" for value in values)
    return {
        **counts,
        "finished": finished,
        "owed": len(owing) - len(parked),
        "parked": len(parked),
        "left_out": len(left_out),
    }


def _is_late(one: Value, value: Value) -> bool:
    """Whether the CRM waits for an item; a call that is being registered right now is not late."""
    return one["kind"] in (REGISTER, FINISH) and (value["state"] != "registering" or one["attempts"] > 0)


def _by_call(owed: list[Owed]) -> dict[str, list[Owed]]:
    found: dict[str, list[Owed]] = {}
    for one in owed:
        found.setdefault(one.item.uniqueid, []).append(one)
    return found


def _seconds(text: str) -> float:
    try:
        return min(max(0.0, float(text)), FOREVER)  # in this order nan is 0.0
    except ValueError:
        raise ServiceError(f"{text[:40]!r} is no time") from None


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ServiceError(f"{text[:40]!r} is no item's number", "See `bx24 outbox list`.")
    return int(text)
