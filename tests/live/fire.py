"""Real calls while everything breaks: placed as planned, and compared with what the SIP endpoints saw."""

from __future__ import annotations

import collections
import contextlib
import os
import random
import re
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Iterator, Mapping
from urllib.parse import unquote

from freepbx_bx24.bitrix24.telephony import REGISTER
from freepbx_bx24.outcome import NO_RING_SECONDS
from freepbx_bx24.reasons import words_of
from freepbx_bx24.sandbox.pbx.calls import Call
from freepbx_bx24.sandbox.pbx.people import MAILBOXES
from freepbx_bx24.sandbox.pbx.record import CallRecord
from tests.support.running_service import wait_until

from .application import logged_in
from .fire_plan import DOWN_SECONDS, KINDS, Plan, plan
from .world import World, wait_quiet

STATE = "/var/lib/freepbx-bx24"
AT_ONCE = 10
# Of the portal's requests; a time-out is one after the portal has done what it was asked for.
FAULTS = [(0.10, "503"), (0.05, "500"), (0.05, "reset"), (0.05, "timeout_after_commit")]
# Longer than the product waits for anything at the time scale of these tests (a batch: 3.5 s).
FAULT_SECONDS = 4.0
TOKEN_SECONDS = 20.0
DRAIN_SECONDS = 80.0
# Who has a mailbox is never busy: it answers.
EXTENSIONS = [str(number) for number in range(101, 181) if str(number) not in MAILBOXES]
LINES = {"74957770101": ("+74957770101", "101"), "74957770102": ("+74957770102", "102")}  # DID -> line, its person
OTHER_LINE = ("+74957770000", "101")
# From "Asterisk's calls are watched" (whole seconds) until the calls of before are watched, too.
SETTLED_SECONDS = 2.0
FINISH_SECONDS = 1.5  # from the end of a call until its end is in the journal
UNSEEN = words_of("en").causes["UNSEEN"]
SAID: list[str] = []  # for the end of the test run, so that a passed run's seed is seen too


# -- what the endpoints saw, and what the CRM has ----------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """One call as the endpoints' own records tell it, in the CRM's words.

    `seconds` is of talk, as the end saw it that hung up: the other one hears of it when the hangup handler has run.
    `users` is who talked, of a missed call whose phone rang (two where that is a matter of milliseconds). Of one that
    nobody could watch the end of a ring may be missing: then it belongs to whose phone was `offered` the call, though
    that was busy, or to the `owner` of the line.
    """

    direction: str
    line: str
    users: frozenset[int]
    owner: int
    offered: frozenset[int]
    code: str
    seconds: float
    record: CallRecord


def tail(number: str) -> str:
    """The digits in which all ways to write one subscriber's number agree."""
    return "".join(sign for sign in number if sign.isdigit())[-10:]


def seen_by_endpoints(world: World, numbers: Mapping[str, str]) -> dict[str, Seen]:
    """Number -> its call, from nothing but records of SIP. :param numbers: tail -> number of every client."""
    found: dict[str, Seen] = {}
    legs: dict[str, list[CallRecord]] = collections.defaultdict(list)
    for record in world.pbx.records:
        if not record.placed:
            phone = record.endpoint in EXTENSIONS
            legs[tail(record.from_user if phone else record.request_user)].append(record)
    for record in world.pbx.records:
        inbound = record.endpoint not in EXTENSIONS
        client = tail(record.from_user if inbound else record.request_user)
        if record.placed and client in numbers:
            assert numbers[client] not in found, f"two calls of {client}: the test is wrong"
            found[numbers[client]] = _seen(record, legs[client], inbound)
    return found


def _seen(record: CallRecord, legs: list[CallRecord], inbound: bool) -> Seen:
    answered = [leg for leg in legs if leg.answered]
    assert len(answered) == (record.answered is not None), (record.as_dict(), [leg.as_dict() for leg in legs])
    if inbound:
        line, owner = LINES.get(record.request_user, OTHER_LINE)
        # One that was busy at once has not rung; where that is near a second, our clock and Asterisk's may differ.
        busy = [leg.ring_seconds for leg in legs if leg.final_status == 486]
        close = any(abs(seconds - NO_RING_SECONDS) < 0.4 for seconds in busy)
        # Asterisk 16 may take a busy telephone for one that rang and was not answered (seen under load): it tells the
        # caller so (Q.850, cause 19), and us.
        close = close or (bool(busy) and "cause=19" in record.reason)
        rung = [leg.endpoint for leg in legs if leg.final_status != 486]
        rung += [leg.endpoint for leg in legs if leg.final_status == 486 and leg.ring_seconds >= NO_RING_SECONDS]
        person = answered[0].endpoint if answered else (rung or [owner])[-1]
        code = "200" if answered else "304"
    else:
        line, person, owner, close = OTHER_LINE[0], record.endpoint, record.endpoint, False
        refused = "486" if any(leg.final_status == 486 for leg in legs) else "another"
        code = "200" if answered else "603-S" if record.ended_how == "CANCEL" else refused
    direction, user, owner_id = "incoming" if inbound else "outgoing", 1000 + int(person), 1000 + int(owner)
    either = {1000 + int(legs[-1].endpoint), owner_id} if inbound and close else {user}
    seconds = min(one.talk_seconds for one in (record, *answered))
    offered = frozenset(1000 + int(leg.endpoint) for leg in legs) if inbound else frozenset()
    return Seen(direction, line, frozenset(either), owner_id, offered, code, seconds, record)


@dataclass
class Burnt:
    """What came of it. `dead`: from when to when no service was there, `watched`: when one began to watch Asterisk's
    calls; monotonic seconds.
    """

    plan: Plan
    seen: dict[str, Seen] = field(default_factory=dict)
    crm: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    activities: collections.Counter[str] = field(default_factory=collections.Counter)
    dead: list[tuple[float, float]] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)
    registers: collections.Counter[str] = field(default_factory=collections.Counter)  # requests by number
    owed: list[tuple[str, str, str]] = field(default_factory=list)
    journal: dict[str, str] = field(default_factory=dict)  # number -> what the product has seen of its calls
    most_at_once: int = 0
    faults: collections.Counter[str] = field(default_factory=collections.Counter)
    renewals: int = 0
    seconds: float = 0.0
    drained: float = 0.0  # seconds from the last call's end until the CRM knew all

    def finished(self, number: str) -> list[dict[str, Any]]:
        """The calls of a number that the CRM shows."""
        return [call for call in self.crm.get(number, []) if call["state"] == "finished"]

    @property
    def orphans(self) -> dict[str, int]:
        """Number -> calls that were registered and never finished: no CRM shows them."""
        left = {number: len(calls) - len(self.finished(number)) for number, calls in self.crm.items()}
        return {number: count for number, count in left.items() if count}

    @property
    def estimated(self) -> list[str]:
        """Numbers whose calls the CRM was told of with the reason that their end was not seen."""
        return [number for number in self.crm for call in self.finished(number) if UNSEEN in call["FAILED_REASON"]]

    def was_dead_during(self, number: str) -> bool:
        """Whether no service was there at some moment of the call."""
        record = self.seen[number].record
        assert record.started and record.ended
        began, ended = record.started.monotonic, record.ended.monotonic
        return any(began < back and ended > gone for gone, back in self.dead)

    def was_unseen(self, number: str) -> bool:
        """Whether no service watched Asterisk at some moment of the call: a new one has to connect to it first."""
        record = self.seen[number].record
        assert record.started and record.ended
        began, ended = record.started.monotonic, record.ended.monotonic
        for gone, back in self.dead:
            again = next((at for at in self.watched if at > gone), back)
            if began < max(back, again) + SETTLED_SECONDS and ended + FINISH_SECONDS > gone:
                return True
        return False

    def differences(self) -> list[str]:
        """Where the one finished call of a number is another than the endpoints saw; a line each."""
        found = []
        for number, seen in self.seen.items():
            beside = f"{seen}; in the journal: {self.journal.get(number)}"
            for call in self.finished(number)[:1]:
                told = (call["direction"], call["LINE_NUMBER"], call["STATUS_CODE"])
                # The lead that a register made whose answer was lost has a manager: the line's person.
                doubtful = seen.code == "304" and (self.was_unseen(number) or self.registers[number] > 1)
                unseen = {seen.owner, *seen.offered} if doubtful else set()
                users = seen.users | unseen
                if told != (seen.direction, seen.line, seen.code) or call["finished_by"] not in users:
                    why = f"{call['FAILED_REASON']!r}{', nobody could watch it' * self.was_unseen(number)}"
                    found.append(f"{number}: {told}, {call['finished_by']}, {why} in the CRM; {beside}")
                if number not in self.estimated and abs(call["CALL_DURATION"] - seen.seconds) > 1:
                    found.append(f"{number}: {call['CALL_DURATION']} s in the CRM; {seen.seconds:.2f} s: {beside}")
        return found

    def wrong(self) -> list[str]:
        """Everything in which the CRM differs from what the endpoints saw; a line each, none where they are equal."""
        wrong = self.differences()
        for number in self.seen:
            calls = self.finished(number)
            wrong += [f"{number}: {len(calls)} finished calls in the CRM"] * (len(calls) != 1)
            wrong += [f"{number}: finished twice" for call in calls if self.activities[call["CALL_ID"]] > 1]
        wrong += [f"{number}: estimated, though a service was there" for number in self.estimated_without_cause()]
        return wrong + [f"{number}: {kind} is {state}" for number, kind, state in self.owed]

    def estimated_without_cause(self) -> list[str]:
        """Numbers of estimated calls during which a service was there all the time."""
        return [number for number in self.estimated if not self.was_dead_during(number)]

    def summary(self) -> str:
        """One line for the end of a test run."""
        codes = collections.Counter(seen.code for seen in self.seen.values())
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        return (
            f"BX24_SEED={self.plan.seed}: {len(self.seen)} calls ({dict(sorted(codes.items()))}), "
            f"{self.most_at_once} at once, in {self.seconds:.0f} s, told {self.drained:.1f} s after the last; "
            f"faults: {faults}; {self.renewals} renewals of the token, {len(self.dead)} kills, "
            f"{len(self.plan.outages)} x {DOWN_SECONDS:g} s without a portal; "
            f"{sum(self.orphans.values())} open orphans, {len(self.estimated)} estimated"
        )


# -- the fire ----------------------------------------------------------------------------------------------------------


def seed_of_this_run() -> int:
    """BX24_SEED, else a new one."""
    return int(os.environ.get("BX24_SEED") or random.randrange(1_000_000))


def burn(world: World, seed: int, calls: int) -> Burnt:
    """Place the calls while everything breaks, wait until all is told, and put the world in order again.

    The portal has no plan with limits: two or three calls a second are more than an ordinary one takes requests, and
    what is tried here is that nothing is lost, not how long a backlog takes (tests/unit/service/test_backlog.py).
    """
    burnt, began = Burnt(plan(seed, calls)), time.monotonic()
    SAID.append(f"under fire, {world.suite}: BX24_SEED={seed}, not to its end")
    known, mark = {item[0] for item in owed(world)}, world.log_mark()
    ledger = world.portal.ledger()
    former = len(ledger["requests"]), len(ledger["oauth"])
    with breaking(world, seed), world.served(supervised=True), ThreadPoolExecutor(1) as thread:
        trouble = thread.submit(make_trouble, world, burnt)
        numbers = place(world, burnt)
        trouble.result()
        last = time.monotonic()
        wait_until(
            lambda: not [item for item in owed(world) if item[0] not in known],
            DRAIN_SECONDS,
            lambda: f"{owed(world)}\n{world.explain()}",
        )
    burnt.watched = watched_since(world, mark)
    burnt.drained = time.monotonic() - last
    burnt.owed = [item for item in owed(world) if item[0] not in known]
    ledger = world.portal.ledger()
    burnt.seen = seen_by_endpoints(world, {tail(number): number for number in numbers})
    burnt.crm = {number: [call for call in ledger["calls"] if call["PHONE_NUMBER"] == number] for number in numbers}
    burnt.activities.update(activity["CALL_ID"] for activity in ledger["activities"])
    burnt.journal = seen_by_product(world)
    burnt.registers = registers_by_number(ledger["requests"][former[0] :])
    burnt.faults.update(one["fault"] for one in ledger["requests"][former[0] :] if one.get("fault"))
    burnt.renewals = sum(one["grant_type"] == "refresh_token" for one in ledger["oauth"][former[1] :])
    burnt.seconds = time.monotonic() - began
    SAID[-1] = f"under fire, {world.suite}: {burnt.summary()}"
    return burnt


def place(world: World, burnt: Burnt) -> list[str]:
    """Place all calls, ten at once at most, each with its own extension and client; returns the clients' numbers."""
    under_way: dict[str, Call] = {}  # by extension
    numbers, placed = [], []
    free = collections.deque(EXTENSIONS)
    for planned in burnt.plan.calls:
        time.sleep(planned.gap)
        while True:
            for extension, call in list(under_way.items()):
                with contextlib.suppress(Exception):
                    call.wait(0)
                    free.append(extension)
                    del under_way[extension]
            if len(under_way) < AT_ONCE:
                break
            time.sleep(0.05)
        extension, number, kind = free.popleft(), world.new_number(), KINDS[planned.kind]
        numbers.append(number)
        options = kind.caller(planned)
        if kind.inbound:
            world.pbx.phone(extension).behaviour = kind.takes(planned)
            under_way[extension] = world.pbx.trunk.call(f"74957770{extension}", number, **options)
        else:
            world.pbx.trunk.on_number(number, kind.takes(planned))
            under_way[extension] = world.pbx.phone(extension).call("8" + number[2:], **options)
        burnt.most_at_once = max(burnt.most_at_once, len(under_way))
        placed.append(under_way[extension])
    for call in placed:  # not `settle()`: a call of another test's killed Asterisk is never over
        call.wait(60)
    wait_quiet(world)
    return numbers


def make_trouble(world: World, burnt: Burnt) -> None:
    """Kill the service and take the portal away at their moments; the service is started again by its supervisor."""
    began = time.monotonic()
    moments = [(at, True) for at in burnt.plan.kills] + [(at, False) for at in burnt.plan.outages]
    for at, kill in sorted(moments):
        time.sleep(max(0.0, began + at - time.monotonic()))
        if kill:
            wait_until(lambda: service_of(world) is not None, 10, world.explain)
            burnt.dead.append(kill_service(world))
        else:
            world.portal.down_for(DOWN_SECONDS)


def registers_by_number(requests: list[dict[str, Any]]) -> collections.Counter[str]:
    """How often each number's call was registered, alone or within a batch."""
    found: collections.Counter[str] = collections.Counter()
    for request in requests:
        commands = request["parameters"].get("cmd", {}) if request["method"] == "batch" else {}
        texts = [unquote(command) for command in commands.values() if ".register" in command]
        found.update("+" + number for text in texts for number in re.findall(r"PHONE_NUMBER=[+ ]?([0-9]+)", text))
        if request["method"].lower() == REGISTER.lower():
            found[request["parameters"].get("PHONE_NUMBER", "")] += 1
    return found


def watched_since(world: World, mark: int) -> list[float]:
    """When services said that they watch Asterisk's calls, by the log; monotonic seconds."""
    offset = time.time() - time.monotonic()
    lines = [line for line in world.log_since(mark).splitlines() if "Asterisk's calls are watched" in line]
    return [datetime.strptime(line[:24], "%Y-%m-%d %H:%M:%S%z").timestamp() - offset for line in lines]


def kill_service(world: World) -> tuple[float, float]:
    """Kill the supervised service; returns from when to when there was none."""
    pid = service_of(world)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    gone = time.monotonic()
    wait_until(lambda: service_of(world) not in (pid, None) and world.product.answers(), 20, world.explain)
    return gone, time.monotonic()


def service_of(world: World) -> int | None:
    """The process id of the service below the supervisor, None while there is none."""
    supervisor = world.service_pid
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text(encoding="ascii").split()
    return int(children[0]) if children else None


def owed(world: World) -> list[tuple[str, str, str]]:
    """What the CRM is not told yet, by journal and intake folder: (uniqueid, kind, state)."""
    state = world.pbx.root.outside(STATE)
    files = [(path.name, "intake", "due") for path in (state / "intake").glob("*") if not path.name.endswith("~")]
    asked = "SELECT uniqueid, kind, state FROM deliveries WHERE state IN ('due', 'parked', 'held')"
    return files + from_journal(world, asked)


def seen_by_product(world: World) -> dict[str, str]:
    """Number -> start, legs and end of its call as the journal keeps them: why the CRM was told what it was."""
    rows = from_journal(world, "SELECT number, started, legs, ending FROM calls")
    return {number: repr(rest) for number, *rest in rows}


def from_journal(world: World, query: str) -> list[Any]:
    """The rows that the product's journal has for a query, none where there is no journal yet."""
    path = world.pbx.root.outside(STATE) / "journal.sqlite"
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as journal:
        return journal.execute(query).fetchall()


@contextlib.contextmanager
def breaking(world: World, seed: int) -> Iterator[None]:
    """A portal that lets a local application in, with short tokens, and whose every fourth request goes wrong."""
    portal = world.portal
    kept = portal.switches.token_seconds, portal.fault_seconds
    portal.switches.token_seconds, portal.fault_seconds = TOKEN_SECONDS, FAULT_SECONDS
    try:
        with logged_in(world):
            portal.seed_faults(seed)
            portal.faults = FAULTS
            try:
                yield
            finally:
                portal.faults = []
    finally:
        portal.switches.token_seconds, portal.fault_seconds = kept
