"""Who is who in the portal: extension to user id and back, from one list that is read whole and swapped whole."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from typing import Any, Mapping

from ..call import Person
from ..errors import PortalBroken
from .client import Client
from .replies import whole_number

USERS = "user.get"
# 50 people a page: more than any portal has. A portal whose pages never end must not hold us for ever.
_MOST_PAGES = 400


@dataclass(frozen=True)
class _Snapshot:
    """`extensions` by the id of every active user ("" where there is none), and the way back."""

    extensions: Mapping[int, str] = field(default_factory=dict)
    users: Mapping[str, int] = field(default_factory=dict)
    read_at: float = -math.inf


class Directory:
    """The portal's active users. It may be read from any thread while another loads it."""

    def __init__(self) -> None:
        self._snapshot = _Snapshot()

    def load(self, client: Client, *, total_seconds: float = 30.0) -> int:
        """Read the whole list from the portal (`user.get`, 50 a page), and return how many people it names.

        The old list stays in use until the new one is whole, and for good where it does not become whole.

        :param total_seconds: for all pages together.
        :raises PortalError: from the client. :raises PortalBroken: the list is empty, partial or no list.
        """
        ends = time.monotonic() + total_seconds
        rows: list[Any] = []
        start: int | None = 0
        for _ in range(_MOST_PAGES):
            page = client.call(
                USERS, {"FILTER": {"ACTIVE": True}, "start": start}, total_seconds=ends - time.monotonic()
            )
            if not isinstance(page.result, list):
                raise PortalBroken("the portal's list of users is no list")
            rows += page.result
            if page.next is None:
                break
            if start is None or page.next <= start:
                raise PortalBroken("the pages of the portal's list of users do not go on")
            start = page.next
        else:
            raise PortalBroken("the portal's list of users does not end")
        if page.total is not None and len(rows) < page.total:
            raise PortalBroken("the portal's list of users is not whole")
        extensions = dict(person for person in map(_person, rows) if person)
        if not extensions:
            raise PortalBroken("the portal's list of users names nobody")
        self._snapshot = _snapshot(extensions, time.monotonic())
        return len(extensions)

    def user_id(self, person: Person) -> int:
        """Return the portal's id of a person, 0 where the portal knows nobody active by that extension or id.

        Before anything was loaded a person who is named by id is taken at their word.
        """
        snapshot = self._snapshot
        if person.user_id:
            return person.user_id if not snapshot.extensions or person.user_id in snapshot.extensions else 0
        return snapshot.users.get(person.extension, 0)

    @property
    def loaded(self) -> bool:
        """Return whether there is a list at all, from the portal or from a cache file."""
        return bool(self._snapshot.extensions)

    def extension(self, user_id: int) -> str:
        """Return a user's internal number, "" where there is none."""
        return self._snapshot.extensions.get(user_id, "")

    def age(self) -> float:
        """Return the seconds since the list was read from the portal by this process, infinity where it was not."""
        return time.monotonic() - self._snapshot.read_at

    def to_json(self) -> str:
        """Return the list as text for a cache file."""
        return json.dumps({str(user): extension for user, extension in self._snapshot.extensions.items()})

    @classmethod
    def from_json(cls, text: str) -> Directory:
        """Return the directory that `to_json` wrote, of age infinity; an empty one for any other text."""
        directory = cls()
        try:
            kept = json.loads(text)
        except (ValueError, RecursionError):
            return directory
        if isinstance(kept, dict):
            rows = ({"ID": user, "UF_PHONE_INNER": extension} for user, extension in kept.items())
            directory._snapshot = _snapshot(dict(person for person in map(_person, rows) if person), -math.inf)
        return directory


def _snapshot(extensions: dict[int, str], read_at: float) -> _Snapshot:
    users: dict[str, int] = {}
    for user, extension in extensions.items():
        if extension:
            users.setdefault(extension, user)
    return _Snapshot(extensions, users, read_at)


def _person(row: object) -> tuple[int, str] | None:
    """Return id and extension of one row of user.get. ID is text, UF_PHONE_INNER is text, "", null or absent."""
    if not isinstance(row, dict):
        return None
    user, inner = whole_number(row.get("ID")), row.get("UF_PHONE_INNER")
    if user is None or row.get("ACTIVE") is False:
        return None
    if isinstance(inner, int) and not isinstance(inner, bool):
        inner = str(inner)
    # The portal stores internal numbers as digits alone; anything else is nobody's extension.
    return user, inner if isinstance(inner, str) and inner.isascii() and inner.isdigit() else ""
