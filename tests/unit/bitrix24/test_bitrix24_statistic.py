"""After a lost answer the portal's statistics tell which calls it has the end of, and nothing beyond the question."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepbx_bx24.bitrix24 import statistic
from freepbx_bx24.errors import PortalBroken

REGISTER = {"USER_ID": 1101, "PHONE_NUMBER": "+79160000001", "TYPE": 2}

values = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["c1", "e1"])
rows = st.dictionaries(st.sampled_from(["CALL_ID", "EXTERNAL_CALL_ID", "ID"]), values) | values


def finished_call(client, external_id):
    call_id = client.call(
        "telephony.externalCall.register", {**REGISTER, "EXTERNAL_CALL_ID": external_id}, total_seconds=5
    ).result["CALL_ID"]
    client.call("telephony.externalCall.finish", {"CALL_ID": call_id, "USER_ID": 1101}, total_seconds=5)
    return call_id


def test_finished_calls_are_found_by_both_ids_and_open_ones_are_not(client):
    first, second = finished_call(client, "pbx-1.1"), finished_call(client, "pbx-1.2")
    third = client.call(
        "telephony.externalCall.register", {**REGISTER, "EXTERNAL_CALL_ID": "pbx-1.3"}, total_seconds=5
    ).result["CALL_ID"]
    asked = [first, third, "externalCall.0.0"]
    answer = client.call(statistic.METHOD, statistic.by_call_id(asked), total_seconds=5)
    assert statistic.finished_calls(answer.result, asked) == {first}
    asked = ["pbx-1.2", "pbx-1.3"]
    answer = client.call(statistic.METHOD, statistic.by_external_id(asked), total_seconds=5)
    assert statistic.known_calls(answer.result, asked) == {"pbx-1.2": second}


def test_a_portal_that_drops_the_filter_and_lists_everything_confirms_nothing_that_was_not_asked_for():
    everything = [{"CALL_ID": "c1", "EXTERNAL_CALL_ID": "e1"}, {"CALL_ID": "c2", "EXTERNAL_CALL_ID": "e2"}]
    assert statistic.finished_calls(everything, ["c2", "c3"]) == {"c2"}
    assert statistic.known_calls(everything, ["e1", "e3"]) == {"e1": "c1"}


def test_of_a_call_that_was_told_twice_the_newest_row_counts():
    twice = [{"CALL_ID": "c2", "EXTERNAL_CALL_ID": "e1"}, {"CALL_ID": "c1", "EXTERNAL_CALL_ID": "e1"}]
    assert statistic.known_calls(twice, ["e1"]) == {"e1": "c2"}
    assert statistic.by_external_id(["e1"])["ORDER"] == "DESC"


@given(st.lists(rows))
def test_no_row_of_any_type_is_trusted(listed):
    assert statistic.finished_calls(listed, ["c1"]) <= {"c1"}
    assert set(statistic.known_calls(listed, ["e1"])) <= {"e1"}


@pytest.mark.parametrize("result", [None, {}, "rows", 7])
def test_what_is_no_list_is_no_answer(result):
    with pytest.raises(PortalBroken):
        statistic.finished_calls(result, ["c1"])
    with pytest.raises(PortalBroken):
        statistic.known_calls(result, ["e1"])


@pytest.mark.parametrize("ids", [[], ["x"] * 51, [""], ["x" * 256]])
def test_a_question_holds_what_a_page_of_the_answer_can_hold(ids):
    with pytest.raises(ValueError, match="at once"):
        statistic.by_call_id(ids)
