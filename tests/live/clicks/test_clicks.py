"""Clicks in the portal, on real telephones: who rings, who is dialled, and what the CRM is told."""

from __future__ import annotations

from typing import Any

from freepbx_bx24.sandbox.pbx.record import CallRecord, answer
from freepbx_bx24.sandbox.portal import Entity
from tests.live.world import World
from tests.support.running_service import wait_until


def user_of(extension: int) -> int:
    return extension + 1000


def outside(world: World, number: str) -> list[CallRecord]:
    """The calls that reached a client, by either trunk."""
    return [
        one
        for trunk in (world.pbx.trunk, world.pbx.reserve_trunk)
        for one in trunk.records
        if not one.placed and one.request_user[-10:] == number[-10:]
    ]


def takes(world: World, number: str, behaviour: Any) -> None:
    for trunk in (world.pbx.trunk, world.pbx.reserve_trunk):
        trunk.on_number(number, behaviour)


def finished(world: World, call_id: str, seconds: float = 30.0) -> dict[str, Any]:
    """The portal's own call, once it has its end."""

    def state() -> dict[str, Any]:
        return next(call for call in world.portal.ledger()["calls"] if call["CALL_ID"] == call_id)

    wait_until(lambda: state()["state"] == "finished", seconds, world.explain)
    return state()


def test_a_click_rings_the_person_then_the_client_and_both_talk(dialling: World) -> None:
    number = dialling.new_number()
    dialling.portal.world.entities.append(
        Entity("CONTACT", 7001, "Анна Петрова", [number], assigned_by_id=user_of(111))
    )
    takes(dialling, number, answer(1.0, talk=2.0))
    call_id = dialling.portal.click(user_of(111), number)
    crm = finished(dialling, call_id)
    (mine,) = [one for one in dialling.pbx.phone(111).records if one.from_user == number]
    (theirs,) = outside(dialling, number)
    assert mine.from_name == "Анна Петрова"
    assert (crm["finished_by"], crm["STATUS_CODE"]) == (user_of(111), "200"), dialling.explain()
    assert abs(crm["CALL_DURATION"] - theirs.talk_seconds) <= 1.0
    assert [call["CALL_ID"] for call in dialling.crm_calls(number)] == [call_id]
    assert theirs.from_user == "74957770000"
