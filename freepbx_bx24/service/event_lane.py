"""A lane of its own for the portal's events: binds what is wanted, and asks for it where no handler is told."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from ..bitrix24 import events
from ..bitrix24.events import Binding, Fetched
from ..errors import FeatureMissing, JournalError, NeedsApplication, PortalError, PortalWaits
from ..settings import Settings
from .back_off import LONGEST_SECONDS, back_off
from .event_intake import EventIntake
from .trouble import Trouble

if TYPE_CHECKING:
    from .event_handler import EventHandler
    from .runtime import Runtime

LOG = logging.getLogger("bx24.events")

AT_WORK_SECONDS = 1.0  # between two questions in working hours, and for a while after each event
AT_REST_SECONDS = 5.0  # at night, when a click has to wait that long at most
SHORT_SECONDS = 3.0  # while calls have used up half of the requests
WORKING_HOURS = range(8, 20)  # of this machine's clock, from Monday to Saturday
SUNDAY = 6
AWAKE_SECONDS = 900.0  # after an event somebody is at work, whatever the clock says
WAIT_SECONDS = 1.0  # for the portal's limits
REQUEST_SECONDS = 10.0
AWAY_SECONDS = 1.0  # between two looks whether the portal is back; the delivery finds that out
BINDINGS_SECONDS = 600.0  # the portal forgets bindings when the application is changed there
FOREVER_SECONDS = 3600.0  # nothing is wanted: a reload wakes us

NEEDS_APPLICATION = (
    "clicks and callbacks are on, but the way in is a webhook: the portal tells its events to local applications alone."
    " Make one and type `bx24 login`, or switch clicks and callbacks off"
)


def poll_seconds(local: time.struct_time, since_event: float, short: bool) -> float:
    """How long to wait before the next question.

    :param local: the time here. :param since_event: seconds since the last event. :param short: requests are short.
    """
    if short:
        return SHORT_SECONDS
    working = local.tm_wday != SUNDAY and local.tm_hour in WORKING_HOURS
    return AT_WORK_SECONDS if working or since_event < AWAKE_SECONDS else AT_REST_SECONDS


class EventLane(threading.Thread):
    """Runs whether events are wanted or not: a reload may switch them on.

    Rows are reserved, handed over, and only then deleted: a kill between loses none, since what is reserved is looked
    for at the start, and whenever an answer may have been lost.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="events", daemon=True)
        self.runtime = runtime
        self.intake = EventIntake(runtime)
        self.wake = threading.Event()
        self._trouble = Trouble(LOG, "the portal's events can be had again")
        self._event_at = time.monotonic() - AWAKE_SECONDS
        self._failures = 0
        self._untaken: Fetched | None = None  # the portal has forgotten them, and they could not be kept here yet
        self.handler: EventHandler | None = None
        self._deaf = Trouble(LOG, "the events' handler listens again")
        self._begin(runtime.settings)

    def _begin(self, settings: Settings) -> None:
        """Nothing is known yet of how the portal stands to these settings."""
        self._settings = settings
        self._settled_at: float | None = None
        self._reserve = True
        self._lost = True  # somebody may have reserved rows, and nobody has worked on them
        self._owed: list[str] = []  # reserved, and worked on: to be deleted

    def run(self) -> None:
        """Ask until the service stops."""
        while not self.runtime.stopping.is_set():
            pause = self.turn()
            if self.wake.wait(pause):
                self.wake.clear()

    def turn(self) -> float:
        """One step, and what its failure means; returns the seconds until the next one."""
        scale = self.runtime.wait_scale
        try:
            pause = self.step()
        except PortalWaits as waits:
            return min(max(waits.pause_seconds, AWAY_SECONDS * scale), LONGEST_SECONDS)
        except PortalError as error:
            return self._failed(error) * scale
        except JournalError:  # its thread has said so in the log
            self._lost = True
            return back_off(0, LONGEST_SECONDS) * scale
        except Exception:  # a bug must not end all events
            if not self.runtime.stopping.is_set():
                LOG.exception("the portal's events can't be had for an unforeseen reason")
            return LONGEST_SECONDS * scale
        if not self._waits_for_portal:
            self._failures = 0
            self._trouble.say("")
        return pause * scale

    @property
    def _waits_for_portal(self) -> bool:
        return self.runtime.portal_down or self.runtime.breaker.open

    def step(self) -> float:
        """Do what is due; returns the seconds until the next step.

        :raises PortalError, JournalError: it has to be done again.
        """
        settings, client = self.runtime.settings, self.runtime.client
        if settings is not self._settings:
            self._begin(settings)
        wanted = events.wanted_bindings(settings)
        listens = self._listen(settings if wanted and not settings.portal.webhook_url else None)
        if not wanted:
            return FOREVER_SECONDS
        if settings.portal.webhook_url:
            raise NeedsApplication("", "", 0)
        if self._untaken:
            self._hand_over(self._untaken)
        if self._waits_for_portal:
            return AWAY_SECONDS
        if self._settled_at is None or time.monotonic() - self._settled_at > BINDINGS_SECONDS:
            self._settle(wanted)
        if settings.events.address:
            return BINDINGS_SECONDS if listens else back_off(0, LONGEST_SECONDS)
        if self._lost:
            some = events.reserved(client, self._seconds)
            for one in some:
                self._hand_over(one)
            self._lost = bool(some)
        while self._owed:
            events.done(client, self._owed[0], self._seconds)
            del self._owed[0]
        if self._lost:
            return AWAY_SECONDS
        try:
            fetched = events.fetch(client, self._reserve, self._seconds, WAIT_SECONDS)
        except FeatureMissing:
            self._reserve = False  # a kill between reading and handing over then loses what was read
            return 0.0
        self._hand_over(fetched)
        if fetched.events:
            return 0.0
        since = time.monotonic() - self._event_at
        return poll_seconds(time.localtime(self.runtime.clock.now()), since, client.half_full)

    def _hand_over(self, fetched: Fetched) -> None:
        self._untaken = None if fetched.process_id else fetched
        for event in fetched.events:
            self._event_at = time.monotonic()
            self.intake.take(event)
        self._untaken = None
        if fetched.process_id and fetched.process_id not in self._owed:
            self._owed.append(fetched.process_id)

    def _listen(self, settings: Settings | None) -> bool:
        """Have a handler where these settings want one; False where it can't be had."""
        wish = (settings.events.port, settings.events.path) if settings and settings.events.address else None
        if self.handler and (self.handler.port, self.handler.path) != wish:
            self.handler.stop()
            self.handler = None
        if wish and not self.handler:
            from .event_handler import EventHandler  # it needs Python's web server, which most have no use for

            try:
                self.handler = EventHandler(self.runtime, self.intake.take, *wish)
            except OSError as error:
                self._deaf.say(f"no events can be posted: port {wish[0]} of events.port: {error.strerror}")
                return False
            LOG.info("the portal's posts are taken on 127.0.0.1:%d%s", *wish)
        self._deaf.say("")
        return True

    def _settle(self, wanted: frozenset[Binding]) -> None:
        """Have the wanted events bound, the right way, and no others."""
        bound, unbound = events.settle(self.runtime.client, wanted, self._seconds)
        for done, some in (("bound", bound), ("unbound", unbound)):
            if some:
                names = ", ".join(sorted(f"{one.event} ({one.handler or 'offline'})" for one in some))
                LOG.info("events that are %s now: %s", done, names)
        self._settled_at = time.monotonic()

    def _failed(self, error: PortalError) -> float:
        if isinstance(error, NeedsApplication):
            self._trouble.say(NEEDS_APPLICATION)
            return FOREVER_SECONDS
        self._lost = self._lost or error.ambiguous
        self._failures += 1
        self._trouble.say(f"the portal's events can't be had now: {error.message}. {error.hint}")
        return max(error.pause_seconds, back_off(self._failures - 1, LONGEST_SECONDS))

    @property
    def _seconds(self) -> float:
        return max(REQUEST_SECONDS * self.runtime.scale, 1.0)
