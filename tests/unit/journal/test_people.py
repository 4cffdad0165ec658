"""What people ask of the journal, and what they may do with an item."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from freepbx_bx24.journal.records import (
    ATTACH,
    DONE,
    DROPPED,
    DUE,
    FINISH,
    HELD,
    HIDE,
    PARKED,
    REGISTER,
    SHOW,
    Delivery,
    StoryLine,
)
from freepbx_bx24.journal.store import Journal
from tests.support.journal_calls import ANSWER, CALL, END, call, end

START = CALL.started.timestamp()


def state_of(journal: Journal, uniqueid: str = "1.1") -> str:
    entry = journal.entry(uniqueid)
    assert entry
    return entry.state


def item(journal: Journal, kind: str, uniqueid: str = "1.1") -> Delivery:
    """A call's one item of a kind, whatever its state."""
    rows = journal._file.database.execute("SELECT id FROM deliveries WHERE uniqueid = ? AND kind = ?", (uniqueid, kind))
    ((number,),) = rows.fetchall()
    found = journal.delivery(number)
    assert found
    return found


@pytest.fixture
def ended(journal: Journal) -> Journal:
    """A journal with one call that is registered and has ended, with a card and a recording owed."""
    journal.begin(CALL, 0)
    journal.registered("1.1", ANSWER)
    journal.owe("1.1", SHOW, "[12]", 0)
    journal.ended(END, 0)
    journal.owe("1.1", ATTACH, "{}", 0)
    return journal


# -- what a call is ------------------------------------------------------------------------------------------


def test_a_call_has_one_word_for_where_it_stands(journal: Journal) -> None:
    journal.begin(CALL, 0)
    assert state_of(journal) == "registering"
    journal.registered("1.1", ANSWER)
    assert state_of(journal) == "open"
    journal.ended(END, 0)
    assert state_of(journal) == "ended"
    journal.park(("1.1", FINISH), "no")
    assert state_of(journal) == "parked"
    journal.finished("1.1")
    assert state_of(journal) == "finished"


def test_a_call_that_ended_before_it_was_registered_has_ended(journal: Journal) -> None:
    journal.begin(CALL, 0)
    journal.ended(END, 0)
    assert state_of(journal) == "ended"


def test_a_held_register_waits_for_a_human_as_a_parked_one_does_but_a_parked_card_or_recording_is_no_matter(
    ended: Journal,
) -> None:
    ended.park(item(ended, SHOW).id, "no")
    ended.park(item(ended, ATTACH).id, "no")
    assert state_of(ended) == "ended"
    ended.hold(item(ended, FINISH).id)
    assert state_of(ended) == "parked"


def test_who_decided_who_was_meant_which_portal_has_it_and_who_rang_is_kept(journal: Journal) -> None:
    journal.begin(CALL, 0, user_id=12, rule="line Sales, person 102")
    journal.registered("1.1", ANSWER, "https://example.bitrix24.ru")
    assert journal.keep_legs("1.1", '[{"extension": "101"}]')
    entry = journal.entry("1.1")
    assert entry
    assert (entry.user_id, entry.rule, entry.portal, entry.legs) == (
        12,
        "line Sales, person 102",
        "https://example.bitrix24.ru",
        '[{"extension": "101"}]',
    )
    assert entry.written == pytest.approx(time.time(), abs=30)
    assert not journal.keep_legs("nobody", "[]")
    journal.unregistered("1.1", 0)
    entry = journal.entry("1.1")
    assert entry
    assert (entry.portal, entry.user_id) == ("", 12)


def test_what_is_too_long_to_keep_is_refused_before_it_is_written(ended: Journal) -> None:
    for step in (lambda: ended.keep_legs("1.1", "x" * 100_001), lambda: ended.owe("1.1", ATTACH, "x" * 100_001, 0)):
        with pytest.raises(ValueError, match="too many to keep"):
            step()
    with pytest.raises(ValueError, match="owed by the call's own steps"):
        ended.owe("1.1", FINISH, "", 0)


def test_nothing_is_owed_of_an_unknown_call_no_card_of_a_finished_one_and_no_more_than_2000_items_of_one(
    ended: Journal,
) -> None:
    assert ended.owe("nobody", SHOW, "[12]", 0) is None
    ended._file.database.execute("PRAGMA synchronous=OFF")
    given = [ended.owe("1.1", HIDE, "[12]", 0) for _ in range(2000)]
    assert given.index(None) == 2000 - 4
    ended.begin(call("2.2"), 0)
    ended.registered("2.2", ANSWER)
    ended.finished("2.2")
    assert ended.owe("2.2", SHOW, "[12]", 0) is None
    assert ended.owe("2.2", ATTACH, "{}", 0)


def test_what_the_end_leaves_of_the_cards_is_dropped(ended: Journal) -> None:
    ended.finished("1.1")
    assert item(ended, SHOW).state == DROPPED
    assert [one.kind for one in ended.owed()] == [ATTACH]


def test_errors_are_kept_on_one_line_of_bounded_length_that_a_terminal_can_take(ended: Journal) -> None:
    ended.postpone(("1.1", FINISH), 5.0, "a\x1b[2J\nb\ud800" + "x" * 1000)
    error = item(ended, FINISH).last_error
    assert error.startswith("a?[2J?b?x")
    assert error.endswith("...")
    assert len(error) == 500


# -- looking up ----------------------------------------------------------------------------------------------


def test_calls_are_listed_by_their_start_and_number(journal: Journal) -> None:
    for number, uniqueid in enumerate(("3.3", "1.1", "2.2")):
        started = CALL.started + timedelta(seconds=number)
        journal.begin(call(uniqueid, number=f"+7{number % 2}", started=started), 0)
    assert [entry.uniqueid for entry in journal.calls(START, START + 2)] == ["3.3", "1.1"]
    assert [entry.uniqueid for entry in journal.calls(0, 1e12)] == ["3.3", "1.1", "2.2"]
    assert [entry.uniqueid for entry in journal.calls(0, 1e12, "+70")] == ["3.3", "2.2"]
    assert journal.calls(0, 1e12, "+79") == []


def test_of_very_many_calls_the_newest_are_listed(journal: Journal) -> None:
    journal._file.database.execute("PRAGMA synchronous=OFF")
    for number in range(1003):
        journal.begin(call(f"{number}.1", started=CALL.started + timedelta(seconds=number)), 0)
    listed = [entry.uniqueid for entry in journal.calls(0, 1e12)]
    assert (len(listed), listed[0], listed[-1]) == (1000, "3.1", "1002.1")


def test_a_call_is_found_by_uniqueid_external_id_and_number(journal: Journal) -> None:
    journal.begin(call("pbx-a-1.1", number="+79"), 0)
    journal.begin(replace(call("2.2"), number="+79", started=CALL.started + timedelta(seconds=5)), 0)
    assert journal.find("pbx-a-1.1") == ["pbx-a-1.1"]
    assert journal.find("pbx-pbx-a-1.1") == ["pbx-a-1.1"]
    assert journal.find("other-2.2") == []  # another PBX's call of that uniqueid
    assert journal.find("+79") == ["2.2", "pbx-a-1.1"]
    assert journal.find("") == journal.find("nobody") == []
    assert journal.find("-" * 10_000) == []


# -- acting on an item ---------------------------------------------------------------------------------------

ACTIONS = {
    "retry": {DUE: DUE, PARKED: DUE, HELD: DUE, DROPPED: DUE},
    "hold": {DUE: HELD, PARKED: HELD},
    "release": {HELD: DUE},
    "drop": {DUE: DROPPED, PARKED: DROPPED, HELD: DROPPED},
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("state", [DUE, DONE, PARKED, HELD, DROPPED])
def test_an_action_changes_the_states_that_it_is_for_and_leaves_the_others(
    ended: Journal, action: str, state: str
) -> None:
    number = item(ended, SHOW).id
    ended._file.database.execute("UPDATE deliveries SET state = ? WHERE id = ?", (state, number))
    assert getattr(ended, action)(number) is (state in ACTIONS[action])
    assert item(ended, SHOW).state == ACTIONS[action].get(state, state)
    assert not getattr(ended, action)(12345)


def test_what_is_retried_is_due_now_and_as_if_it_had_never_been_refused(ended: Journal) -> None:
    for _ in range(3):
        ended.postpone(("1.1", FINISH), time.time() + 1000, "no", refused=True)
    ended.park(("1.1", FINISH), "no, once more")
    assert ended.retry(item(ended, FINISH).id)
    retried = item(ended, FINISH)
    assert (retried.state, retried.refusals, retried.attempts) == (DUE, 0, 4)
    assert retried.due == pytest.approx(time.time(), abs=30)
    assert retried.last_error == "no, once more"


def test_what_is_released_is_due_at_its_own_time(ended: Journal) -> None:
    number = item(ended, FINISH).id
    ended.postpone(number, 77.0, "later")
    ended.hold(number)
    ended.release(number)
    assert (item(ended, FINISH).state, item(ended, FINISH).due) == (DUE, 77.0)


def test_a_dropped_finish_takes_the_rest_of_its_call_along_and_a_retry_brings_it_back(ended: Journal) -> None:
    assert ended.drop(item(ended, FINISH).id)
    assert ended.owed() == []
    assert state_of(ended) == "finished"
    assert ended.retry(item(ended, FINISH).id)
    assert state_of(ended) == "ended"
    assert [(one.kind, one.state) for one in ended.owed()] == [(FINISH, DUE)]


def test_with_a_dropped_register_the_end_of_its_call_is_not_owed_either(journal: Journal) -> None:
    journal.begin(CALL, 0)
    journal.drop(item(journal, REGISTER).id)
    assert journal.ended(END, 0)
    assert journal.owed() == []
    assert item(journal, FINISH).state == DROPPED


def test_an_answer_that_comes_after_a_human_held_its_register_counts(journal: Journal) -> None:
    journal.begin(CALL, 0)
    journal.hold(item(journal, REGISTER).id)
    journal.registered("1.1", ANSWER)
    assert item(journal, REGISTER).state == DONE
    journal.ended(END, 0)
    assert [one.kind for one in journal.deliverable(0, 9)] == [FINISH]


def test_only_what_is_due_can_fail_and_only_cards_and_recordings_are_done_by_id(ended: Journal) -> None:
    card, finish = item(ended, SHOW).id, item(ended, FINISH).id
    assert not ended.done(finish)
    assert ended.done(card)
    assert not ended.done(card)
    assert not ended.postpone(card, 1.0, "late news")
    assert not ended.park(card, "late news")
    ended.hold(finish)
    assert not ended.postpone(finish, 1.0, "late news")
    assert item(ended, FINISH).state == HELD


# -- story ---------------------------------------------------------------------------------------------------


def test_a_story_is_told_in_order_with_its_times_and_cut_to_a_length(ended: Journal) -> None:
    assert ended.tell("1.1", "register", "registered as x", at=5.0)
    assert ended.tell("1.1", "w" * 100, "d\x1b" + "d" * 1000, at=4.0)
    first, second = ended.story("1.1")
    assert first == StoryLine(5.0, "register", "registered as x")
    assert (len(second.what), len(second.detail), second.detail[:3]) == (80, 500, "d?d")
    ended.tell("1.1", "now")
    assert ended.story("1.1")[-1].at == pytest.approx(time.time(), abs=30)
    assert not ended.tell("nobody", "register")
    assert ended.story("nobody") == []


def test_a_story_that_gets_too_long_keeps_its_beginning_and_its_newest_lines(ended: Journal) -> None:
    for number in range(100):
        ended.tell("1.1", str(number), at=float(number))
    assert [line.what for line in ended.story("1.1")] == [str(number) for number in (*range(20), *range(60, 100))]


# -- forgetting ----------------------------------------------------------------------------------------------

DAY = 86400.0


def age(journal: Journal, uniqueid: str, days: float) -> None:
    journal._file.database.execute(
        "UPDATE calls SET written = ? WHERE uniqueid = ?", (time.time() - days * DAY, uniqueid)
    )


def test_a_call_whose_end_was_never_seen_is_forgotten_when_the_portal_has_forgotten_it(journal: Journal) -> None:
    for uniqueid in ("1.1", "2.2", "3.3", "4.4"):
        journal.begin(call(uniqueid), 0)
    journal.registered("1.1", ANSWER)
    journal.hold(item(journal, REGISTER, "3.3").id)
    journal.ended(end("4.4"), 0)
    for uniqueid, days in (("1.1", 31.1), ("2.2", 30.9), ("3.3", 31.1), ("4.4", 31.1)):
        age(journal, uniqueid, days)
    assert journal.prune(0) == 1
    assert [uniqueid for uniqueid in ("1.1", "2.2", "3.3", "4.4") if journal.entry(uniqueid)] == ["2.2", "3.3", "4.4"]


def test_a_finished_call_stays_while_its_recording_is_owed(ended: Journal) -> None:
    ended.finished("1.1")
    age(ended, "1.1", 100)
    assert ended.prune(time.time()) == 0
    assert ended.done(item(ended, ATTACH).id)
    assert ended.prune(time.time()) == 1


def test_never_more_than_200_calls_go_in_one_step_and_their_stories_go_with_them(
    journal: Journal, tmp_path: Path
) -> None:
    journal._file.database.execute("PRAGMA synchronous=OFF")
    for number in range(150):
        for uniqueid in (f"{number}.1", f"{number}.2"):
            journal.begin(call(uniqueid), 0)
            journal.tell(uniqueid, "register")
        journal.registered(f"{number}.1", ANSWER)
        journal.finished(f"{number}.1")
    journal._file.database.execute("UPDATE calls SET written = 5")
    assert journal.prune(time.time(), most=1000) == 200
    assert journal.prune(time.time(), most=1000) == 100
    assert journal.prune(time.time()) == 0
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as reader:
        for table in ("calls", "deliveries", "story"):
            assert reader.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_the_room_of_what_was_forgotten_is_used_again(journal: Journal, tmp_path: Path) -> None:
    journal._file.database.execute("PRAGMA synchronous=OFF")

    def a_days_calls(day: int) -> int:
        for number in range(150):
            uniqueid = f"{day}.{number}"
            journal.begin(call(uniqueid), 0)
            journal.registered(uniqueid, ANSWER)
            journal.finished(uniqueid)
        journal._file.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return (tmp_path / "journal.sqlite").stat().st_size

    first = a_days_calls(1)
    for day in range(2, 6):
        assert journal.prune(time.time() + 5) == 150
        assert a_days_calls(day) < first * 1.2


# -- calls that have no end ----------------------------------------------------------------------------------


def test_a_call_is_open_until_its_end_is_known(journal: Journal) -> None:
    later = time.time() + 60
    journal.begin(CALL, 0)
    assert [entry.uniqueid for entry in journal.open_calls(later)] == ["1.1"]
    journal.registered("1.1", ANSWER)
    assert [entry.uniqueid for entry in journal.open_calls(later)] == ["1.1"]
    assert journal.open_calls(time.time() - 60) == []
    journal.ended(END, 0)
    assert journal.open_calls(later) == []


def test_a_call_that_the_portal_has_the_end_of_is_not_open_though_its_end_was_not_seen(journal: Journal) -> None:
    journal.begin(CALL, 0)
    journal.finished("1.1")
    assert journal.open_calls(time.time() + 60) == []


def test_the_cards_of_a_call_are_those_that_were_shown_or_are_to_be(journal: Journal) -> None:
    journal.begin(CALL, 0)
    journal.registered("1.1", ANSWER)
    shown = journal.owe("1.1", SHOW, "[12]", 0)
    assert shown
    journal.done(shown)
    dropped = journal.owe("1.1", SHOW, "[13]", 0)
    assert dropped
    journal.drop(dropped)
    journal.owe("1.1", SHOW, "[14]", 0)
    assert journal.cards("1.1") == [(SHOW, "[12]"), (SHOW, "[14]")]
