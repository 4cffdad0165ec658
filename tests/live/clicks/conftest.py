"""A PBX that dials for the portal: clicks and callbacks on, ./install.sh run once more, the application let in."""

from __future__ import annotations

import re
from typing import Iterator

import pytest

from freepbx_bx24.sandbox.pbx.record import answer, ring
from freepbx_bx24.sandbox.product import SOURCE, YAML
from tests.live.application import logged_in
from tests.live.world import World, hang_up_all, wait_quiet
from tests.support.running_service import wait_until

from .dialled import SAID

# Ring group 601 is the target of callbacks, for one line queue 702, for another one extension 134.
QUEUE_LINE, EXTENSION_LINE = "+74957770101", "+74957770102"
TARGETS = {QUEUE_LINE: "702", EXTENSION_LINE: "134"}
CLICKS = """
clicks: {enabled: yes, from_mobile: own_mobile, countries: [RU, KZ]}
callbacks: {target: 601, attempts: 2, pause: 1}
"""
INSTALL = f"{SOURCE}/install.sh"
HURRY = "0.05"


@pytest.fixture(scope="package")
def dialling(world: World) -> Iterator[World]:
    """The world with such a service; afterwards the manager user who may dial is gone, and all outside as it was."""
    wait_quiet(world)
    outside = (world.pbx.trunk, world.pbx.reserve_trunk)
    behaviours = [trunk.behaviour for trunk in outside]
    with logged_in(world):
        text = world.pbx.root.outside(YAML).read_text(encoding="utf-8")
        for line, target in TARGETS.items():
            text, changed = re.subn(re.escape(f'"{line}": {{'), f'"{line}": {{callbacks: {target}, ', text)
            assert changed == 1, text
        with world.yaml(text + CLICKS):
            world.pbx.root.run(["sh", "-c", f"chown root:asterisk {YAML} && chmod 0640 {YAML}"])
            world.pbx.root.run([INSTALL], timeout=300)
            serve(world)
            yield world
            world.product.stop()
    hang_up_all(world)
    for trunk, behaviour in zip(outside, behaviours):
        trunk.behaviour = behaviour
    world.pbx.root.run([INSTALL], timeout=300)


def serve(world: World, scale: str = HURRY, offline: bool = True) -> None:
    """Start the service, and wait until the portal tells it of clicks and callbacks, and it may dial.

    :param offline: by the portal's queue; else by posts.
    """
    mark = world.log_mark()
    world.serve(scale)
    wait_until(
        lambda: [one["offline"] for one in world.portal.ledger()["bindings"]] == [offline] * 2, 20, world.explain
    )
    wait_until(lambda: "in order to dial" in world.log_since(mark), 20, world.explain)
    world.wait_watched(mark)


@pytest.fixture(autouse=True)
def quiet(dialling: World) -> Iterator[None]:
    """Each test begins with everybody's phone free, and answered after a moment; numbers outside ring."""
    wait_quiet(dialling)
    for device in [*range(111, 120), *range(121, 124), 134]:
        dialling.pbx.phone(device).behaviour = answer(0.3)
    dialling.pbx.trunk.behaviour = dialling.pbx.reserve_trunk.behaviour = ring()
    yield
    hang_up_all(dialling)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured, also where all passed."""
    for line in SAID:
        terminalreporter.write_line(line)
