"""Who is who among the portal's employees: extension, id and own phone numbers, as one value that never changes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Iterable, Mapping, NamedTuple

from .. import numbers
from .replies import harmless, whole_number

LONGEST_EXTENSION = 10  # digits; the portal's own form takes 1 to 4, its data and ours may have more
LONGEST_NAME = 60  # characters of a name that are kept, for people to read
_LONGEST_PHONE = 100  # characters of a field that are looked at
_PHONES = ("PERSONAL_MOBILE", "PERSONAL_PHONE", "WORK_PHONE")
_NAMES = ("NAME", "LAST_NAME")
_EMPLOYEE = "employee"
_NOT_ACTIVE = (False, 0, "0", "N", "n", "false")
# People write two numbers into one field, and words beside them: "+7 916 000-01-01 (mob.), 8 917 ...".
_BETWEEN_NUMBERS = re.compile(r"[,;/\n]|[^\W\d_]+")
_SHORTEST_NUMBER = 6  # digits: what is shorter is an extension behind the company's number ("777-00-00 ext. 101")
_NAMED_IN_THE_LOG = 10


class Employee(NamedTuple):
    """One active employee. `extension` is digits or "", `phones` are as they were written, `name` is for people."""

    user_id: int
    extension: str = ""
    phones: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class People:
    """All employees.

    :ivar extensions: extension by user id; "" where there is none. Everybody is in it.
    :ivar users: user id by extension; the lowest id where several people have it.
    :ivar duplicates: all ids, ascending, of an extension that several people have.
    :ivar phones: user id by canonical number (E.164); a number that two people share is in nobody's name.
    :ivar names: name by user id, printable, of those who have one.
    """

    extensions: Mapping[int, str] = field(default_factory=dict)
    users: Mapping[str, int] = field(default_factory=dict)
    duplicates: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    phones: Mapping[str, int] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)


def employee(row: object) -> Employee | None:
    """Return the employee whom a row of user.get tells of; None for anybody dismissed, from outside, or unreadable.

    ID is text, ACTIVE a boolean, UF_PHONE_INNER text, "", null or absent. Portals that leave USER_TYPE out (it depends
    on the webhook's scope) have obeyed the filter for it.
    """
    if not isinstance(row, dict):
        return None
    user_id, kind = whole_number(row.get("ID")), row.get("USER_TYPE")
    if user_id is None or row.get("ACTIVE", True) in _NOT_ACTIVE:
        return None
    if kind is not None and kind != "" and kind != _EMPLOYEE:
        return None
    phones = tuple(phone[:_LONGEST_PHONE] for phone in map(row.get, _PHONES) if isinstance(phone, str) and phone)
    name = " ".join(part for part in (harmless(row.get(field), LONGEST_NAME) for field in _NAMES) if part)
    return Employee(user_id, extension_of(row.get("UF_PHONE_INNER")), phones, name[:LONGEST_NAME].rstrip())


def extension_of(value: object) -> str:
    """Return an internal number; "" for what is none. It is taken whole or not at all: 10101 is never 1010.

    The portal stores internal numbers as digits alone; anything else is nobody's extension.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**LONGEST_EXTENSION:
        value = str(value)
    plain = isinstance(value, str) and len(value) <= LONGEST_EXTENSION and value.isascii() and value.isdigit()
    return str(value) if plain else ""


def own_numbers(phone: str, country: str, area_code: str = "") -> tuple[str, ...]:
    """Return the canonical numbers (E.164) in one of an employee's phone fields; none where it is a company's number.

    :param country: ISO 3166 code; "" reads numbers with a plus only.
    """
    parts = [part for part in _BETWEEN_NUMBERS.split(phone) if any(mark.isdigit() for mark in part)]
    if any(sum(mark.isdigit() for mark in part) < _SHORTEST_NUMBER for part in parts):
        return ()
    whole = (numbers.canonical(part, country, area_code) for part in parts)
    return tuple(number for number in whole if number.startswith("+"))


def people(employees: Iterable[Employee], country: str = "", area_code: str = "") -> People:
    """Return who is who among employees, whatever their order.

    :param country: and :param area_code: as `freepbx_bx24.numbers.canonical` wants them.
    """
    extensions: dict[int, str] = {}
    phones: dict[str, int] = {}
    names: dict[int, str] = {}
    for one in employees:
        extensions.setdefault(one.user_id, one.extension)
        if one.name:
            names.setdefault(one.user_id, one.name)
        for phone in one.phones:
            for number in own_numbers(phone, country, area_code):
                if phones.setdefault(number, one.user_id) != one.user_id:
                    phones[number] = 0  # stays known as shared until all have been seen
    return from_maps(extensions, {number: user_id for number, user_id in phones.items() if user_id}, names)


def from_maps(extensions: Mapping[int, str], phones: Mapping[str, int], names: Mapping[int, str]) -> People:
    """Return the people of whom extension by id, id by canonical number, and name by id are known already."""
    users: dict[str, int] = {}
    several: dict[str, list[int]] = {}
    for user_id in sorted(extensions):
        extension = extensions[user_id]
        if extension and users.setdefault(extension, user_id) != user_id:
            several.setdefault(extension, [users[extension]]).append(user_id)
    return People(extensions, users, {extension: tuple(ids) for extension, ids in several.items()}, phones, names)


def shrunk(old: People, new: People) -> bool:
    """Say whether more than half of the people, or of the extensions, are gone: rather half an answer than the truth.

    A portal that answers with less than it has is what made other connectors' operators "disappear" for minutes.
    """
    return 2 * len(new.extensions) < len(old.extensions) or 2 * len(new.users) < len(old.users)


def changes(old: People, new: People) -> str:
    """Return one line for the log about what is different, in counts and extensions, never names; "" for nothing."""
    if not old.extensions:
        said = f"{len(new.extensions)} people, {len(new.users)} extensions"
    else:
        both = old.users.keys() & new.users.keys()
        parts = (
            _counted("people", len(new.extensions) - len(old.extensions)),
            _listed("new extensions", new.users.keys() - old.users.keys()),
            _listed("extensions that are gone", old.users.keys() - new.users.keys()),
            _listed("extensions of somebody else now", {one for one in both if old.users[one] != new.users[one]}),
            _counted("own phone numbers", len(new.phones) - len(old.phones)),
        )
        said = "; ".join(part for part in parts if part)
    if new.duplicates != old.duplicates:
        doubles = _listed("extensions that several people have", new.duplicates.keys())
        said = "; ".join(part for part in (said, doubles or "no extension has several people any more") if part)
    return said


def _counted(what: str, more: int) -> str:
    return f"{more:+d} {what}" if more else ""


def _listed(what: str, extensions: Iterable[str]) -> str:
    some = sorted(extensions)
    shown = ", ".join(some[:_NAMED_IN_THE_LOG])
    more = len(some) - _NAMED_IN_THE_LOG
    return (f"{what}: {shown}" + (f" and {more} more" if more > 0 else "")) if some else ""
