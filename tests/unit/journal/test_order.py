"""What may be delivered: per call in order, per client number in order of start, across calls by urgency."""

from __future__ import annotations

import random
import time
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from freepbx_bx24.journal.order import LONGEST_BACK_OFF
from freepbx_bx24.journal.records import ATTACH, DUE, FINISH, HIDE, KINDS, REGISTER, SHOW, Delivery
from freepbx_bx24.journal.store import Journal
from tests.support.in_time import in_time
from tests.support.journal_calls import ANSWER, CALL, call, end

NOW = 1000.0
FIRST, SECOND, THIRD = "1.1", "2.2", "3.3"


def begin(journal: Journal, uniqueid: str, number: str = "", start: float = 0.0, due: float = 0.0) -> None:
    """A call of a client number (its own where none is given) that began so many seconds after the others."""
    started = CALL.started + timedelta(seconds=start)
    assert journal.begin(call(uniqueid, number=number or f"+7{uniqueid}", started=started), due)


def open_call(journal: Journal, uniqueid: str, **options: Any) -> None:
    begin(journal, uniqueid, **options)
    journal.registered(uniqueid, ANSWER)


def two_of_one_client(journal: Journal, way: Any = begin) -> None:
    """Two calls of one client number; the one that began later is written down first, as happens with intake."""
    way(journal, SECOND, number="+79", start=5)
    way(journal, FIRST, number="+79", start=0)


def now_due(journal: Journal, now: float = NOW, most: int = 50, **options: Any) -> list[tuple[str, str]]:
    return [(item.uniqueid, item.kind) for item in journal.deliverable(now, most, **options)]


def item_of(journal: Journal, uniqueid: str, kind: str) -> Delivery:
    (found,) = [item for item in journal.owed() if (item.uniqueid, item.kind) == (uniqueid, kind)]
    return found


HOLDS_UP_NOBODY = {
    "refused": lambda journal, item: journal.postpone(item.id, NOW + 500, "no", refused=True),
    "parked": lambda journal, item: journal.park(item.id, "no"),
    "held": lambda journal, item: journal.hold(item.id),
    "dropped": lambda journal, item: journal.drop(item.id),
}
everything_that_holds_up_nobody = pytest.mark.parametrize("how", HOLDS_UP_NOBODY)


# -- within one call -----------------------------------------------------------------------------------------


def test_before_its_register_nothing_of_a_call_may_go(journal: Journal) -> None:
    begin(journal, FIRST, due=NOW + 60)
    for kind in (SHOW, HIDE, ATTACH):
        journal.owe(FIRST, kind, "[12]", 0)
    journal.ended(end(FIRST), 0)
    assert now_due(journal) == []
    assert now_due(journal, NOW + 60) == [(FIRST, REGISTER)]


def test_cards_go_in_their_order_in_one_list_then_the_finish_then_the_recordings_one_by_one(journal: Journal) -> None:
    open_call(journal, FIRST)
    cards = [journal.owe(FIRST, kind, "[12]", due) for kind, due in ((SHOW, 9.0), (HIDE, 5.0), (SHOW, 7.0))]
    journal.ended(end(FIRST), 0)
    recordings = [journal.owe(FIRST, ATTACH, "{}", due) for due in (0.0, 0.0)]
    assert [item.id for item in journal.deliverable(NOW, 50)] == cards
    for card in cards:
        assert card
        assert journal.done(card)
    assert now_due(journal) == [(FIRST, FINISH)]
    journal.finished(FIRST)
    assert [item.id for item in journal.deliverable(NOW, 50)] == recordings[:1]


def test_a_card_that_is_put_off_holds_up_the_later_cards_and_the_finish(journal: Journal) -> None:
    open_call(journal, FIRST)
    first, second = journal.owe(FIRST, SHOW, "[12]", 0), journal.owe(FIRST, HIDE, "[12]", 0)
    journal.ended(end(FIRST), 0)
    assert first
    journal.postpone(first, NOW + 60, "the portal is slow")
    assert now_due(journal) == []
    assert journal.earliest_due(NOW) == NOW + 60
    assert [item.id for item in journal.deliverable(NOW + 60, 50)] == [first, second]


@everything_that_holds_up_nobody
def test_a_card_holds_up_nobody_once_it_is(journal: Journal, how: str) -> None:
    open_call(journal, FIRST)
    first = journal.owe(FIRST, SHOW, "[12]", 0)
    second = journal.owe(FIRST, HIDE, "[12]", 0)
    journal.ended(end(FIRST), 0)
    assert first
    assert second
    HOLDS_UP_NOBODY[how](journal, journal.delivery(first))
    assert [item.id for item in journal.deliverable(NOW, 50)] == [second]
    journal.done(second)
    assert now_due(journal) == [(FIRST, FINISH)]


def test_a_card_that_was_owed_after_the_finish_does_not_hold_it_up(journal: Journal) -> None:
    open_call(journal, FIRST)
    journal.ended(end(FIRST), 0)
    journal.owe(FIRST, HIDE, "[12]", NOW + 60)
    assert now_due(journal) == [(FIRST, FINISH)]


def test_a_recording_waits_until_the_finish_is_done_not_merely_refused(journal: Journal) -> None:
    open_call(journal, FIRST)
    journal.ended(end(FIRST), 0)
    journal.owe(FIRST, ATTACH, "{}", 0)
    journal.postpone((FIRST, FINISH), NOW + 60, "no", refused=True)
    assert now_due(journal) == []
    journal.finished(FIRST)
    assert now_due(journal) == [(FIRST, ATTACH)]


def test_what_the_portal_lost_is_registered_again_before_anything_else_of_it(journal: Journal) -> None:
    open_call(journal, FIRST)
    journal.ended(end(FIRST), 0)
    journal.unregistered(FIRST, NOW + 60)
    assert now_due(journal) == []
    assert journal.earliest_due(NOW) == NOW + 60
    assert now_due(journal, NOW + 60) == [(FIRST, REGISTER)]


# -- two calls of one client ---------------------------------------------------------------------------------


def test_one_client_is_registered_in_order_of_start_one_call_in_a_list(journal: Journal) -> None:
    two_of_one_client(journal)
    assert now_due(journal) == [(FIRST, REGISTER)]
    journal.registered(FIRST, ANSWER)
    assert now_due(journal) == [(SECOND, REGISTER)]


def test_a_register_that_is_put_off_holds_up_the_clients_later_calls_until_then(journal: Journal) -> None:
    two_of_one_client(journal)
    journal.postpone((FIRST, REGISTER), NOW + 60, "the portal is down")
    assert now_due(journal) == []
    assert journal.earliest_due(NOW) == NOW + 60
    assert now_due(journal, NOW + 60) == [(FIRST, REGISTER)]


@everything_that_holds_up_nobody
def test_a_register_holds_up_no_other_call_once_it_is(journal: Journal, how: str) -> None:
    two_of_one_client(journal)
    HOLDS_UP_NOBODY[how](journal, item_of(journal, FIRST, REGISTER))
    assert now_due(journal) == [(SECOND, REGISTER)]


def test_a_refused_register_whose_time_has_come_shares_no_list_with_another_of_its_number(journal: Journal) -> None:
    two_of_one_client(journal)
    journal.postpone((FIRST, REGISTER), 10.0, "no", refused=True)
    assert now_due(journal) == [(SECOND, REGISTER)]
    journal.registered(SECOND, ANSWER)
    assert now_due(journal) == [(FIRST, REGISTER)]


def test_calls_without_a_number_are_no_one_client(journal: Journal) -> None:
    for uniqueid in (FIRST, SECOND):
        journal.begin(call(uniqueid, number=""), 0)
    assert now_due(journal) == [(FIRST, REGISTER), (SECOND, REGISTER)]


def test_one_client_is_finished_in_order_of_start(journal: Journal) -> None:
    two_of_one_client(journal, open_call)
    for uniqueid in (SECOND, FIRST):
        journal.ended(end(uniqueid), 0)
    journal.postpone((FIRST, FINISH), NOW + 60, "the portal is down")
    assert now_due(journal) == []
    assert now_due(journal, NOW + 60) == [(FIRST, FINISH)]
    journal.finished(FIRST)
    assert now_due(journal) == [(SECOND, FINISH)]


@everything_that_holds_up_nobody
def test_a_finish_holds_up_no_other_call_once_it_is(journal: Journal, how: str) -> None:
    two_of_one_client(journal, open_call)
    for uniqueid in (SECOND, FIRST):
        journal.ended(end(uniqueid), 0)
    HOLDS_UP_NOBODY[how](journal, item_of(journal, FIRST, FINISH))
    assert now_due(journal) == [(SECOND, FINISH)]


@everything_that_holds_up_nobody
def test_a_finish_whose_own_register_is_stuck_holds_up_nobody_either(journal: Journal, how: str) -> None:
    begin(journal, FIRST, number="+79")
    open_call(journal, SECOND, number="+79", start=5)
    for uniqueid in (FIRST, SECOND):
        journal.ended(end(uniqueid), 0)
    HOLDS_UP_NOBODY[how](journal, item_of(journal, FIRST, REGISTER))
    assert now_due(journal) == [(SECOND, FINISH)]


def test_a_finish_waits_for_an_earlier_call_that_is_still_to_be_registered(journal: Journal) -> None:
    begin(journal, FIRST, number="+79", due=NOW + 60)
    open_call(journal, SECOND, number="+79", start=5)
    for uniqueid in (FIRST, SECOND):
        journal.ended(end(uniqueid), 0)
    assert now_due(journal) == []
    assert journal.earliest_due(NOW) == NOW + 60


def test_an_earlier_call_that_is_still_talked_on_holds_up_no_finish(journal: Journal) -> None:
    two_of_one_client(journal, open_call)
    journal.ended(end(SECOND), 0)
    assert now_due(journal) == [(SECOND, FINISH)]


def test_a_call_that_the_portal_loses_again_and_again_holds_up_no_other_of_its_number(journal: Journal) -> None:
    two_of_one_client(journal, open_call)
    for uniqueid in (FIRST, SECOND):
        journal.ended(end(uniqueid), 0)
    journal.unregistered(FIRST, NOW + 60)
    assert now_due(journal) == [(SECOND, FINISH)]
    journal.registered(FIRST, ANSWER)
    assert now_due(journal) == [(FIRST, FINISH), (SECOND, FINISH)]


def test_cards_of_one_clients_calls_do_not_wait_for_each_other(journal: Journal) -> None:
    two_of_one_client(journal, open_call)
    for uniqueid in (FIRST, SECOND):
        journal.owe(uniqueid, SHOW, "[12]", 0)
    assert now_due(journal) == [(FIRST, SHOW), (SECOND, SHOW)]


# -- across calls --------------------------------------------------------------------------------------------


def test_live_registers_go_first_then_other_registers_cards_ends_and_recordings(journal: Journal) -> None:
    for number, uniqueid in enumerate(("5.5", "4.4", "3.3"), start=1):
        open_call(journal, uniqueid)
        journal.ended(end(uniqueid), due=float(number)) if uniqueid != "3.3" else None
    journal.owe("5.5", ATTACH, "{}", 0)
    journal.finished("5.5")
    journal.owe("3.3", SHOW, "[12]", 50.0)
    begin(journal, "2.2", due=60.0)
    journal.ended(end("2.2"), 0)
    begin(journal, "1.1", due=70.0)
    assert now_due(journal) == [("1.1", REGISTER), ("2.2", REGISTER), ("3.3", SHOW), ("4.4", FINISH), ("5.5", ATTACH)]


@pytest.mark.parametrize("kind", [REGISTER, SHOW, FINISH, ATTACH])
def test_within_a_class_what_has_been_due_for_longest_goes_first(journal: Journal, kind: str) -> None:
    for uniqueid, due in ((FIRST, 30.0), (SECOND, 10.0), (THIRD, 20.0)):
        begin(journal, uniqueid, due=due)
        if kind != REGISTER:
            journal.registered(uniqueid, ANSWER)
        if kind == FINISH:
            journal.ended(end(uniqueid), due)
        elif kind != REGISTER:
            journal.owe(uniqueid, kind, "[]", due)
        if kind == ATTACH:
            journal.finished(uniqueid)
    assert now_due(journal) == [(SECOND, kind), (THIRD, kind), (FIRST, kind)]


def test_who_holds_up_a_live_register_goes_in_its_place(journal: Journal) -> None:
    begin(journal, "9.9", due=500.0)
    two_of_one_client(journal)
    journal.ended(end(FIRST), 0)
    assert now_due(journal) == [(FIRST, REGISTER), ("9.9", REGISTER)]


def test_what_fell_due_lately_can_be_asked_for_alone_together_with_what_holds_it_up(journal: Journal) -> None:
    begin(journal, "4.4", due=100.0)
    begin(journal, "5.5", due=900.0)
    two_of_one_client(journal, lambda journal, uniqueid, **options: begin(journal, uniqueid, due=900.0, **options))
    journal.postpone((FIRST, REGISTER), 500.0, "no")
    assert now_due(journal, since=800.0) == [("5.5", REGISTER), (FIRST, REGISTER)]
    assert now_due(journal, since=950.0) == []


def test_a_list_is_as_long_as_was_asked_for_and_of_the_kinds_that_were(journal: Journal) -> None:
    open_call(journal, FIRST)
    for kind in (SHOW, HIDE, SHOW):
        journal.owe(FIRST, kind, "[12]", 0)
    begin(journal, SECOND)
    assert now_due(journal, most=3) == [(SECOND, REGISTER), (FIRST, SHOW), (FIRST, HIDE)]
    assert now_due(journal, most=0) == []
    assert now_due(journal, kinds=(FINISH, SHOW)) == [(FIRST, SHOW)]  # what follows the hide waits for it
    assert now_due(journal, kinds=(HIDE, FINISH)) == []


def test_the_next_due_is_the_first_of_the_list(journal: Journal) -> None:
    open_call(journal, FIRST)
    journal.owe(FIRST, SHOW, "[12]", 0)
    begin(journal, SECOND, due=NOW)
    assert journal.next_due(NOW) == journal.deliverable(NOW, 5)[0]
    assert journal.next_due(-1.0) is None


# -- clocks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_due_later_than_its_longest_back_off_was_put_off_by_a_clock_set_back_since(
    journal: Journal, kind: str
) -> None:
    begin(journal, FIRST, due=NOW)
    if kind != REGISTER:
        journal.registered(FIRST, ANSWER)
    if kind == FINISH:
        journal.ended(end(FIRST), NOW)
    elif kind != REGISTER:
        journal.owe(FIRST, kind, "[]", NOW)
    if kind == ATTACH:
        journal.finished(FIRST)
    still_waiting, too_far = NOW - LONGEST_BACK_OFF[kind], NOW - LONGEST_BACK_OFF[kind] - 1
    assert now_due(journal, still_waiting) == []
    assert journal.earliest_due(still_waiting) == NOW
    assert now_due(journal, too_far) == [(FIRST, kind)]
    assert journal.earliest_due(too_far) == too_far


def test_nothing_is_put_off_beyond_its_longest_back_off_for_it_would_be_due_at_once(journal: Journal) -> None:
    begin(journal, FIRST, due=time.time() + 10**9)
    journal.postpone((FIRST, REGISTER), time.time() + 10**9, "patience")
    assert now_due(journal, time.time()) == []
    assert item_of(journal, FIRST, REGISTER).due == pytest.approx(time.time() + LONGEST_BACK_OFF[REGISTER], abs=10)


# -- all of it at once ---------------------------------------------------------------------------------------

STEPS = some.lists(some.tuples(some.integers(0, 11), some.integers(0, 3), some.integers(0, 200)), max_size=60)


def apply(journal: Journal, step: int, uniqueid: str, number: str, due: float) -> None:
    """One of everything that may happen to a call."""
    owed = [item for item in journal.owed() if item.uniqueid == uniqueid]
    item = owed[int(due) % len(owed)].id if owed else 0
    (
        lambda: journal.begin(call(uniqueid, number=number), due),
        lambda: journal.registered(uniqueid, ANSWER),
        lambda: journal.ended(end(uniqueid), due),
        lambda: journal.finished(uniqueid) if any(one.kind == FINISH for one in owed) else None,
        lambda: journal.owe(uniqueid, SHOW, "[12]", due),
        lambda: journal.owe(uniqueid, HIDE, "[12]", due),
        lambda: journal.owe(uniqueid, ATTACH, "{}", due),
        lambda: journal.postpone(item, due + 50, "no", refused=due > 100),
        lambda: journal.park(item, "no"),
        lambda: journal.hold(item),
        lambda: journal.drop(item) if due > 150 else journal.release(item),
        lambda: journal.unregistered(uniqueid, due) if due > 150 else None,
    )[step]()


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_whatever_happened_a_list_keeps_the_rules_and_the_earliest_due_tells_when_there_is_one(
    steps: list[tuple[int, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    journal = Journal(tmp_path_factory.mktemp("j"))
    journal._file.database.execute("PRAGMA synchronous=OFF")
    for step, which, due in steps:
        apply(journal, step, f"{which}.1", f"+7{which % 2}", float(due))
    now = 100.0
    found = journal.deliverable(now, 50)
    assert all(item.state == DUE and item.due <= now for item in found)
    for item in found:
        entry = journal.entry(item.uniqueid)
        assert entry
        assert item.kind == REGISTER or entry.registered
        assert item.kind != ATTACH or entry.finished
    registers = [
        entry.registration.number
        for item in found
        if item.kind == REGISTER
        for entry in [journal.entry(item.uniqueid)]
        if entry
    ]
    assert len(registers) == len(set(registers))
    alone = [item.uniqueid for item in found if item.kind not in (SHOW, HIDE)]
    cards = [item.uniqueid for item in found if item.kind in (SHOW, HIDE)]
    assert len(alone) == len(set(alone))
    assert not set(alone) & set(cards)
    earliest = journal.earliest_due(now)
    assert bool(found) == (earliest is not None and earliest <= now)
    if earliest is not None:
        assert journal.deliverable(earliest, 1)
    journal.close()


# -- size ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backlog(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    """50,000 calls of 20,000 numbers during days without the portal: 100,000 items, all of them owed."""
    journal = Journal(tmp_path_factory.mktemp("backlog"))
    dice = random.Random(24)
    rows = []
    for number in range(50_000):
        one = call(
            f"{number}.1", number=f"+7{dice.randrange(20_000)}", started=CALL.started + timedelta(seconds=number)
        )
        rows.append((one.uniqueid, one.number, one.started.isoformat(), one.started.timestamp()))
    database = journal._file.database
    database.execute("BEGIN")
    database.executemany(
        "INSERT INTO calls (uniqueid, linkedid, external_id, direction, number, line, started, started_at,"
        " registration, outcome, written) VALUES (?1, ?1, ?1, 'in', ?2, '', ?3, ?4, '{}', '{}', 0)",
        rows,
    )
    for kind in (REGISTER, FINISH):
        database.execute(
            "INSERT INTO deliveries (uniqueid, kind, number, started_at, due)"
            " SELECT uniqueid, ?, number, started_at, started_at FROM calls",
            (kind,),
        )
    database.execute("COMMIT")
    return journal


def seconds(journal: Journal, now: float) -> float:
    began = time.monotonic()
    journal.deliverable(now, 50)
    journal.earliest_due(now)
    return time.monotonic() - began


LATER = CALL.started.timestamp() + 100_000


def test_a_list_of_100000_owed_items_takes_milliseconds(backlog: Journal) -> None:
    assert len(backlog.deliverable(LATER, 50)) == 50
    in_time(seconds(backlog, LATER), 0.05)


def test_so_does_one_in_which_all_calls_are_registered_and_their_ends_are_owed(backlog: Journal) -> None:
    backlog._file.database.execute("UPDATE calls SET call_id = 'x'")
    backlog._file.database.execute("UPDATE deliveries SET state = 'done' WHERE kind = 'register'")
    found = backlog.deliverable(LATER, 50)
    assert [item.kind for item in found] == [FINISH] * 50
    in_time(seconds(backlog, LATER), 0.05)


def test_even_where_one_client_made_all_the_calls_the_journal_is_never_busy_for_a_second(backlog: Journal) -> None:
    backlog._file.database.execute("UPDATE deliveries SET number = '+79', state = 'due'")
    backlog._file.database.execute("UPDATE calls SET number = '+79', call_id = NULL")
    assert len(backlog.deliverable(LATER, 50)) == 1
    in_time(seconds(backlog, LATER), 1)
    backlog.close()
