"""What a portal's reply means: a result, or the one error class that says what can be done about it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Mapping

from ..errors import (
    CallNotFound,
    PersonUnknown,
    PortalAuthorisation,
    PortalBroken,
    PortalBusy,
    PortalRefused,
    RecordNotReady,
)

LONGEST_TEXT = 200

_LOCAL_APPLICATION = "A webhook is not enough for this portal: it needs a local application."
_RIGHTS = "Give the webhook the rights telephony, user and crm, and its owner the rights of an administrator."
_PLAN = "REST is part of the portal's paid plans and subscription only: ask the portal's owner."

# `error` in lower case -> (class, hint; empty: the class's own). The portal mixes cases, and its HTTP statuses differ
# between the documentation and the wire: so the code decides, the status only where there is no known code.
_BY_CODE: Mapping[str, tuple[type[PortalRefused], str]] = {
    "query_limit_exceeded": (PortalBusy, ""),
    "operation_time_limit": (PortalBusy, ""),
    "overload_limit": (PortalBusy, "The portal's REST is blocked by hand because of overload: ask Bitrix24's support."),
    "connection_error": (PortalBusy, "The portal can't reach its authorisation server: it is tried again by itself."),
    "wrong_auth_type": (PortalAuthorisation, _LOCAL_APPLICATION),
    "insufficient_scope": (PortalAuthorisation, _RIGHTS),
    "access_denied": (PortalAuthorisation, f"{_RIGHTS} {_PLAN}"),
    "expired_token": (PortalAuthorisation, ""),
    "invalid_token": (PortalAuthorisation, ""),
    "no_auth_found": (PortalAuthorisation, ""),
    "invalid_credentials": (PortalAuthorisation, ""),
    "user_access_error": (PortalAuthorisation, ""),
    "authorization_error": (PortalAuthorisation, "The webhook's owner was dismissed: make a new webhook."),
    "application_not_found": (PortalAuthorisation, ""),
    "invalid_request": (PortalAuthorisation, "The portal wants https:// in the webhook's URL."),
    "portal_deleted": (PortalAuthorisation, "The portal was deleted or stopped: ask its owner."),
    "error_method_not_found": (PortalRefused, "Check the webhook's URL, and that its rights include telephony."),
    "wrong_license": (PortalRefused, _PLAN),
}

# Codes that are known and yet no refusal: the server stumbled in the middle of the work.
_STUMBLED = frozenset({"internal_server_error", "error_unexpected_answer"})

# Telephony throws its errors without a code: `"error": ""` on the wire, ERROR_CORE in the documentation. Their texts
# differ in endings and brackets between versions: what is compared is the part that has stayed, in lower case.
_CODELESS = frozenset({"", "error_core"})
_BY_DESCRIPTION: tuple[tuple[str, type[PortalRefused]], ...] = (
    ("call is not found (call should be registered", CallNotFound),
    ("not finished yet", RecordNotReady),
    ("user is not found or is not active", PersonUnknown),
    ("user_id or user_phone_inner should be set", PersonUnknown),
)


@dataclass(frozen=True)
class Result:
    """A portal's good answer.

    :ivar result: the value of `result`, of any JSON type: not yet trusted.
    :ivar time: the `time` object (`operating`: float seconds in the last ten minutes); empty where absent.
    :ivar total: `total` of a list, or None.
    :ivar next: `next` of a list: the `start` of its next page; None on the last page.
    """

    result: Any
    time: Mapping[str, Any] = field(default_factory=dict)
    total: int | None = None
    next: int | None = None


def harmless(text: object, longest: int = LONGEST_TEXT) -> str:
    """Return text from outside as one printable line of at most `longest` characters; "" for what is no text.

    Control characters, line ends, lone surrogates and writing-direction marks become one space.
    """
    if not isinstance(text, str):
        return ""
    # Far more than is kept: nothing is gained by cleaning megabytes.
    head = text[: longest * 4]
    return " ".join("".join(mark if mark.isprintable() else " " for mark in head).split())[:longest]


def whole_number(value: object) -> int | None:
    """Return a positive integer that came as a number or as its digits, else None (the portal sends ids as both)."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**18:
        return None
    return value


def read(status: int, body: bytes, secret: str = "") -> Result:
    """Return what a reply says.

    :param status: HTTP status. :param body: the whole body. :param secret: is blotted out in the portal's error texts.
    :raises PortalRefused: (or a class below it) for an error of the portal's own.
    :raises PortalBroken: for anything that no portal answers.
    """
    reply = _object(status, body)
    # Presence counts, not truth: the telephony methods' own errors have the empty code.
    if "error" in reply:
        code = reply["error"] if isinstance(reply["error"], str) else str(reply["error"])
        description = reply.get("error_description")
        if secret:
            code = code.replace(secret, "***")
            description = description.replace(secret, "***") if isinstance(description, str) else ""
        raise refusal(harmless(code, 60), harmless(description), status)
    if not 200 <= status < 300 or "result" not in reply:
        raise PortalBroken(f"the portal answered HTTP {status} with neither a result nor an error")
    time = reply.get("time")
    return Result(
        result=reply["result"],
        time=time if isinstance(time, dict) else {},
        total=whole_number(reply.get("total")),
        next=whole_number(reply.get("next")),
    )


def refusal(code: str, description: str, status: int) -> PortalRefused | PortalBroken:
    """Return the error for the portal's `error`, `error_description` (both harmless) and HTTP status."""
    key = code.lower()
    if key in _CODELESS:
        said = description.lower()
        for part, codeless in _BY_DESCRIPTION:
            if part in said:
                return codeless(code, description, status)
    if key in _BY_CODE:
        known, hint = _BY_CODE[key]
        return known(code, description, status, hint)
    if status == 429:
        return PortalBusy(code, description, status)
    if key in _STUMBLED or (status >= 500 and key != "error_core"):
        return PortalBroken(f"the portal stumbled with HTTP {status}: {code or 'no code'}: {description}")
    return PortalRefused(code, description, status)


def _object(status: int, body: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        reply = None
    if isinstance(reply, dict):
        return reply
    if status == 429:
        raise PortalBusy("", "", status)
    raise PortalBroken(f"the portal answered HTTP {status} with something that is no JSON object")


def _refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python's reader takes and JSON does not know."""
    raise ValueError(name)
