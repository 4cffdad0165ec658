"""The answers of searches: remembered for minutes, of one portal alone, asked for once however many wait."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Mapping

import pytest

from freepbx_bx24.bitrix24.clients import Client
from freepbx_bx24.bitrix24.replies import Result
from freepbx_bx24.call import Entity
from freepbx_bx24.errors import PortalError, PortalTimeout, PortalUnreachable
from freepbx_bx24.service import clients
from freepbx_bx24.service.clients import KEPT_SECONDS, MOST_KNOWN, Clients
from freepbx_bx24.service.wishes import FRESH_SECONDS, Wishes

NUMBER = "+79161234567"
ROW = {"CRM_ENTITY_TYPE": "CONTACT", "CRM_ENTITY_ID": 42, "NAME": "Anna", "ASSIGNED_BY": {"ID": "12"}}
ANNA = Client(Entity("CONTACT", 42), "Anna", 12, "", True)


class Asked:
    """A portal's side: counts, waits where it is told to, and answers."""

    def __init__(self, *rows: Mapping[str, Any], error: PortalError | None = None) -> None:
        self.rows, self.error, self.count = rows, error, 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, method: str, parameters: Mapping[str, object], seconds: float) -> Result:
        self.count += 1
        assert self.may_answer.wait(10)
        if self.error:
            raise self.error
        return Result(list(self.rows))


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def known(clock: Time) -> Clients:
    return Clients(clock)


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_an_answer_is_remembered_with_its_age_and_forgotten_after_some_minutes(known: Clients, clock: Time) -> None:
    assert known.known(NUMBER) is None
    assert known.find(Asked(ROW), NUMBER, 1.0) == ANNA
    clock.now += KEPT_SECONDS
    answer = known.known(NUMBER)
    assert answer and (answer.client, answer.age) == (ANNA, KEPT_SECONDS)
    clock.now += 1
    assert known.known(NUMBER) is None


def test_that_nobody_is_known_is_an_answer_too_until_a_record_is_made(known: Clients) -> None:
    known.find(Asked(), NUMBER, 1.0)
    answer = known.known(NUMBER)
    assert answer and answer.client is None
    known.forget_nobody(NUMBER)
    assert known.known(NUMBER) is None
    known.find(Asked(ROW), NUMBER, 1.0)
    known.forget_nobody(NUMBER)
    assert known.known(NUMBER)


def test_the_oldest_answers_make_room(known: Clients) -> None:
    for number in range(MOST_KNOWN + 10):
        known.find(Asked(ROW), f"+7{number}", 1.0)
    assert known.known("+79") is None and known.known("+710")


def test_many_who_wait_for_one_client_ask_once(known: Clients) -> None:
    asked = Asked(ROW)
    asked.may_answer.clear()
    with ThreadPoolExecutor(5) as callers:
        answers = [callers.submit(known.find, asked, NUMBER, 5.0) for _ in range(5)]
        until(lambda: asked.count == 1)
        asked.may_answer.set()
        assert [answer.result() for answer in answers] == [ANNA] * 5
    assert asked.count == 1
    known.find(asked, NUMBER, 1.0)
    assert asked.count == 2


def test_who_waits_for_anothers_search_hears_of_its_failure_and_keeps_to_his_own_time(known: Clients) -> None:
    asked = Asked(error=PortalUnreachable("down"))
    asked.may_answer.clear()
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(known.find, asked, NUMBER, 5.0)
        until(lambda: asked.count == 1)
        with pytest.raises(PortalTimeout):
            known.find(asked, NUMBER, 0.05)
        second = callers.submit(known.find, asked, NUMBER, 5.0)
        time.sleep(0.05)
        asked.may_answer.set()
        assert isinstance(first.exception(), PortalUnreachable)
        assert isinstance(second.exception(), PortalUnreachable)
    assert asked.count <= 2 and known.known(NUMBER) is None


def test_another_portal_knows_nobody_of_this_one_even_by_an_answer_that_comes_later(known: Clients) -> None:
    known.belong_to("https://one")
    known.find(Asked(ROW), NUMBER, 1.0)
    known.belong_to("https://one")
    assert known.known(NUMBER)
    asked = Asked(ROW)
    asked.may_answer.clear()
    with ThreadPoolExecutor(1) as caller:
        late = caller.submit(known.find, asked, "+79160000000", 5.0)
        until(lambda: asked.count == 1)
        known.belong_to("https://other")
        asked.may_answer.set()
        assert late.result() == ANNA
    assert known.known(NUMBER) is None and known.known("+79160000000") is None


@pytest.mark.parametrize(
    "wanted, age, asks, waits",
    [
        (Wishes(), 0.0, False, False),
        (Wishes(True, 15), FRESH_SECONDS, False, False),
        (Wishes(True), FRESH_SECONDS + 1, True, False),  # the name that is remembered is shown at once
        (Wishes(True, 15), FRESH_SECONDS + 1, True, True),  # is he still at work?
        (Wishes(True), KEPT_SECONDS + 1, True, True),
    ],
)
def test_what_is_remembered_is_used_at_once_and_refreshed_beside(
    known: Clients, clock: Time, wanted: Wishes, age: float, asks: bool, waits: bool
) -> None:
    known.find(Asked(ROW), NUMBER, 1.0)
    clock.now += age
    asked = Asked(ROW)
    asked.may_answer.clear()
    search = clients.begin(known, wanted, asked, NUMBER)
    assert (search is not None) is asks
    began = time.monotonic()
    clients.wait(known, wanted, search, NUMBER, 0.2)
    assert (time.monotonic() - began > 0.15) is waits
    asked.may_answer.set()
    if search:
        assert search.future.result(5) == ANNA
        answer = known.known(NUMBER)
        assert answer and answer.age == 0.0
