"""One world a suite, made once: Asterisk 22 (forky) and Asterisk 16 (bullseye), each with the product installed."""

from __future__ import annotations

from typing import Iterator

import pytest

from freepbx_bx24.sandbox.pbx.roots import SUITES

from . import fire
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was random, also where all passed: a run is repeated by its seed."""
    for line in fire.SAID:
        terminalreporter.write_line(line)
