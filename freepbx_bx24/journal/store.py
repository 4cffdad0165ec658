"""The journal: calls and what the CRM is owed of each, written by the one process that holds its lock."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sqlite3
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import Callable, Sequence, Tuple, TypeVar, Union

from ..call import Ending, Outcome, Registration
from ..errors import JournalError
from . import forgetting, keeping, order, people, records, stamp
from .database import Step, take_lock
from .forgetting import Forgotten
from .reading import Reading
from .records import KINDS, Delivery, Entry, LeftOut, Registered, StoryLine
from .whole import WholeFile

LOG = logging.getLogger("bx24.journal")
RUN_FILE = "journal.run"
# An item by its id, or a call's register or finish by (uniqueid, kind): there is at most one of each.
Which = Union[int, Tuple[str, str]]
Answer = TypeVar("Answer")
MOST_WAITING = 2000  # lines of stories: a disk that stays full must not fill the memory


class Journal(Reading):
    """Calls and deliveries. One thread at a time may use an object; another process can't open the same folder.

    A damaged file is put aside, here and at any later step, and what can be read of it goes on in a new one.
    All methods raise JournalError where the file can't be read or written; a step is then not done at all.
    Times are wall clock seconds.

    :param folder: the state folder; the file is `journal.sqlite`, the lock `journal.lock`, the stamp `journal.run`.
    :raises JournalError: where the folder can't be written or another process holds the lock.
    """

    def __init__(self, folder: Path) -> None:
        self._run = folder / RUN_FILE
        self._lock = take_lock(folder / "journal.lock")
        try:
            self._file = WholeFile(folder / "journal.sqlite")
        except BaseException:
            os.close(self._lock)
            raise
        super().__init__(self._file.ask)
        self._waiting: deque[Step[object]] = deque()
        self._within = False
        self._look_whether_it_is_older()

    def close(self) -> None:
        """Close the file and let go of the lock."""
        with contextlib.suppress(JournalError):
            self.write_story()
        self._file.close()
        os.close(self._lock)

    # -- a call's way ------------------------------------------------------------------------------------------

    def begin(self, registration: Registration, due: float, user_id: int = 0, rule: str = "") -> bool:
        """Write a call down with its registration owed from `due` on; False where the call is known already.

        :param user_id: the portal's user that the person was resolved to now; 0 where that is not known.
        :param rule: the line and rule that decided, for people.
        """
        return self._change(lambda journal: keeping.begin(journal, registration, due, user_id, rule))

    def explain(self, uniqueid: str, why: str) -> None:
        """Add to a call's rule what was decided after it was written down."""
        self._change(lambda journal: keeping.explain(journal, uniqueid, why))

    def registered(self, uniqueid: str, answer: Registered, portal: str = "") -> bool:
        """The portal has the call: keep its answer, nothing more is owed for register; False for an unknown call.

        :param portal: the origin of that portal, so that another one in the settings is noticed.
        """
        return self._change(lambda journal: keeping.registered(journal, uniqueid, answer, portal))

    def unregistered(self, uniqueid: str, due: float) -> None:
        """The portal lost the call: its registration is owed again. That counts as refused: it holds up nobody."""
        self._change(lambda journal: keeping.unregistered(journal, uniqueid, due))

    def keep_legs(self, uniqueid: str, legs: str) -> bool:
        """Keep who rang and talked when, as JSON text; False for an unknown call.

        :raises ValueError: for more than 100,000 characters.
        """
        return self._change(lambda journal: keeping.keep_legs(journal, uniqueid, legs))

    def hung_up(self, ending: Ending) -> bool:
        """Keep what the hangup handler said, also where the call goes on without its channel; False: unknown call."""
        return self._change(lambda journal: keeping.hung_up(journal, ending))

    def ended(self, outcome: Outcome, due: float) -> bool:
        """Write down how a call ended, its finish owed from `due` on; False where that is known already."""
        return self._change(lambda journal: keeping.ended(journal, outcome, due))

    def finished(self, uniqueid: str) -> None:
        """The portal knows how the call ended: what is left of its cards is dropped, its recordings can go."""
        self._change(lambda journal: keeping.finished(journal, uniqueid))

    def entry(self, uniqueid: str) -> Entry | None:
        """What is known of a call; None for an unknown one.

        None too where its row makes no sense: what is due of it is parked then, so that it holds up no other.
        """
        try:
            return self._file.ask(lambda journal: people.entry(journal, uniqueid))
        except records.UNPARSABLE as error:
            LOG.error("%s: what the journal has of this call makes no sense, it is left to you: %r", uniqueid, error)
            why = "what the journal has of this call makes no sense"
            self._change(lambda journal: people.park_all(journal, uniqueid, why))
            return None

    def as_one(self, steps: Sequence[Callable[[Journal], object]]) -> None:
        """Have several steps, each of them made of this object's methods, as one: the disk is waited for once.

        All of it is done or nothing. A file that is found damaged is replaced, and all steps are made again in the
        new one.
        """
        self._change(lambda _: [step(self) for step in steps])

    # -- deliveries --------------------------------------------------------------------------------------------

    def owe(self, uniqueid: str, kind: str, payload: str, due: float) -> int | None:
        """Owe the portal a card or a recording (show, hide, attach) from `due` on; returns the item's id.

        None for an unknown call, a card of a finished one, or the 2001st item of one call.

        :param payload: JSON text.
        :raises ValueError: for another kind, or more than 100,000 characters.
        """
        return self._change(lambda journal: keeping.owe(journal, uniqueid, kind, payload, due))

    def deliverable(
        self, now: float, most: int, kinds: Sequence[str] = KINDS, since: float = -math.inf
    ) -> list[Delivery]:
        """What may be delivered now, `most` at most: the most urgent first, each call's and number's own order kept.

        No two registers of one client number and no two items of one call, but for cards that follow each other.

        :param since: only what has been due since then, together with what holds it up.
        """
        return self._file.ask(lambda journal: order.deliverable(journal, now, most, kinds, since))

    def resume(self, now: float) -> None:
        """At the start of a run: a register that was under way when the last one ended is due, nobody is at it."""
        self._file.change(lambda journal: keeping.resume(journal, now))

    def bring_forward(self, now: float, seconds: float) -> None:
        """The wall clock was set back by so many seconds: what is due later than `now` is due that much earlier."""
        self._file.change(lambda journal: keeping.bring_forward(journal, now, seconds))

    def last_id(self) -> int:
        """The highest id of an item; 0 where there was none. Ids only grow."""
        return self._file.ask(keeping.last_id)

    def next_due(self, now: float) -> Delivery | None:
        """The one delivery to make next."""
        return next(iter(self.deliverable(now, 1)), None)

    def earliest_due(self, now: float, kinds: Sequence[str] = KINDS) -> float | None:
        """When `deliverable` will have something (not after `now` where it has), or None where that needs more."""
        return self._file.ask(lambda journal: order.earliest_due(journal, now, kinds))

    def done(self, delivery_id: int) -> bool:
        """The portal took a card or a recording; False where it was not owed. Register and finish have their own."""
        return self._change(lambda journal: keeping.done(journal, delivery_id))

    def postpone(self, which: Which, due: float, error: str, refused: bool = False) -> bool:
        """A delivery failed and is tried again from `due` on; False where it is not due.

        :param refused: the portal refused this very item; from then on it holds up nobody.
        """
        return self._change(lambda journal: keeping.postpone(journal, which, due, error, refused))

    def park(self, which: Which, error: str) -> bool:
        """A delivery can't succeed by being repeated: kept for a human, with its reason; False where it is not due."""
        return self._change(lambda journal: keeping.park(journal, which, error))

    def dialling(self, step: Step[Answer]) -> Answer:
        """Have a step made of the functions of `dialling` (clicks and callbacks) read or write, as a step of ours."""
        return self._change(step)

    # -- for people --------------------------------------------------------------------------------------------

    def open_calls(self, before: float) -> list[Entry]:
        """Calls written before that time whose end is not known, the oldest first."""
        return self._file.ask(lambda journal: people.open_calls(journal, before))

    def cards(self, uniqueid: str) -> list[tuple[str, str]]:
        """(kind, payload) of a call's cards that are owed or delivered, in their order."""
        return self._file.ask(lambda journal: people.cards(journal, uniqueid))

    def retry(self, delivery_id: int) -> bool:
        """Due now and as if never refused: parked, held, put off, even dropped; False for what is done or unknown."""
        return self._change(lambda journal: people.retry(journal, delivery_id, time.time()))

    def hold(self, delivery_id: int) -> bool:
        """Keep a due or parked item back until it is released; False where it is neither."""
        return self._change(lambda journal: people.hold(journal, delivery_id))

    def release(self, delivery_id: int) -> bool:
        """Let a held item be due again at its own time; False where it is not held."""
        return self._change(lambda journal: people.release(journal, delivery_id))

    def drop(self, delivery_id: int) -> bool:
        """Give an item up, a register or finish with all that is left of its call; False for what is done."""
        return self._change(lambda journal: people.drop(journal, delivery_id))

    def tell(self, uniqueid: str, what: str, detail: str = "", at: float | None = None) -> bool:
        """Add a line to a call's story (80 and 500 characters, 60 lines), now or `at`; False for an unknown call."""
        when = time.time() if at is None else at
        return self._change(lambda journal: people.tell(journal, uniqueid, when, what, detail))

    def tell_soon(self, uniqueid: str, what: str, detail: str = "") -> None:
        """The same from any thread and without a write of its own: it goes with the next one, whatever that is for.

        A story is worth no journey to the disk that a caller's step would wait behind; a kill loses its last seconds.
        """
        self._soon(partial(people.tell, uniqueid=uniqueid, at=time.time(), what=what, detail=detail))

    def leave_out_soon(self, call: LeftOut) -> None:
        """Note a call of which the CRM is told nothing, so that people can be told why; as `tell_soon`."""
        self._soon(partial(people.leave_out, call=call))

    def write_story(self) -> None:
        """Write what was said by `tell_soon` and `leave_out_soon`, or nothing."""
        if self._waiting:
            self._change(lambda journal: None)

    def story(self, uniqueid: str) -> list[StoryLine]:
        """What happened to a call, in the order of happening."""
        self.write_story()
        return super().story(uniqueid)

    def left_out(self, since: float, until: float, number: str = "") -> list[LeftOut]:
        """Calls of which the CRM was told nothing."""
        self.write_story()
        return super().left_out(since, until, number)

    def _soon(self, step: Step[object]) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(step)

    def _change(self, step: Step[Answer]) -> Answer:
        """Have a step write, and with it what waits for the next write. Within another one it is a part of that."""
        if self._within:
            return self._file.change(step)
        taken: list[Step[object]] = []

        def all_of_it(database: sqlite3.Connection) -> Answer:
            answer = step(database)
            taken.extend(self._waiting.popleft() for _ in range(len(self._waiting)))
            for one in taken:
                one(database)
            return answer

        self._within = True
        try:
            return self._file.change(all_of_it)
        except BaseException:
            self._waiting.extendleft(reversed(taken))
            raise
        finally:
            self._within = False

    # -- upkeep ------------------------------------------------------------------------------------------------

    def prune(self, before: float, most: int = keeping.MOST_AT_ONCE) -> int:
        """Forget finished calls written before that time, and calls without an end after 31 days; returns how many.

        At most 200 in one step, whatever is asked for.
        """
        return self._change(lambda journal: keeping.prune(journal, before, time.time(), most))

    def forget(self, numbers: Sequence[str]) -> Forgotten:
        """Erase a client's number in these forms, from the file itself too; not what the CRM is still owed."""
        self._file.ask(forgetting.overwrite_what_is_deleted)
        self.write_story()
        found = self._change(lambda journal: forgetting.forget(journal, numbers, time.time()))
        self._file.ask(forgetting.empty_log)
        return found

    @property
    def uncertain_before(self) -> float:
        """What calls written before this owe may have been delivered although the journal does not say so; 0.0: none.

        The journal is new, was damaged, or an older copy was put in its place: look such calls up at the portal first
        (`Entry.written`).
        """
        return self._file.ask(stamp.uncertain_before)

    def stamp(self) -> None:
        """Note that the journal is in use: at start, and then every minute or so."""
        number = self._change(lambda journal: stamp.next_stamp(journal, self._run))
        try:
            stamp.write(self._run, number)
        except OSError as error:
            raise JournalError(f"{self._run} can't be written: {error.strerror}") from error

    def _look_whether_it_is_older(self) -> None:
        """Compare with the last run's stamp, then stamp this run. A disk without room is no reason not to start."""
        try:
            if not self._file.replaced and self._file.ask(lambda journal: stamp.is_older(journal, self._run)):
                now = time.time()
                self._change(lambda journal: stamp.set_uncertain(journal, now))
                LOG.warning(
                    "%s is older than the last run: what it owes is looked up at the portal first", self._file.path.name
                )
            self.stamp()
        except JournalError as error:
            LOG.error("%s %s", error, error.hint)


def run_stamp(folder: Path) -> float:
    """Until when a service is known to have run (wall clock seconds): it stamps the journal every minute; else 0.0."""
    try:
        return (folder / RUN_FILE).stat().st_mtime
    except OSError:
        return 0.0
