"""What a journal does where a run begins, and where the clock was set back in it."""

from __future__ import annotations

import pytest

from freepbx_bx24.journal.records import FINISH, REGISTER, Registered
from freepbx_bx24.journal.store import Journal
from tests.support.journal_calls import call, end

NOW = 1_790_000_000.0


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr("time.time", lambda: NOW)
    return NOW


def due(journal: Journal) -> dict[tuple[str, str], float]:
    return {(item.uniqueid, item.kind): item.due - NOW for item in journal.owed()}


def test_a_register_that_was_put_off_for_a_live_attempt_is_due_when_the_next_run_begins(
    journal: Journal, now: float
) -> None:
    journal.begin(call("1.1"), now + 20)
    journal.resume(now + 1)
    assert due(journal) == {("1.1", REGISTER): 1}


def test_what_the_portal_or_a_human_put_off_stays_put_off_when_a_run_begins(journal: Journal, now: float) -> None:
    journal.begin(call("1.1"), now)
    journal.postpone(("1.1", REGISTER), now + 20, "down")
    journal.begin(call("1.2"), now + 20)
    journal.hold(journal.last_id())
    journal.resume(now + 1)
    assert set(due(journal).values()) == {20}


def test_ids_of_later_items_are_above_the_last_one(journal: Journal, now: float) -> None:
    assert journal.last_id() == 0
    journal.begin(call("1.1"), now)
    last = journal.last_id()
    journal.registered("1.1", Registered("call"))
    journal.ended(end("1.1"), now)
    (item,) = journal.owed()
    assert (item.kind, item.id > last, journal.last_id()) == (FINISH, True, item.id)


def test_a_clock_that_was_set_back_brings_forward_what_is_to_come_and_nothing_into_the_past(
    journal: Journal, now: float
) -> None:
    for uniqueid, later in (("1.1", 3605.0), ("1.2", 100.0), ("1.3", -50.0)):
        journal.begin(call(uniqueid), now + later)
    journal.bring_forward(now, 3600.0)
    assert due(journal) == {("1.1", REGISTER): 5, ("1.2", REGISTER): 0, ("1.3", REGISTER): -50}
