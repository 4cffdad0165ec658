"""What people do in the portal that starts a call: a click on a number, and a callback form on a web site."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import phonenumbers

from freepbx_bx24.errors import SandboxError
from freepbx_bx24.sandbox.portal import crm, php
from freepbx_bx24.sandbox.portal.auth import Caller
from freepbx_bx24.sandbox.portal.registration import new_call, same_call, stripped
from freepbx_bx24.sandbox.portal.state import OUTGOING, Call, Context, Line
from freepbx_bx24.sandbox.portal.subscriptions import CALL_START, CALLBACK_START

PORTAL_COUNTRY = "RU"  # the portal's default country, by which numbers without + are read


def click(
    context: Context, user_id: int, number: str, line: str, entity: tuple[str, int], from_mobile: bool
) -> tuple[Call, dict[str, Any]]:
    """The call that the portal registers by itself when a person clicks, and the event's data.

    Clicking again before it is finished gives the same call. Under the portal's lock.

    :raises SandboxError: the application has not bound the event, so it is nobody's outgoing line; the person or the
        line does not exist; there is no digit in the number.
    """
    check_bound(context, CALL_START)
    chosen = line_of(context, line)
    phone = stripped(number)
    if not phone:
        raise SandboxError("there is nothing to dial in that number", "Click on a phone number.")
    if not context.world.active_employee(user_id):
        raise SandboxError(f"user {user_id} is no active user of this portal", "Click as an employee.")
    application = context.application
    caller = Caller(user_id, application.app_id, application.app_name, application.scopes)
    started = datetime.fromtimestamp(int(context.state.clock.now()), php.PORTAL_ZONE)
    call = new_call(context, caller, user_id, OUTGOING, phone, chosen, started)
    known = same_call(context, call)
    if known:
        call = known
    else:
        context.state.add_call(call)
        bound = dict(zip(("CRM_ENTITY_TYPE", "CRM_ENTITY_ID"), entity)) if entity[0] and entity[1] else {}
        # Only here a line's CRM_AUTO_CREATE counts.
        crm.bind(context, call, {**bound, "CRM_CREATE": int(chosen is None or chosen.crm_auto_create == "Y")})
    context.state.push_card("show", call, user_id, "click")
    entity_type, entity_id = call.entity or ("", None)
    international, extension = _read_number(number)
    data: dict[str, Any] = {
        "PHONE_NUMBER": number,
        "PHONE_NUMBER_INTERNATIONAL": international,
        "EXTENSION": extension,
        "USER_ID": user_id,
        "CALL_LIST_ID": 0,
        "LINE_NUMBER": chosen.number if chosen else "",
        "IS_MOBILE": from_mobile,
        "CALL_ID": call.call_id,
        "CRM_ENTITY_TYPE": entity_type,
        **({} if entity_id is None else {"CRM_ENTITY_ID": entity_id}),
        "CRM_CREATED_LEAD": call.created_lead,
        "CRM_CREATED_ENTITIES": [{"ENTITY_TYPE": kind, "ENTITY_ID": key} for kind, key in call.created_entities],
    }
    return call, data


def callback(context: Context, number: str, text: str, line: str, entity: tuple[str, int]) -> dict[str, Any]:
    """The data of the event that a callback form sends: no CALL_ID, nobody's user. Under the portal's lock.

    Without an entity it is the number's client, else the lead that the form makes.

    :raises SandboxError: the application has not bound the event, or the line does not exist.
    """
    check_bound(context, CALLBACK_START)
    chosen = line_of(context, line)
    entity_type, entity_id = entity
    if not (entity_type and entity_id):
        found = crm.find_client(context, number)
        found = found or context.world.create("LEAD", f"Callback {number}", number, source_id="WEB")
        entity_type, entity_id = found.key
    return {
        "PHONE_NUMBER": number,
        "TEXT": text,
        "VOICE": "",
        "CRM_ENTITY_TYPE": entity_type,
        "CRM_ENTITY_ID": entity_id,
        "LINE_NUMBER": chosen.number if chosen else "",
    }


def check_bound(context: Context, event: str) -> None:
    """:raises SandboxError: the application has not bound this event, either way."""
    if not any(row.event == event and row.app_id == context.application.app_id for row in context.state.bindings):
        raise SandboxError(
            f"the application has not bound {event}, so the portal offers it as nobody's line",
            "Bind it with event.bind, as `bx24 events bind` does.",
        )


def line_of(context: Context, number: str) -> Line | None:
    """The application's line; None for no number: the application itself. :raises SandboxError: it has no such line."""
    if not number:
        return None
    for line in context.state.lines:
        if line.number == number and line.app_id == context.application.app_id:
            return line
    raise SandboxError(f"the application has no line {number}", "Add it with telephony.externalLine.add.")


def _read_number(number: str) -> tuple[str, str]:
    """In E.164 with the portal's country, and the extension in it; what is no number stays as it was clicked."""
    try:
        read = phonenumbers.parse(number, PORTAL_COUNTRY)
    except phonenumbers.NumberParseException:
        return number, ""
    if not phonenumbers.is_possible_number(read):
        return number, ""
    return phonenumbers.format_number(read, phonenumbers.PhoneNumberFormat.E164), read.extension or ""
