"""event.bind, unbind, get and events: which events the application wants to hear of, and which way."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from freepbx_bx24.sandbox.portal import php
from freepbx_bx24.sandbox.portal.auth import Caller
from freepbx_bx24.sandbox.portal.errors import RestError, missing_argument, system_error
from freepbx_bx24.sandbox.portal.state import Binding, Context

ONLINE, OFFLINE = "online", "offline"
CALL_START, CALLBACK_START = "ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART"
OFFLINE_NEEDS_ADMIN = "Access denied! Offline events binding requires administrator access rights"

# Event -> the scope it needs ("": none).
EVENTS = {
    CALL_START: "telephony",
    CALLBACK_START: "telephony",
    "ONVOXIMPLANTCALLINIT": "telephony",
    "ONVOXIMPLANTCALLSTART": "telephony",
    "ONVOXIMPLANTCALLEND": "telephony",
    "ONAPPINSTALL": "",
    "ONAPPUNINSTALL": "",
    "ONOFFLINEEVENT": "",
}
NEVER_OFFLINE = frozenset({"ONOFFLINEEVENT"})


def check_application(caller: Caller) -> None:
    """Events belong to applications. :raises RestError: WRONG_AUTH_TYPE for a webhook."""
    if caller.is_webhook:
        raise system_error("wrong_auth_type")


def is_admin(context: Context) -> bool:
    """Whether the caller acts as an administrator of the portal."""
    person = context.world.employee(context.caller.user_id)
    return bool(person and person.admin)


def bind(context: Context, parameters: dict[str, Any]) -> bool:
    """event.bind: to a handler's address, or to the offline queue."""
    check_application(context.caller)
    name = _event_name(parameters)
    way = php.text(parameters.get("EVENT_TYPE")).lower() or ONLINE
    if way not in (ONLINE, OFFLINE):
        raise RestError(400, "ERROR_ARGUMENT", "Value must be one of {online|offline}", argument="EVENT_TYPE")
    handler = "" if way == OFFLINE else php.text(parameters.get("HANDLER"))
    user_id = 0 if way == OFFLINE else php.integer(parameters.get("AUTH_TYPE"))
    if way == OFFLINE and not is_admin(context):
        raise RestError(403, "ACCESS_DENIED", OFFLINE_NEEDS_ADMIN)
    if way == ONLINE and not handler:
        raise missing_argument("HANDLER")
    needed = EVENTS.get(name)
    if needed is None or (needed and needed not in context.caller.scopes) or (way == OFFLINE and name in NEVER_OFFLINE):
        raise RestError(400, "ERROR_EVENT_NOT_FOUND", "Event not found")
    if way == ONLINE:
        _check_address(handler)
    binding = Binding(name, handler, user_id, context.caller.app_id or "")
    if binding in context.state.bindings:
        raise RestError(400, "ERROR_CORE", "Unable to set event handler: Handler already binded")
    context.state.bindings.append(binding)
    return True


def unbind(context: Context, parameters: dict[str, Any]) -> dict[str, int]:
    """event.unbind: without HANDLER all handlers of the event; offline bindings by EVENT_TYPE alone."""
    check_application(context.caller)
    name = _event_name(parameters)
    offline = php.text(parameters.get("EVENT_TYPE")).lower() == OFFLINE
    if offline and not is_admin(context):
        raise RestError(403, "ACCESS_DENIED", OFFLINE_NEEDS_ADMIN)
    handler = php.text(parameters.get("HANDLER"))
    gone = [
        binding
        for binding in _own(context)
        if binding.event == name and binding.offline == offline and (offline or handler in ("", binding.handler))
    ]
    context.state.bindings = [binding for binding in context.state.bindings if binding not in gone]
    return {"count": len(gone)}


def get(context: Context, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """event.get: what the application has bound."""
    check_application(context.caller)
    return [
        {"event": binding.event, "connector_id": "", "offline": 1}
        if binding.offline
        else {"event": binding.event, "handler": binding.handler, "auth_type": binding.user_id, "offline": 0}
        for binding in _own(context)
    ]


def events(context: Context, parameters: dict[str, Any]) -> list[str]:
    """events: the names that can be bound with the caller's scopes."""
    check_application(context.caller)
    return [name for name, scope in EVENTS.items() if not scope or scope in context.caller.scopes]


def feature(context: Context, parameters: dict[str, Any]) -> dict[str, str]:
    """feature.get: whether the portal's plan has a feature."""
    code = php.text(parameters.get("CODE"))
    if not code:
        raise missing_argument("CODE")
    return {"value": "Y" if code == "rest_offline_extended" and context.switches.offline_extended else "N"}


def _own(context: Context) -> list[Binding]:
    return [binding for binding in context.state.bindings if binding.app_id == context.caller.app_id]


def _event_name(parameters: dict[str, Any]) -> str:
    name = php.text(parameters.get("EVENT")).upper()
    if not name:
        raise missing_argument("EVENT")
    return name


def _check_address(handler: str) -> None:
    try:
        parts = urlsplit(handler)
        name = parts.hostname or ""
    except ValueError:
        parts, name = urlsplit(""), ""
    if parts.scheme and parts.scheme not in ("http", "https"):
        raise RestError(400, "ERROR_UNSUPPORTED_PROTOCOL", "Unsupported event handler protocol")
    if not parts.scheme or "." not in name:
        raise RestError(400, "ERROR_WRONG_HANDLER_URL", "Wrong handler URL")
