"""What a portal's reply means: a result, or the one error class that says what can be done about it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, Mapping, Sequence

from ..errors import AGAIN, MethodBusy
from .refusals import Refusal, refusal, without_words

__all__ = ["Result", "blotted", "entry_refusal", "harmless", "moment", "read", "refusal", "whole_number"]

LONGEST_TEXT = 200
LONGEST_CODE = 60
# The portal counts its budgets in ten minutes: nothing that it may ask for takes longer, whoever asks.
LONGEST_PAUSE_SECONDS = 600.0
SHORTEST_PAUSE_SECONDS = 1.0
# More digits than any id or time of a portal; before Python 3.9.14 reading millions of them took minutes.
_MOST_DIGITS = 40


@dataclass(frozen=True)
class Result:
    """A portal's good answer.

    :ivar result: the value of `result`, of any JSON type: not yet trusted.
    :ivar time: the `time` object (`operating`: float seconds in the last ten minutes); empty where absent.
    :ivar total: `total` of a list, or None.
    :ivar next: `next` of a list: the `start` of its next page; None on the last page.
    :ivar together: how many registers that callers wait for went in the request that brought it.
    """

    result: Any
    time: Mapping[str, Any] = field(default_factory=dict)
    total: int | None = None
    next: int | None = None
    together: int = field(default=1, compare=False)


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


def blotted(text: str, secrets: Sequence[str]) -> str:
    """Return the text with `***` for each secret in it: in any case of letters, URL-encoded as well, even twice."""
    forms = [_any_form(secret) for secret in sorted(filter(None, secrets), key=len, reverse=True)]
    return re.sub("|".join(forms), "***", text, flags=re.IGNORECASE) if forms else text


def read(status: int, body: bytes, secrets: Sequence[str] = (), headers: Mapping[str, str] | None = None) -> Result:
    """Return what a reply says.

    :param status: HTTP status. :param body: the whole body.
    :param secrets: texts that must not be seen: blotted out in whatever the portal says.
    :param headers: of the reply, their names in any case: `Retry-After` and `Date` are looked at.
    :raises PortalRefused: (or a class below it) for an error of the portal's own.
    :raises PortalBroken: for anything that no portal answers.
    """
    reply = _object(body)
    # Presence counts, not truth or status: telephony's own errors have the empty code, `wrong_client` comes with 200.
    if "error" not in reply and "result" in reply and 200 <= status < 300:
        time = reply.get("time")
        return Result(
            result=reply["result"],
            time=time if isinstance(time, dict) else {},
            total=whole_number(reply.get("total")),
            next=whole_number(reply.get("next")),
        )
    error = _refused(reply, status, secrets)
    _set_pause(error, reply.get("time"), {name.lower(): value for name, value in (headers or {}).items()})
    raise error


def entry_refusal(entry: object, secrets: Sequence[str] = ()) -> Refusal:
    """Return the error for one entry of a batch's `result_error`, whatever its type."""
    return _refused(entry if isinstance(entry, dict) else {}, 0, secrets)


def _refused(reply: Mapping[str, Any], status: int, secrets: Sequence[str]) -> Refusal:
    code = reply.get("error")
    if isinstance(code, bool) or not isinstance(code, (str, int)):
        return without_words(status)
    description = reply.get("error_description")
    return refusal(_safe(str(code), secrets, LONGEST_CODE), _safe(description, secrets, LONGEST_TEXT), status)


def _safe(text: object, secrets: Sequence[str], longest: int) -> str:
    """Return a text of the portal's harmless and without secrets.

    Blotted out before it is cut, or the first half of a secret would stay; and again after it was cleaned, or a tab
    that became a space would make one.
    """
    return blotted(harmless(blotted(text, secrets), longest), secrets)[:longest] if isinstance(text, str) else ""


def _any_form(secret: str) -> str:
    """Return a pattern for a secret, each byte as it is or URL-encoded, once or more often."""

    def form(mark: str) -> str:
        encoded = "".join(f"%(?:25)*{byte:02X}" for byte in mark.encode("utf-8", "surrogatepass"))
        return f"(?:{re.escape(mark)}|{encoded})"

    return "".join(map(form, secret))


def _object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body, {} where there is none.

    A broken byte in one name must not cost the answer that holds it, so it is replaced.
    """
    try:
        reply = json.loads(
            body.decode("utf-8-sig", "replace"), parse_constant=_no_number, parse_int=_integer, parse_float=_real
        )
    except (ValueError, RecursionError):
        return {}
    return reply if isinstance(reply, dict) else {}


def _no_number(name: str) -> None:
    """Refuse NaN and Infinity, which Python's reader takes and JSON does not know."""
    raise ValueError(name)


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("too many digits")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):  # 1e999
        raise ValueError("too large")
    return value


def _set_pause(error: Refusal, time: object, headers: Mapping[str, str]) -> None:
    """Let an error that is to be tried again wait as long as the portal asks for, within bounds.

    A method's operating time says itself when it is counted anew; otherwise the class's own pause is the least.
    """
    if error.remedy != AGAIN:
        return
    times = time if isinstance(time, dict) else {}
    now = moment(times, headers)
    asked = _seconds(times.get("operating_reset_at")) - now if now and isinstance(error, MethodBusy) else 0.0
    if asked <= 0:
        asked = _retry_after(headers.get("retry-after", ""), now)
    if asked <= 0:
        return
    least = SHORTEST_PAUSE_SECONDS if isinstance(error, MethodBusy) else error.pause_seconds
    error.pause_seconds = min(max(asked, least, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


def moment(times: Mapping[str, Any], headers: Mapping[str, str] = MappingProxyType({})) -> float:
    """Return the portal's own time in seconds since 1970, 0.0 where the reply does not tell it.

    The portal's and not ours: when the operating time is counted anew is told by the same clock.
    """
    for name in ("finish", "start"):
        if _seconds(times.get(name)):
            return _seconds(times[name])
    for name in ("date_finish", "date_start"):
        try:
            return max(0.0, datetime.fromisoformat(times[name]).timestamp())
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            continue
    return _date(headers.get("date", ""))


def _seconds(value: object) -> float:
    """Return a positive number that came as one or as text, else 0.0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return 0.0
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0


def _retry_after(value: str, now: float) -> float:
    """Return the seconds of a `Retry-After`, which are told as such or as a date; 0.0 or less for none."""
    return _seconds(value) or (_date(value) - now if now else 0.0)


def _date(value: str) -> float:
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp())
    except (TypeError, ValueError, IndexError, OverflowError, OSError):
        return 0.0
