"""A real portal to run the contract tests against: its settings from the environment, and keys that never show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

HELP = "docs/real-portal.md tells what each variable is."
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ORIGIN = r"(https?)://([\w.-]+(?::\d{1,5})?|\[[\da-fA-F:]+\](?::\d{1,5})?)"
PACE_SECONDS = 0.5  # an ordinary plan drains two requests a second, counted over all that run behind one address


class Secret:
    """A text that no failing assertion, log or traceback shows: one has to ask for it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the request that needs it."""
        return self._text

    def tampered(self) -> Secret:
        """The same text with another last character."""
        return Secret(self._text[:-1] + ("0" if self._text[-1:] != "0" else "1"))

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__


class Access(NamedTuple):
    """How a portal is reached: `rest` is the address that method names are appended to, with its final slash."""

    host: str
    origin: str  # https://host/
    rest: Secret
    token: Secret | None  # an application's access token; None for a webhook
    secrets: tuple[Secret, ...]  # the parts of the above that must not show

    @property
    def is_local(self) -> bool:
        """True for a portal on this machine, which is a sandbox: no pace, no proxy, plain HTTP allowed."""
        return (urlsplit(f"//{self.host}").hostname or "") in LOOPBACK


class RealPortal(NamedTuple):
    """What the environment says of the portal under test."""

    access: Access
    user: int  # owns the test calls
    phone: str  # nobody's number
    may_create: bool  # CRM_CREATE 1 is allowed


def access_by_webhook(url: str) -> Access:
    """:raises ValueError: `url` is not the URL of an inbound webhook; the message does not hold it."""
    found = re.fullmatch(rf"{_ORIGIN}/rest/(\d+)/([\w.~-]+)/?", url, re.ASCII)
    if not found:
        raise ValueError("is neither the URL of an inbound webhook nor, with BX24_TEST_TOKEN, a portal's https://host")
    scheme, host, user, secret = found.groups()
    origin = f"{scheme}://{host}/"
    return _checked(Access(host, origin, Secret(f"{origin}rest/{user}/{secret}/"), None, (Secret(secret),)))


def access_by_token(url: str, token: str) -> Access:
    """:raises ValueError: `url` is not a portal's address, or `token` no token; the message holds neither."""
    found = re.fullmatch(rf"{_ORIGIN}(?:/rest)?/?", url, re.ASCII)
    if not found:
        raise ValueError("must be the portal's https://host where BX24_TEST_TOKEN is set")
    if not re.fullmatch(r"[\w.~+/=-]+", token, re.ASCII):
        raise ValueError("is given with a BX24_TEST_TOKEN that is no token")
    scheme, host = found.groups()
    origin = f"{scheme}://{host}/"
    return _checked(Access(host, origin, Secret(f"{origin}rest/"), Secret(token), (Secret(token),)))


def _checked(access: Access) -> Access:
    if not access.origin.startswith("https://") and not access.is_local:
        raise ValueError("must begin with https://")
    return access


def real_portal(environment: Mapping[str, str]) -> RealPortal | None:
    """The portal that BX24_TEST_PORTAL names; None where it is not set.

    :raises pytest.UsageError: a variable is missing or wrong; says which, never what it holds.
    """
    url = environment.get("BX24_TEST_PORTAL", "").strip()
    if not url:
        return None
    token = environment.get("BX24_TEST_TOKEN", "").strip()
    try:
        access = access_by_token(url, token) if token else access_by_webhook(url)
    except ValueError as error:
        raise pytest.UsageError(f"BX24_TEST_PORTAL {error}. {HELP}") from None
    user = environment.get("BX24_TEST_USER", "").strip()
    if not re.fullmatch(r"[1-9]\d{0,9}", user):
        raise pytest.UsageError(f"BX24_TEST_USER must be the id of a user who may own test calls. {HELP}")
    phone = environment.get("BX24_TEST_PHONE", "").strip()
    if not re.fullmatch(r"\+[1-9]\d{6,14}", phone):
        raise pytest.UsageError(f"BX24_TEST_PHONE must be nobody's number, like +79160000555. {HELP}")
    create = environment.get("BX24_TEST_CREATE", "").strip()
    if create not in ("", "0", "1"):
        raise pytest.UsageError(f"BX24_TEST_CREATE must be 1 or not set. {HELP}")
    return RealPortal(access, int(user), phone, create == "1")
