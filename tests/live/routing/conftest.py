"""A service whose lines show the client's name and ring the client's manager first."""

from __future__ import annotations

from typing import Iterator

import pytest

from freepbx_bx24.sandbox.product import YAML
from tests.live.world import World, wait_quiet

SECONDS = 3
WISHES = f"\nline_defaults: {{client_name: yes, responsible: {SECONDS}s}}\n"


@pytest.fixture(scope="module")
def routing(world: World) -> Iterator[World]:
    """The world with such a service in it; what is left of other tests' calls is waited for."""
    wait_quiet(world)
    text = world.pbx.root.outside(YAML).read_text(encoding="utf-8")
    with world.yaml(text + WISHES), world.served():
        yield world
    wait_quiet(world)
