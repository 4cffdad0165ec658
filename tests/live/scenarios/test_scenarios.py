"""Each folder here is a scenario: real calls, and what the CRM and people's screens must show of them."""

from __future__ import annotations

from typing import Iterator

import pytest

from ..world import World
from .expectation import differences
from .performance import SCENARIOS, Played, play_all, prepared


@pytest.fixture(scope="module")
def played(world: World, request: pytest.FixtureRequest) -> Iterator[Played]:
    """Those scenarios that this run asks for, side by side."""
    wanted = {item.name.rpartition("[")[2].rstrip("]").partition("-")[2] for item in request.session.items}
    chosen = [scenario for name, scenario in SCENARIOS.items() if name in wanted]
    with prepared(world):
        yield play_all(world, chosen or list(SCENARIOS.values()))


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_crm_and_peoples_screens_show_what_the_telephones_saw(played: Played, name: str) -> None:
    scenario, seen = SCENARIOS[name], played.seen[name]
    found = [played.failed[name]] if name in played.failed else list(differences(scenario, seen))
    if found:
        heard = [f"{one.who:13}{one.told()}" for one in seen.heard]
        story = [scenario.says, f"On track {seen.track.index}:", *found, "", *heard, "", played.why(name)]
        pytest.fail("\n".join(story), pytrace=False)


def test_nothing_else_reached_the_crm(played: Played) -> None:
    assert played.strangers == []


def test_each_call_has_an_id_of_its_own(played: Played) -> None:
    assert len(set(played.external_ids)) == len(played.external_ids)


def test_at_the_end_nobody_has_an_open_card(played: Played) -> None:
    assert played.open_cards == []
