"""Keeps the list of employees and lines fresh in the background, in a thread of its own that nobody waits for."""

from __future__ import annotations

import logging
import random
import threading
from typing import Callable

from ..errors import PortalError
from . import directory_file
from .runtime import Runtime

LOG = logging.getLogger("bx24.directory")

EVERY_SECONDS = 300.0
FIRST_SECONDS = 5.0  # after a failure; twice as long after each further one, up to EVERY_SECONDS
LIST_SECONDS = 120.0  # the most that reading all pages may take


class RefreshThread(threading.Thread):
    """Reads the lists at start, after a reload and every five minutes; a failure keeps what is known."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="directory", daemon=True)
        self.runtime = runtime
        self.failures = 0
        self.asked_to_wait = 0.0
        self.said: dict[str, str] = {}
        self.kept = ""

    def run(self) -> None:
        """Read and wait until the service stops."""
        runtime = self.runtime
        while not runtime.stopping.is_set():
            runtime.directory_wanted.clear()
            if runtime.stopping.is_set():  # it was set just before we cleared what would have woken us
                return
            try:
                whole = self.step()
            except Exception:  # a bug must not end all refreshing
                LOG.exception("the lists of the portal can't be read for an unforeseen reason")
                whole = False
            self.failures = 0 if whole else self.failures + 1
            pause = max(pause_seconds(self.failures, random.uniform(0.75, 1.25)), self.asked_to_wait)
            runtime.directory_wanted.wait(pause * runtime.scale)

    def step(self) -> bool:
        """Read both lists, and keep on disk what has changed; False where one of them could not be read."""
        runtime, rules = self.runtime, self.runtime.settings.rules
        client, longest = runtime.client, max(LIST_SECONDS * runtime.scale, 1.0)
        self.asked_to_wait = 0.0
        people = self.read(
            "employees",
            lambda: runtime.directory.load(
                client, total_seconds=longest, country=rules.country, area_code=rules.area_code
            ),
        )
        lines = self.read("lines", lambda: runtime.directory.load_lines(client, total_seconds=longest))
        if runtime.directory.loaded:
            self.keep(runtime.directory.to_json())
        return people and lines

    def read(self, what: str, load: Callable[[], int]) -> bool:
        """Read one list; the same failure is said once until it passes."""
        try:
            load()
        except PortalError as error:
            self.asked_to_wait = max(self.asked_to_wait, error.pause_seconds)
            self.say(what, f"the list of {what} can't be read: {error.message}")
            return False
        self.say(what, "")
        return True

    def keep(self, text: str) -> None:
        """Write the file where it does not hold this text already."""
        if text == self.kept:
            return
        try:
            directory_file.write(self.runtime.state, text)
        except OSError as error:
            self.say("disk", f"the list of employees can't be kept on disk: {error.strerror}")
            return
        self.kept = text
        self.say("disk", "")

    def say(self, what: str, trouble: str) -> None:
        """Log a trouble that is new, or that one has passed."""
        before, self.said[what] = self.said.get(what, ""), trouble
        if trouble and trouble != before:
            LOG.warning("%s", trouble)
        elif before and not trouble:
            LOG.info("no longer true: %s", before)


def pause_seconds(failures: int, jitter: float) -> float:
    """Return how long to wait after so many failures in a row.

    :param jitter: about 1; many PBXs of one portal must not come back at the same instant.
    """
    after_failure = FIRST_SECONDS * 2.0 ** min(failures - 1, 20)
    return min(after_failure, EVERY_SECONDS) * jitter if failures else EVERY_SECONDS * jitter
