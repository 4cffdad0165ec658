"""The sandbox PBX for its own tests: one of each suite, started once."""

from __future__ import annotations

from typing import Iterator

import pytest

from freepbx_bx24.sandbox.pbx.harness import SandboxPbx
from freepbx_bx24.sandbox.pbx.record import answer
from freepbx_bx24.sandbox.pbx.roots import SUITES


@pytest.fixture(scope="session", params=sorted(SUITES))
def running_pbx(request: pytest.FixtureRequest) -> Iterator[SandboxPbx]:
    with SandboxPbx(request.param) as pbx:
        yield pbx


@pytest.fixture
def pbx(running_pbx: SandboxPbx) -> Iterator[SandboxPbx]:
    """The PBX with everybody at rest, as it was at the start, and nothing of earlier calls in anybody's records."""
    for endpoint in (running_pbx.trunk, running_pbx.reserve_trunk, running_pbx.guest, *running_pbx.phones):
        endpoint.calls.clear()
        endpoint.behaviour = answer(0.3)
    for second in running_pbx.phones.seconds.values():
        second.calls.clear()
        second.switch_off()
    yield running_pbx
    try:
        running_pbx.settle(10)
    finally:
        running_pbx.asterisk.rx("channel request hangup all")
