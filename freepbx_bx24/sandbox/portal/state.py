"""What the portal remembers of calls: open and finished ones, cards, lines, activities, records and requests."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from freepbx_bx24.sandbox.portal.auth import Caller, Credentials
from freepbx_bx24.sandbox.portal.switches import Switches
from freepbx_bx24.sandbox.portal.world import World

OUTGOING, INCOMING, REDIRECTED, CALLBACK, INFO = 1, 2, 3, 4, 5


@dataclass
class Line:
    """An external line; belongs to an application (None: all webhooks)."""

    line_id: int
    number: str
    name: str | None
    crm_auto_create: str
    app_id: str | None


@dataclass
class Record:
    """A recording in the folder of a month."""

    file_id: int
    name: str
    folder: str
    size: int
    sha256: str
    mode: str


@dataclass
class Outcome:
    """What finish said of a call, and what came of it."""

    statistic_id: int
    user_id: int
    duration: int
    status_code: str
    failed_reason: str
    vote: int
    cost: float | int
    cost_currency: str
    record_url: str
    add_to_chat: bool
    activity_id: int | None
    missed: bool
    missed_closed_by: str | None = None
    finished_at: float = field(default_factory=time.time)


@dataclass
class Call:
    """A registered call; open until it has an outcome."""

    call_id: str
    external_call_id: str | None
    call_type: int
    phone_number: str
    line: Line | None
    portal_number: str
    started: datetime
    user_id: int
    caller: Caller
    entity: tuple[str, int | None] | None = None
    created_entities: list[tuple[str, int]] = field(default_factory=list)
    created_lead: int | None = None
    lead_creation_error: str | None = None
    registered_at: float = field(default_factory=time.time)
    outcome: Outcome | None = None
    records: list[Record] = field(default_factory=list)


@dataclass
class State:
    """Everything that a reset forgets, apart from the world."""

    calls: list[Call] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    cards: list[dict[str, Any]] = field(default_factory=list)
    activities: list[dict[str, Any]] = field(default_factory=list)
    folder_files: dict[tuple[str, str], Record] = field(default_factory=dict)  # by month folder and name
    requests: list[dict[str, Any]] = field(default_factory=list)
    operating: dict[tuple[str | None, str], float] = field(default_factory=dict)
    _numbers: dict[str, itertools.count[int]] = field(default_factory=dict)

    def next_number(self, kind: str, first: int = 1) -> int:
        """The next id of this kind: "line", "statistic", "activity", "file" or "request"."""
        return next(self._numbers.setdefault(kind, itertools.count(first)))

    def open_call(self, call_id: object) -> Call | None:
        """The call in the portal's table of calls: registered and not finished."""
        return next((call for call in self.calls if call.call_id == call_id and call.outcome is None), None)

    def finished_call(self, call_id: object) -> Call | None:
        """The call in the statistics."""
        return next((call for call in self.calls if call.call_id == call_id and call.outcome is not None), None)

    def push_card(self, action: str, call: Call, user_id: int, cause: str) -> None:
        """A card appears on, or leaves, a person's screen."""
        self.cards.append(
            {
                "time": time.time(),
                "CALL_ID": call.call_id,
                "EXTERNAL_CALL_ID": call.external_call_id,
                "USER_ID": user_id,
                "action": action,
                "cause": cause,
            }
        )


@dataclass
class Context:
    """What a method has at hand. Methods run under the portal's lock."""

    state: State
    world: World
    switches: Switches
    credentials: Credentials
    caller: Caller
    host_url: str
    lock: threading.Lock
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # multipart: part name -> (filename, content)

    @contextmanager
    def unlocked(self) -> Iterator[None]:
        """Leave the lock for slow work outside (a download)."""
        self.lock.release()
        try:
            yield
        finally:
            self.lock.acquire()


@dataclass
class Listing:
    """The result of a list method: 50 a page; `next` is absent on the last page."""

    result: list[Any]
    total: int
    next: int | None = None


@dataclass
class Bare:
    """A result that travels without the `time` object."""

    result: Any


PAGE_SIZE = 50


def page_of(rows: list[Any], start: int) -> Listing:
    """The page that holds row `start` (0, 50, 100...)."""
    first = max(0, start) // PAGE_SIZE * PAGE_SIZE
    after = first + PAGE_SIZE
    return Listing(rows[first:after], len(rows), after if after < len(rows) else None)
