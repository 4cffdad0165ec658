"""event.offline.*: the queue in which events wait for an application that can't be reached."""

from __future__ import annotations

import operator
import secrets
from datetime import datetime
from typing import Any, Callable

from freepbx_bx24.sandbox.portal import php
from freepbx_bx24.sandbox.portal.errors import RestError, missing_argument, system_error
from freepbx_bx24.sandbox.portal.state import Context, Listing, OfflineEvent, page_of
from freepbx_bx24.sandbox.portal.subscriptions import check_application, is_admin

LIMIT = 50
NOT_IN_PLAN = "This feature is not enabled for the current license: extended offline events handling"
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "!": operator.ne,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
    "": operator.eq,
}
FIELDS: dict[str, Callable[[OfflineEvent], Any]] = {
    "ID": lambda event: event.row_id,
    "TIMESTAMP_X": lambda event: int(event.stored_at),
    "EVENT_NAME": lambda event: event.name,
    "MESSAGE_ID": lambda event: event.message_id,
    "PROCESS_ID": lambda event: event.process_id,
    "ERROR": lambda event: int(event.error),
}
FOR_GET = ("ID", "TIMESTAMP_X", "EVENT_NAME", "MESSAGE_ID")


def get(context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
    """event.offline.get: takes the first rows away (CLEAR 1), or reserves them for a PROCESS_ID (CLEAR 0)."""
    _check_caller(context)
    keep = parameters.get("CLEAR") is not None and not php.integer(parameters["CLEAR"])
    if keep:
        _check_plan(context)
    process_id = php.text(parameters.get("PROCESS_ID"))
    with_errors = php.integer(parameters.get("ERROR")) == 1
    rows = [
        event
        for event in _chosen(context, parameters, FOR_GET, "TIMESTAMP_X")
        if event.process_id == process_id and (with_errors or not event.error)
    ][: php.integer(parameters.get("LIMIT")) or LIMIT]
    if keep:
        process_id = process_id or secrets.token_hex(16)
        for event in rows:
            event.process_id = process_id
    else:
        _forget(context, rows)
    return {"process_id": process_id if keep else None, "events": [_row(event) for event in rows]}


def listing(context: Context, parameters: dict[str, Any]) -> Listing:
    """event.offline.list: the queue as it is, reserved rows too; 50 a page; changes nothing."""
    _check_caller(context)
    page = page_of(_chosen(context, parameters, tuple(FIELDS), "ID"), php.integer(parameters.get("START")))
    page.result = [
        {**_row(event), "PROCESS_ID": event.process_id, "ERROR": str(int(event.error))} for event in page.result
    ]
    return page


def clear(context: Context, parameters: dict[str, Any]) -> bool:
    """event.offline.clear: drops the rows of a PROCESS_ID, all or those named by ID, else by MESSAGE_ID."""
    _forget(context, _reserved(context, parameters))
    return True


def error(context: Context, parameters: dict[str, Any]) -> bool:
    """event.offline.error: marks reserved rows, so that no read without ERROR 1 meets them again."""
    if parameters.get("MESSAGE_ID") is None:
        parameters = {**parameters, "MESSAGE_ID": []}
    for event in _reserved(context, parameters):
        event.error, event.process_id = True, ""
    return True


def _check_caller(context: Context) -> None:
    check_application(context.caller)
    if not is_admin(context):
        raise system_error("access_denied")


def _check_plan(context: Context) -> None:
    if not context.switches.offline_extended:
        raise RestError(403, "WRONG_LICENSE", NOT_IN_PLAN)


def _own(context: Context) -> list[OfflineEvent]:
    return [event for event in context.state.offline_events if event.app_id == context.caller.app_id]


def _reserved(context: Context, parameters: dict[str, Any]) -> list[OfflineEvent]:
    _check_caller(context)
    _check_plan(context)
    process_id = php.text(parameters.get("PROCESS_ID"))
    if not process_id:
        raise missing_argument("PROCESS_ID")
    rows = [event for event in _own(context) if event.process_id == process_id]
    for name in ("ID", "MESSAGE_ID"):
        if parameters.get(name) is not None:
            wanted = {php.text(value) for value in php.as_list(parameters[name])}
            return [event for event in rows if php.text(FIELDS[name](event)) in wanted]
    return rows


def _forget(context: Context, rows: list[OfflineEvent]) -> None:
    context.state.offline_events = [event for event in context.state.offline_events if event not in rows]


def _chosen(context: Context, parameters: dict[str, Any], fields: tuple[str, ...], order_by: str) -> list[OfflineEvent]:
    rows = _own(context)
    wanted = parameters.get("FILTER")
    for key, value in (wanted if isinstance(wanted, dict) else {}).items():
        name = key.lstrip("<>=!").upper()
        if name not in fields:
            raise RestError(400, "ERROR_ARGUMENT", f"Unknown field {name}", argument="FILTER")
        compare = OPERATORS.get(key[: len(key) - len(name)])
        if compare is None:
            raise RestError(400, "ERROR_ARGUMENT", f"Unknown operation {key}", argument="FILTER")
        rows = [event for event in rows if compare(FIELDS[name](event), _comparable(name, value))]
    order = parameters.get("ORDER")
    rows.sort(key=lambda event: event.row_id)
    by = order if isinstance(order, dict) and order else {order_by: "ASC"}
    for key, direction in reversed(list(by.items())):
        if key.upper() in fields:
            rows.sort(key=FIELDS[key.upper()], reverse=php.text(direction).upper() == "DESC")
    return rows


def _comparable(name: str, value: Any) -> Any:
    if name == "TIMESTAMP_X":
        moment = php.read_date(php.text(value))
        return int(moment.timestamp()) if moment else 0
    return php.integer(value) if name in ("ID", "ERROR") else php.text(value)


def _row(event: OfflineEvent) -> dict[str, Any]:
    return {
        "ID": str(event.row_id),
        "TIMESTAMP_X": datetime.fromtimestamp(int(event.stored_at), php.PORTAL_ZONE).isoformat(),
        "EVENT_NAME": event.name,
        "EVENT_DATA": event.data,
        "EVENT_ADDITIONAL": {"user_id": event.user_id},
        "MESSAGE_ID": event.message_id,
    }
