"""A lane of their own for recordings: from the disk to the portal, each by itself or a few together; nobody waits."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Mapping, Sequence

from ..bitrix24 import attachment
from ..bitrix24.client import Urgency
from ..bitrix24.replies import Result
from ..bitrix24.sizer import Sizer, seconds_of
from ..errors import JournalError, PortalError, PortalTimeout, RecordingError, TooLarge
from ..journal.records import ATTACH, Delivery, Entry
from ..recording import why_not
from . import attach_owed, lane, legs_text, people, recording_file
from .recording_file import Later, Never, Ready
from .recording_send import Attempt, Fate, fate, send, send_together
from .recording_settlement import MEGABYTE, RecordingSettlement

if TYPE_CHECKING:
    from .runtime import Runtime

LOG = logging.getLogger("bx24.recordings")

LOOK_SECONDS = 5.0  # the longest between two looks whether a finish was told
START_SECONDS = 0.5
# The scarcer requests are, the longer from one to the next: so long at most where all that were due have gone, and so
# long where there are more. So a day's recordings do not make requests scarce for cards.
GATHER_SECONDS, MORE_SECONDS = 10.0, 2.0
MAKE_SECONDS = 5.0  # of making others' files, before what is made by then goes
ROOM_SECONDS = 1.0  # between two looks whether the portal's limits leave room
MOST_TOGETHER = 20  # so many are sent once more at most where the answer to them is lost
MOST_BYTES = 2 * MEGABYTE  # of the files of one request: in memory it is some five times as much for a moment
# Base64 is escaped within a batch: a request that takes a recording of so many bytes takes so many less of several.
ESCAPED = 0.9
UPLOADING, WAITING = "uploading", "waiting for others to go with"


@dataclass(frozen=True)
class Load:
    """A recording that can go."""

    item: Delivery
    entry: Entry
    ready: Ready


class RecordingLane(threading.Thread):
    """Takes what is owed from the journal, which decides after a kill too: tried again, under another name.

    Files are made one at a time; small ones that are due together share a request where the plan limits requests.
    Nothing that happens here changes what the portal is told of the call itself.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="recordings", daemon=True)
        self.runtime = runtime
        self.wake = threading.Event()
        self.settlement = RecordingSettlement(runtime)
        self.sizer = Sizer()
        self._doing: dict[int, tuple[str, int | None]] = {}
        self._most: int | None = None  # bytes; a request with as many was too large for the portal
        self._most_together = MOST_BYTES
        self._went_at = -math.inf  # monotonic seconds: the last request
        self._gathers = GATHER_SECONDS  # the longest until the next one

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
        """Send one recording, or several where requests are limited; returns the seconds until the next step."""
        runtime = self.runtime
        now, gathering = runtime.clock.now(), runtime.client.gathering(self._gathers)
        left = self._went_at + gathering - runtime.clock.monotonic()
        if gathering and left > 0:
            return min(left, LOOK_SECONDS)
        if not runtime.client.has_room(Urgency.ATTACH):
            return ROOM_SECONDS  # what goes then is better chosen then
        most = self.sizer.fits([attachment.METHOD] * MOST_TOGETHER) if runtime.client.limited else 1
        items = runtime.write(lambda journal: journal.deliverable(now, most, (ATTACH,))).result()
        if not items:
            earliest = runtime.write(lambda journal: journal.earliest_due(now, (ATTACH,))).result()
            return LOOK_SECONDS if earliest is None else min(max(earliest - now, 0.05), LOOK_SECONDS)
        recording_file.clear(runtime.state)
        try:
            return self._handle(items, all_due=len(items) < most)
        finally:
            self._doing.clear()
            recording_file.clear(runtime.state)

    def _handle(self, items: Sequence[Delivery], all_due: bool) -> float:
        """Make the files one after the other; what is small goes with others, all else at once."""
        monotonic, client = self.runtime.clock.monotonic, self.runtime.client
        left, made_by = list(items), monotonic() + MAKE_SECONDS
        together: list[Load] = []
        while left and monotonic() < made_by:  # later it is the journal's to say what has become of the others
            load = self._made(left.pop(0))
            if load is None:
                continue
            shares = len(items) > 1 and self._shares(load)
            if shares and sum(one.ready.size for one in (*together, load)) <= self._together_limit():
                self._tell(load.item, WAITING)
                together.append(load)
                continue
            goes, together = (together, [load]) if shares else ([load], together)
            pause = self._guarded(goes)
            if pause:
                return pause
            if not shares and client.gathering(MORE_SECONDS) > 0:
                break
        pause = self._guarded(together)
        self._went_at, self._gathers = monotonic(), GATHER_SECONDS if all_due and not left else MORE_SECONDS
        return pause

    def _shares(self, load: Load) -> bool:
        """Whether it may go with others: not what the portal has refused, and what needs an address has one."""
        alone = load.item.refusals or load.item.id in self.settlement.by_address
        return not alone and load.ready.size <= self._together_limit()

    def _made(self, item: Delivery) -> Load | None:
        """Make the file of an item; None where it is settled by that."""
        load = None
        try:
            load = self._prepared(item)
        except JournalError:
            raise
        except Exception as error:  # one recording that makes no sense must not hold up all others
            self._unforeseen([item], error)
        if load is None:
            self._doing.pop(item.id, None)
        return load

    def _prepared(self, item: Delivery) -> Load | None:
        runtime, settlement = self.runtime, self.settlement
        entry = runtime.write(lambda journal: journal.entry(item.uniqueid)).result()
        if entry is None:  # it is parked: its row makes no sense
            return None
        wanted = attach_owed.read(item.payload)
        if wanted is None or entry.outcome is None or entry.registered is None:
            settlement.park(item, "what the journal has of this recording makes no sense")
            return None
        view = people.named(legs_text.read(entry.legs), runtime.settings.rules, runtime.directory)
        refused = why_not(runtime.settings.rules, entry.registration, entry.ending, entry.outcome, view)
        if refused:
            settlement.drop(item, f"none is sent: {refused}")
            return None
        ended = entry.ending.ended.timestamp() if entry.ending else item.due
        try:
            prepared = recording_file.prepare(runtime, entry, wanted, ended, lambda words: self._tell(item, words))
        except RecordingError as error:
            settlement.refused(item, error, Fate.REFUSED)
            return None
        if isinstance(prepared, Later):
            settlement.put_off(item, prepared.seconds, prepared.why, say=False)
        elif isinstance(prepared, Never):
            (settlement.park if prepared.for_a_person else settlement.drop)(item, prepared.why)
        elif not runtime.stopping.is_set():
            return Load(item, entry, prepared)
        return None

    def _guarded(self, loads: Sequence[Load]) -> float:
        """Send these as one request, if there are any; returns how many seconds all recordings wait."""
        if not loads:
            return 0.0
        try:
            return self._send(loads[0]) if len(loads) == 1 else self._send_together(loads)
        except JournalError:
            raise
        except Exception as error:  # nor must a few hold up all others: next time each of them goes alone
            self._unforeseen([load.item for load in loads], error)
            return 0.0
        finally:
            for load in loads:
                self._doing.pop(load.item.id, None)
                with contextlib.suppress(OSError):  # the next step clears the folder
                    load.ready.path.unlink()

    def _unforeseen(self, items: Sequence[Delivery], error: Exception) -> None:
        if self.runtime.stopping.is_set():
            raise error
        for item in items:
            LOG.exception("%s: its recording failed in an unforeseen way", item.uniqueid)
            self.settlement.refused(item, RecordingError(f"unforeseen: {type(error).__name__}"), Fate.REFUSED)

    def _send(self, load: Load) -> float:
        item, ready = load.item, load.ready
        by_address = item.id in self.settlement.by_address or ready.size > self._content_limit()
        while True:
            attempt = self._attempt(load, by_address)
            began = self.runtime.clock.monotonic()
            try:
                file_id = send(self.runtime.client, attempt, lambda percent: self._tell(item, UPLOADING, percent))
            except (PortalError, OSError) as error:
                if fate(error, by_address) is not Fate.BY_ADDRESS:
                    return self.settlement.failed([(item, attempt, error)])
                self._most = min(self._content_limit(), ready.size - 1)
                by_address = True
                continue
            self.settlement.sent(item, attempt, file_id, self.runtime.clock.monotonic() - began)
            return 0.0

    def _send_together(self, loads: Sequence[Load]) -> float:
        monotonic = self.runtime.clock.monotonic
        attempts = [self._attempt(load, by_address=False, together=len(loads)) for load in loads]
        methods = [attachment.METHOD] * len(loads)
        for load in loads:
            self._tell(load.item, UPLOADING, 0)
        began = monotonic()
        answers: Sequence[Result | PortalError | OSError]
        try:
            answers = send_together(self.runtime.client, attempts)
        except TooLarge:  # the front end has said so: none of them was carried out
            half, self._most_together = len(loads) // 2, sum(load.ready.size for load in loads) // 2
            return self._guarded(loads[:half]) or self._guarded(loads[half:])
        except PortalError as error:
            if isinstance(error, PortalTimeout):
                self.sizer.timed_out(methods)
            answers = [error] * len(loads)
        else:
            times = [answer.time if isinstance(answer, Result) else {} for answer in answers]
            # Their own seconds alone: what the way of the files takes is no command's, nor is the wait for room.
            self.sizer.answered(methods, times, sum(map(seconds_of, times)))
        failures: list[tuple[Delivery, Attempt, PortalError | OSError]] = []
        for load, attempt, answer in zip(loads, attempts, answers):
            try:
                if not isinstance(answer, Result):
                    raise answer
                file_id = attachment.parse_attached(answer.result)
            except (PortalError, OSError) as error:
                failures.append((load.item, attempt, error))
            else:
                self.settlement.sent(load.item, attempt, file_id, monotonic() - began)
        return self.settlement.failed(failures)

    def _attempt(self, load: Load, by_address: bool, together: int = 1) -> Attempt:
        assert load.entry.registered
        call_id, ready = load.entry.registered.call_id, load.ready
        name = _file_name(load.item, load.entry, ready)
        return Attempt(call_id, name, ready.path, ready.size, by_address, self.runtime.scale, together)

    def _content_limit(self) -> int:
        wanted = self.runtime.settings.rules.recordings.base64_up_to * MEGABYTE
        return wanted if self._most is None else min(wanted, self._most)

    def _together_limit(self) -> int:
        return min(self._most_together, int(self._content_limit() * ESCAPED))

    def _tell(self, item: Delivery, words: str, percent: int | None = None) -> None:
        self._doing[item.id] = (words, percent)
        self.runtime.beats.beat("recordings")


def _file_name(item: Delivery, entry: Entry, ready: Ready) -> str:
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
