"""Who should have a call's card, whatever happens: pure decisions over who rings, who talks and who was shown it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from freepbx_bx24.call import ANSWER, INBOUND, NEVER, OUTBOUND, RING, Person, Registration
from freepbx_bx24.cards import Screens, after_all, opened_by_register, orders, wanted

OWNER = 1101


def registration(direction: str = INBOUND, cards: str = RING, **others: Any) -> Registration:
    return Registration(
        uniqueid="1.1",
        linkedid="1.1",
        external_id="pbx-1.1",
        direction=direction,
        number="+79161234567",
        line="",
        people=(Person("101"),),
        started=datetime(2026, 11, 25, tzinfo=timezone.utc),
        create=False,
        source="CALL",
        **{"show": cards == RING, "cards": cards, **others},
    )


def test_everybody_whose_telephone_rings_has_a_card_and_then_who_talks_alone() -> None:
    call = registration()
    assert wanted(call, OWNER, {1, 2, 3}, (), Screens()) == {1, 2, 3}
    assert wanted(call, OWNER, {1, 2}, {3}, Screens()) == {3}
    assert wanted(call, OWNER, (), (), Screens()) == set()


def test_a_conference_of_two_of_ours_and_the_client_are_two_cards() -> None:
    assert wanted(registration(), OWNER, (), {1, 2}, Screens()) == {1, 2}


def test_cards_on_answer_are_for_who_talks_alone() -> None:
    call = registration(cards=ANSWER)
    assert wanted(call, OWNER, {1, 2}, (), Screens()) == set()
    assert wanted(call, OWNER, {1}, {2}, Screens()) == {2}


@pytest.mark.parametrize("direction", [INBOUND, OUTBOUND])
def test_where_the_line_has_none_nobody_has_a_card(direction: str) -> None:
    assert wanted(registration(direction, NEVER), OWNER, {1}, {2}, Screens()) == set()


def test_who_dials_out_keeps_the_card_until_another_talks_and_does_not_get_it_back() -> None:
    call, screens = registration(OUTBOUND), Screens().after(True, (OWNER,))
    assert wanted(call, OWNER, (), (), screens) == {OWNER}
    assert wanted(call, OWNER, (), {OWNER}, screens) == {OWNER}
    assert wanted(call, OWNER, {7}, (), screens) == {OWNER, 7}  # handed over, and not answered yet
    assert wanted(call, OWNER, (), {7}, screens) == {7}
    later = after_all([(True, (OWNER,)), (True, (7,)), (False, (OWNER,))])
    assert wanted(call, OWNER, {8}, (), later) == {8}


def test_who_dials_out_gets_the_card_when_the_call_is_registered_late() -> None:
    assert wanted(registration(OUTBOUND), OWNER, (), (), Screens()) == {OWNER}


def test_whoever_owns_an_outbound_call_that_another_dialled_has_no_card() -> None:
    assert wanted(registration(OUTBOUND, show=False), OWNER, (), (), Screens()) == set()


@pytest.mark.parametrize(
    "call, watched, opens",
    [
        (registration(INBOUND), True, False),
        (registration(INBOUND), False, True),
        (registration(OUTBOUND), True, True),
        (registration(OUTBOUND), False, True),
        (registration(INBOUND, ANSWER), False, False),
        (registration(OUTBOUND, NEVER), False, False),
    ],
)
def test_register_opens_a_card_for_who_dials_and_where_nobody_sees_who_rings(
    call: Registration, watched: bool, opens: bool
) -> None:
    assert opened_by_register(call, watched) is opens


# -- whatever the sequence -------------------------------------------------------------------------------------

USERS = some.frozensets(some.integers(0, 6), max_size=4)  # 0 is somebody whom the portal does not know
MOMENTS = some.lists(some.tuples(USERS, USERS), max_size=12)
CALLS = some.builds(registration, some.sampled_from([INBOUND, OUTBOUND]), some.sampled_from([RING, ANSWER, NEVER]))


@given(CALLS, some.integers(0, 6), some.booleans(), MOMENTS)
def test_a_card_is_never_shown_twice_in_a_row_nor_to_nobody_and_none_is_left_at_the_end(
    call: Registration, owner: int, opened: bool, moments: list[tuple[frozenset[int], frozenset[int]]]
) -> None:
    screens = after_all([(True, (owner,))] if opened else [])
    open_cards = {owner} - {0} if opened else set()
    targets = [(ringing, talking) for ringing, talking in moments]
    for ringing, talking in targets:
        target = wanted(call, owner, ringing, talking, screens)
        hide, show = orders(screens, target)
        assert not open_cards & set(show)
        assert open_cards >= set(hide)
        assert 0 not in {*hide, *show}
        assert set(show) <= ringing | talking | {owner}
        screens = screens.after(False, hide).after(True, show)
        open_cards = (open_cards - set(hide)) | set(show)
        assert open_cards == target
        assert orders(screens, wanted(call, owner, ringing, talking, screens)) == ((), ())  # a doubled event
    hide, show = orders(screens, frozenset())
    assert (set(hide), show) == (open_cards, ())


@given(CALLS, MOMENTS, MOMENTS, USERS, USERS)
def test_what_was_lost_on_the_way_changes_nothing_of_who_has_a_card_while_somebody_talks(
    call: Registration,
    seen: list[tuple[frozenset[int], frozenset[int]]],
    more: list[tuple[frozenset[int], frozenset[int]]],
    ringing: frozenset[int],
    talking: frozenset[int],
) -> None:
    talkers = talking | {3}

    def played(moments: list[tuple[frozenset[int], frozenset[int]]]) -> frozenset[int]:
        screens = Screens()
        for moment in [*moments, (ringing, talkers)]:
            hide, show = orders(screens, wanted(call, 5, *moment, screens))
            screens = screens.after(False, hide).after(True, show)
        return screens.open

    assert played(seen) == played(seen + more) == (frozenset() if call.cards == NEVER else talkers - {0})
