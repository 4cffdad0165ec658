"""voximplant.statistic.get as a look-up: which calls the portal has the end of, asked after an answer was lost."""

from __future__ import annotations

from typing import Any, Iterable

from ..errors import PortalBroken
from .telephony import LONGEST_CALL_ID, LONGEST_EXTERNAL_ID

METHOD = "voximplant.statistic.get"
MOST = 50  # rows in a page, so ids in a question


def by_call_id(call_ids: Iterable[str]) -> dict[str, Any]:
    """Return the parameters that find finished calls by CALL_ID; at most `MOST` of them."""
    return _question("CALL_ID", call_ids, LONGEST_CALL_ID)


def by_external_id(external_ids: Iterable[str]) -> dict[str, Any]:
    """Return the parameters that find finished calls by EXTERNAL_CALL_ID; at most `MOST` of them.

    The newest come first: where a call was told twice before, the page holds at least one row of each.
    """
    return {**_question("EXTERNAL_CALL_ID", external_ids, LONGEST_EXTERNAL_ID), "SORT": "ID", "ORDER": "DESC"}


def finished_calls(result: object, call_ids: Iterable[str]) -> set[str]:
    """Return which of `call_ids` the answer to `by_call_id` has. :raises PortalBroken: it is no list.

    The portal silently drops a filter that it does not know: only rows that were asked for count.
    """
    asked = set(call_ids)
    return {row["CALL_ID"] for row in _rows(result) if isinstance(row.get("CALL_ID"), str) and row["CALL_ID"] in asked}


def known_calls(result: object, external_ids: Iterable[str]) -> dict[str, str]:
    """Return CALL_ID by EXTERNAL_CALL_ID of the calls that the answer to `by_external_id` has.

    :raises PortalBroken: it is no list.
    """
    asked = set(external_ids)
    found: dict[str, str] = {}
    for row in _rows(result):
        external, call = row.get("EXTERNAL_CALL_ID"), row.get("CALL_ID")
        if isinstance(external, str) and isinstance(call, str) and external in asked:
            found.setdefault(external, call)
    return found


def _question(name: str, values: Iterable[str], longest: int) -> dict[str, Any]:
    wanted = list(values)
    if not 0 < len(wanted) <= MOST or any(not value or len(value) > longest for value in wanted):
        raise ValueError(f"1 to {MOST} ids can be asked for at once")
    return {"FILTER": {name: wanted}}


def _rows(result: object) -> list[dict[str, Any]]:
    if not isinstance(result, list):
        raise PortalBroken("the portal's list of calls is no list")
    return [row for row in result if isinstance(row, dict)]
