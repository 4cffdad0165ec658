"""A PBX that dials for the portal: clicks and callbacks are on, ./install.sh has run since, the application is let in."""

from __future__ import annotations

from typing import Iterator

import pytest

from freepbx_bx24.sandbox.pbx.record import answer, ring
from freepbx_bx24.sandbox.product import SOURCE, YAML
from tests.live.application import logged_in
from tests.live.world import World, hang_up_all, wait_quiet
from tests.support.running_service import wait_until

CLICKS = """
clicks: {enabled: yes, from_mobile: own_mobile}
callbacks: {target: 601, attempts: 2, pause: 1}
"""
INSTALL = f"{SOURCE}/install.sh"


@pytest.fixture(scope="module")
def dialling(world: World) -> Iterator[World]:
    """The world with such a service; the manager user who may dial goes again afterwards."""
    wait_quiet(world)
    with logged_in(world):
        text = world.pbx.root.outside(YAML).read_text(encoding="utf-8")
        with world.yaml(text + CLICKS):
            world.pbx.root.run(["sh", "-c", f"chown root:asterisk {YAML} && chmod 0640 {YAML}"])
            world.pbx.root.run([INSTALL], timeout=300)
            with world.served(scale="0.5"):
                wait_bound(world)
                yield world
    hang_up_all(world)
    world.pbx.root.run([INSTALL], timeout=300)


def wait_bound(world: World) -> None:
    """Until the portal tells this service of clicks and callbacks, and somebody may dial."""
    wait_until(lambda: len(world.portal.ledger()["bindings"]) == 2, 20, world.explain)
    wait_until(lambda: "in order to dial" in world.log(), 20, world.explain)


@pytest.fixture(autouse=True)
def quiet(dialling: World) -> Iterator[None]:
    """Each test begins with everybody's phone free, and answered after a moment; numbers outside ring."""
    wait_quiet(dialling)
    for device in range(111, 120):
        dialling.pbx.phone(device).behaviour = answer(0.3)
    dialling.pbx.trunk.behaviour = dialling.pbx.reserve_trunk.behaviour = ring()
    yield
    hang_up_all(dialling)
