"""voximplant.statistic.get: the rows that finished calls left behind, for reconciliation."""

from __future__ import annotations

import operator
import re
from typing import Any, Callable

from freepbx_bx24.sandbox.portal import php
from freepbx_bx24.sandbox.portal.errors import system_error
from freepbx_bx24.sandbox.portal.state import Call, Context, Listing, Outcome, page_of

NUMERIC = frozenset(
    {
        "ID",
        "PORTAL_USER_ID",
        "CALL_DURATION",
        "CALL_VOTE",
        "COST",
        "CRM_ENTITY_ID",
        "CRM_ACTIVITY_ID",
        "CALL_TYPE",
        "RECORD_FILE_ID",
    }
)
DATES = frozenset({"CALL_START_DATE"})
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "": operator.eq,
    "=": operator.eq,
    "!": operator.ne,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_KEY = re.compile(r"(>=|<=|!=|[><=!]?)([A-Z_]+)")


def _row(call: Call, outcome: Outcome) -> dict[str, Any]:
    """All values are strings, except the record's file id (integer or null)."""
    entity_type, entity_id = call.entity or (None, None)
    return {
        "ID": str(outcome.statistic_id),
        "PORTAL_USER_ID": str(outcome.user_id),
        "PORTAL_NUMBER": call.portal_number,
        "PHONE_NUMBER": call.phone_number,
        "CALL_ID": call.call_id,
        "EXTERNAL_CALL_ID": call.external_call_id,
        "CALL_CATEGORY": "external",
        "CALL_DURATION": str(outcome.duration),
        "CALL_START_DATE": call.started.isoformat(),
        "CALL_VOTE": str(outcome.vote),
        "COST": f"{outcome.cost:.4f}",
        "COST_CURRENCY": outcome.cost_currency,
        "CALL_FAILED_CODE": outcome.status_code,
        "CALL_FAILED_REASON": outcome.failed_reason,
        "CRM_ENTITY_TYPE": entity_type,
        "CRM_ENTITY_ID": None if entity_id is None else str(entity_id),
        "CRM_ACTIVITY_ID": None if outcome.activity_id is None else str(outcome.activity_id),
        "REST_APP_ID": call.caller.app_id,
        "REST_APP_NAME": call.caller.app_name or False,
        "CALL_TYPE": str(call.call_type),
        "COMMENT": None,
        "CALL_RECORD_URL": outcome.record_url,
        "RECORD_FILE_ID": call.records[-1].file_id if call.records else None,
    }


def _comparable(field: str, value: Any) -> Any:
    if field in NUMERIC:
        return float(php.number(value))
    if field in DATES:
        moment = php.read_date(php.text(value))
        return moment.timestamp() if moment else None
    return php.text(value)


def _matches(row: dict[str, Any], sign: str, field: str, wanted: Any) -> bool:
    values = [_comparable(field, value) for value in php.as_list(wanted)]
    if None in values:
        return True  # a date that can't be read filters nothing
    compare = COMPARISONS[sign]
    tests = [compare(_comparable(field, row[field]), value) for value in values]
    return all(tests) if sign.startswith("!") else any(tests)


def _candidates(context: Context, wanted: dict[str, Any]) -> list[Call]:
    """The calls among which those of the filter are: few, where it names them."""
    for name, look_up in (
        ("CALL_ID", lambda value: [context.state.finished_call(value)]),
        ("EXTERNAL_CALL_ID", context.state.finished_with_external_id),
    ):
        value = wanted.get(name, wanted.get("=" + name))
        texts = {php.text(item): None for item in php.as_list(value)}
        if value is not None and "" not in texts:  # the empty text means calls without an id
            return [call for text in texts for call in look_up(text) if call]
    return context.state.finished_calls()


def statistics(context: Context, parameters: dict[str, Any]) -> Listing:
    """voximplant.statistic.get with FILTER (operator prefixes; unknown fields are dropped), SORT, ORDER and start.

    :raises RestError: 403 ACCESS_DENIED when the caller's user may not see call statistics.
    """
    person = context.world.employee(context.caller.user_id)
    if person is None or not person.may_view_statistics:
        raise system_error("access_denied")
    given = parameters.get("FILTER")
    wanted: dict[str, Any] = given if isinstance(given, dict) else {}
    rows = [_row(call, call.outcome) for call in _candidates(context, wanted) if call.outcome]
    for key, value in wanted.items():
        found = _KEY.fullmatch(key)
        if found and rows and found.group(2) in rows[0]:
            rows = [row for row in rows if _matches(row, found.group(1), found.group(2), value)]
    field = php.text(parameters.get("SORT")) or "ID"
    field = field if rows and field in rows[0] else "ID"
    rows.sort(
        key=lambda row: (_comparable(field, row[field]), int(row["ID"])),
        reverse=php.text(parameters.get("ORDER")).upper() == "DESC",
    )
    return page_of(rows, php.integer(parameters.get("start")))
