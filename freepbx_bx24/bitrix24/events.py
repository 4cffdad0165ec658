"""The portal's events: bound, fetched from its offline queue or read from a form, and taken with distrust."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Iterable, Mapping, Sequence

from ..errors import AlreadySo, FeatureMissing, PortalBroken
from ..settings import Settings
from .client import Client, Urgency
from .replies import Result, harmless, moment

CLICK = "ONEXTERNALCALLSTART"
CALLBACK = "ONEXTERNALCALLBACKSTART"
KNOWN = (CLICK, CALLBACK)

BIND, UNBIND, BOUND = "event.bind", "event.unbind", "event.get"
FETCH, WAITING, DONE, MAY_RESERVE = "event.offline.get", "event.offline.list", "event.offline.clear", "feature.get"
RESERVING = "rest_offline_extended"

SKEW_SECONDS = 10.0  # a clock of the portal's that differs from ours by less than half of that is ours
MOST_EVENTS = 50  # the portal's own page
MOST_FIELDS = 40
LONGEST_VALUE = 1000
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,39}", re.ASCII)
_FIELD = re.compile(r"(data|auth)\[([A-Za-z][A-Za-z0-9_]{0,39})\]", re.ASCII)


@dataclass(frozen=True)
class PortalEvent:
    """Something that happened in the portal. Both ways that it can come give the same value.

    :ivar name: in capitals. :ivar data: its fields as text: numbers in digits, yes and no as 1 and 0; what is empty in
        the portal (null) or nested is left out. Values are one harmless line each, and still somebody else's words.
    :ivar timestamp: when it happened, in whole seconds since 1970 by the portal; the queue's by this machine's clock
        where the two differ by more than SKEW_SECONDS. The same event from the queue has the same one each time.
    :ivar message_id: the same for two events with the same name and data.
    """

    name: str
    data: Mapping[str, str]
    timestamp: float
    message_id: str


@dataclass(frozen=True, order=True)
class Binding:
    """An event that the portal tells us of. :ivar handler: the address it goes to; empty: the offline queue."""

    event: str
    handler: str = ""


@dataclass(frozen=True)
class Fetched:
    """What one reading of the queue brought.

    :ivar process_id: the rows are reserved until `done` with it; empty: they are gone from the queue already.
    """

    events: tuple[PortalEvent, ...]
    process_id: str = ""


# -- bindings --------------------------------------------------------------------------------------------------------


def wanted_events(settings: Settings) -> tuple[str, ...]:
    """The events that the settings need: none while clicks and callbacks are off."""
    callbacks = settings.callbacks.target or settings.callbacks.targets
    return (*([CLICK] if settings.clicks.enabled else []), *([CALLBACK] if callbacks else []))


def wanted_bindings(settings: Settings) -> frozenset[Binding]:
    """What the portal has to have bound for that."""
    return frozenset(Binding(name, settings.events.address) for name in wanted_events(settings))


def bindings(client: Client, seconds: float) -> frozenset[Binding]:
    """What of the events that we know is bound. :raises PortalError: as `Client.call` does."""
    rows = client.call(BOUND, {}, total_seconds=seconds, urgency=Urgency.EVENTS).result
    if not isinstance(rows, list):
        raise PortalBroken("the portal's list of bound events is no list")
    found = set()
    for row in rows[:1000]:
        name = row.get("event") if isinstance(row, dict) else None
        name = name.upper() if isinstance(name, str) else ""
        handler = harmless(row.get("handler"), LONGEST_VALUE) if name in KNOWN else ""
        if name in KNOWN and (handler or str(row.get("offline")) == "1"):
            found.add(Binding(name, handler))
    return frozenset(found)


def bind(client: Client, binding: Binding, seconds: float) -> None:
    """Bind one event; one that is bound already is good. :raises PortalError: as `Client.call` does."""
    with contextlib.suppress(AlreadySo):
        client.call(BIND, _parameters(binding), total_seconds=seconds, urgency=Urgency.EVENTS)


def unbind(client: Client, binding: Binding, seconds: float) -> None:
    """Unbind one event. :raises PortalError: as `Client.call` does."""
    client.call(UNBIND, _parameters(binding), total_seconds=seconds, urgency=Urgency.EVENTS)


def settle(client: Client, wanted: Iterable[Binding], seconds: float) -> tuple[frozenset[Binding], frozenset[Binding]]:
    """Have exactly these bound, of the events that we know; returns what was bound and what was unbound for that.

    An event that is bound twice would be told twice. :raises PortalError: as `Client.call` does.
    """
    there, wished = bindings(client, seconds), frozenset(wanted)
    for one in sorted(wished - there):
        bind(client, one, seconds)
    for one in sorted(there - wished):
        unbind(client, one, seconds)
    return wished - there, there - wished


def _parameters(binding: Binding) -> dict[str, object]:
    way = {"handler": binding.handler} if binding.handler else {"event_type": "offline"}
    return {"event": binding.event, **way}


# -- the offline queue -----------------------------------------------------------------------------------------------


def may_reserve(client: Client, seconds: float) -> bool:
    """Whether the portal's plan lets rows be reserved, so that none is lost between reading and working on it."""
    answer = client.call(MAY_RESERVE, {"CODE": RESERVING}, total_seconds=seconds, urgency=Urgency.EVENTS).result
    return isinstance(answer, dict) and answer.get("value") == "Y"


def fetch(client: Client, reserve: bool, seconds: float, wait_seconds: float) -> Fetched:
    """The events that wait. :param reserve: keep their rows until `done`; else they are deleted as they are read.

    :raises FeatureMissing: the plan has no reserving. :raises PortalError: as `Client.call` does.
    """
    parameters = {"clear": int(not reserve), "limit": MOST_EVENTS}
    answer = client.call(FETCH, parameters, total_seconds=seconds, urgency=Urgency.EVENTS, wait_seconds=wait_seconds)
    body = answer.result if isinstance(answer.result, dict) else {}
    rows = body.get("events")
    if not isinstance(rows, list):
        raise PortalBroken("the portal's list of events is no list")
    return Fetched(_events(rows, answer), _word(body.get("process_id")) if reserve and rows else "")


def reserved(client: Client, seconds: float) -> list[Fetched]:
    """What somebody has reserved and not cleared: this program, before it was killed or lost an answer.

    A page of it: where it gives some, there may be more.

    :raises PortalError: as `Client.call` does.
    """
    first = {"order": {"PROCESS_ID": "DESC"}}  # before all those that nobody has read
    try:
        answer = client.call(WAITING, first, total_seconds=seconds, urgency=Urgency.EVENTS)
    except FeatureMissing:
        return []  # then nothing can be reserved either
    if not isinstance(answer.result, list):
        raise PortalBroken("the portal's list of events is no list")
    rows: dict[str, list[Any]] = {}
    for row in answer.result:
        process_id = _word(row.get("PROCESS_ID")) if isinstance(row, dict) else ""
        if process_id and str(row.get("ERROR", "0")) in ("0", ""):
            rows.setdefault(process_id, []).append(row)
    return [Fetched(_events(some, answer), process_id) for process_id, some in rows.items()]


def waiting(client: Client, seconds: float) -> int:
    """How many events wait in the queue; reads without taking any. :raises PortalError: as `Client.call` does."""
    answer = client.call(WAITING, {}, total_seconds=seconds, urgency=Urgency.EVENTS)
    return answer.total or (len(answer.result) if isinstance(answer.result, list) else 0)


def done(client: Client, process_id: str, seconds: float) -> None:
    """The reserved rows have been worked on: the portal deletes them. :raises PortalError: as `Client.call` does."""
    client.call(DONE, {"process_id": process_id}, total_seconds=seconds, urgency=Urgency.EVENTS)


def _events(rows: Sequence[object], answer: Result) -> tuple[PortalEvent, ...]:
    now = time.time()
    theirs = moment(answer.time) or now
    # In steps, so that the same row has the same timestamp whenever it is read.
    ahead = round((theirs - now) / SKEW_SECONDS) * SKEW_SECONDS
    found = []
    for row in rows[:MOST_EVENTS]:
        data = row.get("EVENT_DATA") if isinstance(row, dict) else None
        if isinstance(row, dict) and isinstance(data, dict):
            happened = _seconds(row.get("TIMESTAMP_X")) or theirs
            found.append(event(row.get("EVENT_NAME"), data, happened - ahead))
    return tuple(one for one in found if one)


# -- the form of a handler -------------------------------------------------------------------------------------------


def read_form(fields: Iterable[tuple[str, str]]) -> tuple[PortalEvent | None, dict[str, str]]:
    """The event that a form tells, None where it tells none, and its `auth` fields, which are secrets."""
    parts: dict[str, dict[str, str]] = {"data": {}, "auth": {}}
    plain = {}
    for name, value in fields:
        found = _FIELD.fullmatch(name)
        if found:
            parts[found[1]][found[2]] = value
        else:
            plain[name] = value
    told = plain.get("ts", "")
    seconds = float(told) if told.isascii() and told.isdigit() and len(told) <= 12 else time.time()
    return event(plain.get("event"), parts["data"], seconds), parts["auth"]


def event(name: object, data: Mapping[str, object], timestamp: float) -> PortalEvent | None:
    """The event of these parts; None where it has no proper name."""
    title = name.upper() if isinstance(name, str) else ""
    if not _NAME.fullmatch(title):
        return None
    values: dict[str, str] = {}
    for key, value in data.items():
        if isinstance(key, str) and _NAME.fullmatch(key) and len(values) < MOST_FIELDS:
            text = _text(value)
            if text is not None:
                values[key] = text
    told = "\0".join([title, *(f"{key}={values[key]}" for key in sorted(values))])
    return PortalEvent(title, values, timestamp, hashlib.sha256(told.encode()).hexdigest()[:32])


def _text(value: object) -> str | None:
    """A field's value: the queue gives JSON's types, a form gives text."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    return harmless(value, LONGEST_VALUE) if isinstance(value, str) else None


def _word(value: object) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value, re.ASCII) else ""


def _seconds(value: object) -> float:
    """The seconds since 1970 of a date with its offset; 0.0 for what is none."""
    try:
        date = datetime.fromisoformat(value) if isinstance(value, str) else None
        return date.timestamp() if date and date.tzinfo else 0.0
    except (ValueError, OverflowError):
        return 0.0
