"""Dials what people want in the portal: from the event to the moment when the call is one like any other."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Callable, TypeVar

from ..bitrix24 import click_events
from ..bitrix24.client import Urgency
from ..bitrix24.events import PortalEvent
from ..call import OUTBOUND
from ..clicks import CANCELLED, NO_TRUNK, STALE_SECONDS, Callback, Click, Refused, not_answered, on_display
from ..errors import AmiError, AmiTimeout, JournalError, PortalError
from ..journal import dialling
from ..journal.dialling import CALLBACK, CLICK, WAITING, Row
from ..journal.records import LeftOut
from ..journal.store import Journal
from ..pbx import originate
from ..pbx.originate import ANSWERED, Order, Originator
from ..reasons import words_of
from . import callbacks, click_calls, lane, portal_calls, story
from .click_calls import Dial, Taken
from .click_watch import Running, over

if TYPE_CHECKING:
    from .runtime import Runtime

LOG = logging.getLogger("bx24.clicks")
Answer = TypeVar("Answer")

RING_SECONDS = {CLICK: 30.0, CALLBACK: 120.0}  # a queue may take its time
NAME_SECONDS = 0.3  # the client's name on the display is worth no more: the person waits for his telephone
CONNECT_SECONDS = 5.0  # after a start the connection for dialling may not be there yet
ORDER_SECONDS = CONNECT_SECONDS + 5.0  # from the beginning of an order until Asterisk has its channel
THREADS = 8  # a manager interface that hangs holds each for some seconds
TICK_SECONDS = 0.2
LOOK_SECONDS = 2.0
IDLE_SECONDS = 5.0
BEAT_SECONDS = 120.0
NO_PBX, STALE, LOST = Refused(NO_TRUNK, "NO_PBX"), Refused(CANCELLED, "STALE"), Refused(CANCELLED, "LOST")
NOTICE_SECONDS = 10.0


class ClickLane(threading.Thread):
    """Its thread looks after what is being dialled; `take` is for the threads that events come in by.

    Without clicks and callbacks in the YAML it does nothing: no thread, no connection.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="clicks", daemon=True)
        self.runtime = runtime
        self.wake = threading.Event()
        self._originator = Originator(self._answered, runtime.scale)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="click")
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}  # by the uniqueid of the channel that dials the client
        self._waiting: dict[int, Row] = {}  # callbacks that are to be dialled later
        self._looked = 0.0
        self._connects = False
        self._connects_since = 0.0

    def use(self) -> None:
        """The settings are new: connect where something may be dialled now, and only there."""
        dials = self.runtime.settings.dials
        if dials and not self._connects:
            self._connects_since = time.monotonic()
            self._originator.start(self.runtime.settings.clicks_file)
            if not self.is_alive() and not self.runtime.stopping.is_set():
                self.runtime.beats.register("clicks", max(BEAT_SECONDS * self.runtime.scale, 10.0))
                self._resume()
                self.start()
        elif self._connects and not dials:
            self._originator.stop(1.0)
        self._connects = dials

    def stop(self, seconds: float) -> None:
        """Dial nothing more; what is under way goes on in Asterisk, and the next service finds it in the journal."""
        self.wake.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._originator.stop(seconds)

    def holds(self, uniqueid: str, then: float) -> bool:
        """Whether a call was ordered about then or later (monotonic), so that its channel need not have been there."""
        with self._lock:
            running = self._running.get(uniqueid)
        return running is not None and not running.resumed and running.began > then - ORDER_SECONDS

    # -- from the event to the order ----------------------------------------------------------------------------------

    def take(self, event: PortalEvent) -> None:
        """A click or a callback form: it is in the journal when this returns, and is dialled in another thread.

        :raises JournalError: it could not be kept, so it has to come again.
        """
        what = click_events.read(event.name, event.data, event.timestamp)
        runtime, now = self.runtime, time.time()
        if what is None:
            LOG.warning("%s makes no sense: it is not dialled", event.name)
            return
        if isinstance(what, Callback):
            taken = self._write(
                lambda journal: click_calls.take_callback(
                    journal, runtime.settings, what, now, partial(callbacks.due, runtime.settings.callbacks)
                )
            ).result()
        else:
            taken = self._write(
                lambda journal: click_calls.take_click(
                    journal, runtime.settings, runtime.directory, what, now, runtime.client.origin
                )
            ).result()
        if taken is None:
            LOG.info("%s was told before", event.name)
        elif taken.refused is not None:
            self._refused(taken, taken.refused, what)
        elif isinstance(what, Click):
            LOG.info("%s: a click of user %d is dialled", taken.row.uniqueid, what.user_id)
            runtime.tell(taken.row.uniqueid, story.CAME, f"user {what.user_id} has clicked on {taken.row.number}")
            self._threads.submit(self._dial, taken.row)
        else:
            LOG.info("%s: a callback form for %s", taken.row.uniqueid, taken.row.number)
            self._wait(taken.row)

    def _refused(self, taken: Taken, refused: Refused, what: Click | Callback) -> None:
        row, why = taken.row, words_of("en").clicks[refused.why]
        LOG.warning("%s: not dialled for the portal: %s", row.uniqueid, why)
        self.runtime.wake.set()
        if isinstance(what, Callback):
            self.runtime.left_out(LeftOut(row.uniqueid, time.time(), OUTBOUND, row.number, f"a callback form: {why}"))
            return
        self.runtime.tell(row.uniqueid, story.CAME, f"user {what.user_id} has clicked; not dialled: {why}")
        self._threads.submit(self._notify, row, refused)

    def _notify(self, row: Row, refused: Refused) -> None:
        """Tell the person who clicked, where the way in has that right."""
        text = words_of(self.runtime.settings.rules.language).clicks
        message = text["NOTICE"].format(on_display(row.number), text[refused.why])
        try:
            self.runtime.client.call(
                click_events.NOTIFY,
                {"USER_ID": row.user_id, "MESSAGE": message},
                total_seconds=NOTICE_SECONDS,
                urgency=Urgency.BACKLOG,
            )
        except PortalError as error:
            LOG.info("%s: the person could not be told: %s", row.uniqueid, error.message)
        except Exception:
            LOG.exception("%s: the person could not be told for an unforeseen reason", row.uniqueid)

    def _dial(self, row: Row) -> None:
        """Order the call of a row that waits. In a thread of the pool, where nobody sees what is raised."""
        try:
            dial = click_calls.dial_of(row)
            if dial is None:
                LOG.error("%s: what the journal has of it makes no sense: it is not dialled", row.uniqueid)
                self._write(lambda journal: journal.dialling(lambda database: dialling.over(database, row.id)))
                return
            running = Running(row, dial, time.monotonic())
            with self._lock:
                self._running[row.uniqueid] = running
            if row.kind == CLICK:
                running.dial = replace(dial, name=self._client_name(row.number))
            mine = self._write(
                lambda journal: journal.dialling(lambda database: dialling.dial(database, row.id, row.uniqueid))
            ).result()
            if not mine:
                self._forget(row.uniqueid)
                return
            running.row = replace(row, attempts=row.attempts + 1)
            self.runtime.presence.begin(row.uniqueid, OUTBOUND)
            self.wake.set()
            self._order(running)
        except JournalError:  # its thread has said so in the log; the next service finds it
            self._forget(row.uniqueid)
        except Exception:
            LOG.exception("%s: could not be dialled for an unforeseen reason", row.uniqueid)
            self._failed(row.uniqueid, NO_PBX)

    def _order(self, running: Running) -> None:
        row, dial, patience = running.row, running.dial, self._connects_since + CONNECT_SECONDS
        ring = originate.TARGET if row.kind == CALLBACK else originate.MOBILE if dial.mobile else originate.PERSON
        order = Order(
            row.uniqueid,
            dial.ringing,
            ring,
            originate.CLICK_CONTEXT if row.kind == CLICK else originate.CALLBACK_CONTEXT,
            RING_SECONDS[row.kind] * self.runtime.wait_scale,
            dial.extension,
            click_calls.variables(row, dial),
        )
        while self._originator.connects and time.monotonic() < patience and not self.runtime.stopping.is_set():
            time.sleep(0.05)
        try:
            self._originator.begin(order)
        except AmiTimeout as error:  # it may ring all the same: what Asterisk shows will tell
            LOG.warning("%s: %s", row.uniqueid, error.message)
        except AmiError as error:
            LOG.warning("%s: not dialled: %s %s", row.uniqueid, error.message, error.hint)
            self._failed(row.uniqueid, NO_PBX)

    def _client_name(self, number: str) -> str:
        """The client's name by the CRM, where that is known at once or nearly so."""
        runtime = self.runtime
        known = runtime.clients.known(number)
        if known is None and not runtime.clients.breaker.open and not runtime.portal_down:
            search = runtime.clients.begin(portal_calls.asking(runtime.client, Urgency.CARD), number)
            try:
                search.future.exception(timeout=NAME_SECONDS)
            except Exception:  # it takes too long, or the service stops
                LOG.debug("the client's name comes too late")
            known = runtime.clients.known(number)
        return on_display(known.client.name) if known and known.client else ""

    # -- what comes of it ---------------------------------------------------------------------------------------------

    def _answered(self, uniqueid: str, reason: str) -> None:
        """OriginateResponse: whoever was rung has answered, or has not. In the connection's thread."""
        with self._lock:
            running = self._running.get(uniqueid)
            if running is not None and reason == ANSWERED:
                running.answered = time.monotonic()
        if running is not None and reason != ANSWERED:
            self._threads.submit(self._failed, uniqueid, not_answered(reason))
        self.wake.set()

    def _failed(self, uniqueid: str, refused: Refused) -> None:
        """No client was called, or none answered: the portal is to know now, whatever the person's telephone does."""
        with self._lock:
            running = self._running.get(uniqueid)
        if running is None:
            return
        why = words_of("en").clicks[refused.why]
        LOG.info("%s: %s", uniqueid, why)
        try:
            if running.row.kind == CALLBACK:
                self._try_again(running)
                return
            self.runtime.tell(uniqueid, story.PHONES, why)
            self._write(lambda journal: journal.as_one([partial(over, self.runtime, running, refused)])).result()
            self._forget(uniqueid)
            self.runtime.wake.set()
            if refused in (NO_PBX, STALE):
                self._notify(running.row, refused)
        except JournalError:  # its thread has said so in the log; the next look tries it again
            running.refused = refused
        except Exception:
            LOG.exception("%s: its end could not be written down for an unforeseen reason", uniqueid)

    def _try_again(self, running: Running) -> None:
        """A callback has failed: once more later, or the CRM learns that it was in vain."""
        settings, row = self.runtime.settings, running.row
        later = callbacks.next_attempt(settings.callbacks, row, time.time(), self.runtime.scale)
        written = self._write(lambda journal: callbacks.keep(journal, settings.rules, running, later)).result()
        self._forget(row.uniqueid)
        self.runtime.presence.end(row.uniqueid)
        self.runtime.wake.set()
        if written and later is not None:
            self._wait(replace(row, due=later, uniqueid=written, state=WAITING))

    def _wait(self, row: Row) -> None:
        with self._lock:
            self._waiting[row.id] = row
        self.wake.set()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Look after what is under way until the service stops."""
        failed = LOG, "clicks can't be looked after for an unforeseen reason"
        lane.work(self.runtime, self.step, self.wake, beat="clicks", again=LOOK_SECONDS, failed=failed)

    def step(self) -> float:
        """Dial the callbacks whose time has come, and end what has failed; returns the seconds until the next step."""
        now = time.time()
        with self._lock:
            due = [row for row in self._waiting.values() if row.due <= now]
            for row in due:
                del self._waiting[row.id]
            running = list(self._running.values())
            next_due = min((row.due for row in self._waiting.values()), default=now + IDLE_SECONDS)
        for row in due:
            self._threads.submit(self._dial, row)
        for one in running:
            refused = one.refused or one.failure(self.runtime.presence, time.monotonic())
            if refused is not None:
                self._failed(one.row.uniqueid, refused)
        if running and time.monotonic() - self._looked > LOOK_SECONDS * self.runtime.wait_scale:
            self._looked = time.monotonic()
            self._look(running)
        return TICK_SECONDS if running or due else min(max(next_due - now, TICK_SECONDS), IDLE_SECONDS)

    def _look(self, running: list[Running]) -> None:
        """Which of them are calls whose end is in the journal."""
        entries = self._write(lambda journal: [journal.entry(one.row.uniqueid) for one in running]).result()
        for one, entry in zip(running, entries):
            one.known = entry is not None
            if entry is None or entry.outcome is None:
                continue
            if one.row.kind == CALLBACK and not entry.outcome.talk_seconds:
                self._try_again(one)
                continue
            done = partial(dialling.over, row_id=one.row.id)
            self._write(partial(Journal.dialling, step=done)).result()
            self._forget(one.row.uniqueid)

    def _resume(self) -> None:
        """At the start: what a former service had not dialled yet, and what it was dialling."""
        now = time.time()
        rows = self._write(
            lambda journal: [
                row for kind in (CLICK, CALLBACK) for row in journal.dialling(partial(dialling.open_rows, kind=kind))
            ]
        ).result()
        for row in rows:
            dial = click_calls.dial_of(row) or Dial("", "", "", "")
            if row.kind == CALLBACK and row.state == WAITING:
                self._wait(row)
            elif row.state == WAITING and now - row.at <= STALE_SECONDS:
                self._threads.submit(self._dial, row)
            else:
                running = Running(row, dial, time.monotonic(), resumed=True)
                running.refused = STALE if row.state == WAITING else None
                self._running[row.uniqueid] = running

    def _forget(self, uniqueid: str) -> None:
        with self._lock:
            self._running.pop(uniqueid, None)

    def _write(self, step: Callable[[Journal], Answer]) -> Future[Answer]:
        return self.runtime.write(step)
