"""What the tests of clicks and callbacks ask of telephones, trunks and the portal."""

from __future__ import annotations

from typing import Any

from freepbx_bx24.sandbox.pbx.record import Behaviour, CallRecord
from tests.live.world import World
from tests.support.running_service import wait_until

SAID: list[str] = []  # what was measured
FINISH = "telephony.externalCall.finish"


def user_of(extension: int) -> int:
    """The portal's user with an extension."""
    return extension + 1000


def takes(world: World, number: str, behaviour: Behaviour) -> None:
    """Let an outside number take calls in its own way, by whichever trunk they come."""
    for trunk in (world.pbx.trunk, world.pbx.reserve_trunk):
        trunk.on_number(number, behaviour)


def outside(world: World, number: str) -> list[CallRecord]:
    """The calls that an outside number got, by either trunk."""
    return [
        one
        for trunk in (world.pbx.trunk, world.pbx.reserve_trunk)
        for one in trunk.records
        if not one.placed and one.request_user[-10:] == number[-10:]
    ]


def rung(world: World, extension: int, number: str) -> list[CallRecord]:
    """The calls of a client that a telephone showed."""
    return [one for one in world.pbx.phone(extension).records if not one.placed and one.from_user == number]


def wait_rung(world: World, extension: int, number: str) -> CallRecord:
    """Until a telephone has shown a client's number."""
    wait_until(lambda: bool(rung(world, extension, number)), 20, world.explain)
    return rung(world, extension, number)[0]


def wait_dialled(world: World, number: str) -> CallRecord:
    """Until an outside number is called."""
    wait_until(lambda: bool(outside(world, number)), 20, world.explain)
    return outside(world, number)[0]


def of_portal(world: World, call_id: str) -> dict[str, Any]:
    """The portal's own call."""
    return next(call for call in world.portal.ledger()["calls"] if call["CALL_ID"] == call_id)


def finished(world: World, call_id: str, seconds: float = 30.0) -> dict[str, Any]:
    """The portal's own call, once it has its end: exactly one was made, and one finish sent."""
    wait_until(lambda: of_portal(world, call_id)["state"] == "finished", seconds, world.explain)
    requests = world.portal.ledger()["requests"]
    told = [one for one in requests if one["method"].lower() == FINISH.lower()]
    assert sum(one["parameters"].get("CALL_ID") == call_id for one in told) <= 1
    return of_portal(world, call_id)


def told_at(world: World, call_id: str) -> float:
    """When the finish of a call reached the portal, in wall clock seconds."""
    requests = world.portal.ledger()["requests"]
    return next(float(one["arrived"]) for one in requests if call_id in str(one["parameters"]) and is_finish(one))


def is_finish(request: dict[str, Any]) -> bool:
    """Whether a request finishes calls, by itself or within a batch."""
    return FINISH.lower() in (request["method"] + str(request["parameters"])).lower()


def notices(world: World, user_id: int) -> list[str]:
    """What a person of the portal was told."""
    return [one["MESSAGE"] for one in world.portal.ledger()["notices"] if one["USER_ID"] == user_id]
