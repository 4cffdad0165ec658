"""A flood of unknown callers is one, a busy day of clients is none, and an outage's backlog is none either."""

from __future__ import annotations

from freepbx_bx24.service.flood import MOST, MOST_CALLS, MOST_KNOWN, Flood

START = 1_790_000_000.0


def number(which: int) -> str:
    return f"+7916{which:07d}"


def call(flood: Flood, which: int, start: float, is_client: bool | None = False) -> bool:
    """One call, and what is learned of it; whether it was one too many."""
    flood.note(number(which), start)
    if is_client is not None:
        flood.learn(number(which), start, is_client)
    return flood.flooded(number(which), start)


def test_the_thirty_first_unknown_caller_within_a_minute_is_one_too_many() -> None:
    flood = Flood()
    assert [call(flood, which, START + which) for which in range(MOST + 2)] == [False] * MOST + [True, True]


def test_callers_who_ring_again_count_once() -> None:
    flood = Flood()
    assert not any(call(flood, which % MOST, START + which / 10) for which in range(300))


def test_after_a_minute_it_is_over() -> None:
    flood = Flood()
    for which in range(50):
        call(flood, which, START)
    assert call(flood, 50, START + 59)
    assert not call(flood, 51, START + 60)


def test_clients_are_no_flood_however_many_call() -> None:
    flood = Flood()
    assert not any(call(flood, which, START + which / 100, is_client=True) for which in range(1000))
    assert not flood.suspected(number(5000), START + 10)


def test_callers_of_whom_it_is_not_known_yet_are_suspected_and_no_flood() -> None:
    flood = Flood()
    for which in range(100):
        assert not call(flood, which, START, is_client=None)
    assert flood.suspected(number(99), START)
    assert not flood.suspected(number(99), START - 1)


def test_a_client_among_them_is_not_suspected() -> None:
    flood = Flood()
    for which in range(100):
        call(flood, which, START)
    flood.note(number(200), START)
    flood.learn(number(200), START, True)
    assert not flood.suspected(number(200), START)


def test_a_caller_for_whom_a_lead_was_made_stays_in_the_count_when_he_rings_again() -> None:
    flood = Flood()
    for which in range(MOST):
        call(flood, which, START)
        call(flood, which, START + 1, is_client=True)  # the lead of a second ago
    assert call(flood, 999, START + 2)


def test_calls_count_by_when_they_came_and_not_by_when_they_are_told() -> None:
    flood = Flood()
    spread = [call(flood, which, START + which * 10) for which in range(500)]
    assert not any(spread)


def test_calls_that_are_told_in_another_order_count_the_same() -> None:
    flood = Flood()
    for which in reversed(range(40)):
        flood.note(number(which), START + which)
        flood.learn(number(which), START + which, False)
    assert [flood.flooded(number(which), START + which) for which in range(40)] == [False] * MOST + [True] * 10


def test_one_flood_begins_once_and_ends_once() -> None:
    flood = Flood()
    assert [flood.begins(START + which) for which in range(3)] == [True, False, False]
    assert [flood.is_over(START + after) for after in (10, 61, 62, 63, 64)] == [False, False, False, True, False]
    assert flood.begins(START + 100)


def test_what_it_remembers_is_bounded() -> None:
    flood = Flood()
    for which in range(MOST_CALLS + 500):
        call(flood, which, START + which, is_client=which % 2 == 0)
    assert len(flood._starts) == len(flood._callers) == len(flood._unknown) == MOST_CALLS
    assert len(flood._clients) == (MOST_CALLS + 500) / 2
    for which in range(MOST_KNOWN + 500):
        flood.learn(number(which), START, True)
    assert len(flood._clients) == MOST_KNOWN
    assert not flood.suspected(number(MOST_KNOWN), START + MOST_CALLS)


def test_who_is_evicted_does_not_take_another_with_him() -> None:
    flood = Flood()
    for which in range(MOST_CALLS + 100):
        flood.note(number(which), START + which / 1000)
    first_kept = 100
    flood.learn(number(first_kept - 1), START + (first_kept - 1) / 1000, False)  # forgotten: nothing to learn of
    assert not any(flood._unknown)
    flood.learn(number(first_kept), START + first_kept / 1000, False)
    assert flood._unknown[0] and sum(flood._unknown) == 1
