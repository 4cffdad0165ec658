"""One world a suite, made once: Asterisk 22 (forky) and Asterisk 16 (bullseye), each with the product installed."""

from __future__ import annotations

from typing import Iterator

import pytest

from freepbx_bx24.sandbox.pbx.roots import SUITES

from .world import World


@pytest.fixture(scope="session", params=sorted(SUITES, reverse=True))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    one = World(request.param)
    try:
        one.start()
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="module")
def served(world: World) -> Iterator[World]:
    """The service runs for all tests of the module."""
    with world.served():
        yield world
