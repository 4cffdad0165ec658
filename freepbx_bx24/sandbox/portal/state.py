"""What the portal remembers: open and finished calls, cards, lines, activities, records and requests of all kinds."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional, Tuple

from freepbx_bx24.sandbox.portal.application import Application
from freepbx_bx24.sandbox.portal.auth import Caller, Credentials
from freepbx_bx24.sandbox.portal.bucket import Buckets
from freepbx_bx24.sandbox.portal.clock import Clock
from freepbx_bx24.sandbox.portal.interference import ScriptedReplies
from freepbx_bx24.sandbox.portal.operating import OperatingTime
from freepbx_bx24.sandbox.portal.switches import Switches
from freepbx_bx24.sandbox.portal.world import World

OUTGOING, INCOMING, REDIRECTED, CALLBACK, INFO = 1, 2, 3, 4, 5
MOST_SOUND = 64_000_000  # bytes of recordings that are kept in memory to be heard

DedupeKey = Tuple[int, str, int, Optional[str]]  # user, number as stripped, TYPE, application


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
class Transcript:
    """What was said in a call. Messages: SIDE "User" or "Client", START_TIME and STOP_TIME in seconds, MESSAGE."""

    transcript_id: int
    messages: list[dict[str, Any]]
    cost: float | int
    cost_currency: str


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
    finished_at: float
    missed_closed_by: str | None = None


@dataclass(eq=False)
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
    registered_at: float
    entity: tuple[str, int | None] | None = None
    created_entities: list[tuple[str, int]] = field(default_factory=list)
    created_lead: int | None = None
    lead_creation_error: str | None = None
    outcome: Outcome | None = None
    records: list[Record] = field(default_factory=list)
    transcript: Transcript | None = None

    @property
    def dedupe_key(self) -> DedupeKey:
        """What a repeated registration has in common with this call, whatever else it sends."""
        return self.user_id, self.phone_number, self.call_type, self.caller.app_id


@dataclass(frozen=True)
class Binding:
    """An event that an application wants; `handler` is empty for the offline queue. `user_id` 0: whoever caused it."""

    event: str
    handler: str
    user_id: int
    app_id: str

    @property
    def offline(self) -> bool:
        """Whether it goes into the queue."""
        return not self.handler


@dataclass(eq=False)
class OfflineEvent:
    """A row of the offline queue; reserved while it has a process id. `stored_at` in seconds since 1970."""

    row_id: int
    name: str
    data: dict[str, Any]
    user_id: int
    message_id: str
    stored_at: float
    app_id: str
    process_id: str = ""
    error: bool = False


@dataclass
class State:
    """Everything that a reset forgets, apart from the world. Calls are added and finished through its methods alone."""

    clock: Clock
    calls: list[Call] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    cards: list[dict[str, Any]] = field(default_factory=list)
    activities: list[dict[str, Any]] = field(default_factory=list)
    bindings: list[Binding] = field(default_factory=list)
    offline_events: list[OfflineEvent] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)  # events that were sent to handlers
    notices: list[dict[str, Any]] = field(default_factory=list)  # in people's notifications
    folder_files: dict[tuple[str, str], Record] = field(default_factory=dict)  # by month folder and name
    sounds: dict[int, bytes] = field(default_factory=dict)  # of the newest recordings, by file id
    requests: list[dict[str, Any]] = field(default_factory=list)
    token_requests: list[dict[str, Any]] = field(default_factory=list)
    operating: OperatingTime = field(default_factory=OperatingTime)
    buckets: Buckets = field(default_factory=Buckets)
    _numbers: dict[str, itertools.count[int]] = field(default_factory=dict)
    # With thousands of calls no look-up may walk through all of them.
    _open: dict[str, Call] = field(default_factory=dict)  # by CALL_ID
    _finished: dict[str, Call] = field(default_factory=dict)  # by CALL_ID
    _open_by_key: dict[DedupeKey, list[Call]] = field(default_factory=lambda: defaultdict(list))
    _finished_by_external_id: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    _missed_by_phone: dict[str, list[Outcome]] = field(default_factory=lambda: defaultdict(list))

    def next_number(self, kind: str, first: int = 1) -> int:
        """The next id of this kind: "line", "statistic", "activity", "file", "transcript", "request", "notice"..."""
        return next(self._numbers.setdefault(kind, itertools.count(first)))

    def add_call(self, call: Call) -> None:
        """A new row in the portal's table of calls."""
        self.calls.append(call)
        self._open[call.call_id] = call
        self._open_by_key[call.dedupe_key].append(call)

    def finish_call(self, call: Call, outcome: Outcome) -> None:
        """The row leaves the table of calls for the statistics."""
        call.outcome = outcome
        del self._open[call.call_id]
        alike = self._open_by_key[call.dedupe_key]
        alike.remove(call)
        if not alike:
            del self._open_by_key[call.dedupe_key]
        self._finished[call.call_id] = call
        if call.external_call_id:
            self._finished_by_external_id[call.external_call_id].append(call)
        if outcome.missed:
            self._missed_by_phone[call.phone_number].append(outcome)

    def close_missed(self, phone_number: str, call_id: str) -> None:
        """Missed calls from exactly this number string were answered by the call `call_id`."""
        for outcome in self._missed_by_phone.pop(phone_number, ()):
            outcome.missed_closed_by = call_id

    def keep_sound(self, file_id: int, content: bytes) -> None:
        """Keep a recording to be heard. The oldest make room: a day of calls must not fill this machine's memory."""
        if len(content) > MOST_SOUND:
            return
        self.sounds[file_id] = content
        while sum(map(len, self.sounds.values())) > MOST_SOUND:
            del self.sounds[next(iter(self.sounds))]

    def open_call(self, call_id: object) -> Call | None:
        """The call in the portal's table of calls: registered and not finished."""
        return self._open.get(call_id) if isinstance(call_id, str) else None

    def open_calls_like(self, call: Call) -> list[Call]:
        """The open calls that have the same dedupe key as `call`, the oldest registration first."""
        return self._open_by_key.get(call.dedupe_key, [])

    def finished_call(self, call_id: object) -> Call | None:
        """The call in the statistics."""
        return self._finished.get(call_id) if isinstance(call_id, str) else None

    def finished_with_external_id(self, external_call_id: str) -> list[Call]:
        """The calls in the statistics that have this EXTERNAL_CALL_ID."""
        return self._finished_by_external_id.get(external_call_id, [])

    def finished_calls(self) -> list[Call]:
        """All calls in the statistics, in order of their finish."""
        return list(self._finished.values())

    def push_card(self, action: str, call: Call, user_id: int, cause: str) -> None:
        """A card appears on, or leaves, a person's screen."""
        self.cards.append(
            {
                "time": self.clock.now(),
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
    application: Application
    caller: Caller
    host_url: str
    lock: threading.Lock
    scripted_replies: ScriptedReplies  # for the commands of a batch; a request's own are the front's
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
