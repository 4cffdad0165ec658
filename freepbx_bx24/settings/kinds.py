"""The kinds of value that an option can have: each reads the text as it was typed and says in words what it allows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable

from .. import numbers
from ..call import Person
from ..clicks import Hours

_SECONDS = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?(ms|s|)")
_DAYS = re.compile(r"([1-9][0-9]{0,3}) ?d?")
# Without a path: what stands behind the host in a browser is a page, or a webhook with its secret.
_ADDRESS = re.compile(r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+)(?P<port>:[0-9]{1,5})?/?")
_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")
# UF_PHONE_INNER: the portal keeps 1 to 4 digits; a user's ID is a positive integer.
_PERSON = re.compile(r"([0-9]{1,4})|user:([1-9][0-9]{0,8})")


@dataclass(frozen=True)
class Kind:
    """How one kind of value is read.

    :param allowed: what is allowed, in words that follow "allowed: ".
    :param read: returns the value for a text, or raises ValueError.
    :param is_list: the option is a list of such values.
    """

    allowed: str
    read: Callable[[str], Any]
    is_list: bool = False


def text(longest: int) -> Kind:
    """A text of one line. :param longest: characters."""

    def read(typed: str) -> str:
        if not typed.strip() or len(typed) > longest or not typed.isprintable():
            raise ValueError
        return typed.strip()

    return Kind(f"1 to {longest} printable characters", read)


def pattern(expression: str, allowed: str) -> Kind:
    """A text of a fixed form. :param expression: a regular expression of the whole text."""
    compiled = re.compile(expression)

    def read(typed: str) -> str:
        if not compiled.fullmatch(typed):
            raise ValueError
        return typed

    return Kind(allowed, read)


def choice(**words: Any) -> Kind:
    """One of some words. :param words: what each word means to the program."""

    def read(typed: str) -> Any:
        if typed not in words:
            raise ValueError
        return words[typed]

    return Kind(" or ".join(words), read)


def seconds(least: float, most: float) -> Kind:
    """A time in seconds, `2`, `2.0` or `2s`, or in milliseconds, `500ms`; the value is a float of seconds."""

    def read(typed: str) -> float:
        found = _SECONDS.fullmatch(typed)
        value = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else -1.0
        if not least <= value <= most:
            raise ValueError
        return value

    return Kind(f"{least} to {most} seconds, such as 2.0, 2s or 500ms", read)


def whole(least: int, most: int, unit: str, suffix: str = "") -> Kind:
    """A whole number. :param unit: what is counted, for people. :param suffix: may stand behind it."""

    def read(typed: str) -> int:
        found = re.fullmatch(r"([0-9]{1,6})(?: ?" + re.escape(suffix) + ")?", typed)
        if not found or not least <= int(found[1]) <= most:
            raise ValueError
        return int(found[1])

    return Kind(f"{least} to {most} {unit}", read)


def list_of(kind: Kind) -> Kind:
    """A list of values of one kind."""
    return Kind(kind.allowed, kind.read, is_list=True)


def _days(typed: str) -> int:
    found = _DAYS.fullmatch(typed)
    if not found:
        raise ValueError
    return int(found[1])


def _person(typed: str) -> Person:
    found = _PERSON.fullmatch(typed)
    if not found:
        raise ValueError
    return Person(user_id=int(found[2])) if found[2] else Person(extension=found[1])


def _country(typed: str) -> str:
    # Imported here: it costs 14 ms, which a file without this option should not pay.
    import phonenumbers

    if typed.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError
    return typed.upper()


def _number(typed: str) -> str:
    if not typed.isprintable() or len(typed) > 80 or not numbers.is_usable(typed):
        raise ValueError
    return typed.strip()


def _address(typed: str) -> str:
    found = _ADDRESS.fullmatch(typed)
    if not found or int((found["port"] or ":0")[1:]) > 65535:
        raise ValueError
    if found["scheme"] == "http" and not _LOOPBACK.fullmatch(found["host"]):
        raise ValueError
    return typed.rstrip("/")


_EVENTS_ADDRESS = re.compile(
    r"(https?)://([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)+", re.ASCII
)


def _events_address(typed: str) -> str:
    found = _EVENTS_ADDRESS.fullmatch(typed)
    if not found or len(typed) > 250 or int((found[3] or ":0")[1:]) > 65535:
        raise ValueError
    if found[1] == "http" and not _LOOPBACK.fullmatch(found[2]):
        raise ValueError
    return typed


def _anonymous(typed: str) -> str:
    if typed == "skip":
        return ""
    if not re.fullmatch(r"\+?[0-9]{1,15}", typed):
        raise ValueError
    return typed


def _ring_first(typed: str) -> int:
    if typed == "no":
        return 0
    found = re.fullmatch(r"([0-9]{1,3}) ?s?", typed)
    if not found or not 3 <= int(found[1]) <= 120:
        raise ValueError
    return int(found[1])


def _target(typed: str) -> str:
    if typed == "off":
        return ""
    if not re.fullmatch("[0-9]{2,10}", typed, re.ASCII):
        raise ValueError
    return typed


_WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HOURS = re.compile(r"([A-Z][a-z]{2})(?:-([A-Z][a-z]{2}))? ([0-9]{2}):([0-5][0-9])-([0-9]{2}):([0-5][0-9])", re.ASCII)


def _hours(typed: str) -> Hours:
    found = _HOURS.fullmatch(typed)
    if not found:
        raise ValueError
    first, last = (_WEEK.index(found[group] or found[1]) for group in (1, 2))
    since, until = (int(found[group]) * 60 + int(found[group + 1]) for group in (3, 5))
    if not since < until <= 1440:
        raise ValueError
    days = range(first, last + 1) if first <= last else [*range(first, 7), *range(last + 1)]
    return Hours(frozenset(days), since, until)


def _timezone(typed: str) -> str:
    import zoneinfo  # costs some milliseconds, which a file without this option should not pay

    try:
        zoneinfo.ZoneInfo(typed)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise ValueError from error
    return typed


DAYS = Kind("1 to 9999 days, such as 14d", _days)
PERSON = Kind("an extension of 1 to 4 digits as it is in Bitrix24, or a user's ID such as user:12", _person)
COUNTRY = Kind("an ISO code of two letters, such as RU, KZ or DE", _country)
NUMBER = Kind('a number, a prefix such as "+7800*", or an Asterisk pattern such as "_8800333001X"', _number)
NUMBERS = list_of(NUMBER)
ANONYMOUS = Kind('skip, or 1 to 15 digits to show, such as "70000000000"', _anonymous)
RING_FIRST = Kind("no, or 3 to 120 whole seconds, such as 15s", _ring_first)
FOLDER = pattern(r"/[^\x00-\x1f\x7f]{1,999}", "a path that begins with /, of at most 1000 characters")
TARGET = Kind("off, or the 2 to 10 digits of an extension, a ring group or a queue", _target)
HOURS = Kind("days and times such as Mon-Fri 09:00-18:00", _hours)
TIMEZONE = Kind("a time zone such as Europe/Moscow", _timezone)
# LINE_NUMBER of the portal holds 50 characters.
LINE = text(50)
ADDRESS = Kind(
    "https://HOST and nothing behind it, such as https://example.bitrix24.com (http on loopback only)", _address
)
EVENTS_ADDRESS = Kind(
    "https://HOST/PATH, where HOST has a dot and PATH is not empty, such as https://pbx.example.com:8443/bx24/events",
    _events_address,
)
PATH = Kind("a path of at most 1000 characters", text(1000).read)
