"""What counts as a difference between expected.yaml and what was seen: each way to be wrong is found."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any, Mapping

import pytest
import yaml

from freepbx_bx24.sandbox.pbx.record import CallRecord, Moment

from .expectation import Scenario, differences, read
from .performance import SCENARIOS
from .seen import Heard, Seen, open_cards
from .track import Track

BEGAN = 1_795_600_000.0
CLIENT = "+79260000001"
ANSWERED = """
direction: in
line: track
code: 200
person: 1
seconds: people
lead: yes
cards: {1: [show, hide], 2: [show, hide]}
"""
MISSED = """
direction: in
line: track
code: 304
missed: yes
person: [1, 2]
seconds: 0
reason: "rang {1 2} for {rang} s in queue {queue}"
lead: yes
cards: {1: [show, hide], 2: [show, hide]}
"""


def heard(who: str, placed: bool, final: str, **moments: float) -> Heard:
    record = CallRecord(who, placed, f"{who}-leg", request_user="74957771300", final_status=int(final))
    for what, seconds in moments.items():
        record.moments[what.lstrip("_")] = Moment(BEGAN + seconds, 1000.0 + seconds)
    return Heard(who, record)


def call(**other: Any) -> dict[str, Any]:
    row = {
        "CALL_ID": "one",
        "state": "finished",
        "direction": "incoming",
        "PHONE_NUMBER": CLIENT,
        "LINE_NUMBER": "+74957771300",
        "CALL_START_DATE": datetime.fromtimestamp(BEGAN).astimezone().isoformat(),
        "finished_by": 1131,
        "CALL_DURATION": 6,
        "STATUS_CODE": "200",
        "FAILED_REASON": "",
        "missed": False,
        "CRM_CREATED_LEAD": 32,
        "finished_at": BEGAN + 10.2,
    }
    return {**row, **other}


def card(user: int, action: str, seconds: float, cause: str = "") -> dict[str, Any]:
    return {
        "CALL_ID": "one",
        "USER_ID": user,
        "action": action,
        "time": BEGAN + seconds,
        "cause": cause or action,
    }


CARDS = (card(1131, "show", 1), card(1132, "show", 1), card(1132, "hide", 4), card(1131, "hide", 10, "finish"))
# The client waits in a queue from second 0.1 on; 1 and 2 ring from 1 to 4, and 1 talks from 4 to 10.
QUEUE = (
    heard("client", True, "200", invite=0, _200=0.1, end=10),
    heard("1", False, "200", invite=1, _180=1, _200=4, end=10),
    heard("2", False, "487", invite=1, _180=1, end=4),
)
IN_VAIN = (QUEUE[0], heard("1", False, "487", invite=1, _180=1, end=10), heard("2", False, "487", _180=2, end=9))
NAMES = {"1": "1", "2": "2"}


def seen(**other: Any) -> Seen:
    usual: Mapping[str, Any] = {"heard": QUEUE, "whose": NAMES, "calls": [call()], "cards": CARDS}
    return Seen(**{"track": Track(3), "numbers": {"client": CLIENT}, **usual, **other})


def found(text: str, what: Seen, nothing: tuple[str, ...] = ()) -> list[str]:
    calls = [yaml.safe_load(text)] if text else []
    return list(differences(Scenario("one", "says", calls, nothing, range(8), False), what))


def missed(reason: str = "rang 132, 131 for 9 s in queue 703", **other: Any) -> Seen:
    row = call(STATUS_CODE="304", CALL_DURATION=0, missed=True, FAILED_REASON=reason, **other)
    return seen(heard=IN_VAIN, calls=[row], cards=[*CARDS[:2], card(1132, "hide", 9.1), card(1131, "hide", 10)])


def test_nothing_is_different_where_all_is_as_expected() -> None:
    assert found(ANSWERED, seen()) == []
    assert found(MISSED, missed()) == []


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"calls": []}, "the CRM has 0 calls"),
        ({"calls": [call(), call(CALL_ID="two")]}, "the CRM has 2 calls"),
        ({"calls": [call(state="open")]}, "state"),
        ({"calls": [call(direction="outgoing")]}, "direction"),
        ({"calls": [call(LINE_NUMBER="+74957770000")]}, "line"),
        ({"calls": [call(STATUS_CODE="304")]}, "code"),
        ({"calls": [call(missed=True)]}, "missed"),
        ({"calls": [call(finished_by=1132)]}, "person: 2 instead of 1"),
        ({"calls": [call(CALL_DURATION=10)]}, "seconds: 10 instead of 6.00"),
        ({"calls": [call(CALL_DURATION=4)]}, "seconds: 4 instead of 6.00"),
        ({"calls": [call(FAILED_REASON="busy")]}, "reason"),
        ({"calls": [call(CRM_CREATED_LEAD=None)]}, "a lead was made"),
        ({"calls": [call(CALL_START_DATE="2026-01-01T00:00:00+03:00")]}, "start"),
        ({"heard": QUEUE[1:]}, "the client saw 0 calls"),
        ({"complaints": ["it did not ring"]}, "it did not ring"),
        ({"cards": CARDS[:3]}, "person 1 saw ['show'] instead"),
        ({"cards": [CARDS[0], *CARDS]}, "person 1 saw ['show', 'show', 'hide'] instead"),
        ({"cards": [*CARDS, card(1133, "show", 2)]}, "person 3 saw ['show'] instead of []"),
        ({"cards": [*CARDS, card(1133, "hide", 2)]}, "person 3 saw ['hide'] instead of []"),
        ({"cards": CARDS[2:]}, "person 1 saw [] instead"),
        ({"cards": [*CARDS[:2], card(1132, "hide", 9), CARDS[3]]}, "person 2 had a card 5.0 s longer than a call"),
    ],
)
def test_whatever_is_not_as_expected_is_said(other: Mapping[str, Any], said: str) -> None:
    assert said in "\n".join(found(ANSWERED, seen(**other)))


@pytest.mark.parametrize(
    ("apart", "told"), [([(5, 7)], 4), ([(3, 5), (9, 99)], 4), ([(5, 7), (7, 8)], 3), ([(0, 3)], 6)]
)
def test_while_the_client_waits_nobody_talks_with_him(apart: list[tuple[float, float]], told: int) -> None:
    moments = [(1000.0 + since, 1000.0 + until) for since, until in apart]
    assert found(ANSWERED, seen(apart=moments, calls=[call(CALL_DURATION=told)])) == []
    assert found(ANSWERED, seen(apart=moments, calls=[call(CALL_DURATION=told + 2)])) != []


def test_an_open_card_is_said_even_where_it_is_expected() -> None:
    expected = ANSWERED.replace("1: [show, hide]", "1: [show]")
    assert found(expected, seen(cards=CARDS[:3])) == ["client's call: person 1 has an open card at the end"]


def test_whoever_still_has_a_card_is_found() -> None:
    assert open_cards([call()], CARDS) == []
    assert open_cards([call()], CARDS[:3]) == [(CLIENT, 1131)]
    assert open_cards([call()], [*CARDS, card(1132, "show", 11)]) == [(CLIENT, 1132)]


@pytest.mark.parametrize("user", [1137, 1132])
@pytest.mark.parametrize("cause", ["hide", "finish"])
def test_what_the_end_hides_without_a_card_is_seen_by_nobody(user: int, cause: str) -> None:
    assert found(ANSWERED, seen(cards=[*CARDS, card(user, "hide", 10.1, cause)])) == []


@pytest.mark.parametrize(
    "reason",
    [
        "rang 131, 132 for 9 s",
        "rang 131 for 9 s in queue 703",
        "rang 131, 132, 133 for 9 s in queue 703",
        "rang 131, 132 for 9 s in queue 700",
        "rang 131, 132 for 5 s in queue 703",
        "",
    ],
)
def test_a_reason_has_to_name_whose_telephones_rang_and_for_how_long(reason: str) -> None:
    assert any("reason" in line for line in found(MISSED, missed(reason)))


def test_a_mobiles_number_may_be_written_in_any_form_and_no_other_number() -> None:
    expected = ANSWERED.replace("lead", 'reason: "answered by {mobile 6}, who is not there"\nlead')
    for number, wrong in (("+79160003006", False), ("89160003006", False), ("+79160004006", True)):
        told = found(expected, seen(calls=[call(FAILED_REASON=f"answered by {number}, who is not there")]))
        assert any("reason" in line for line in told) is wrong


@pytest.mark.parametrize(
    ("who", "parameters", "numbers"),
    [
        ("client", {"PHONE_NUMBER": CLIENT}, []),
        ("client", {"CMD": ["telephony.externalCall.searchCrmEntities?PHONE_NUMBER=%2B79260000001"]}, []),
        ("client", {}, ["89260000001"]),
        ("112", {"PHONE_NUMBER": "112"}, []),
        ("1", {"PHONE_NUMBER": "131"}, []),
        ("mobile 7", {}, ["+79160003007"]),
        ("anonymous", {}, ["anonymous"]),
    ],
)
def test_of_nothing_the_crm_must_not_have_heard(who: str, parameters: Mapping[str, Any], numbers: list[str]) -> None:
    other = "+79261112131"  # ends as an extension does
    quiet = seen(requests=[{"parameters": {"PHONE_NUMBER": other}}], all_numbers=[other])
    assert found("", quiet, (who,)) == []
    assert found("", seen(requests=[{"parameters": parameters}], all_numbers=numbers), (who,)) != []


@pytest.mark.parametrize("wrong", ["clients: []", "says: x", "says: x\ncalls: [{persons: 1}]"])
def test_a_scenario_that_is_written_wrongly_is_not_played(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "expected.yaml").write_text(wrong)
    with pytest.raises(AssertionError):
        read(tmp_path)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_says_in_one_sentence_what_happens(name: str) -> None:
    assert re.fullmatch(r"[A-Z][^\n]{20,119}\.", SCENARIOS[name].says)
