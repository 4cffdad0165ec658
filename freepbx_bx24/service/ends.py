"""When a call is over, and what its end was: the external party has gone, or nobody can see it any more."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Sequence

from ..bitrix24.client import Urgency
from ..call import Outcome, View
from ..errors import JournalError, PortalError
from ..journal.records import HUNG_UP, Entry
from ..journal.store import Journal
from ..outcome import MISSED, asks_for_responsible, decide_outcome
from ..pbx.call_legs import At
from ..recording import decide_recording
from . import attach_owed, legs_text, people, portal_calls, story
from .at_work import at_work

if TYPE_CHECKING:
    from .runtime import Runtime

LOG = logging.getLogger("bx24.ends")
# Between the hangup handler and Asterisk's own word that the channel is gone: the handler holds the channel up.
LAG_SECONDS = 2.0
# At a start: until the manager interface has said what channels there are.
START_SECONDS = 15.0
SEARCH_SECONDS = 5.0  # for the client's manager: nobody waits, but the missed call is to be seen


@dataclass(frozen=True)
class End:
    """How a call ended.

    :ivar legs: what Asterisk showed, as the journal keeps it. :ivar view: the same, with whose telephones they are.
    :ivar until: wall clock seconds until which it may have lasted. :ivar seen: False: nobody saw it. :ivar how: a word
        for people, empty where all went as it should.
    """

    entry: Entry
    legs: str
    view: View
    until: float
    seen: bool = True
    how: str = ""


class Ends:
    """Calls whose hangup handler has run and whose external party may still be there; for use from all threads."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._lock = threading.Lock()
        self._expected: dict[str, float] = {}  # until when, on the monotonic clock

    def resume(self) -> None:
        """At a start: calls whose handler has run for a former service, and whose end that did not write down."""
        now = time.time()
        entries = self.runtime.write(lambda journal: journal.open_calls(now)).result()
        for entry in entries:
            if entry.ending is not None:
                self._expect(entry.uniqueid, START_SECONDS)

    def expect(self, uniqueid: str) -> None:
        """The hangup handler has said its word (in the journal): the call ends when the external party has gone."""
        self._expect(uniqueid, LAG_SECONDS)
        if self.runtime.presence.is_up(uniqueid) is False:  # it has gone in between
            self.gone(uniqueid)

    def gone(self, uniqueid: str) -> bool:
        """Asterisk has shown that the external party has gone; False where the hangup handler has not run yet."""
        with self._lock:
            expected = self._expected.pop(uniqueid, None) is not None
        if expected:
            self.runtime.in_background(self._settle, uniqueid, True)
        return expected

    def look(self) -> None:
        """End what nobody will tell of any more; watch the calls that are still up after a gap."""
        runtime = self.runtime
        found = runtime.presence.lost_calls()
        if found is not None:
            channels, at, last_seen = found
            self._look_at_snapshot(channels, at, last_seen or runtime.last_alive)
        for uniqueid in self._overdue():
            self._settle(uniqueid)
        without_script = runtime.presence.overdue()
        if without_script:
            entries = [entry for entry in _entries(runtime, without_script) if entry.outcome is None]
            now = time.time()
            how = "its finish script never came"
            self._end([end_of(runtime, entry, now, how=how) for entry in entries])

    def next_look(self, most: float) -> float:
        """Seconds after which there may be something to see, `most` at most."""
        now = time.monotonic()
        with self._lock:
            waits = [at - now for at in self._expected.values() if at > now]
        return min([most, self.runtime.presence.next_look(), *(max(wait, 0.05) for wait in waits)])

    def _look_at_snapshot(self, channels: frozenset[str], at: At, last_seen: float) -> None:
        """Calls from before a gap: go on watching those whose external party is there, end the others."""
        runtime = self.runtime
        lost = []
        for entry in runtime.write(lambda journal: journal.open_calls(at.wall)).result():
            if runtime.clicks.holds(entry.uniqueid, at.monotonic):
                continue  # ordered, and perhaps later than the channels were counted
            external = legs_text.read(entry.legs).external
            if entry.uniqueid in channels or (external and external in channels):
                runtime.presence.go_on(entry.uniqueid, entry.registration.direction, entry.legs)
                runtime.cards.look_at(entry.uniqueid)  # who stopped to ring in the gap still has a card
            else:
                until = entry.ending.ended.timestamp() if entry.ending else last_seen
                how = "" if entry.ending else "Asterisk has lost it"
                lost.append(end_of(runtime, entry, until, entry.ending is not None, how))
        self._end(lost)

    def _expect(self, uniqueid: str, seconds: float) -> None:
        with self._lock:
            self._expected[uniqueid] = time.monotonic() + seconds * self.runtime.wait_scale

    def _overdue(self) -> list[str]:
        """Those that are waited for no more. One whose external party is up goes on: the agent has handed it over."""
        now = time.monotonic()
        with self._lock:
            due = [uniqueid for uniqueid, at in self._expected.items() if now >= at]
        found = [uniqueid for uniqueid in due if not self.runtime.presence.goes_on(uniqueid)]
        with self._lock:
            return [uniqueid for uniqueid in found if self._expected.pop(uniqueid, None) is not None]

    def settle_soon(self, uniqueid: str) -> None:
        """The call is over, and the CRM is to be asked before its end is written down: not while anybody waits."""
        self._expect(uniqueid, START_SECONDS)
        self.gone(uniqueid)

    def _settle(self, uniqueid: str, searching: bool = False) -> None:
        """Write the end of a call down whose hangup handler has run.

        :param searching: this thread may ask the CRM who the client's manager is.
        """
        try:
            for entry in _entries(self.runtime, [uniqueid]):
                if entry.outcome is None and entry.ending is not None:
                    self._end([end_of(self.runtime, entry, entry.ending.ended.timestamp())], searching=searching)
        except JournalError:  # its thread has said so in the log
            self._expect(uniqueid, START_SECONDS)
        except Exception:  # in a thread that nobody waits for: it must not die in silence
            LOG.exception("%s: its end could not be written down for an unforeseen reason", uniqueid)
            self._expect(uniqueid, START_SECONDS)

    def _outcome(self, end: End, searching: bool) -> Outcome:
        outcome = outcome_of(self.runtime, end)
        if not (searching and wants_search(self.runtime, end, outcome)):
            return outcome
        ask = portal_calls.asking(self.runtime.client, Urgency.FINISH)
        number, seconds = end.entry.registration.number, min(SEARCH_SECONDS, self.runtime.request_seconds)
        try:
            self.runtime.clients.find(ask, number, seconds)
        except PortalError as error:
            LOG.info("%s: the client's manager could not be asked for: %s", end.entry.uniqueid, error.message)
            return outcome
        return outcome_of(self.runtime, end)

    def _end(self, ends: Sequence[End], searching: bool = False) -> None:
        # What a script alone is at work on, or has left behind, tells its end by itself.
        left_behind = at_work(self.runtime.state) if any(end.how for end in ends) else set()
        outcomes = {
            end.entry.uniqueid: (end, self._outcome(end, searching))
            for end in ends
            if not end.how or end.entry.uniqueid not in left_behind
        }
        if outcomes:
            steps = [partial(_write_one, self.runtime, end, outcome) for end, outcome in outcomes.values()]
            self.runtime.write(lambda journal: journal.as_one(steps)).result()
            self.runtime.wake.set()
        for uniqueid, (end, outcome) in outcomes.items():
            level = logging.WARNING if end.how else logging.INFO
            how = f"{end.how}: told as " if end.how else ""
            LOG.log(level, "%s: %s%s, %d s", uniqueid, how, outcome.status_code, outcome.talk_seconds)


def end_of(runtime: Runtime, entry: Entry, until: float, seen: bool = True, how: str = "") -> End:
    """The end of a call with what is known of its legs; it is watched no more. The parameters are End's."""
    legs = runtime.presence.end(entry.uniqueid) or entry.legs
    view = people.named(legs_text.read(legs), runtime.settings.rules, runtime.directory)
    if not view.gone:  # news of it may lag behind its hangup handler, and so may the answer before it
        view = replace(view, whole=False)
    return End(entry, legs, view, until, seen, how)


def outcome_of(runtime: Runtime, end: End) -> Outcome:
    """What the CRM is to be told of an end."""
    entry, rules = end.entry, runtime.settings.rules
    # The record that a register has made is the line's person's, as the call is; so may be one whose answer was lost.
    new = entry.registered is None or entry.registered.made
    found = None if new else runtime.clients.known(entry.registration.number)
    responsible = people.responsible(found, runtime.directory)
    return decide_outcome(
        rules, entry.registration, entry.ending, end.view, until=end.until, seen=end.seen, responsible=responsible
    )


def wants_search(runtime: Runtime, end: End, outcome: Outcome) -> bool:
    """Whether the CRM has to be asked first who the client's manager is; not while the portal is away."""
    if outcome.status_code != MISSED or runtime.portal_down or runtime.breaker.open:
        return False
    registration, registered = end.entry.registration, end.entry.registered
    if registered is None or registered.made or registered.entity is None:
        return False  # the CRM knew nobody, as far as is known yet
    if runtime.clients.known(registration.number) is not None:
        return False
    return asks_for_responsible(registration, end.entry.ending, end.view, end.until)


def write(runtime: Runtime, journal: Journal, end: End, outcome: Outcome, due: float) -> None:
    """Write down the end of a call, with what it is known by; its finish and recording are owed from `due` on."""
    uniqueid, seen = outcome.uniqueid, legs_text.sentence(end.legs)
    if seen:
        journal.tell_soon(uniqueid, story.PHONES, seen)
        journal.keep_legs(uniqueid, end.legs)
    journal.tell_soon(uniqueid, HUNG_UP, story.hung_up(end.entry, outcome, bool(seen), end.view.whole, end.how))
    if journal.ended(outcome, due):
        entry = end.entry
        decision = decide_recording(runtime.settings.rules, entry.registration, entry.ending, outcome, end.view)
        attach_owed.owe(journal, uniqueid, decision, due)


def _entries(runtime: Runtime, uniqueids: Sequence[str]) -> list[Entry]:
    known = runtime.write(lambda journal: [journal.entry(uniqueid) for uniqueid in uniqueids]).result()
    return [entry for entry in known if entry is not None and not entry.finished]


def _write_one(runtime: Runtime, end: End, outcome: Outcome, journal: Journal) -> None:
    write(runtime, journal, end, outcome, time.time())
