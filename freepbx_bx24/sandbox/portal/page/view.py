"""What the page shows, as plain items: people, clients, lines, calls with their cards, notices, and the troubles."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from freepbx_bx24.sandbox.portal.ledger import call_row
from freepbx_bx24.sandbox.portal.page.words import outcome_of
from freepbx_bx24.sandbox.portal.state import Call, State
from freepbx_bx24.sandbox.portal.world import World

if TYPE_CHECKING:
    from freepbx_bx24.sandbox.portal.page.switchboard import Switchboard
    from freepbx_bx24.sandbox.portal.server import Portal

NEWEST_CALLS = 200
NEWEST_NOTICES = 20
NEWEST_CLIENTS = 200


def items_of(portal: Portal, switchboard: Switchboard) -> dict[str, Any]:
    """Everything by key (`person:1101`, `call:externalCall...`); the newest of what has no end."""
    with portal.lock:
        items = {
            **_people(portal.world),
            **_clients(portal.world),
            **_lines(portal.state, portal.application.app_id),
            **_calls(portal.state, portal.world),
            **_notices(portal.state),
        }
    items["troubles"] = switchboard.state()
    return items


def _people(world: World) -> dict[str, Any]:
    return {
        f"person:{person.user_id}": {
            "user_id": person.user_id,
            "name": f"{person.name} {person.last_name}".strip(),
            "extension": person.extension or "",
        }
        for person in world.employees
        if world.active_employee(person.user_id)
    }


def _clients(world: World) -> dict[str, Any]:
    return {
        f"client:{entity.entity_type}:{entity.entity_id}": {
            "entity_type": entity.entity_type,
            "entity_id": entity.entity_id,
            "name": entity.name,
            "phones": list(entity.phones),
            "responsible": entity.assigned_by_id,
            "made_by_call": entity.created_by_call is not None,
        }
        for entity in world.entities[-NEWEST_CLIENTS:]
        if entity.phones
    }


def _lines(state: State, app_id: str | None) -> dict[str, Any]:
    """The lines that a person can choose for a click: those of the application."""
    return {
        f"line:{line.number}": {"number": line.number, "name": line.name}
        for line in state.lines
        if line.app_id == app_id
    }


def _calls(state: State, world: World) -> dict[str, Any]:
    first = max(0, len(state.calls) - NEWEST_CALLS)
    shown = state.calls[first:]
    cards = _cards(state, {call.call_id for call in shown})
    return {
        f"call:{call.call_id}": _call(call, place, cards.get(call.call_id, []), world)
        for place, call in zip(itertools.count(first), shown)
    }


def _cards(state: State, wanted: set[str]) -> dict[str, list[dict[str, Any]]]:
    """By call: each person who has or had its card, and since when."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for card in state.cards:
        if card["CALL_ID"] in wanted:
            people = found.setdefault(card["CALL_ID"], {})
            shown = card["action"] == "show"
            known = people.get(card["USER_ID"])
            if shown or (known and known["shown"]):  # who never saw a card has none to lose
                people[card["USER_ID"]] = {
                    "user_id": card["USER_ID"],
                    "shown": shown,
                    "since": card["time"],
                    "cause": card["cause"],
                }
    return {call_id: list(people.values()) for call_id, people in found.items()}


def _call(call: Call, place: int, cards: list[dict[str, Any]], world: World) -> dict[str, Any]:
    row = call_row(call)
    outcome = outcome_of(row)
    entity_type, entity_id = call.entity or ("", None)
    entity = world.entity(entity_type, entity_id) if entity_id is not None else None
    record = call.records[-1] if call.records else None
    return {
        "call_id": call.call_id,
        "place": place,
        "direction": row["direction"],
        "number": call.phone_number,
        "client": entity.name if entity else "",
        "client_type": entity.entity_type.lower() if entity else "",
        "new_client": entity is not None and entity.created_by_call == call.call_id,
        "line": (call.line.name or call.line.number) if call.line else "",
        "line_number": call.line.number if call.line else "",
        "person": call.outcome.user_id if call.outcome else call.user_id,
        "open": call.outcome is None,
        "started": call.started.timestamp(),
        "outcome": outcome.text,
        "tone": outcome.tone,
        "reason": row["FAILED_REASON"] or "",
        "talk_seconds": row["CALL_DURATION"],
        "recording": {"file_id": record.file_id, "name": record.name, "size": record.size} if record else None,
        "cards": cards,
    }


def _notices(state: State) -> dict[str, Any]:
    return {
        f"notice:{notice['ID']}": {"user_id": notice["USER_ID"], "text": notice["MESSAGE"], "time": notice["time"]}
        for notice in state.notices[-NEWEST_NOTICES:]
    }
