"""Watches the calls in Asterisk through its manager interface: who rings, who talks, and which calls are gone."""

from __future__ import annotations

import logging
import math
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Sequence

from ..call import OUTBOUND
from ..pbx.ami import Ami
from ..pbx.ami_wire import Message
from ..pbx.call_legs import ENDED, LEFT, RINGING, TALKING, At, CallLegs, Change, Leg
from ..pbx.legs import Legs
from ..pbx.manager_conf import read_account
from . import legs_text
from .device_users import DeviceUsers

if TYPE_CHECKING:
    from .runtime import Runtime

LOG = logging.getLogger("bx24.presence")
FINISH_SECONDS = 15.0  # a hangup handler has a second; a script alone may work a little longer
SETTLE_SECONDS = 3.0  # after a snapshot: what ended just before it has told its end by itself then
BEAT_SECONDS = 30.0  # the connection's own thread beats every few seconds, also while Asterisk is away
KEPT_CHANGES = frozenset({TALKING, LEFT})


class Now(NamedTuple):
    """A call at this moment: one leg of each of our people who ring, or talk with the client; whether it is over, and
    whether the client of an outbound call has answered.

    Who has answered and is not connected yet still rings; who left less than a second ago still talks.
    """

    ringing: tuple[Leg, ...]
    talking: tuple[Leg, ...]
    gone: bool
    answered: bool


class Presence:
    """What Asterisk's manager interface shows of the calls; safe to use from every thread.

    Without an account, or while Asterisk is away, nothing is known of any call, and everything goes on without it.

    :param manager_file: Asterisk's file with our user; read when it starts.
    """

    def __init__(self, runtime: Runtime, manager_file: Path) -> None:
        self.runtime = runtime
        self._file = manager_file
        self._lock = threading.Lock()
        self._legs = Legs()
        self._ami: Ami | None = None
        self._snapshot: frozenset[str] | None = None  # of the channels' uniqueids, until somebody has looked at it
        self._snapshot_at = At(0.0, 0.0)
        self.users = DeviceUsers()
        self._watched: set[str] = set()
        self._before: dict[str, tuple[str, float]] = {}  # calls of before a restart: their legs, and since when watched
        self._ended: dict[str, float] = {}  # calls that hung up: when, on the monotonic clock
        self._up = False
        self._lost_at: At | None = None  # when the connection was lost, None where there was none before

    def start(self) -> None:
        """Begin to connect. Where there is no account it is said once, and calls are told without it."""
        account, why = read_account(self._file)
        if account is None:
            LOG.warning("calls are not watched: %s. Run ./install.sh again, or see docs/limits.md", why)
            return
        beats = self.runtime.beats
        beats.register("manager interface", BEAT_SECONDS)
        self._ami = Ami(
            account.host,
            account.port,
            account.user,
            account.secret,
            self._connected,
            self._event,
            self._disconnected,
            beat=lambda: beats.beat("manager interface"),
            scale=self.runtime.scale,
        )
        self._ami.start()

    def stop(self, seconds: float) -> None:
        """Look no more."""
        if self._ami is not None:
            self._ami.stop(seconds)

    # -- calls ------------------------------------------------------------------------------------------------------

    def begin(self, uniqueid: str, direction: str) -> None:
        """Watch the call whose channel runs register."""
        with self._lock:
            self._legs.watch(uniqueid, direction)
            self._watched.add(uniqueid)

    def go_on(self, uniqueid: str, direction: str, before: str) -> None:
        """Watch a call that has gone on unseen for a while. :param before: its legs, as a former view kept them."""
        with self._lock:
            self._legs.watch(uniqueid, direction, legs_text.read(before).external, late=True)
            self._watched.add(uniqueid)
            if before:
                self._before[uniqueid] = (before, time.time())

    def end(self, uniqueid: str) -> str:
        """Watch a call no more; returns its legs for the journal, empty where none are known."""
        with self._lock:
            text = self._text(uniqueid)
            self._legs.forget(uniqueid)
            self.users.forget(uniqueid)
            self._watched.discard(uniqueid)
            self._ended.pop(uniqueid, None)
            self._before.pop(uniqueid, None)
        self.runtime.cards.look_at(uniqueid)
        return text

    def is_whole(self, uniqueid: str) -> bool:
        """Whether a call has been watched since it was registered, and nothing of it can have been missed."""
        with self._lock:
            story = self._legs.story(uniqueid)
            return story is not None and story.unbroken

    def now(self, uniqueid: str) -> Now | None:
        """Who rings and who talks now; None where Asterisk does not show that."""
        with self._lock:
            story = self._shown(uniqueid)
            if story is None:
                return None
            ringing, talking = (self._legs.on_cards(uniqueid, state) for state in (RINGING, TALKING))
            return Now(ringing, talking, story.gone is not None, story.answered is not None)

    def _shown(self, uniqueid: str) -> CallLegs | None:
        """A call as Asterisk shows it now; None where it does not. Within the lock."""
        return self._legs.story(uniqueid) if self._up else None

    def legs(self, uniqueid: str) -> CallLegs | None:
        """All that Asterisk shows of a call; None where it does not show it now."""
        with self._lock:
            return self._shown(uniqueid)

    def learn_users(self, uniqueid: str) -> None:
        """Ask Asterisk whose the telephones of a call are that have come since the last time; waits for its answers.

        Not for the connection's own thread.
        """
        with self._lock:
            story = self._legs.story(uniqueid)
        if story is None or self._ami is None:
            return
        rules, directory = self.runtime.settings.rules, self.runtime.directory
        learnt = self.users.learn(story, self._ami.list_action, rules.people, directory)
        with self._lock:
            if uniqueid not in self._watched:  # it ended meanwhile
                self.users.forget(uniqueid)
            text = self._text(uniqueid) if learnt else ""
        if text:  # who was logged in there then counts, whoever looks later
            self._write(uniqueid, text)

    @property
    def connected(self) -> bool:
        """Whether Asterisk's calls are seen now."""
        return self._up

    @property
    def watches(self) -> bool:
        """Whether there is any call to watch now."""
        return bool(self._watched) and self._up

    def tick(self) -> None:
        """Time has passed without an event: who has left for good by now is news."""
        at = At(time.monotonic(), time.time())
        with self._lock:
            changes = self._legs.changes(at) if self._up else []
            self._keep(changes)
        self._tell(changes)

    def is_up(self, uniqueid: str) -> bool | None:
        """Whether a call's external party is still there; None where Asterisk does not show it now."""
        with self._lock:
            story = self._shown(uniqueid)
            return None if story is None else story.gone is None

    def goes_on(self, uniqueid: str) -> bool:
        """Whether an outbound call's external party is seen to be there, without the channel that ran register too."""
        with self._lock:
            story = self._shown(uniqueid)
            return story is not None and story.direction == OUTBOUND and bool(story.external) and story.gone is None

    def overdue(self) -> list[str]:
        """Calls that hung up, and whose finish has not come since; each is named once."""
        now = time.monotonic()
        with self._lock:
            found = [uniqueid for uniqueid, at in self._ended.items() if now - at > self._patience()]
            for uniqueid in found:
                del self._ended[uniqueid]
            return found

    def lost_calls(self) -> tuple[frozenset[str], At, float] | None:
        """Once after each connection, some seconds later: the channels that there were, when, and when all was well.

        None where there is nothing new. The last is wall clock seconds, 0.0 where this process saw no connection end.
        """
        with self._lock:
            if self._snapshot is None or time.monotonic() < self._settled_at():
                return None
            channels, self._snapshot = self._snapshot, None
            return channels, self._snapshot_at, self._lost_at.wall if self._lost_at else 0.0

    def next_look(self) -> float:
        """Seconds after which `lost_calls` or `overdue` may have something; infinity where nothing is under way."""
        now = time.monotonic()
        with self._lock:
            moments = [at + self._patience() for at in self._ended.values()]
            moments += [self._settled_at()] if self._snapshot is not None else []
        return max(min(moments, default=math.inf) - now, 0.05)

    def _settled_at(self) -> float:
        return self._snapshot_at.monotonic + SETTLE_SECONDS * self.runtime.wait_scale

    def _patience(self) -> float:
        return FINISH_SECONDS * self.runtime.wait_scale

    # -- the connection: one thread, one after the other --------------------------------------------------------------

    def _connected(self, snapshot: Sequence[Message]) -> None:
        at = At(time.monotonic(), time.time())
        LOG.info("Asterisk's calls are watched: %d channels are up", len(snapshot))
        with self._lock:
            # An Asterisk that has died took its calls along then, not when it was started again.
            self._legs.snapshot(snapshot, at, self._lost_at)
            self._snapshot = frozenset(row.get("Uniqueid", "") for row in snapshot)
            self._snapshot_at = at
            self._up = True
            self._keep(self._legs.changes())  # whose end nobody saw is found by lost_calls()
            watched = [*self._watched]
        for uniqueid in watched:
            self.runtime.cards.look_at(uniqueid)
        self.runtime.wake.set()

    def _event(self, event: Message) -> None:
        received = event.received
        with self._lock:
            self._legs.take(event, At(received, time.time() - (time.monotonic() - received)))
            changes = self._legs.changes()
            self._keep(changes)
        self._tell(changes)

    def _tell(self, changes: Sequence[Change]) -> None:
        """Whoever lives by news: the cards, and the end of calls."""
        for change in changes:
            if change.kind == ENDED and not self.runtime.ends.gone(change.uniqueid):
                with self._lock:
                    self._ended[change.uniqueid] = change.at.monotonic
        for uniqueid in dict.fromkeys(change.uniqueid for change in changes):
            self.runtime.cards.look_at(uniqueid)

    def _disconnected(self) -> None:
        with self._lock:
            self._legs.broken()
            self._up = False
            self._lost_at = At(time.monotonic(), time.time())

    def _keep(self, changes: Sequence[Change]) -> None:
        """Write down who talks since when: should everything die now, that is what is known."""
        for uniqueid in dict.fromkeys(change.uniqueid for change in changes if change.kind in KEPT_CHANGES):
            text = self._text(uniqueid)
            if text:
                self._write(uniqueid, text)

    def _text(self, uniqueid: str) -> str:
        """All that is known of a call's legs, also by a view of before; empty where that is nothing."""
        story = self._legs.story(uniqueid)
        before, since = self._before.get(uniqueid, ("", 0.0))
        if story is None or not (story.legs or before or story.gone):
            return ""
        text = legs_text.write(story, self.users.of(uniqueid))
        return legs_text.joined(before, text, since) if before else text

    def _write(self, uniqueid: str, text: str) -> None:
        self.runtime.write(lambda journal: journal.keep_legs(uniqueid, text))
