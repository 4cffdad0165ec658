"""telephony.externalCall.register, show and hide: a call begins, and its card comes and goes."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from typing import Any

from freepbx_bx24.sandbox.portal import crm, php
from freepbx_bx24.sandbox.portal.auth import Caller, check_auth_type
from freepbx_bx24.sandbox.portal.errors import refusal
from freepbx_bx24.sandbox.portal.lines import line_for_call
from freepbx_bx24.sandbox.portal.state import Call, Context, Line

DEDUPE_WINDOW = timedelta(minutes=30)
TYPES = {str(number): number for number in range(1, 6)}


def person_parameter(context: Context, parameters: dict[str, Any]) -> int:
    """The user id from USER_ID, else from USER_PHONE_INNER.

    :raises RestError: none given; an internal number that matches nobody counts as none.
    """
    user_id = php.integer(parameters.get("USER_ID"))
    if not user_id:
        person = context.world.by_extension(php.text(parameters.get("USER_PHONE_INNER")))
        user_id = person.user_id if person else 0
    if not user_id:
        raise refusal("USER_ID or USER_PHONE_INNER should be set")
    return user_id


def check_person(context: Context, user_id: int) -> None:
    """:raises RestError: nobody with this id, or dismissed, or not a real user."""
    if not context.world.active_employee(user_id):
        raise refusal("User is not found or is not active")


def register(context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
    """telephony.externalCall.register; the order of the checks is the portal's."""
    check_auth_type(context.caller, context.switches)
    user_id = person_parameter(context, parameters)
    call_type = TYPES.get(php.text(parameters.get("TYPE")))
    if call_type is None:
        raise refusal("Unknown TYPE")
    now = context.state.clock.now()
    started = _start_date(parameters.get("CALL_START_DATE"), now)
    phone = stripped(php.text(parameters.get("PHONE_NUMBER")))
    if not phone:
        raise refusal("Unsupported phone number format")
    check_person(context, user_id)

    line = line_for_call(context, php.text(parameters.get("LINE_NUMBER")).strip())
    name = php.text(parameters.get("EXTERNAL_CALL_ID")) or None
    call = new_call(context, context.caller, user_id, call_type, phone, line, started, name)
    known = same_call(context, call)
    if known:
        call = known
    else:
        context.state.add_call(call)
        crm.bind(context, call, parameters)
    if php.truth(1 if parameters.get("SHOW") is None else parameters["SHOW"]):
        context.state.push_card("show", call, user_id, "register")
    return _result(call, known is not None)


def new_call(
    context: Context,
    caller: Caller,
    user_id: int,
    call_type: int,
    phone: str,
    line: Line | None,
    started: datetime,
    external_call_id: str | None = None,
) -> Call:
    """A call of `caller`'s application that nobody has added to the portal's table yet."""
    now = context.state.clock.now()
    return Call(
        call_id=f"externalCall.{secrets.token_hex(16)}.{int(now)}",
        external_call_id=external_call_id,
        call_type=call_type,
        phone_number=phone,
        line=line,
        portal_number=line.number if line else f"REST_APP:{caller.app_id or ''}",
        started=started,
        user_id=user_id,
        caller=caller,
        registered_at=now,
    )


def stripped(number: str) -> str:
    """A phone number as the portal keeps it; empty where nothing of it can be dialled."""
    return re.sub(r"[^0-9#*+,;]", "", number)


def _start_date(value: Any, now: float) -> datetime:
    if value is None or value == "":
        return datetime.fromtimestamp(int(now), php.PORTAL_ZONE)
    started = php.read_date(php.text(value))
    if started is None:
        raise refusal("CALL_START_DATE should be in the ISO-8601 format")
    return started


def same_call(context: Context, new: Call) -> Call | None:
    """The open call that this registration, or click, repeats.

    Line and EXTERNAL_CALL_ID count only if they were sent; the clock is the known call's CALL_START_DATE.
    """
    oldest = datetime.fromtimestamp(context.state.clock.now(), php.PORTAL_ZONE) - DEDUPE_WINDOW
    for call in reversed(context.state.open_calls_like(new)):
        if (
            call.started > oldest
            and (new.line is None or call.line is new.line)
            and (new.external_call_id is None or call.external_call_id == new.external_call_id)
        ):
            return call
    return None


def _result(call: Call, repeated: bool) -> dict[str, Any]:
    entity_type, entity_id = call.entity or (False if repeated else "", None)
    result: dict[str, Any] = {
        "CALL_ID": call.call_id,
        "CRM_CREATED_LEAD": call.created_lead,
        "CRM_CREATED_ENTITIES": [{"ENTITY_TYPE": kind, "ENTITY_ID": number} for kind, number in call.created_entities],
        "CRM_ENTITY_TYPE": entity_type,
        "CRM_ENTITY_ID": entity_id,
    }
    if call.lead_creation_error is not None and not repeated:
        result["LEAD_CREATION_ERROR"] = call.lead_creation_error
    return result


def show(context: Context, parameters: dict[str, Any]) -> bool:
    """telephony.externalCall.show: false for a call that is unknown or finished."""
    return _cards(context, parameters, "show")


def hide(context: Context, parameters: dict[str, Any]) -> bool:
    """telephony.externalCall.hide: false for a call that is unknown or finished."""
    return _cards(context, parameters, "hide")


def _cards(context: Context, parameters: dict[str, Any], action: str) -> bool:
    call = context.state.open_call(parameters.get("CALL_ID"))
    if call is None:
        return False
    people = parameters.get("USER_ID")
    for user_id in [call.user_id] if people is None else map(php.integer, php.as_list(people)):
        if context.world.active_employee(user_id):  # nobody else has a screen; unknown ids are not reported
            context.state.push_card(action, call, user_id, action)
    return True
