"""telephony.externalCall.finish: a call ends, and the CRM gets its activity, statistics row and missed mark."""

from __future__ import annotations

from typing import Any

from freepbx_bx24.sandbox.portal import crm, php
from freepbx_bx24.sandbox.portal.auth import check_auth_type
from freepbx_bx24.sandbox.portal.errors import bad_argument, refusal
from freepbx_bx24.sandbox.portal.registration import check_person, person_parameter
from freepbx_bx24.sandbox.portal.state import CALLBACK, INCOMING, OUTGOING, REDIRECTED, Call, Context, Outcome

NOT_FOUND = "Call is not found (call should be registered prior to finishing"  # only the documentation closes it
NO_CLIENT = "Could not find associated crm entity for the current call"
ANSWERED, MISSED = "200", "304"


def finish(context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
    """telephony.externalCall.finish; the order of checks and effects is the portal's."""
    check_auth_type(context.caller, context.switches)
    user_id = person_parameter(context, parameters)
    call_id = parameters.get("CALL_ID")
    if not isinstance(call_id, str):
        raise bad_argument("CALL_ID must be a string")
    call = context.state.open_call(call_id)
    if call is None:
        raise refusal(NOT_FOUND + (")" if context.switches.documented_wording else ""))
    check_person(context, user_id)

    duration = php.integer(parameters.get("DURATION"))
    code = php.text(parameters.get("STATUS_CODE")) or (ANSWERED if duration > 0 else MISSED)
    context.state.push_card("hide", call, user_id, "finish")
    crm.reassign_created(context, call, user_id)
    activity_id = crm.make_activity(
        context, call, user_id, duration=duration, missed=code == MISSED and call.call_type in (INCOMING, CALLBACK)
    )
    outcome = Outcome(
        statistic_id=0,
        user_id=user_id,
        duration=duration,
        status_code=code,
        failed_reason=php.text(parameters.get("FAILED_REASON")),
        vote=php.integer(parameters.get("VOTE")),
        cost=php.number(parameters.get("COST")),
        cost_currency=php.text(parameters.get("COST_CURRENCY")),
        record_url=php.text(parameters.get("RECORD_URL")),
        add_to_chat=_add_to_chat(context, parameters.get("ADD_TO_CHAT")),
        activity_id=activity_id,
        missed=code == MISSED and call.call_type in (INCOMING, REDIRECTED),
        finished_at=context.state.clock.now(),
    )
    _check_lengths(call, outcome)  # after the activity: a refused row leaves the activity behind and the call open
    outcome.statistic_id = context.state.next_number("statistic", first=77)
    context.state.finish_call(call, outcome)
    if call.call_type == OUTGOING and code == ANSWERED:
        context.state.close_missed(call.phone_number, call.call_id)
    return _result(call, outcome)


def _add_to_chat(context: Context, value: Any) -> bool:
    return context.switches.add_to_chat_default if value is None else php.truth(value)


def _check_lengths(call: Call, outcome: Outcome) -> None:
    """The widths of the statistics table's columns, in characters."""
    columns = (
        ("PHONE_NUMBER", call.phone_number, 20),
        ("EXTERNAL_CALL_ID", call.external_call_id or "", 64),
        ("PORTAL_NUMBER", call.portal_number, 50),
        ("CALL_FAILED_CODE", outcome.status_code, 255),
        ("CALL_FAILED_REASON", outcome.failed_reason, 255),
        ("COST_CURRENCY", outcome.cost_currency, 50),
        ("CALL_RECORD_URL", outcome.record_url, 2000),
    )
    for name, value, width in columns:
        if len(value) > width:
            raise refusal(f"Unexpected database error; Data too long for column '{name}' at row 1")


def _result(call: Call, outcome: Outcome) -> dict[str, Any]:
    result: dict[str, Any] = {
        "CALL_ID": call.call_id,
        "EXTERNAL_CALL_ID": call.external_call_id,
        "PORTAL_USER_ID": outcome.user_id,
        "PHONE_NUMBER": call.phone_number,
        "PORTAL_NUMBER": call.portal_number,
        "INCOMING": str(call.call_type),
        "CALL_DURATION": outcome.duration,
        "CALL_START_DATE": {},  # the server's date object has no JSON form
        "CALL_STATUS": 1 if outcome.duration > 0 else 0,
        "CALL_VOTE": outcome.vote,
        "COST": outcome.cost,
        "COST_CURRENCY": outcome.cost_currency,
        "CALL_FAILED_CODE": outcome.status_code,
        "CALL_FAILED_REASON": outcome.failed_reason,
        "REST_APP_ID": call.caller.app_id,
        "REST_APP_NAME": call.caller.app_name or False,
        "CRM_ACTIVITY_ID": outcome.activity_id or False,
        "COMMENT": None,
    }
    if call.entity:
        result["CRM_ENTITY_TYPE"], result["CRM_ENTITY_ID"] = call.entity
    if outcome.record_url:
        result["CALL_RECORD_URL"] = outcome.record_url
    result["ID"] = outcome.statistic_id
    if outcome.activity_id is None:
        result["ERRORS"] = {"ACTIVITY_CREATION": NO_CLIENT}
    return result
