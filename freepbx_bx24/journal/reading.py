"""What may be asked of a journal: by its one writer, and by a command that reads the file while no service runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence, TypeVar

from ..errors import JournalError
from . import database, people, records, schema
from .database import Step
from .records import Delivery, Entry, LeftOut, Owed, StoryLine

Answer = TypeVar("Answer")
STATES = (records.DUE, records.PARKED, records.HELD)


class Reading:
    """The questions of people. All raise JournalError where the file can't be read; times are wall clock seconds.

    :param ask: has a step read.
    """

    def __init__(self, ask: Callable[[Step[Any]], Any]) -> None:
        self._ask = ask

    def entry(self, uniqueid: str) -> Entry | None:
        """What is known of a call; None for an unknown one and for one whose row makes no sense."""
        try:
            return self._asked(lambda journal: people.entry(journal, uniqueid))
        except records.UNPARSABLE:
            return None

    def calls(self, since: float, until: float, number: str = "") -> list[Entry]:
        """Calls that began from `since` on and before `until`, the oldest first; of more than 1000 the newest."""
        return self._asked(lambda journal: people.calls(journal, since, until, number))

    def find(self, text: str) -> list[str]:
        """The uniqueids of the calls meant by a uniqueid, an external id or a canonical number, the newest first."""
        return self._asked(lambda journal: people.find(journal, text))

    def owed(self) -> list[Delivery]:
        """All that is due, parked or held, by due time."""
        return self._asked(people.owed)

    def outbox(
        self, states: Sequence[str] = STATES, most: int = 1000, kinds: Sequence[str] = records.KINDS
    ) -> list[Owed]:
        """What is due, parked or held, or in some of these states, by due time, `most` at most; of these kinds."""
        return self._asked(lambda journal: people.outbox(journal, states, most, kinds))

    def count_owed(self) -> dict[str, int]:
        """How many items are due, parked and held; no key where it is none."""
        return self._asked(people.count_owed)

    def owed_of(self, uniqueids: Sequence[str]) -> list[Owed]:
        """What is due, parked or held of these calls."""
        return self._asked(lambda journal: people.owed_of(journal, uniqueids))

    def delivery(self, delivery_id: int) -> Delivery | None:
        """One item by its id."""
        return self._asked(lambda journal: people.delivery(journal, delivery_id))

    def story(self, uniqueid: str) -> list[StoryLine]:
        """What happened to a call, in the order of happening."""
        return self._asked(lambda journal: people.story(journal, uniqueid))

    def left_out(self, since: float, until: float, number: str = "") -> list[LeftOut]:
        """Calls of which the CRM was told nothing, the oldest first; only those of a number (or uniqueid) if given."""
        return self._asked(lambda journal: people.left_out(journal, since, until, number))

    def _asked(self, step: Step[Answer]) -> Answer:
        answer: Answer = self._ask(step)
        return answer


@contextmanager
def read_only(folder: Path) -> Iterator[Reading]:
    """The journal of a state folder whose service does not run: nothing of it is changed, no lock is taken.

    :raises JournalError: there is none, or it can't be read: of another version, damaged, not ours to read.
    """
    path = folder / "journal.sqlite"
    try:
        path.stat()
    except FileNotFoundError:
        hint = "The service makes it when it starts first: `bx24 check`."
        raise JournalError(f"there is no journal in {folder}", hint) from None
    except OSError as error:
        raise JournalError(f"{path} can't be read: {error.strerror}", "Type sudo before it.") from error

    def ask(step: Step[Answer]) -> Answer:
        try:
            return database.ask(file, step)
        except database.UNREADABLE as error:
            raise JournalError(
                f"the journal is damaged: {error}", "Start the service: it saves what can be read."
            ) from error

    try:
        file = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5)
    except sqlite3.Error as error:
        raise JournalError(f"{path} can't be opened: {error}") from error
    with closing(file):
        version = ask(schema.version_of)
        if version != schema.SCHEMA_VERSION:
            raise JournalError(
                f"the journal is of version {version}, and this is made for {schema.SCHEMA_VERSION}",
                "Start the service once: it brings the journal up to date.",
            )
        yield Reading(ask)
