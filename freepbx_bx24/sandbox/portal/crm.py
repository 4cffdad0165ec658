"""The CRM's side of a call: which client it is, what is created for an unknown one, and who owns that."""

from __future__ import annotations

from typing import Any

from freepbx_bx24.sandbox.portal import php
from freepbx_bx24.sandbox.portal.errors import refusal
from freepbx_bx24.sandbox.portal.state import OUTGOING, Call, Context
from freepbx_bx24.sandbox.portal.world import Employee, Entity, normalise

SEARCH_LIMIT = 50
LOCAL_USER = "Lead creation is disabled for local users"


def find_client(context: Context, phone: str) -> Entity | None:
    """The primary entity of a number: a contact, else a company, else (only then searched) an open lead."""
    for entity_type in ("CONTACT", "COMPANY", "LEAD"):
        found = [
            entity
            for entity in context.world.with_phone(entity_type, phone)
            if entity_type != "LEAD" or not entity.closed
        ]
        if found:
            return found[0]
    return None


def bind(context: Context, call: Call, parameters: dict[str, Any]) -> None:
    """Bind a new call to its client, creating one if CRM_CREATE asks for it (register's CRM step)."""
    entity_type, entity_id = parameters.get("CRM_ENTITY_TYPE"), parameters.get("CRM_ENTITY_ID")
    if entity_type is not None and entity_id is not None:
        call.entity = (php.text(entity_type), php.integer(entity_id))  # taken unseen; the number is not searched
        return
    client = find_client(context, call.phone_number)
    call.entity = client.key if client else None
    if php.truth(parameters.get("CRM_CREATE")):
        _create(context, call, client, php.text(parameters.get("CRM_SOURCE")))


def _create(context: Context, call: Call, client: Entity | None, source: str) -> None:
    phone = normalise(call.phone_number)
    call.lead_creation_error = ""  # what portals send when nothing had to be created
    if any(person.extension == call.phone_number for person in context.world.employees):
        return  # an internal call
    if any(phone in person.phones for person in context.world.employees):
        call.lead_creation_error = LOCAL_USER
        return
    if phone in map(normalise, context.world.excluded_numbers):
        return
    lead_mode = context.switches.lead_mode
    if client is None:
        wanted = ["LEAD"] if lead_mode else ["CONTACT", "DEAL"]
    elif client.entity_type == "LEAD" or call.call_type == OUTGOING or _open_work(context, client):
        return
    elif lead_mode:
        wanted = ["LEAD"] if context.switches.repeat_leads else []
    else:
        wanted = ["DEAL"]
    if not wanted:
        return
    call.lead_creation_error = None
    owner = client.key if client else None
    for entity_type in wanted:
        entity = context.world.create(
            entity_type,
            f"{call.phone_number} - phone call",
            "" if entity_type == "DEAL" else call.phone_number,
            assigned_by_id=call.user_id,
            client=owner,
            created_by_call=call.call_id,
            source_id=source if source in context.world.sources else "CALL",
        )
        call.created_entities.append(entity.key)
        owner = owner or entity.key
        call.entity = call.entity or entity.key
        if entity_type == "LEAD":
            call.created_lead = entity.entity_id


def _open_work(context: Context, client: Entity) -> bool:
    """An open deal or repeat lead of this client."""
    return any(not entity.closed for entity in context.world.belonging_to(client.key))


def reassign_created(context: Context, call: Call, user_id: int) -> None:
    """What this call created goes to the person who finished it; existing entities keep their owner."""
    for key in call.created_entities:
        entity = context.world.entity(*key)
        if entity:
            entity.assigned_by_id = user_id


def make_activity(context: Context, call: Call, user_id: int, missed: bool, duration: int) -> int | None:
    """The call as an activity of its client; None when there is no client."""
    if call.entity is None:
        client = find_client(context, call.phone_number)
        call.entity = client.key if client else None
    if call.entity is None:
        return None
    activity_id = context.state.next_number("activity", first=901)
    context.state.activities.append(
        {
            "ID": activity_id,
            "CALL_ID": call.call_id,
            "RESPONSIBLE_ID": user_id,
            "missed": missed,
            "CRM_ENTITY_TYPE": call.entity[0],
            "CRM_ENTITY_ID": call.entity[1],
            "DURATION": duration,
        }
    )
    return activity_id


def search(context: Context, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """telephony.externalCall.searchCrmEntities: contacts, then leads (closed ones too), then companies."""
    phone = php.text(parameters.get("PHONE_NUMBER"))
    if not phone:
        raise refusal("PHONE_NUMBER is empty")
    if not context.switches.crm_installed:
        raise refusal("CRM is not installed.")
    found: list[dict[str, Any]] = []
    for entity_type in ("CONTACT", "LEAD", "COMPANY"):
        for entity in context.world.with_phone(entity_type, phone)[:SEARCH_LIMIT]:
            row = {
                "CRM_ENTITY_TYPE": entity.entity_type,
                "CRM_ENTITY_ID": entity.entity_id,
                "ASSIGNED_BY_ID": entity.assigned_by_id,
                "NAME": entity.name,
                "ASSIGNED_BY": _assigned_by(context.world.employee(entity.assigned_by_id)),
            }
            if not entity.name:
                del row["NAME"]
            found.append(row)
    return found


def _assigned_by(person: Employee | None) -> dict[str, str | None]:
    if person is None:
        return dict.fromkeys(
            ("ID", "TIMEMAN_STATUS", "USER_PHONE_INNER", "WORK_PHONE", "PERSONAL_PHONE", "PERSONAL_MOBILE")
        )
    return {
        "ID": str(person.user_id),
        "TIMEMAN_STATUS": person.timeman,
        "USER_PHONE_INNER": person.extension,
        "WORK_PHONE": person.work_phone,
        "PERSONAL_PHONE": person.personal_phone,
        "PERSONAL_MOBILE": person.personal_mobile,
    }
