"""A delivery that lives through a day of outage and the hours after it, in a process of its own and in simulated time.

Run as `python -m tests.support.outage CLOCK STATE CALLS`, with BX24_CONFIG set. It writes what the clock shows into the
file CLOCK, which the portal of the other process goes by; says `portal` when the portal may come back, and goes on when
it is told so; says as one line of JSON what it measured.
"""

from __future__ import annotations

import heapq
import itertools
import json
import mmap
import re
import struct
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Mapping

from freepbx_bx24.bitrix24.access import WebhookAccess
from freepbx_bx24.bitrix24.budget import PLANS, Budget
from freepbx_bx24.bitrix24.client import Client
from freepbx_bx24.bitrix24.transport import HttpReply, Transport
from freepbx_bx24.call import Outcome, Registration
from freepbx_bx24.journal.store import Journal
from freepbx_bx24.service import portal_calls
from freepbx_bx24.service.clock import Clock
from freepbx_bx24.service.delivery import DeliveryThread
from freepbx_bx24.service.runtime import Runtime
from freepbx_bx24.settings import load

from .journal_calls import CALL

DAY = 86400.0
COMMAND_SECONDS = 0.35  # of register and of finish, on a portal of the cloud
LIVE_EVERY_SECONDS, TALK_SECONDS = 20.0, 45.0
WRITE_EVERY_SECONDS = 600.0
AT_MOST = 3 * DAY


class SharedSeconds:
    """One number in a file, for two processes."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), 8)

    def __call__(self) -> float:
        return float(struct.unpack("d", self._bytes[:8])[0])

    def set(self, seconds: float) -> None:
        """Let it be so late."""
        self._bytes[:8] = struct.pack("d", seconds)


class SimulatedClock(Clock):
    """Time passes where somebody waits, and what is planned for then happens meanwhile.

    All of it lies in the past of the machine's wall clock: the journal takes later due times for a clock's mistake.
    """

    def __init__(self, seconds: SharedSeconds) -> None:
        self.seconds = seconds
        self.began = time.time() - 2 * AT_MOST
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self.began + self.seconds()

    def monotonic(self) -> float:
        return self.seconds()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        ends = self.seconds() + seconds
        while not event.is_set() and self._planned and self._planned[0][0] <= ends:
            at, _, happen = heapq.heappop(self._planned)
            self.seconds.set(max(at, self.seconds()))
            happen()
        if not event.is_set():
            self.seconds.set(max(ends, self.seconds()))
        return event.is_set()

    def plan(self, seconds: float, happen: Callable[[], None]) -> None:
        """Have something happen in so many seconds."""
        heapq.heappush(self._planned, (self.seconds() + seconds, next(self._numbers), happen))


class TakesTime(Transport):
    """Real requests, for each command of which the simulated time passes that a portal would take."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__()
        self._clock = clock

    def exchange(
        self, verb: str, url: str, total_seconds: float, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpReply:
        reply = super().exchange(verb, url, total_seconds, body, headers)
        commands = len(re.findall(rb"externalCall\.(?:register|finish)\?", body)) or 1
        self._clock.wait(threading.Event(), commands * COMMAND_SECONDS)
        return reply


class Outage:
    """The day and what comes after it.

    :ivar waited: seconds of each live call for its register's place. :ivar lags: from its end until that was told.
    """

    def __init__(self, clock: SimulatedClock, state: Path, calls: int) -> None:
        settings = load()
        self.clock, self.calls = clock, calls
        journal = Journal(state)
        journal._file.database.execute("PRAGMA synchronous=OFF")  # the disk's time is real, and not what is measured
        self.runtime = Runtime(settings, state, journal, clock=clock)
        self.runtime.client.close()
        budget = Budget(state / "budget", PLANS["ordinary"], clock=clock.monotonic, nap=clock.wait)
        access = WebhookAccess(settings.portal.webhook_url)
        self.runtime.client = Client(access, TakesTime(clock), budget=budget)
        self.delivery = DeliveryThread(self.runtime)
        self.waited: list[float] = []
        self.lags: list[float] = []
        self.ended: dict[str, float] = {}
        self.written = 0
        self.back_at = 0.0

    def run(self) -> dict[str, Any]:
        """Returns what was measured."""
        self.clock.plan(WRITE_EVERY_SECONDS, self.write_calls)
        self.clock.plan(DAY, self.portal_comes_back)
        self.delivery.run()
        return {
            "hours": (self.clock.monotonic() - self.back_at) / 3600.0,
            "owed": self.runtime.write(lambda journal: len(journal.owed())).result(),
            "waited": self.waited,
            "lags": self.lags,
            "most_memory": most_memory(),
        }

    def write_calls(self) -> None:
        """What ten minutes bring while the portal is down: each call was tried once, then ended."""
        until = min(int(self.calls * self.clock.monotonic() / DAY), self.calls)
        new = range(self.written, until)
        self.written = until
        self.runtime.write(lambda journal: journal.as_one([lambda journal, n=n: self.missed(journal, n) for n in new]))
        if until < self.calls:
            self.clock.plan(WRITE_EVERY_SECONDS, self.write_calls)

    def missed(self, journal: Journal, number: int) -> None:
        """One call of the outage."""
        at = self.clock.began + DAY * number / self.calls
        registration, outcome = call_of(f"{int(at)}.{number}", f"+7916{number:07}", at)
        journal.begin(registration, at)
        journal.postpone((registration.uniqueid, "register"), at + 2.0, "the portal is not answering")
        journal.ended(outcome, at + TALK_SECONDS)

    def portal_comes_back(self) -> None:
        """From now on there are live calls."""
        print("portal", flush=True)
        sys.stdin.readline()
        self.back_at = self.clock.monotonic()
        self.clock.plan(LIVE_EVERY_SECONDS, self.live_call)

    def live_call(self) -> None:
        """A caller who waits for the portal, and hangs up later; after the last delivery nobody calls any more."""
        self.look_for_ends()
        owed = self.runtime.write(lambda journal: len(journal.owed())).result()
        if not owed or self.clock.monotonic() > AT_MOST:
            self.runtime.stopping.set()
            return
        number, began = len(self.waited), self.clock.monotonic()
        registration, outcome = call_of(f"{int(self.clock.now())}.{number}", f"+7926{number:07}", self.clock.now())
        self.runtime.write(lambda journal: journal.begin(registration, self.clock.now() + 20.0))
        ask = portal_calls.asking_with_others(self.runtime.client, 2.0)
        registered = portal_calls.register(ask, self.runtime.directory, registration, 15.0)
        self.waited.append(self.clock.monotonic() - began - COMMAND_SECONDS)
        self.runtime.write(lambda journal: journal.registered(registration.uniqueid, registered))
        self.clock.plan(TALK_SECONDS, lambda: self.end(outcome))
        self.clock.plan(LIVE_EVERY_SECONDS, self.live_call)

    def end(self, outcome: Outcome) -> None:
        """The live caller hangs up, unless all of it is over."""
        if self.runtime.stopping.is_set():
            return
        now = self.clock.now()
        self.ended[outcome.uniqueid] = self.clock.monotonic()
        self.runtime.write(lambda journal: journal.ended(outcome, now)).result()
        self.runtime.wake.set()

        def look() -> None:
            self.look_for_ends()
            if outcome.uniqueid in self.ended:
                self.clock.plan(1.0, look)

        self.clock.plan(1.0, look)

    def look_for_ends(self) -> None:
        """Note which of the live calls the portal knows the end of."""
        for uniqueid, ended_at in list(self.ended.items()):
            entry = self.runtime.write(lambda journal, uniqueid=uniqueid: journal.entry(uniqueid)).result()
            if entry and entry.finished:
                self.lags.append(self.clock.monotonic() - ended_at)
                del self.ended[uniqueid]


def call_of(uniqueid: str, number: str, at: float) -> tuple[Registration, Outcome]:
    """A call of a client's own that began at a moment (wall clock seconds)."""
    started = datetime.fromtimestamp(at, timezone(timedelta(hours=3)))
    external = f"pbx-test-{uniqueid}"
    registration = replace(
        CALL, uniqueid=uniqueid, linkedid=uniqueid, external_id=external, number=number, started=started, entity=None
    )
    return registration, Outcome(uniqueid, registration.people, 30, "200", "")


def most_memory() -> int:
    """Bytes that this program has had in memory at most; getrusage would count those of the one that started it."""
    text = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert found
    return int(found[1]) * 1024


if __name__ == "__main__":
    outage = Outage(SimulatedClock(SharedSeconds(Path(sys.argv[1]))), Path(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps(outage.run()), flush=True)
