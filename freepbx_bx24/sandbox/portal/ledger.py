"""The ledger: what the CRM would show of everything that happened, and every request, without secrets."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from freepbx_bx24.sandbox.portal.auth import Presented
from freepbx_bx24.sandbox.portal.state import Call, State
from freepbx_bx24.sandbox.portal.world import World

DIRECTIONS = {1: "outgoing", 2: "incoming", 3: "redirected", 4: "callback", 5: "info"}
SECRET_NAMES = frozenset({"auth", "access_token", "refresh_token", "token", "client_secret", "application_token"})
BATCH = "CMD"  # the parameter whose texts are method calls with parameters of their own
LONGEST_TEXT = 2000  # characters kept of a parameter
_CONTENT_IN_QUERY = re.compile(r"([?&]FILE_CONTENT=)([^&]*)")
_SECRET_IN_PATH = re.compile(r"(/rest/\d+)/[^/]+")
_SECRET_IN_QUERY = re.compile(rf"([?&])({'|'.join(sorted(SECRET_NAMES))})=[^&]*", re.IGNORECASE)


def ledger(state: State, world: World) -> dict[str, Any]:
    """Plain data: calls (in order of registration), cards, requests, token requests, entities, lines, activities,
    bound events, the offline queue, events sent to handlers, notices."""
    return {
        "calls": [call_row(call) for call in state.calls],
        "cards": [dict(card) for card in state.cards],
        "requests": [dict(request) for request in state.requests],
        "oauth": [dict(request) for request in state.token_requests],
        "entities": [
            {
                "CRM_ENTITY_TYPE": entity.entity_type,
                "CRM_ENTITY_ID": entity.entity_id,
                "NAME": entity.name,
                "PHONES": list(entity.phones),
                "ASSIGNED_BY_ID": entity.assigned_by_id,
                "SOURCE_ID": entity.source_id,
                "CLOSED": entity.closed,
                "CLIENT": list(entity.client) if entity.client else None,
                "CREATED_BY_CALL": entity.created_by_call,
            }
            for entity in world.entities
        ],
        "lines": [
            {
                "ID": line.line_id,
                "NUMBER": line.number,
                "NAME": line.name,
                "CRM_AUTO_CREATE": line.crm_auto_create,
                "REST_APP_ID": line.app_id,
            }
            for line in state.lines
        ],
        "activities": [dict(activity) for activity in state.activities],
        "bindings": [{"event": binding.event, "offline": binding.offline} for binding in state.bindings],
        "offline_events": [
            {
                "ID": event.row_id,
                "EVENT_NAME": event.name,
                "EVENT_DATA": dict(event.data),
                "reserved": bool(event.process_id),
                "error": event.error,
            }
            for event in state.offline_events
        ],
        "deliveries": [dict(delivery) for delivery in state.deliveries],
        "notices": [dict(notice) for notice in state.notices],
    }


def call_row(call: Call) -> dict[str, Any]:
    """One call as the ledger has it."""
    outcome = call.outcome
    entity_type, entity_id = call.entity or (None, None)
    return {
        "CALL_ID": call.call_id,
        "EXTERNAL_CALL_ID": call.external_call_id,
        "state": "finished" if outcome else "open",
        "TYPE": call.call_type,
        "direction": DIRECTIONS[call.call_type],
        "PHONE_NUMBER": call.phone_number,
        "LINE_NUMBER": call.line.number if call.line else None,
        "PORTAL_NUMBER": call.portal_number,
        "CALL_START_DATE": call.started.isoformat(),
        "REST_APP_ID": call.caller.app_id,
        "registered_by": call.user_id,
        "registered_at": call.registered_at,
        "finished_by": outcome.user_id if outcome else None,
        "finished_at": outcome.finished_at if outcome else None,
        "CALL_DURATION": outcome.duration if outcome else None,
        "STATUS_CODE": outcome.status_code if outcome else None,
        "FAILED_REASON": outcome.failed_reason if outcome else None,
        "COST": outcome.cost if outcome else None,
        "VOTE": outcome.vote if outcome else None,
        "ADD_TO_CHAT": outcome.add_to_chat if outcome else None,
        "missed": outcome.missed if outcome else False,
        "missed_closed_by": outcome.missed_closed_by if outcome else None,
        "CRM_ENTITY_TYPE": entity_type,
        "CRM_ENTITY_ID": entity_id,
        "CRM_CREATED_LEAD": call.created_lead,
        "CRM_CREATED_ENTITIES": [list(key) for key in call.created_entities],
        "CRM_ACTIVITY_ID": outcome.activity_id if outcome else None,
        "records": [
            {
                "FILE_ID": record.file_id,
                "FILENAME": record.name,
                "size": record.size,
                "sha256": record.sha256,
                "mode": record.mode,
            }
            for record in call.records
        ],
        "transcript": call.transcript.messages if call.transcript else None,
    }


def without_secrets(value: Any, name: str = "") -> Any:
    """Parameters fit to be shown: no credentials, no file contents, no query strings of addresses."""
    if isinstance(value, dict):
        return {
            key: without_secrets(item, name if name == BATCH else key.upper())
            for key, item in value.items()
            if key.lower() not in SECRET_NAMES
        }
    if isinstance(value, list):
        return [without_secrets(item, name) for item in value]
    if not isinstance(value, str):
        return value
    if name == BATCH:
        value = _CONTENT_IN_QUERY.sub(lambda found: f"{found[1]}<{len(found[2])} characters>", value)
    if name == "FILE_CONTENT" or len(value) > LONGEST_TEXT:
        return f"<{len(value)} characters>"
    if name == "RECORD_URL":
        return _bare_address(value)
    return _SECRET_IN_QUERY.sub(r"\1\2=<removed>", value) if name == BATCH else value


def _bare_address(address: str) -> str:
    try:
        parts = urlsplit(address)
        path = _SECRET_IN_PATH.sub(r"\1/<removed>", parts.path)
        return f"{parts.scheme}://{parts.hostname}{path}"
    except ValueError:
        return "<an address>"


def without_key(text: Any, presented: Presented) -> Any:
    """An answer's text without the key that its request showed: a scripted portal may be one that repeats it."""
    for key in filter(None, (presented.webhook_secret, presented.token)):
        text = text.replace(key, "<removed>") if isinstance(text, str) else text
    return text
