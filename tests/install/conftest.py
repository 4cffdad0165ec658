"""The machines of these tests: one of each suite for all of them, started when it is first asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator

import pytest

from freepbx_bx24.sandbox.pbx.harness import SandboxPbx
from freepbx_bx24.sandbox.pbx.roots import SUITES
from tests.install.pbx_machine import Machine
from tests.install.shell import Shell
from tests.support import secret_sweep

LEFT_BEHIND = ("/var/log/freepbx-bx24-install.log", "/var/log/asterisk", "/etc/asterisk", "/etc/freepbx_bx24.yaml")


@pytest.fixture(scope="session")
def machines() -> Iterator[dict[str, Machine]]:
    """One machine for each suite, started when it is first asked for."""
    started: dict[str, Machine] = {}
    yield started
    for suite, machine in started.items():
        for place in LEFT_BEHIND:
            secret_sweep.look_below(f"{place} ({suite})", machine.root.outside(place))
        machine.pbx.stop()


def _machine(machines: dict[str, Machine], suite: str) -> Machine:
    if suite not in machines:
        pbx = SandboxPbx(suite)
        pbx.start()
        machines[suite] = Machine(pbx)
    return machines[suite]


@pytest.fixture(params=sorted(SUITES))
def machine(request: pytest.FixtureRequest, machines: dict[str, Machine]) -> Machine:
    """Each suite's machine in turn."""
    return _machine(machines, request.param)


@pytest.fixture
def machine_of(machines: dict[str, Machine]) -> Callable[[str], Machine]:
    """The machine of a suite, for tests of which one is enough."""
    return lambda suite: _machine(machines, suite)


@pytest.fixture
def new_machine(machines: dict[str, Machine]) -> Machine:
    """The machine with Asterisk 22, where one is enough."""
    return _machine(machines, "forky")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """install.sh's functions, one by one."""
    return Shell(tmp_path)
