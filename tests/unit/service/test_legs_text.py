"""What the journal keeps of a call's legs, and what can be told from it when everything else has died."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from freepbx_bx24.call import View
from freepbx_bx24.pbx.call_legs import At, CallLegs, Leg, Span
from freepbx_bx24.service import legs_text


def at(seconds: float) -> At:
    return At(seconds + 50, seconds + 1000)


def leg(device: str, *talks: tuple[float, float | None]) -> Leg:
    spans = tuple(Span(at(since), None if until is None else at(until)) for since, until in talks)
    return Leg(f"9.{device}", f"PJSIP/{device}-01", device, rang=Span(at(0), at(2)), ended="ANSWER", talks=spans)


def story(*legs: Leg, unbroken: bool = True) -> str:
    return legs_text.write(CallLegs("1.1", "in", legs, unbroken=unbroken))


def test_legs_are_kept_in_the_wall_clocks_seconds() -> None:
    assert json.loads(story(leg("101", (2, 9), (11, None)))) == {
        "unbroken": True,
        "legs": [
            {
                "device": "101",
                "number": "",
                "ended": "ANSWER",
                "rang": [1000, 1002],
                "talks": [[1002, 1009], [1011, None]],
            }
        ],
    }


def test_of_hundreds_of_legs_those_that_talked_are_kept() -> None:
    many = [leg("200") for _ in range(500)]
    text = story(leg("101", (2, 9)), *many)
    assert len(json.loads(text)["legs"]) == legs_text.MOST_LEGS
    assert [leg.device for leg in legs_text.read(text).legs if leg.talks] == ["101"]


@pytest.mark.parametrize("text", ["nonsense", "[]", "{}", '{"legs": 1}', '{"legs": [1]}', '{"legs": [{"talks": 7}]}'])
def test_what_makes_no_sense_says_nothing(text: str) -> None:
    assert legs_text.read(text) == View()


@given(some.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    legs_text.read(text)


def test_people_read_who_rang_and_who_talked() -> None:
    text = story(leg("101", (2, 37)), leg("102"))
    assert legs_text.sentence(text) == "102 rang 2 s (ANSWER); 101 rang 2 s (ANSWER) and talked 35 s"
    assert legs_text.sentence(story(leg("101", (2, None)), unbroken=False)) == (
        "101 rang 2 s (ANSWER) and talked until the end (the view of Asterisk was interrupted: there may be more)"
    )


def test_people_read_who_was_logged_in_at_a_telephone() -> None:
    text = legs_text.write(CallLegs("1.1", "in", (leg("desk7", (2, 37)),)), {"9.desk7": "105"})
    assert legs_text.sentence(text) == "105 (at desk7) rang 2 s (ANSWER) and talked 35 s"


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"legs": [1], "unbroken": true}', story()])
def test_where_nothing_is_known_nothing_is_said(text: str) -> None:
    assert legs_text.sentence(text) == ""


# -- two views of one call -----------------------------------------------------------------------------------


def through_a_gap(before: str, now: str) -> list[tuple[str, list[list[float]]]]:
    joined = json.loads(legs_text.joined(before, now, 1030.0))
    assert joined["unbroken"] is False
    return [(one["device"], one["talks"]) for one in joined["legs"] if one["talks"]]


def test_who_talked_before_a_gap_and_after_it_has_talked_through_it() -> None:
    assert through_a_gap(story(leg("101", (2, None))), story(leg("101", (30, 42)))) == [("101", [[1002, 1042]])]


def test_who_is_gone_after_a_gap_has_talked_until_then_at_most() -> None:
    before, now = story(leg("101", (2, None))), story(leg("102", (30, 42)))
    assert through_a_gap(before, now) == [("101", [[1002, 1030]]), ("102", [[1030, 1042]])]


def test_talks_that_had_ended_before_a_gap_stay_as_they_were() -> None:
    before, now = story(leg("101", (2, 9)), leg("102", (10, 20))), story(leg("101", (30, 42)))
    assert through_a_gap(before, now) == [
        ("101", [[1002, 1009]]),
        ("102", [[1010, 1020]]),
        ("101", [[1030, 1042]]),
    ]


@given(some.text(max_size=40), some.text(max_size=40))
def test_what_is_no_view_is_none_of_two(one: str, other: str) -> None:
    legs_text.read(legs_text.joined(one, other, 0.0))
    legs_text.read(legs_text.joined(story(leg("101", (2, 9))), other, 0.0))


def test_a_view_is_read_as_it_was_written() -> None:
    view = legs_text.read(story(leg("101", (2, 9), (11, None)), unbroken=False))
    (seen,) = view.legs
    assert (view.whole, seen.device, seen.rang, seen.ended) == (False, "101", (1000.0, 1002.0), "ANSWER")
    assert seen.talks == ((1002.0, 1009.0), (1011.0, None))
