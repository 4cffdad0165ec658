"""Who talked when the client's manager was rung first, where Asterisk's manager interface shows nothing."""

from __future__ import annotations

from freepbx_bx24.sandbox.pbx.record import answer, ring
from freepbx_bx24.sandbox.portal import Entity
from freepbx_bx24.sandbox.product import YAML
from tests.live.world import World, wait_quiet

from .conftest import WISHES

NO_MANAGER = "\nmanager_file: /etc/asterisk/manager_that_is_not_there.conf\n"


def test_the_manager_who_answered_owns_the_call_and_who_did_not_does_not(world: World) -> None:
    wait_quiet(world)
    numbers = [world.new_number() for _ in range(2)]
    for entity_id, (manager, number) in enumerate(zip((1151, 1153), numbers), start=6000):
        world.portal.world.entities.append(Entity("CONTACT", entity_id, "Anna", [number], assigned_by_id=manager))
    world.pbx.phone("151").behaviour = world.pbx.phone("152").behaviour = answer(0.3)
    world.pbx.phone("153").behaviour = ring()
    text = world.pbx.root.outside(YAML).read_text(encoding="utf-8")
    mark = world.log_mark()
    with world.yaml(text + WISHES + NO_MANAGER), world.served():
        placed = [world.pbx.trunk.call("74957770152", number, talk=1.5) for number in numbers]
        records = [call.wait() for call in placed]
        told = [world.finished(number) for number in numbers]
    assert "Asterisk's calls are watched" not in world.log_since(mark)
    assert [one["finished_by"] for one in told] == [1151, 1152]
    for one, record in zip(told, records):
        assert abs(one["CALL_DURATION"] - record.talk_seconds) <= 1.0
