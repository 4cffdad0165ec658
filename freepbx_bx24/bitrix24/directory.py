"""The directory: who has which extension, phone and line in the portal, read whole, swapped whole, kept as text."""

from __future__ import annotations

import json
import logging
import math
import re
import threading
import time
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Mapping, Sequence

from ..call import Person
from ..errors import PortalBroken, PortalError
from . import employees, lists
from .client import Client, Urgency
from .employees import People
from .lists import NewLine
from .replies import Result, harmless, whole_number

LOG = logging.getLogger("bx24.directory")

# More than to_json can need for the most people that are ever read, so a file that is longer is none of ours.
LONGEST_TEXT = 8 * 1024 * 1024
_VERSION = 2  # of the text; the first one had no number, and was extension by id alone
_MOST_ENTRIES = 150_000
_E164 = re.compile(r"\+[0-9]{1,19}", re.ASCII)
_REQUEST_SECONDS = 60.0  # after which the cloud gives a request up


@dataclass(frozen=True)
class _Snapshot:
    people: People = field(default_factory=People)
    lines: Mapping[str, str] = field(default_factory=dict)
    read_at: float = -math.inf
    portal: str = ""


class Directory:
    """The portal's active employees and lines. Any thread may read while one other loads."""

    def __init__(self) -> None:
        self._snapshot = _Snapshot()
        self._swapping = threading.Lock()
        self._doubted: People | None = None

    def load(self, client: Client, *, total_seconds: float = 30.0, country: str = "", area_code: str = "") -> int:
        """Read all employees from the portal (`user.get`), and return how many there are.

        The old list stays in use until the new one is whole, and for good where it does not become whole. A list with
        less than half of the people or extensions of the last one is believed when the next reading says the same.

        :param total_seconds: for all pages together.
        :param country: and :param area_code: as `freepbx_bx24.numbers.canonical` wants them, for people's own phones.
        :raises PortalError: from the client. :raises PortalBroken: the list is empty, partial, no list, or doubted.
        """
        old = self._snapshot
        asking = _Asking(client, total_seconds)
        rows = (employees.employee(row) for row in lists.rows_of_users(asking.one, asking.many))
        new = employees.people((one for one in rows if one), country, area_code)
        if not new.extensions:
            raise PortalBroken("the portal's list of users names nobody")
        if employees.shrunk(old.people, new) and not (self._doubted and self._doubted.extensions == new.extensions):
            self._doubted = new
            raise PortalBroken(
                f"the portal's list of users shrank from {len(old.people.extensions)} people with "
                f"{len(old.people.users)} extensions to {len(new.extensions)} with {len(new.users)}",
                "Nothing to do: it is believed when the next reading says the same.",
            )
        self._doubted = None
        self._swap(old.portal, people=new, read_at=time.monotonic())
        said = employees.changes(old.people, new)
        if said:
            LOG.info("the portal's employees: %s", said)
        return len(new.extensions)

    def load_lines(self, client: Client, *, total_seconds: float = 30.0) -> int:
        """Read the external lines (`telephony.externalLine.get`), and return how many there are; none is a good answer.

        :raises PortalError: from the client; the old list stays. :raises PortalBroken: it is no list.
        """
        portal = self._snapshot.portal
        lines = lists.lines(_Asking(client, total_seconds).one)
        self._swap(portal, lines=lines)
        return len(lines)

    def add_lines(
        self, client: Client, wanted: Sequence[NewLine], *, total_seconds: float = 30.0
    ) -> dict[str, PortalError]:
        """Have the portal make these lines (`telephony.externalLine.add`); return why not for each that it refused.

        None is ever changed or taken away here: names and settings that people give lines on the portal are theirs.

        :raises PortalError: from the client; some of the lines may have been made.
        """
        portal = self._snapshot.portal
        done = lists.add_lines(_Asking(client, total_seconds).many, wanted)
        made = {line.number: harmless(line.name) for line in wanted if done[line.number] is None}
        self._swap(portal, lines={**made, **self._snapshot.lines})
        return {number: error for number, error in done.items() if error is not None}

    def belong_to(self, portal: str) -> None:
        """Say whose list this is to be. What is known of another portal is forgotten: its ids mean other people here.

        :param portal: any text that tells one portal from another, such as its origin. No secret: it is in the file.
        """
        with self._swapping:
            known = self._snapshot.portal
            if known and known != portal:
                self._snapshot, self._doubted = _Snapshot(), None
            self._snapshot = replace(self._snapshot, portal=portal)

    def _swap(self, portal: str, **parts: Any) -> None:
        with self._swapping:
            if self._snapshot.portal != portal:
                raise PortalBroken("the list is that of the portal that was used before", "Nothing to do.")
            self._snapshot = replace(self._snapshot, **parts)

    def user_id(self, person: Person) -> int:
        """Return the portal's id of a person, 0 where the portal knows nobody active by that extension or id.

        Before anything was loaded a person who is named by id is taken at their word.
        """
        people = self._snapshot.people
        if person.user_id:
            return person.user_id if not people.extensions or person.user_id in people.extensions else 0
        return people.users.get(person.extension, 0)

    @property
    def loaded(self) -> bool:
        """Return whether there is a list of employees at all, from the portal or from a cache file."""
        return bool(self._snapshot.people.extensions)

    @property
    def lines(self) -> Mapping[str, str]:
        """Return name by number of the portal's lines, as they were last read; a name may be ""."""
        return self._snapshot.lines

    def extension(self, user_id: int) -> str:
        """Return a user's internal number, "" where there is none."""
        return self._snapshot.people.extensions.get(user_id, "")

    def internal_numbers(self) -> Mapping[str, int]:
        """Return user id by internal number."""
        return self._snapshot.people.users

    def name(self, user_id: int) -> str:
        """Return a user's name as people are to read it, "" where it is not known."""
        return self._snapshot.people.names.get(user_id, "")

    def employee_with_phone(self, number: str) -> int:
        """Return the id of the only employee with this number of their own, 0 where there is none.

        :param number: as `freepbx_bx24.numbers.canonical` writes it.
        """
        return self._snapshot.people.phones.get(number, 0)

    def phone(self, user_id: int) -> str:
        """Return a number of a user's own (E.164) that nobody else has, "" where there is none; the mobile first."""
        return next((number for number, owner in self._snapshot.people.phones.items() if owner == user_id), "")

    def duplicates(self) -> dict[str, list[int]]:
        """Return the ids of all who have it for each extension that several people have; the first is the one taken."""
        return {extension: list(ids) for extension, ids in self._snapshot.people.duplicates.items()}

    def age(self) -> float:
        """Return the seconds since the employees were read by this process, infinity where they were not."""
        return time.monotonic() - self._snapshot.read_at

    def to_json(self) -> str:
        """Return employees and lines as text for a cache file."""
        snapshot = self._snapshot
        people = snapshot.people
        kept = {
            "version": _VERSION,
            "portal": snapshot.portal,
            "extensions": people.extensions,
            "phones": people.phones,
            "names": people.names,
            "lines": snapshot.lines,
        }
        return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Directory:
        """Return the directory that `to_json` (also that of version 1) wrote, of age infinity; else an empty one."""
        directory = cls()
        try:
            kept = json.loads(text, parse_int=_bounded) if len(text) <= LONGEST_TEXT else None
        except (ValueError, RecursionError):
            return directory
        if not isinstance(kept, dict):
            return directory
        if "version" not in kept:
            kept = {"version": _VERSION, "extensions": kept}
        if kept["version"] == _VERSION:
            portal = harmless(kept.get("portal"))
            directory._snapshot = _Snapshot(_kept_people(kept), _kept_lines(kept), portal=portal)
        return directory


class _Asking:
    """Every request of the directory goes through here: work that can wait, within one time for all."""

    def __init__(self, client: Client, total_seconds: float) -> None:
        self._client, self._ends = client, time.monotonic() + total_seconds

    def one(self, method: str, parameters: Mapping[str, object]) -> Result:
        """Ask one method."""
        return self._client.call(method, parameters, total_seconds=self._left(), urgency=Urgency.BACKLOG)

    def many(self, commands: Mapping[str, str]) -> Mapping[str, Result | PortalError]:
        """Ask all commands in one request."""
        return self._client.batch(commands, total_seconds=self._left(), urgency=Urgency.BACKLOG)

    def _left(self) -> float:
        return min(self._ends - time.monotonic(), _REQUEST_SECONDS)


def _entries(kept: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    part = kept.get(name)
    return list(islice(part.items(), _MOST_ENTRIES)) if isinstance(part, dict) else []


def _kept_people(kept: Mapping[str, Any]) -> People:
    ids = ((whole_number(user), extension) for user, extension in _entries(kept, "extensions"))
    extensions = {user_id: employees.extension_of(extension) for user_id, extension in ids if user_id}
    owners = ((number, whole_number(user)) for number, user in _entries(kept, "phones") if _E164.fullmatch(number))
    names = ((whole_number(user), harmless(name, employees.LONGEST_NAME)) for user, name in _entries(kept, "names"))
    return employees.from_maps(
        extensions,
        {number: user for number, user in owners if user in extensions},
        {user_id: name for user_id, name in names if user_id in extensions and name},
    )


def _kept_lines(kept: Mapping[str, Any]) -> dict[str, str]:
    numbers = ((lists.line_number(number), name) for number, name in _entries(kept, "lines"))
    return {number: harmless(name) for number, name in numbers if number}


def _bounded(digits: str) -> int:
    """Read a number of the file; 0 for one so long that reading it alone would take time."""
    return int(digits) if len(digits) <= 18 else 0
