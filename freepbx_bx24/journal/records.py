"""A call, a delivery and a line of its story as the journal keeps them, and their way to and from JSON text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Mapping

from ..call import Ending, Entity, Outcome, Person, Registration

REGISTER = "register"
SHOW = "show"
HIDE = "hide"
FINISH = "finish"
ATTACH = "attach"
KINDS = (REGISTER, SHOW, HIDE, FINISH, ATTACH)

DUE = "due"
DONE = "done"
PARKED = "parked"  # the portal refused it too often: a human decides
HELD = "held"  # a human keeps it back
DROPPED = "dropped"  # a human gave it up

HUNG_UP = "hung up"  # the line of a call's story that says when it ended

LONGEST_TEXT = 500  # characters of an error or of a story's detail
LONGEST_WORD = 80  # of what a line of the story is about
LONGEST_JSON = 100_000  # of a payload or of a call's legs

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Registered:
    """What the portal said to register: its CALL_ID, who owns the call there, and what it is bound to.

    `shown` is whether the request opened the owner's card, `made` whether this very call made the record: nobody knew
    the client before.
    """

    call_id: str
    user_id: int = 0
    entity: Entity | None = None
    created_lead: int = 0
    shown: bool = False
    made: bool = False


@dataclass(frozen=True)
class Entry:
    """One call of the journal. `registered` and `outcome` are None until they are known.

    `portal` is the origin of the portal that has the call (empty: not said); `user_id` the person as resolved when the
    call came (0: not resolved); `rule` the line and rule that decided; `legs` JSON text, empty until known; `parked`
    whether its register or finish waits for a human; `written` when the row was made (wall clock seconds); `ending`
    what the hangup handler said, None until it ran.
    """

    registration: Registration
    registered: Registered | None = None
    outcome: Outcome | None = None
    finished: bool = False
    portal: str = ""
    user_id: int = 0
    rule: str = ""
    legs: str = ""
    parked: bool = False
    written: float = field(default=0.0, compare=False)
    ending: Ending | None = None

    @property
    def uniqueid(self) -> str:
        """The uniqueid of the channel that ran register: the journal's key."""
        return self.registration.uniqueid

    @property
    def state(self) -> str:
        """One word: `registering`, `open`, `ended`, `finished` or `parked`; the first of the table that is so."""
        words = (
            ("finished", self.finished),
            ("parked", self.parked),
            ("ended", self.outcome is not None),
            ("open", self.registered is not None),
        )
        return next((word for word, is_so in words if is_so), "registering")


@dataclass(frozen=True)
class Delivery:
    """One thing that the portal must learn of a call.

    `payload` is JSON text (user ids of a card, the file of a recording), `due` wall clock seconds; `attempts` counts
    all tries, `refusals` those in which the portal refused this very item; `last_error` is what was said last.
    """

    id: int
    uniqueid: str
    kind: str
    payload: str
    due: float
    attempts: int
    refusals: int
    last_error: str
    state: str


@dataclass(frozen=True)
class StoryLine:
    """One line of what happened to a call: when (wall clock seconds), what, and the detail."""

    at: float
    what: str
    detail: str


@dataclass(frozen=True)
class LeftOut:
    """A call of which the CRM is told nothing: when it came (wall clock seconds), from or to whom, and why."""

    uniqueid: str
    at: float
    direction: str
    number: str
    why: str


@dataclass(frozen=True)
class Owed:
    """A delivery with its client number, when its call began, and since when it is owed (wall clock seconds)."""

    item: Delivery
    number: str
    started_at: float
    since: float


def plain(text: str, longest: int = LONGEST_TEXT) -> str:
    """One line of at most so many characters, which a terminal and SQLite can take: control characters become `?`."""
    text = _CONTROL.sub("?", text[: longest + 1])
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _text(values: Mapping[str, object]) -> str:
    """JSON of a record's fields and of the records in them; dataclasses' asdict copies everything first."""
    return json.dumps(values, default=vars, ensure_ascii=False)


# What the readers below raise for text that is not theirs.
UNPARSABLE = (ValueError, KeyError, TypeError, AttributeError)


def registration_to_text(registration: Registration) -> str:
    """A registration as JSON."""
    return _text({**vars(registration), "started": registration.started.isoformat()})


def registration_from_text(text: str) -> Registration:
    """A registration from its JSON.

    :raises UNPARSABLE: where it is none.
    """
    data = json.loads(text)
    data["people"] = tuple(Person(**person) for person in data["people"])
    data["entity"] = Entity(**data["entity"]) if data["entity"] else None
    data["started"] = datetime.fromisoformat(data["started"])
    data["missed_owner"] = tuple(data.get("missed_owner", ()))  # of an earlier version there is none
    return Registration(**data)


def registered_to_text(registered: Registered) -> str:
    """The portal's answer as JSON."""
    return _text(vars(registered))


def registered_from_text(text: str) -> Registered:
    """The portal's answer from its JSON."""
    data = json.loads(text)
    data["entity"] = Entity(**data["entity"]) if data["entity"] else None
    return Registered(**data)


def outcome_to_text(outcome: Outcome) -> str:
    """An outcome as JSON."""
    return _text(vars(outcome))


def outcome_from_text(text: str) -> Outcome:
    """An outcome from its JSON."""
    data = json.loads(text)
    data["people"] = tuple(Person(**person) for person in data["people"])
    return Outcome(**data)


def ending_to_text(ending: Ending) -> str:
    """What the hangup handler said as JSON."""
    return _text({**vars(ending), "ended": ending.ended.isoformat()})


def ending_from_text(text: str) -> Ending:
    """What the hangup handler said, from its JSON.

    :raises UNPARSABLE: where it is none.
    """
    data = json.loads(text)
    data["ended"] = datetime.fromisoformat(data["ended"])
    data["files"] = tuple(map(str, data.get("files", ())))  # of an earlier version there is none
    return Ending(**data)
