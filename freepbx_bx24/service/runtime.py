"""What the parts of the running service share: settings, client, directory, journal thread, breaker, portal threads."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Callable, TypeVar

from ..bitrix24.portal import open_portal
from ..checks.finding import Finding
from ..errors import JournalError
from ..journal.records import Entry, LeftOut
from ..journal.store import Journal
from ..settings import Settings
from . import directory_file
from .breaker import Breaker
from .card_lane import CardLane
from .click_lane import ClickLane
from .clients import Clients
from .clock import Clock
from .ends import Ends
from .event_intake import Handler
from .event_lane import EventLane
from .figures import Figures, LastTrouble
from .flood import Flood
from .presence import Presence
from .recording_lane import RecordingLane
from .surroundings import request_seconds, time_scale
from .turns import Turns
from .watchdog import Beats

LOG = logging.getLogger("bx24.service")
Answer = TypeVar("Answer")

PORTAL_THREADS = 16
SAME_FAILURE_SECONDS = 60.0  # between two log lines about the same trouble of the journal
# Of waits for what others do, in tests that run faster: never less than what a busy machine may take.
SHORTEST_WAIT_SCALE = 0.2


class Runtime:
    """Shared by all threads of the service; whatever needs the journal goes through its one thread."""

    def __init__(
        self,
        settings: Settings,
        state: Path,
        journal: Journal,
        last_alive: float = 0.0,
        clock: Clock | None = None,
    ) -> None:
        """:param last_alive: until when a former service is known to have run (wall clock seconds; 0.0: unknown)."""
        self.state = state
        self.last_alive = last_alive
        self.clock = clock or Clock()
        self.scale = time_scale()
        self.wait_scale = max(self.scale, SHORTEST_WAIT_SCALE)
        self.request_seconds = request_seconds()
        self.breaker = Breaker()
        self.began = time.monotonic()
        self.figures = Figures()
        self.last_trouble = LastTrouble()
        self.turns = Turns()
        self.flood = Flood()
        self.clients = Clients()
        self.beats = Beats()  # which loops must turn, so that the service is restarted when one hangs
        self._portal_threads = ThreadPoolExecutor(PORTAL_THREADS, thread_name_prefix="portal")
        self._under_way: set[Future[Any]] = set()
        self.wake = threading.Event()
        self.stopping = threading.Event()
        self.unwritten: dict[str, Entry] = {}
        self.directory = directory_file.read(state)
        self.directory_wanted = threading.Event()  # wakes whoever keeps it fresh
        self._journal = journal
        self._journal_thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._journal_failure = ("", 0.0)
        self.client = open_portal(settings.portal, state)
        self.findings: tuple[Finding, ...] = ()  # what the last hourly look has found that is not in order
        self.portal_down = False  # as the delivery has found it: cards are of no use then
        self.cards = CardLane(self)
        self.recordings = RecordingLane(self)
        self.ends = Ends(self)
        self.presence = Presence(self, settings.manager_file)
        self.settings = settings
        self.clicks = ClickLane(self)
        self.portal_event: Handler = self.clicks.take
        self.events = EventLane(self)
        self._take(settings)

    def use(self, settings: Settings) -> None:
        """Take other settings over.

        :raises ConfigurationError: where the portal can't be spoken to like that; what was in force stays.
        """
        former, self.client = self.client, open_portal(settings.portal, self.state)
        former.close()  # its idle connections; requests under way end as they would
        self._take(settings)
        self.clicks.use()

    def _take(self, settings: Settings) -> None:
        self.settings = settings
        self.directory.belong_to(self.client.origin)
        self.clients.belong_to(self.client.origin)
        self.directory_wanted.set()
        self.wake.set()
        self.events.wake.set()

    def in_background(self, step: Callable[..., Answer], *arguments: object) -> Future[Answer]:
        """Have one of the portal's threads do a step."""
        future = self._portal_threads.submit(step, *arguments)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future

    def write(self, step: Callable[[Journal], Answer]) -> Future[Answer]:
        """Have the journal's thread do a step; a failure is in the future and in the log."""
        future = self._journal_thread.submit(step, self._journal)
        future.add_done_callback(self._log_failure)
        return future

    def tell(self, uniqueid: str, what: str, detail: str = "") -> None:
        """Add a line to a call's story: nobody waits for it, and the disk is not asked for it alone."""
        self._journal.tell_soon(uniqueid, what, detail)

    def left_out(self, call: LeftOut) -> None:
        """Remember that the CRM is told nothing of a call, and why; as `tell`."""
        self._journal.leave_out_soon(call)

    def _log_failure(self, future: Future[Answer]) -> None:
        error = None if future.cancelled() else future.exception()
        if isinstance(error, JournalError):
            said, when = self._journal_failure
            now = time.monotonic()
            if said != str(error) or now - when > SAME_FAILURE_SECONDS:  # a full disk fails every step alike
                self._journal_failure = (str(error), now)
                LOG.error("%s %s", error, error.hint)
        elif error is not None:
            LOG.error("the journal's thread failed: %s", type(error).__name__, exc_info=error)

    def stop(self, longest: float) -> None:
        """Let what is under way with the portal end, so that its answer is written down; the journal is closed last.

        :param longest: seconds; what takes longer is left, since the journal knows that it is owed.
        """
        self.clients.stop()
        self._portal_threads.shutdown(wait=False, cancel_futures=True)
        ends = time.monotonic() + longest
        wait(list(self._under_way), timeout=longest)
        self.client.settle(max(ends - time.monotonic(), 0.1))
        self._journal_thread.submit(self._journal.close)
        self._journal_thread.shutdown(wait=True)
