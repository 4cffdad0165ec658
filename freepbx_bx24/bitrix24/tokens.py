"""A pair of tokens as plain data: what the authorisation server gave, and what of it is kept from run to run."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Mapping

LONGEST_TOKEN = 4096
_LONGEST_TEXT = 1000
_CLOCK_SLACK = 60.0
_TOKEN = re.compile(rf"[!-~]{{1,{LONGEST_TOKEN}}}")


@dataclass(frozen=True)
class Grant:
    """What the authorisation server gave; what it left out is empty.

    :ivar lifetime: seconds that the access token is valid from now on.
    :ivar scope: the rights in small letters. :ivar user_id: whose token it is, 0 where unknown.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    lifetime: float
    client_endpoint: str = ""
    server_endpoint: str = ""
    member_id: str = ""
    scope: tuple[str, ...] = ()
    user_id: int = 0


@dataclass(frozen=True)
class Tokens(Grant):
    """A pair of tokens as it is kept.

    :ivar expires: when the access token ends, by this machine's wall clock, in seconds since 1970.
    :ivar application: fingerprint of the client_id that they belong to.
    :ivar serial: counts the pairs, so that of two files the newer one is known.
    :ivar dead: why the pair can't be renewed any more; empty while it can.
    """

    expires: float = 0.0
    application: str = ""
    serial: int = 0
    dead: str = ""

    def seconds_left(self, now: float) -> float:
        """Return the seconds that the access token is still valid; not above 0 where it is not, or nobody can tell.

        :param now: the wall clock, in seconds since 1970. More left than a token lives: the clock was set back.
        """
        left = self.expires - now
        return left if left <= self.lifetime + _CLOCK_SLACK else 0.0


def fingerprint(client_id: str) -> str:
    """Return what tells applications apart and is no name of any."""
    return hashlib.sha256(client_id.encode()).hexdigest()[:16]


def from_grant(grant: Grant, application: str, old: Tokens | None, now: float) -> Tokens:
    """Return the pair to be kept: the new grant, with the old pair's values where the server left something out.

    :param old: the pair that was renewed; None: somebody has logged in. An empty refresh token never replaces one.
    :param now: the wall clock, in seconds since 1970.
    """
    given = {one.name: getattr(grant, one.name) for one in fields(Grant)}
    if old is not None:
        given = {name: value or getattr(old, name) for name, value in given.items()}
    serial = old.serial + 1 if old else 1
    return Tokens(**given, expires=now + grant.lifetime, application=application, serial=serial)


def to_json(tokens: Tokens) -> bytes:
    """Return the file's content."""
    return json.dumps(asdict(tokens), indent=1).encode() + b"\n"


def from_json(content: bytes) -> Tokens | None:
    """Return what a token file holds; None where it holds no pair, whoever wrote it."""
    try:
        # A kill between writing and cutting to length leaves the space that was taken, as zeros.
        kept = json.loads(content.rstrip(b"\0"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(kept, dict) or not all(name in kept for name in _READERS):
        return None
    try:
        return Tokens(**{name: read(kept[name]) for name, read in _READERS.items()})
    except ValueError:
        return None


def token(value: object) -> str:
    """Return a token, code or secret as it came. :raises ValueError: it is none; nothing of it is told."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ValueError("no token")
    return value


def text(value: object) -> str:
    """Return a short printable text, possibly empty. :raises ValueError: it is none."""
    if isinstance(value, str) and len(value) <= _LONGEST_TEXT and value.isprintable():
        return value
    raise ValueError("no text")


def seconds(value: object) -> float:
    """Return a finite number of seconds, not negative. :raises ValueError: it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 10**11:
        raise ValueError("no time")
    return float(value) if math.isfinite(value) else 0.0


def count(value: object) -> int:
    """Return a whole number, not negative. :raises ValueError: it is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**18:
        raise ValueError("no number")
    return value


def names(value: object) -> tuple[str, ...]:
    """Return a list of short texts. :raises ValueError: it is none."""
    if not isinstance(value, list) or len(value) > 100:
        raise ValueError("no list")
    return tuple(text(one) for one in value)


_READERS: Mapping[str, Any] = {
    "access_token": token,
    "refresh_token": token,
    "lifetime": seconds,
    "client_endpoint": text,
    "server_endpoint": text,
    "member_id": text,
    "scope": names,
    "user_id": count,
    "expires": seconds,
    "application": text,
    "serial": count,
    "dead": text,
}
