"""A call as the journal keeps it, and its way to and from JSON text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from ..call import Entity, Outcome, Person, Registration

REGISTER = "register"
FINISH = "finish"
DUE = "due"
DONE = "done"
PARKED = "parked"


@dataclass(frozen=True)
class Registered:
    """What the portal said to register: its CALL_ID, who owns the call there, and what it is bound to."""

    call_id: str
    user_id: int = 0
    entity: Entity | None = None
    created_lead: int = 0


@dataclass(frozen=True)
class Entry:
    """One call of the journal. `registered` and `outcome` are None until they are known."""

    registration: Registration
    registered: Registered | None = None
    outcome: Outcome | None = None
    finished: bool = False

    @property
    def uniqueid(self) -> str:
        """The uniqueid of the channel that ran register: the journal's key."""
        return self.registration.uniqueid


@dataclass(frozen=True)
class Delivery:
    """One thing that the portal must learn: due at (wall clock seconds), tried so often, refused last with this."""

    uniqueid: str
    kind: str
    due: float
    attempts: int
    last_error: str
    state: str


def registration_to_text(registration: Registration) -> str:
    """A registration as JSON."""
    return json.dumps({**asdict(registration), "started": registration.started.isoformat()}, ensure_ascii=False)


def registration_from_text(text: str) -> Registration:
    """A registration from its JSON.

    :raises ValueError, KeyError, TypeError: where it is none.
    """
    data = json.loads(text)
    data["people"] = tuple(Person(**person) for person in data["people"])
    data["entity"] = Entity(**data["entity"]) if data["entity"] else None
    data["started"] = datetime.fromisoformat(data["started"])
    return Registration(**data)


def registered_to_text(registered: Registered) -> str:
    """The portal's answer as JSON."""
    return json.dumps(asdict(registered))


def registered_from_text(text: str) -> Registered:
    """The portal's answer from its JSON."""
    data = json.loads(text)
    data["entity"] = Entity(**data["entity"]) if data["entity"] else None
    return Registered(**data)


def outcome_to_text(outcome: Outcome) -> str:
    """An outcome as JSON."""
    return json.dumps(asdict(outcome), ensure_ascii=False)


def outcome_from_text(text: str) -> Outcome:
    """An outcome from its JSON."""
    data = json.loads(text)
    data["people"] = tuple(Person(**person) for person in data["people"])
    return Outcome(**data)
