"""Repeats the cheap checks of `bx24 check` every hour: the log says what has gone wrong since, and what is over."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ..checks import clone
from ..checks.finding import OK, Finding
from ..checks.machine import Machine
from ..checks.table import CHECKS, look
from .surroundings import log_path, run_directory

if TYPE_CHECKING:
    from .runtime import Runtime

LOG = logging.getLogger("bx24.check")

FIRST_SECONDS = 600.0  # after the start: by then the lists are read, and Asterisk has come up
EVERY_SECONDS = 3600.0
HOURLY = tuple(check for check in CHECKS if check.hourly)


class HourlyThread(threading.Thread):
    """Looks until the service stops; nobody waits for it, and it asks neither the portal nor the journal's thread.

    Its times are never scaled: a test calls `step`.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="checks", daemon=True)
        self.runtime = runtime

    def run(self) -> None:
        """Look, and wait an hour."""
        wait = FIRST_SECONDS
        while not self.runtime.stopping.wait(wait):
            wait = EVERY_SECONDS
            try:
                self.step()
            except Exception:  # a bug must not end all looking
                LOG.exception("the hourly checks failed in an unforeseen way")

    def step(self) -> None:
        """Look once, and log what has changed since the last time."""
        runtime = self.runtime
        machine = Machine(runtime.state, run_directory(), Path(log_path()))
        machine.directory = runtime.directory if runtime.directory.loaded else None
        found = tuple(finding for finding in look(machine, HOURLY) if finding.level != OK)
        before, runtime.findings = runtime.findings, found
        for finding in found:
            if finding not in before:
                LOG.warning("%s: %s -> %s", finding.what, finding.text, finding.hint)
        for finding in _over(before, found):
            LOG.info("no longer true: %s: %s", finding.what, finding.text)
        try:
            clone.remember(runtime.state, runtime.settings.rules.pbx_id)
        except OSError as error:
            LOG.info("%s can't be written: %s", clone.FILE, error.strerror)


def _over(before: tuple[Finding, ...], now: tuple[Finding, ...]) -> list[Finding]:
    """What is no longer found; of what goes on with other numbers in its text nothing is over."""
    still = {finding.what for finding in now}
    return [finding for finding in before if finding not in now and finding.what not in still]
