"""What calls leave in the memory, counted in bytes that Python hands out: no machine's load and no malloc changes them.

tests/bench/memory.py measures the whole process; the bounds here are raised with a reason only.
"""

from __future__ import annotations

import gc
import tracemalloc
from typing import Iterator

import pytest

from freepbx_bx24 import numbers
from freepbx_bx24.bitrix24 import clients
from freepbx_bx24.bitrix24.client import webhook_client
from freepbx_bx24.bitrix24.connections import Deadline
from freepbx_bx24.bitrix24.replies import Result
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.service.clients import KEPT_SECONDS, Clients
from freepbx_bx24.service.figures import MOST as MOST_FIGURES
from freepbx_bx24.service.figures import Figures
from freepbx_bx24.service.flood import MOST_CALLS, MOST_KNOWN, Flood
from tests.support.running_service import wait_until

CALLS = 10_000
START = 1_790_000_000.0
LONG_SECONDS = 5000.0  # of an exchange: no other test's is that long
NEW_ARRAY_BYTES = 5000  # however few calls


def number(which: int) -> str:
    return f"+7916{which:07d}"


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    """Every allocation counts; none that is older than the test."""
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


def held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def flood_of(callers: int, are_clients: bool = False) -> Flood:
    """A minute in which so many have called."""
    flood = Flood()
    for which in range(callers):
        flood.note(number(which), START + 60.0 * which / callers)
        flood.learn(number(which), START + 60.0 * which / callers, are_clients)
    return flood


def test_ten_thousand_unknown_callers_leave_twenty_bytes_each() -> None:
    before = held()
    flood = flood_of(CALLS)
    assert held() - before <= 20 * CALLS + NEW_ARRAY_BYTES
    assert flood.flooded(number(CALLS), START + 60)


def test_more_callers_leave_no_more_than_the_most_that_are_kept() -> None:
    before = held()
    flood = flood_of(MOST_CALLS * 3 // 2)
    assert held() - before <= 20 * MOST_CALLS + NEW_ARRAY_BYTES
    before = held()
    for which in range(MOST_KNOWN * 3 // 2):
        flood.learn(number(which), START, True)
    assert held() - before <= 150 * MOST_KNOWN


@pytest.mark.parametrize("are_clients", [False, True])
def test_to_decide_about_one_caller_takes_no_list_of_all_others(are_clients: bool) -> None:
    """It did: a set of a minute's thousands for each call was most of what the service's memory went to."""
    flood = flood_of(CALLS, are_clients)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    assert flood.suspected(number(CALLS), START + 60) is not are_clients
    assert flood.flooded(number(CALLS), START + 60) is not are_clients
    assert tracemalloc.get_traced_memory()[1] - before <= 10_000


def test_a_register_leaves_twenty_bytes_in_the_figures_and_an_hours_most_have_a_bound() -> None:
    before = held()
    figures = Figures(lambda: START)
    for which in range(CALLS):
        figures.note("REGISTERED", which / 1000)
    assert held() - before <= 20 * CALLS + NEW_ARRAY_BYTES
    for _ in range(MOST_FIGURES * 2):
        figures.note("PENDING", 2.0)
    assert held() - before <= 20 * MOST_FIGURES + NEW_ARRAY_BYTES
    kept = figures.value("REGISTERED")
    assert MOST_FIGURES * 0.99 <= kept["registers"] <= MOST_FIGURES
    assert kept["by_status"] == {"PENDING": kept["registers"]}


def test_clients_who_are_remembered_no_more_leave_nothing() -> None:
    now = [START]
    known = Clients(lambda: now[0])

    def nobody(*_: object) -> Result:
        return Result([])

    known.find(nobody, number(0), 1.0)
    before = held()
    for which in range(1000):
        known.find(nobody, number(which), 1.0)
    assert held() - before <= 300 * 1000
    now[0] += KEPT_SECONDS + 1
    known.find(nobody, number(0), 1.0)
    assert held() - before <= 60 * 1000  # an empty table
    assert len(known._answers) == 1


def test_how_numbers_are_written_is_remembered_of_few() -> None:
    numbers.canonical(number(0), "RU")  # which reads the country's plan
    numbers._canonical.cache_clear()
    before = held()
    for which in range(CALLS):
        numbers.canonical(number(which), "RU")
    assert held() - before <= 400_000


def test_an_exchange_that_is_over_leaves_nothing_however_much_of_its_time_is_left(portal: Portal) -> None:
    """They were kept until that time had passed: a thousand of them at ten calls a second."""
    with webhook_client(portal.webhook_url) as client:
        for _ in range(30):
            client.call(clients.METHOD, clients.parameters(number(0)), total_seconds=LONG_SECONDS)
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, Deadline) and one.seconds_left() > LONG_SECONDS / 2]


def test_a_deadline_ends_its_exchange_after_an_earlier_one_was_dropped() -> None:
    """Whoever watches wakes for the one that is over, and has to go on with the next."""
    for seconds in (0.05, 0.2):
        with Deadline(LONG_SECONDS, 1), Deadline(seconds, 1):
            pass
        with Deadline(LONG_SECONDS, 1), Deadline(seconds, 1) as deadline:
            wait_until(lambda: deadline.expired, 20)
