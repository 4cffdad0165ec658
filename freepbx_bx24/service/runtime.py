"""What the parts of the running service share: settings, client, directory, journal thread, breaker, portal threads."""

from __future__ import annotations

import logging
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Callable, TypeVar

from ..bitrix24.client import Client
from ..bitrix24.directory import Directory
from ..errors import JournalError, PortalError
from ..journal.records import Entry
from ..journal.store import Journal
from ..settings import Settings
from .breaker import Breaker

LOG = logging.getLogger("bx24.service")
Answer = TypeVar("Answer")

PORTAL_THREADS = 16
DIRECTORY_SECONDS = 300.0
DIRECTORY_FILE = "directory.json"  # the last list, for a start while the portal is down and for AGI scripts alone
REQUEST_SECONDS = 15.0  # the most that one request may take; no caller waits that long


def time_scale() -> float:
    """How much faster time-outs and back-off run in tests (BX24_TEST_TIME_SCALE); 1 in production."""
    try:
        return min(max(float(os.environ.get("BX24_TEST_TIME_SCALE", "1")), 0.001), 1.0)
    except ValueError:
        return 1.0


class Runtime:
    """Shared by all threads of the service; whatever needs the journal goes through its one thread."""

    def __init__(self, settings: Settings, state: Path, journal: Journal) -> None:
        self.state = state
        self.scale = time_scale()
        self.breaker = Breaker()
        self.portal_threads = ThreadPoolExecutor(PORTAL_THREADS, thread_name_prefix="portal")
        self.wake = threading.Event()
        self.stopping = threading.Event()
        self.unwritten: dict[str, Entry] = {}
        self.directory = _kept_directory(state)
        self._directory_asked = 0.0
        self._journal = journal
        self._journal_thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self.use(settings)

    def use(self, settings: Settings) -> None:
        """Take settings over: at start and at each reload."""
        self.settings = settings
        self.client = Client(settings.portal.webhook_url, settings.portal.ca_bundle)
        self._directory_asked = 0.0
        self.wake.set()

    @property
    def request_seconds(self) -> float:
        """How long one request may take in all."""
        return max(REQUEST_SECONDS * self.scale, 1.0)

    def write(self, step: Callable[[Journal], Answer]) -> Future[Answer]:
        """Have the journal's thread do a step; a failure is in the future and in the log."""
        future = self._journal_thread.submit(step, self._journal)
        future.add_done_callback(_log_failure)
        return future

    def refresh_directory(self) -> None:
        """Read who has which extension, when it is time; a failure keeps what is known."""
        now = time.monotonic()
        if self._directory_asked and now - self._directory_asked < DIRECTORY_SECONDS:
            return
        self._directory_asked = now
        try:
            self.directory.load(self.client)
        except PortalError as error:
            LOG.warning("the list of employees can't be read: %s", error)
            return
        hidden = self.state / ("." + DIRECTORY_FILE)
        try:
            hidden.write_text(self.directory.to_json(), encoding="utf-8")
            hidden.rename(self.state / DIRECTORY_FILE)
        except OSError as error:
            LOG.warning("the list of employees can't be kept on disk: %s", error.strerror)

    def stop(self) -> None:
        """Let running work end; the journal is closed last."""
        self.stopping.set()
        self.wake.set()
        self.portal_threads.shutdown(wait=False, cancel_futures=True)
        self._journal_thread.submit(self._journal.close)
        self._journal_thread.shutdown(wait=True)


def _kept_directory(state: Path) -> Directory:
    try:
        return Directory.from_json((state / DIRECTORY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Directory()


def _log_failure(future: Future[Answer]) -> None:
    if future.cancelled():
        return
    error = future.exception()
    if isinstance(error, JournalError):
        LOG.error("%s %s", error, error.hint)
    elif error is not None:
        LOG.error("the journal's thread failed: %s", type(error).__name__, exc_info=error)
