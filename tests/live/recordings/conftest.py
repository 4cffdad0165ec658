"""Before and after each call of these tests: telephones that speak, and nothing left up."""

from __future__ import annotations

from typing import Iterator

import pytest

from tests.live.world import World, wait_quiet

from .recorded import SPOKEN


@pytest.fixture(autouse=True)
def at_rest(recorded: World) -> Iterator[None]:
    """Everybody takes calls and speaks; what was seen of earlier calls is forgotten."""
    wait_quiet(recorded)
    for number in (101, 102, 103, 105):
        recorded.pbx.phone(number).behaviour = SPOKEN
        recorded.pbx.phone(number).calls.clear()
    yield
    recorded.pbx.asterisk.rx("channel request hangup all")
    wait_quiet(recorded)
