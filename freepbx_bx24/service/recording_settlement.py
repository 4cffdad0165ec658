"""What becomes of recordings after the portal's answer: sent, put off each or all together, or left to a person."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Sequence

from ..bitrix24.client import Urgency
from ..errors import LOGIN, Bx24Error, PortalError, RecordingError
from ..journal.records import PARKED, Delivery
from . import story
from .attach_owed import RECORDING
from .back_off import LONGEST_ITEM_SECONDS, LONGEST_SECONDS, TRIES, back_off
from .recording_send import Attempt, Fate, fate
from .trouble import Trouble

if TYPE_CHECKING:
    from .runtime import Runtime

LOG = logging.getLogger("bx24.recordings")

LOGIN_SECONDS = 5.0
UNSURE_TRIES = 3  # of an item at which the portal stumbles, before it is asked whether it works at all
CHECK_SECONDS = 15.0
MEGABYTE = 1_000_000
CHECK = "telephony.externalLine.get"  # needs the same right as attachRecord


class RecordingSettlement:
    """Used by the recordings' one thread.

    :ivar by_address: items of which a request with the content came to nothing: they go to an upload address.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.by_address: set[int] = set()
        self._unsure: dict[int, int] = {}
        self._failures = 0
        self._trouble = Trouble(LOG, "recordings are sent again")

    def sent(self, item: Delivery, attempt: Attempt, file_id: int, seconds: float) -> None:
        """It is there."""
        runtime = self.runtime
        within = f"as one of {attempt.together} within a request" if attempt.together > 1 else "within the request"
        way = "by an upload address" if attempt.by_address else within
        said = f"{attempt.size / MEGABYTE:.1f} MB sent {way} in {seconds:.1f} s, stored as file {file_id}"
        LOG.info("%s: recording %s", item.uniqueid, said)
        runtime.tell(item.uniqueid, RECORDING, f"{said}: {attempt.name}")
        runtime.write(lambda journal: journal.done(item.id)).result()
        self._failures = 0
        self._unsure.pop(item.id, None)
        self.by_address.discard(item.id)
        self._trouble.say("")

    def failed(self, failures: Sequence[tuple[Delivery, Attempt, PortalError | OSError]]) -> float:
        """Write down what becomes of those of one request; returns how many seconds all recordings wait."""
        waiting: list[Delivery] = []
        trouble: Bx24Error | None = None
        works: bool | None = None  # whether the portal answers something small, once it was asked
        for item, attempt, error in failures:
            known = error if isinstance(error, PortalError) else RecordingError(f"it can't be read: {error.strerror}")
            what = fate(error, attempt.by_address)
            if what is Fate.UNSURE:
                self.by_address.add(item.id)  # a gateway may have broken over the size alone
                self._unsure[item.id] = self._unsure.get(item.id, 0) + 1
                if self._unsure[item.id] >= UNSURE_TRIES:
                    works = self._portal_works() if works is None else works
                    what = Fate.REFUSED if works else what  # it stumbles at this one
            elif what is Fate.PARKED and attempt.together > 1:
                what = Fate.ONCE_MORE  # alone: it may be the company that the portal does not take
            if what in (Fate.LATER, Fate.UNSURE):
                waiting.append(item)
                trouble = known
            else:
                self.refused(item, known, what)
        return self._wait(waiting, trouble) if trouble else 0.0

    def refused(self, item: Delivery, error: Bx24Error, what: Fate) -> None:
        """This very item failed: tried again with a back-off of its own, in the end left to a person."""
        tries = {Fate.PARKED: 1, Fate.ONCE_MORE: 2}.get(what, TRIES)
        if item.refusals + 1 >= tries:
            self.park(item, error.message, error.hint)
            return
        LOG.warning("%s: recording not sent: %s", item.uniqueid, error.message)
        seconds = back_off(item.refusals, LONGEST_ITEM_SECONDS) * self.runtime.scale
        self.put_off(item, seconds, error.message, refused=True)

    def put_off(self, item: Delivery, seconds: float, why: str, refused: bool = False, say: bool = True) -> None:
        """It is tried again then. :param say: in the call's story, too."""
        runtime = self.runtime
        due = runtime.clock.now() + seconds
        if say:
            runtime.tell(item.uniqueid, story.PUT_OFF, story.put_off(RECORDING, due, why))
        runtime.write(lambda journal: journal.postpone(item.id, due, why, refused=refused)).result()

    def park(self, item: Delivery, why: str, hint: str = "") -> None:
        """It is left to a person."""
        LOG.error("%s: recording %s for you to look at (bx24 recordings): %s %s", item.uniqueid, PARKED, why, hint)
        self.runtime.tell(item.uniqueid, PARKED, f"{RECORDING}, for a person to decide: {why}")
        self.runtime.write(lambda journal: journal.park(item.id, why)).result()
        self._unsure.pop(item.id, None)

    def drop(self, item: Delivery, why: str) -> None:
        """None is sent."""
        LOG.info("%s: recording: %s", item.uniqueid, why)
        self.runtime.tell(item.uniqueid, RECORDING, why)
        self.runtime.write(lambda journal: journal.drop(item.id)).result()

    def _wait(self, items: Sequence[Delivery], error: Bx24Error) -> float:
        """The portal is down or does not let us in: all recordings wait; returns the seconds."""
        asked = error.pause_seconds if isinstance(error, PortalError) else 0.0
        pause = max(back_off(self._failures, LONGEST_SECONDS), asked) * self.runtime.scale
        if isinstance(error, PortalError) and error.remedy == LOGIN:
            pause = min(pause, LOGIN_SECONDS)
        self._failures += 1
        self._trouble.say(f"recordings wait: {error.message}. {error.hint}")
        for item in items:
            self.put_off(item, pause, error.message)
        return pause

    def _portal_works(self) -> bool:
        """Whether the portal answers something small: then it is the recording that it does not take."""
        try:
            self.runtime.client.call(CHECK, {}, total_seconds=CHECK_SECONDS, urgency=Urgency.ATTACH)
        except PortalError:
            return False
        return True
