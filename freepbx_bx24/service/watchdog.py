"""Tells systemd, or who else supervises, that the service is ready, what it does, and that its loops still turn.

The protocol is sd_notify(3): datagrams of `NAME=value` lines to the socket that NOTIFY_SOCKET names. WATCHDOG=1 is sent
at half of WATCHDOG_USEC, and only while every loop has beaten within its own bound: a service that hangs is restarted.
Nothing but the standard library is imported, and nothing here raises: a notification that can't be sent is no trouble.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from concurrent.futures import Future
from typing import Callable, Mapping, MutableMapping

LOG = logging.getLogger("bx24.watchdog")

STATUS_SECONDS = 10.0  # how old the line in `systemctl status` may be
SHORTEST_SECONDS = 0.05
SEND_SECONDS = 0.5
LONGEST_STATUS = 200  # characters


class Beats:
    """Who has to beat, and until when each has time for it. `beat` is one assignment: it costs a caller nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._longest: dict[str, float] = {}
        self._until: dict[str, float] = {}

    def register(self, name: str, longest_seconds: float) -> None:
        """From now on `name` must beat at least so often; several threads may beat under one name."""
        self._longest[name] = longest_seconds
        self.beat(name)

    def beat(self, name: str, waits_seconds: float = 0.0) -> None:
        """It turns. A loop that now waits knowingly says for how long, where that is longer than its bound.

        Who is not registered is not watched: the same loop may run without a service around it.
        """
        longest = self._longest.get(name)
        if longest is not None:
            self._until[name] = self._clock() + max(longest, waits_seconds)

    def forget(self, name: str) -> None:
        """The loop has ended on purpose."""
        self._longest.pop(name, None)
        self._until.pop(name, None)

    def late(self) -> tuple[str, ...]:
        """The names of those who should have beaten by now."""
        now = self._clock()
        return tuple(sorted(name for name, until in tuple(self._until.items()) if until < now))


class Notifier:
    """The way to whoever supervises this process; without one every notification is dropped.

    :param environment: NOTIFY_SOCKET is taken out of it, so that no program started from here speaks in our name.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        path = environment.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self.wanted = path[:1] in ("@", "/") and len(path) > 1
        self.feed_seconds = feed_seconds(environment) if self.wanted else 0.0

    def send(self, *lines: str) -> None:
        """Send `NAME=value` lines as one datagram."""
        if not self.wanted:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
                speaker.settimeout(SEND_SECONDS)  # a supervisor that does not read must not hold the service up
                speaker.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except (OSError, ValueError):
            LOG.debug("%s could not be sent", lines[0])

    def ready(self) -> None:
        """The socket answers; also the end of a reload."""
        self.send("READY=1")

    def reloading(self) -> None:
        """A reload begins. MONOTONIC_USEC tells it from an earlier one (sd_notify(3))."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end begins."""
        self.send("STOPPING=1", "STATUS=stops")


def feed_seconds(environment: Mapping[str, str]) -> float:
    """How often WATCHDOG=1 is wanted: half of WATCHDOG_USEC, as sd_watchdog_enabled(3) advises; 0: not at all."""
    try:
        wanted = int(environment.get("WATCHDOG_USEC", "0"))
        if int(environment.get("WATCHDOG_PID", os.getpid())) != os.getpid():
            return 0.0
    except ValueError:
        return 0.0
    return max(wanted / 2e6, SHORTEST_SECONDS) if wanted > 0 else 0.0


def status_line(waiting: int, portal_answers: bool, since: float, late: tuple[str, ...]) -> str:
    """One line for `systemctl status`.

    :param waiting: calls that the CRM is still owed something of; -1: not known.
    :param since: wall clock seconds from which on the portal is as it is.
    """
    if late:
        return f"hangs: no sign of life from {', '.join(late)}"[:LONGEST_STATUS]
    calls = "calls waiting: " + (str(waiting) if waiting >= 0 else "unknown")
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
    return f"{calls}; portal {'up' if portal_answers else 'down'} since {when}"


class Watch:
    """Looks at the service now and then, from the thread that also waits for its signals.

    :param portal_answers: whether callers wait for the portal at present.
    :param count_waiting: has the journal's thread count what is owed; its answer is used at the next look, since the
        journal may be what hangs.
    """

    def __init__(
        self,
        notifier: Notifier,
        beats: Beats,
        portal_answers: Callable[[], bool],
        count_waiting: Callable[[], Future[int]],
    ) -> None:
        self._notifier, self._beats = notifier, beats
        self._portal_answers, self._count_waiting = portal_answers, count_waiting
        self._answers, self._since = portal_answers(), time.time()
        self._counting: Future[int] | None = None
        self._waiting = -1
        self._late: tuple[str, ...] = ()
        self._said = ""
        # A watchdog that wants to be fed seldom still gets a line that is true.
        feed = notifier.feed_seconds or STATUS_SECONDS
        self.seconds = min(feed, STATUS_SECONDS)  # between two looks

    def look(self) -> bool:
        """Feed the watchdog unless somebody is late, and say how it goes; False where the watchdog was not fed."""
        late = self._beats.late()
        answers = self._portal_answers()
        if answers != self._answers:
            self._answers, self._since = answers, time.time()
        self._count()
        line = status_line(self._waiting, answers, self._since, late)
        news = [f"STATUS={line}"] if line != self._said else []
        if not late and self._notifier.feed_seconds:
            news.append("WATCHDOG=1")
        self._said = line
        if news:
            self._notifier.send(*news)
        if late != self._late:  # after it was sent: where the log's disk hangs, this line does too
            self._late = late
            if late:
                LOG.error("no sign of life from %s: the watchdog is not fed until there is one", ", ".join(late))
            else:
                LOG.info("every loop turns again")
        return not late

    def _count(self) -> None:
        if not self._notifier.wanted:
            return
        if self._counting is not None:
            if not self._counting.done():
                return
            failed = self._counting.cancelled() or self._counting.exception() is not None
            self._waiting = -1 if failed else self._counting.result()
        self._counting = self._count_waiting()
