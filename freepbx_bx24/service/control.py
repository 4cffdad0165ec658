"""Answers what `bx24 calls`, `why`, `outbox`, `status` and others ask: a frame in, one line of JSON out."""

from __future__ import annotations

import json
import time
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from typing import Callable, Mapping, TypeVar

from ..errors import Bx24Error, ChannelError, JournalError, ServiceError
from ..journal.records import DONE, DROPPED, DUE, FINISH, HELD, PARKED, REGISTER, Delivery
from ..journal.store import Journal
from . import standing
from .looking import LONGEST_ARGUMENT, Arguments, Desk, Value
from .questions import LOOKS
from .runtime import Runtime

BEGINNING = b"kind=control\0"
LONGEST = 20_000  # bytes of a frame
MOST_IDS = 1000  # items that one command changes
JOURNAL_SECONDS = 60.0  # for one step: a disk that hangs must not keep the person who asks for ever
BY_HAND = "by hand"
Answer = TypeVar("Answer")

# Verb: (the journal's step, what it says where it did something, may that be delivered now).
CHANGES: Mapping[str, tuple[Callable[[Journal, int], bool], str, bool]] = {
    "retry": (lambda journal, one: journal.retry(one), "is tried again now", True),
    "hold": (lambda journal, one: journal.hold(one), "is held back until it is released", False),
    "release": (lambda journal, one: journal.release(one), "is no longer held back", True),
    "drop": (lambda journal, one: journal.drop(one), "is given up: the CRM will not be told", False),
}
_UNCHANGED = {
    DUE: "it waits for its turn already",
    DONE: "the portal has it already",
    PARKED: "it is parked, not held: `bx24 outbox retry` has it tried again",
    HELD: "it is held back already",
    DROPPED: "it was given up: `bx24 outbox retry` has it tried all the same",
}


def answer(runtime: Runtime, data: bytes) -> bytes:
    """The line of JSON for a frame; what can't be done is in it as `error` and `hint`.

    :raises ChannelError: the frame makes no sense.
    """
    fields = _fields(data)
    verb = fields.pop("verb", "")
    try:
        if verb in LOOKS:
            value = _look(runtime, verb, fields)
        elif verb == "forget":
            value = _forget(runtime, fields)
        elif verb in CHANGES:
            value = _change(runtime, verb, fields)
        else:
            raise ServiceError(f"the service knows no {verb[:40]!r}", "It is of another version: restart it.")
    except Bx24Error as error:
        value = refusal(error)
    return json.dumps(value).encode("ascii") + b"\n"


def refusal(error: Bx24Error) -> Value:
    """What is answered where it can't be done."""
    return {"error": error.message, "hint": error.hint}


def _fields(data: bytes) -> dict[str, str]:
    if len(data) > LONGEST or not data.startswith(BEGINNING) or not data.endswith(b"\0\0"):
        raise ChannelError(f"a control frame of {len(data)} bytes is cut or too long")
    fields = {}
    for field in data[len(BEGINNING) : -2].split(b"\0"):
        name, _, text = field.partition(b"=")
        fields[name.decode("ascii", "replace")] = text.decode("utf-8", "replace")
    longest = max((len(text) for name, text in fields.items() if name != "ids"), default=0)
    if longest > LONGEST_ARGUMENT:
        raise ChannelError(f"an argument of {longest} characters is too long")
    return fields


def _have(runtime: Runtime, step: Callable[[Journal], Answer]) -> Answer:
    """Have the journal's thread do a step."""
    try:
        return runtime.write(step).result(JOURNAL_SECONDS)
    except FutureTimeout:
        raise JournalError(
            f"the journal has not answered within {JOURNAL_SECONDS:.0f} s", "Look at the disk."
        ) from None


def _look(runtime: Runtime, verb: str, arguments: Arguments) -> Value:
    live = standing.live(runtime) if verb == "status" else None

    def look(journal: Journal) -> Value:
        try:
            rules, doing = runtime.settings.rules, runtime.recordings.doing
            return LOOKS[verb](Desk(journal, runtime.directory, rules, time.time(), doing, live), arguments)
        except ServiceError as error:  # what was asked makes no sense: no failure of the journal's thread
            return refusal(error)

    return _have(runtime, look)


def _forget(runtime: Runtime, arguments: Arguments) -> Value:
    """Erase a client's number from the journal and from what is remembered here."""
    numbers = [number for number in arguments.get("numbers", "").split(",") if number]
    if not numbers:
        raise ServiceError("there is no number to forget")
    for number in numbers:
        runtime.clients.forget(number)
    runtime.last_trouble.last = None  # it may name it
    return _have(runtime, lambda journal: journal.forget(numbers))._asdict()


def _change(runtime: Runtime, verb: str, arguments: Arguments) -> Value:
    """Change items one by one: each is a step of its own, so that calls go on between them."""
    if verb == "retry" and arguments.get("parked"):
        parked = _have(runtime, lambda journal: journal.outbox((PARKED,), MOST_IDS))
        ids = [owed.item.id for owed in parked]
    else:
        ids = _ids(arguments.get("ids", ""))
    changed = [_have(runtime, partial(_changed, verb=verb, delivery_id=one)) for one in ids]
    if CHANGES[verb][2]:
        runtime.wake.set()
        runtime.recordings.wake.set()
    return {"changed": changed}


def _changed(journal: Journal, verb: str, delivery_id: int) -> Value:
    """Change one item and say what became of it."""
    step, said, _ = CHANGES[verb]
    item = journal.delivery(delivery_id)
    if item is None:
        text = "there is no such item: see `bx24 outbox list`"
        return {"id": delivery_id, "done": False, "kind": None, "uniqueid": None, "number": None, "text": text}
    entry = journal.entry(item.uniqueid)
    done = step(journal, delivery_id)
    if done:
        journal.tell_soon(item.uniqueid, BY_HAND, f"{item.kind} {said}")
    text = _text(verb, item, said) if done else f"not changed: {_UNCHANGED[item.state]}"
    return {
        "id": delivery_id,
        "done": done,
        "kind": item.kind,
        "uniqueid": item.uniqueid,
        "number": entry.registration.number if entry else "",
        "text": text,
    }


def _text(verb: str, item: Delivery, said: str) -> str:
    with_the_rest = verb == "drop" and item.kind in (REGISTER, FINISH)
    return said + (", nor of anything else of this call" if with_the_rest else "")


def _ids(text: str) -> list[int]:
    parts = dict.fromkeys(text.split(","))
    if not all(part.isascii() and part.isdigit() and len(part) <= 15 for part in parts):
        raise ServiceError("items are named by their numbers", "See `bx24 outbox list`.")
    if len(parts) > MOST_IDS:
        raise ServiceError(f"{len(parts)} items at once are too many: {MOST_IDS} at most")
    return [int(part) for part in parts]
