"""Keeps the lists of employees and lines fresh, and makes the configuration's lines, in a thread nobody waits for."""

from __future__ import annotations

import logging
import random
import threading
from typing import Callable, Mapping, Sequence

from ..bitrix24.lists import NewLine, line_number
from ..call import NEVER
from ..errors import PORTAL, PortalError
from ..policy import Rules
from . import directory_file
from .runtime import Runtime

LOG = logging.getLogger("bx24.directory")

EVERY_SECONDS = 300.0
FIRST_SECONDS = 5.0  # after a failure; twice as long after each further one, up to EVERY_SECONDS
LIST_SECONDS = 120.0  # the most that reading all pages may take
NUMBERS_SAID = 10  # of lines that the portal refuses, in one line of the log


class RefreshThread(threading.Thread):
    """Reads the lists at start, after a reload and every five minutes; a failure keeps what is known."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="directory", daemon=True)
        self.runtime = runtime
        self.failures = 0
        self.asked_to_wait = 0.0
        self.said: dict[str, str] = {}
        self.kept = ""
        self.settled: set[str] = set()  # lines that the portal was asked to make under these rules, and has answered
        self.settled_for: Rules | None = None

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
        """Read both lists, make what lines are missing, keep on disk what has changed; False where a part failed."""
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
        lines = lines and self.make_lines(rules, longest)
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

    def make_lines(self, rules: Rules, longest: float) -> bool:
        """Have the portal make the configuration's lines that it does not have, each once from a reload to the next.

        So whoever deletes a line on the portal finds it deleted, and a refusal is not repeated every five minutes.
        """
        if rules is not self.settled_for:
            self.settled, self.settled_for = set(), rules
        directory, lines = self.runtime.directory, lines_of(rules)
        wanted = [line for line in lines if line.number not in self.settled and line.number not in directory.lines]
        refused: dict[str, PortalError] = {}
        if wanted:
            try:
                refused = directory.add_lines(self.runtime.client, wanted, total_seconds=longest)
            except PortalError as error:
                refused = dict.fromkeys((line.number for line in wanted), error)
        # What keeps the portal from everything, the lists as well, is no answer to this.
        later = {number: error for number, error in refused.items() if error.retryable or error.blame == PORTAL}
        self.settled.update(line.number for line in lines if line.number not in later)
        self.say_lines(wanted, refused, later)
        self.asked_to_wait = max([self.asked_to_wait, *(error.pause_seconds for error in later.values())])
        return not later

    def say_lines(
        self, wanted: Sequence[NewLine], refused: Mapping[str, PortalError], later: Mapping[str, PortalError]
    ) -> None:
        """Log what became of the lines that the portal was asked to make, each reason once."""
        made = [line.number for line in wanted if line.number not in refused]
        if made:
            LOG.info("lines of the configuration that the portal has now: %s", shown(made))
        reasons: dict[tuple[str, str], list[str]] = {}
        for number, error in refused.items():
            if number not in later:
                reasons.setdefault((error.message, error.hint), []).append(number)
        for (message, hint), numbers in reasons.items():
            LOG.warning("the portal does not make the lines %s: %s. %s", shown(numbers), message, hint)
        waits = next((error.message for error in later.values()), "")
        self.say("lines to make", f"lines can't be made on the portal now: {waits}" if waits else "")

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


def lines_of(rules: Rules) -> list[NewLine]:
    """Return the lines of the configuration as the portal is to have them."""
    lines = (NewLine(line_number(one.number), one.name, one.create_in != NEVER) for one in rules.lines)
    return [line for line in lines if line.number]


def shown(numbers: Sequence[str]) -> str:
    """Return the first of many numbers for a log line."""
    return ", ".join(numbers[:NUMBERS_SAID]) + (", ..." if len(numbers) > NUMBERS_SAID else "")


def pause_seconds(failures: int, jitter: float) -> float:
    """Return how long to wait after so many failures in a row.

    :param jitter: about 1; many PBXs of one portal must not come back at the same instant.
    """
    after_failure = FIRST_SECONDS * 2.0 ** min(failures - 1, 20)
    return min(after_failure, EVERY_SECONDS) * jitter if failures else EVERY_SECONDS * jitter
