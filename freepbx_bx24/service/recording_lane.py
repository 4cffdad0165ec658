"""A lane of their own for recordings: one at a time from the disk to the portal; nothing else waits for them."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Mapping

from ..bitrix24 import attachment
from ..bitrix24.client import Urgency
from ..errors import LOGIN, Bx24Error, JournalError, PortalError, RecordingError
from ..journal.records import ATTACH, PARKED, Delivery, Entry
from ..recording import why_not
from . import attach_owed, lane, legs_text, people, recording_file, story
from .attach_owed import RECORDING
from .back_off import LONGEST_ITEM_SECONDS, LONGEST_SECONDS, TRIES, back_off
from .recording_file import Later, Never, Ready
from .recording_send import Attempt, Fate, fate, send
from .trouble import Trouble

if TYPE_CHECKING:
    from .runtime import Runtime

LOG = logging.getLogger("bx24.recordings")

LOOK_SECONDS = 5.0  # the longest between two looks whether a finish was told
START_SECONDS = 0.5
LOGIN_SECONDS = 5.0
UNSURE_TRIES = 3  # of an item at which the portal stumbles, before it is asked whether it works at all
CHECK_SECONDS = 15.0
MEGABYTE = 1_000_000
UPLOADING = "uploading"
CHECK = "telephony.externalLine.get"  # needs the same right as attachRecord


class RecordingLane(threading.Thread):
    """Takes what is owed from the journal, which decides after a kill too: tried again, under another name.

    Nothing that happens here changes what the portal is told of the call itself.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="recordings", daemon=True)
        self.runtime = runtime
        self.wake = threading.Event()
        self._doing: dict[int, tuple[str, int | None]] = {}
        self._failures = 0
        self._unsure: dict[int, int] = {}
        self._by_address: set[int] = set()  # items of which a request with the content came to nothing
        self._most: int | None = None  # bytes; a request with as many was too large for the portal
        self._trouble = Trouble(LOG, "recordings are sent again")

    @property
    def doing(self) -> Mapping[int, tuple[str, int | None]]:
        """What is being done of an item: (words, percent or None); from any thread."""
        return dict(self._doing)

    def run(self) -> None:
        """Send until the service stops."""
        runtime = self.runtime
        runtime.clock.wait(runtime.stopping, START_SECONDS)
        failed, wait = (LOG, "a recording failed in an unforeseen way"), runtime.clock.wait
        lane.work(runtime, self.step, self.wake, beat="recordings", again=LOOK_SECONDS, failed=failed, wait=wait)

    def step(self) -> float:
        """Send one recording; returns how many seconds may pass before the next step."""
        runtime = self.runtime
        now = runtime.clock.now()
        items = runtime.write(lambda journal: journal.deliverable(now, 1, (ATTACH,))).result()
        if not items:
            earliest = runtime.write(lambda journal: journal.earliest_due(now, (ATTACH,))).result()
            return LOOK_SECONDS if earliest is None else min(max(earliest - now, 0.05), LOOK_SECONDS)
        item = items[0]
        try:
            return self._handle(item)
        except JournalError:
            raise
        except Exception as error:  # one recording that makes no sense must not hold up all others
            if runtime.stopping.is_set():
                raise
            LOG.exception("%s: its recording failed in an unforeseen way", item.uniqueid)
            self._refused(item, RecordingError(f"unforeseen: {type(error).__name__}"), Fate.REFUSED)
            return 0.0
        finally:
            self._doing.pop(item.id, None)
            recording_file.clear(runtime.state)

    def _handle(self, item: Delivery) -> float:
        runtime = self.runtime
        entry = runtime.write(lambda journal: journal.entry(item.uniqueid)).result()
        if entry is None:  # it is parked: its row makes no sense
            return 0.0
        wanted = attach_owed.read(item.payload)
        if wanted is None or entry.outcome is None or entry.registered is None:
            self._park(item, "what the journal has of this recording makes no sense")
            return 0.0
        view = people.named(legs_text.read(entry.legs), runtime.settings.rules, runtime.directory)
        refused = why_not(runtime.settings.rules, entry.registration, entry.ending, entry.outcome, view)
        if refused:
            self._drop(item, f"none is sent: {refused}")
            return 0.0
        ended = entry.ending.ended.timestamp() if entry.ending else item.due
        try:
            prepared = recording_file.prepare(runtime, entry, wanted, ended, lambda words: self._tell(item, words))
        except RecordingError as error:
            self._refused(item, error, Fate.REFUSED)
            return 0.0
        if isinstance(prepared, Later):
            self._put_off(item, prepared.seconds, prepared.why, say=False)
        elif isinstance(prepared, Never):
            (self._park if prepared.for_a_person else self._drop)(item, prepared.why)
        elif not runtime.stopping.is_set():
            return self._send(item, entry, prepared)
        return 0.0

    def _send(self, item: Delivery, entry: Entry, ready: Ready) -> float:
        assert entry.registered
        by_address = item.id in self._by_address or ready.size > self._content_limit()
        while True:
            name, call_id = self._file_name(item, entry, ready), entry.registered.call_id
            attempt = Attempt(call_id, name, ready.path, ready.size, by_address, self.runtime.scale)
            began = self.runtime.clock.monotonic()
            try:
                file_id = send(self.runtime.client, attempt, lambda percent: self._tell(item, UPLOADING, percent))
            except (PortalError, OSError) as error:
                what = fate(error, by_address)
                if what is not Fate.BY_ADDRESS:
                    return self._failed(item, attempt, what, error)
                self._most = min(self._content_limit(), ready.size - 1)
                by_address = True
                continue
            self._sent(item, attempt, file_id, self.runtime.clock.monotonic() - began)
            return 0.0

    def _content_limit(self) -> int:
        wanted = self.runtime.settings.rules.recordings.base64_up_to * MEGABYTE
        return wanted if self._most is None else min(wanted, self._most)

    def _file_name(self, item: Delivery, entry: Entry, ready: Ready) -> str:
        registration = entry.registration
        spoken = entry.outcome.people if entry.outcome else ()
        extension = next((one.extension for one in (*spoken, *registration.people) if one.extension), "")
        return attachment.file_name(
            registration.started,
            registration.direction,
            extension,
            registration.number,
            registration.uniqueid,
            attachment.new_attempt(item.attempts + 1),
            ready.path.suffix[1:],
        )

    def _tell(self, item: Delivery, words: str, percent: int | None = None) -> None:
        self._doing[item.id] = (words, percent)
        self.runtime.beats.beat("recordings")

    # -- what becomes of an item ---------------------------------------------------------------------------------------

    def _sent(self, item: Delivery, attempt: Attempt, file_id: int, seconds: float) -> None:
        runtime = self.runtime
        way = "by an upload address" if attempt.by_address else "within the request"
        said = f"{attempt.size / MEGABYTE:.1f} MB sent {way} in {seconds:.1f} s, stored as file {file_id}"
        LOG.info("%s: recording %s", item.uniqueid, said)
        runtime.tell(item.uniqueid, RECORDING, f"{said}: {attempt.name}")
        runtime.write(lambda journal: journal.done(item.id)).result()
        self._failures = 0
        self._unsure.pop(item.id, None)
        self._by_address.discard(item.id)
        self._trouble.say("")

    def _failed(self, item: Delivery, attempt: Attempt, what: Fate, error: PortalError | OSError) -> float:
        """Write down what becomes of an item; returns how many seconds all recordings wait."""
        known = error if isinstance(error, PortalError) else RecordingError(f"it can't be read: {error.strerror}")
        if what is Fate.UNSURE:
            self._by_address.add(item.id)  # a gateway may have broken over the size alone
            self._unsure[item.id] = self._unsure.get(item.id, 0) + 1
            if self._unsure[item.id] >= UNSURE_TRIES and self._portal_works():
                what = Fate.REFUSED  # it stumbles at this one
        if what in (Fate.LATER, Fate.UNSURE):
            return self._wait(item, known)
        self._refused(item, known, what)
        return 0.0

    def _wait(self, item: Delivery, error: Bx24Error) -> float:
        """The portal is down or does not let us in: all recordings wait; returns the seconds."""
        asked = error.pause_seconds if isinstance(error, PortalError) else 0.0
        pause = max(back_off(self._failures, LONGEST_SECONDS), asked) * self.runtime.scale
        if isinstance(error, PortalError) and error.remedy == LOGIN:
            pause = min(pause, LOGIN_SECONDS)
        self._failures += 1
        self._trouble.say(f"recordings wait: {error.message}. {error.hint}")
        self._put_off(item, pause, error.message)
        return pause

    def _refused(self, item: Delivery, error: Bx24Error, what: Fate) -> None:
        """This very item failed: tried again with a back-off of its own, in the end left to a person."""
        tries = {Fate.PARKED: 1, Fate.ONCE_MORE: 2}.get(what, TRIES)
        if item.refusals + 1 >= tries:
            self._park(item, error.message, error.hint)
            return
        LOG.warning("%s: recording not sent: %s", item.uniqueid, error.message)
        seconds = back_off(item.refusals, LONGEST_ITEM_SECONDS) * self.runtime.scale
        self._put_off(item, seconds, error.message, refused=True)

    def _put_off(self, item: Delivery, seconds: float, why: str, refused: bool = False, say: bool = True) -> None:
        runtime = self.runtime
        due = runtime.clock.now() + seconds
        if say:
            runtime.tell(item.uniqueid, story.PUT_OFF, story.put_off(RECORDING, due, why))
        runtime.write(lambda journal: journal.postpone(item.id, due, why, refused=refused)).result()

    def _park(self, item: Delivery, why: str, hint: str = "") -> None:
        LOG.error("%s: recording %s for you to look at (bx24 recordings): %s %s", item.uniqueid, PARKED, why, hint)
        self.runtime.tell(item.uniqueid, PARKED, f"{RECORDING}, for a person to decide: {why}")
        self.runtime.write(lambda journal: journal.park(item.id, why)).result()
        self._unsure.pop(item.id, None)

    def _drop(self, item: Delivery, why: str) -> None:
        LOG.info("%s: recording: %s", item.uniqueid, why)
        self.runtime.tell(item.uniqueid, RECORDING, why)
        self.runtime.write(lambda journal: journal.drop(item.id)).result()

    def _portal_works(self) -> bool:
        """Whether the portal answers something small: then it is the recording that it does not take."""
        try:
            self.runtime.client.call(CHECK, {}, total_seconds=CHECK_SECONDS, urgency=Urgency.ATTACH)
        except PortalError:
            return False
        return True
