"""A hundred real calls while portal, network and service break: the CRM has what the telephones saw, each call once."""

from __future__ import annotations

from typing import Iterator

import pytest

from . import fire
from .fire_plan import KILLS_OF_A_HUNDRED
from .world import World

CALLS = 100
LONGEST_SECONDS = 150.0


@pytest.fixture(scope="module")
def burnt(world: World) -> Iterator[fire.Burnt]:
    yield fire.burn(world, fire.seed_of_this_run(), CALLS)


def test_everything_that_was_to_go_wrong_went_wrong(burnt: fire.Burnt) -> None:
    assert len(burnt.faults) >= 3, burnt.summary()  # of four; which one a short run may miss is chance
    assert len(burnt.dead) == KILLS_OF_A_HUNDRED
    assert burnt.renewals >= 1
    assert burnt.most_at_once >= 4
    assert {seen.code for seen in burnt.seen.values()} == {"200", "304", "486", "603-S"}
    assert sum(seen.seconds > 3 for seen in burnt.seen.values()) >= 3


def test_each_call_of_the_telephones_is_in_the_crm_exactly_once(burnt: fire.Burnt) -> None:
    assert len(burnt.seen) == CALLS == len(burnt.crm)
    assert {number: len(burnt.finished(number)) for number in burnt.seen} == dict.fromkeys(burnt.seen, 1)


def test_no_call_was_finished_twice(burnt: fire.Burnt) -> None:
    finished = [call["CALL_ID"] for number in burnt.seen for call in burnt.finished(number)]
    assert [call_id for call_id in finished if burnt.activities[call_id] > 1] == []


def test_each_call_has_the_direction_line_person_outcome_and_seconds_that_the_telephones_saw(burnt: fire.Burnt) -> None:
    differences = burnt.differences()
    assert not differences, "\n".join(differences)


def test_what_is_registered_and_never_finished_is_a_double_of_a_call_that_is_there(burnt: fire.Burnt) -> None:
    assert [number for number in burnt.orphans if not burnt.finished(number)] == []


def test_only_calls_that_went_on_while_no_service_was_there_are_estimated(burnt: fire.Burnt) -> None:
    assert burnt.estimated_without_cause() == []


def test_nothing_is_owed_and_nothing_waits_for_a_human(burnt: fire.Burnt) -> None:
    assert burnt.owed == []


def test_it_took_no_longer_than_a_test_may(burnt: fire.Burnt) -> None:
    assert burnt.seconds < LONGEST_SECONDS
