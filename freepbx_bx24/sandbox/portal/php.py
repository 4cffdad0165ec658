"""How the portal (PHP) reads values that come over the wire: truth, integers, text, nested form keys and dates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

PORTAL_ZONE = timezone(timedelta(hours=3))  # the portal's own zone: dates without an offset are read in it

_INTEGER = re.compile(r"\s*([+-]?\d{1,18})")
_KEY_PARTS = re.compile(r"\[([^\[\]]*)\]")
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?)?"
    r"\s*(Z|[+-]\d\d(?::?\d\d)?)?",
    re.IGNORECASE,
)
_MAX_DEPTH = 8


def truth(value: Any) -> bool:
    """PHP truthiness: "N" and "false" are true; "", "0", 0, null and the empty list are false."""
    return bool(value) and value != "0"


def integer(value: Any) -> int:
    """PHP's intval: leading digits count, all else is 0; a non-empty array is 1."""
    if isinstance(value, (bool, list, dict)):
        return int(bool(value))
    if isinstance(value, (int, float)):
        return int(value) if abs(value) < 2**63 else 0
    found = _INTEGER.match(value) if isinstance(value, str) else None
    return int(found.group(1)) if found else 0


def number(value: Any) -> float | int:
    """PHP's float cast for money: 0 when it is no number."""
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    return result if result == result and abs(result) != float("inf") and result else 0


def text(value: Any) -> str:
    """PHP's string cast; arrays (which PHP turns into the word Array) become ""."""
    if isinstance(value, bool):
        return "1" if value else ""
    return str(value) if isinstance(value, (str, int, float)) else ""


def as_list(value: Any) -> list[Any]:
    """A single value as a list of one; an array's values otherwise."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else [value]


def read_date(value: str) -> datetime | None:
    """An ISO-8601 date or date and time, to the second, in the portal's zone; None when it can't be read.

    The portal uses strtotime, which reads more (English words); a client is expected to send ISO-8601.
    """
    found = _DATE.fullmatch(value.strip())
    if not found:
        return None
    fields = [int(part or 0) for part in found.groups()[:6]]
    zone = found.group(7)
    try:
        moment = datetime(*fields, tzinfo=_read_zone(zone) if zone else PORTAL_ZONE)  # type: ignore[arg-type,misc]
        return moment.astimezone(PORTAL_ZONE)
    except (ValueError, OverflowError):
        return None


def _read_zone(zone: str) -> timezone:
    if zone in "Zz":
        return timezone.utc
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if zone[0] == "-" else offset)


def nest(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Form fields as PHP reads them: `USER_ID[0]=1`, `FILTER[>ID]=5` and `a[]=x` become lists and dicts."""
    root: dict[str, Any] = {}
    for key, value in pairs:
        head, bracket, tail = key.partition("[")
        parts = [head] + (_KEY_PARTS.findall(bracket + tail) if bracket else [])
        _store(root, parts[:_MAX_DEPTH], value)
    return {key: _lists(value) for key, value in root.items()}


def _store(node: dict[str, Any], parts: list[str], value: Any) -> None:
    for part in parts[:-1]:
        key = part or str(len(node))
        if not isinstance(node.get(key), dict):
            node[key] = {}
        node = node[key]
    node[parts[-1] or str(len(node))] = value


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if list(value) == [str(index) for index in range(len(value))]:
        return [_lists(item) for item in value.values()]
    return {key: _lists(item) for key, item in value.items()}


def array(values: dict[str, Any]) -> Any:
    """A map as PHP's json_encode writes it: an empty one, or one with the keys 0..n-1, is a JSON list."""
    if list(values) == [str(index) for index in range(len(values))]:
        return list(values.values())
    return values
