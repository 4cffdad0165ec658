"""The comparison of the CRM with what endpoints saw can fail: each way to be wrong is found."""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable

import pytest

from freepbx_bx24.sandbox.pbx.record import CallRecord, Moment

from .fire import UNSEEN, Burnt, Seen
from .fire_plan import plan

NUMBER = "+79260000001"


def told(**changes: Any) -> dict[str, Any]:
    """What the CRM has of the call below, rightly."""
    right = {
        "CALL_ID": "externalCall.1",
        "state": "finished",
        "direction": "incoming",
        "LINE_NUMBER": "+74957770000",
        "finished_by": 1110,
        "STATUS_CODE": "200",
        "CALL_DURATION": 3,
        "FAILED_REASON": "",
    }
    return {**right, **changes}


def burnt(*calls: dict[str, Any]) -> Burnt:
    """One call of ten seconds, three of them talk, and what the CRM has of it."""
    record = CallRecord("city", True, "1", moments={"invite": Moment(100.0, 100.0), "end": Moment(110.0, 110.0)})
    one = Burnt(plan(1, 100))
    one.seen = {
        NUMBER: Seen("incoming", "+74957770000", frozenset({1110}), 1101, frozenset({1110}), "200", 3.4, record)
    }
    one.crm = {NUMBER: list(calls)}
    one.activities = Counter(call["CALL_ID"] for call in calls if call["state"] == "finished")
    return one


def test_a_call_that_is_told_rightly_is_not_wrong() -> None:
    assert burnt(told()).wrong() == []
    assert burnt(told(CALL_DURATION=4)).wrong() == []


@pytest.mark.parametrize(
    "calls",
    [
        [],
        [told(state="open")],
        [told(), told(CALL_ID="externalCall.2")],
        [told(direction="outgoing")],
        [told(LINE_NUMBER="+74957770101")],
        [told(finished_by=1111)],
        [told(STATUS_CODE="304")],
        [told(CALL_DURATION=1)],
        [told(CALL_DURATION=5)],
        [told(FAILED_REASON=UNSEEN)],
    ],
    ids=["missing", "open", "twice", "direction", "line", "person", "code", "too short", "too long", "estimated"],
)
def test_a_call_that_is_told_wrongly_is_found(calls: list[dict[str, Any]]) -> None:
    assert len(burnt(*calls).wrong()) == 1


def test_an_open_double_is_counted_and_is_no_fault_of_a_call_that_is_there() -> None:
    one = burnt(told(), told(CALL_ID="externalCall.2", state="open"))
    assert one.wrong() == []
    assert one.orphans == {NUMBER: 1}


def _finished_twice(one: Burnt) -> None:
    one.activities["externalCall.1"] = 2


def _owed(one: Burnt) -> None:
    one.owed = [("1.1", "finish", "parked")]


@pytest.mark.parametrize("spoil", [_finished_twice, _owed])
def test_what_is_finished_twice_or_owed_is_found(spoil: Callable[[Burnt], None]) -> None:
    one = burnt(told())
    spoil(one)
    assert len(one.wrong()) == 1


def test_a_call_may_be_estimated_where_no_service_was_there_for_a_moment_of_it() -> None:
    one = burnt(told(FAILED_REASON=UNSEEN, CALL_DURATION=9))
    one.dead = [(109.0, 112.0)]
    assert one.wrong() == []
    one.dead = [(111.0, 112.0)]
    assert len(one.wrong()) == 1


def test_a_seed_gives_the_same_plan_again_and_another_seed_another_one() -> None:
    assert plan(7, 100) == plan(7, 100) != plan(8, 100)
