"""telephony.externalCall.finish at any portal: checks in order and result types."""

from __future__ import annotations

from typing import Any

import pytest
from portal_under_test import FINISH, LABEL, NO_EXTENSION, NOBODY, PortalUnderTest, unique_name

NO_PERSON = "USER_ID or USER_PHONE_INNER should be set"
NOT_FOUND = "call is not found"  # what follows is worded in two ways
UNKNOWN = "externalCall.0.0"


@pytest.mark.parametrize("parameters", [{}, {"USER_PHONE_INNER": NO_EXTENSION, "CALL_ID": 1}])
def test_the_person_is_asked_for_first(portal_under_test: PortalUnderTest, parameters: dict[str, Any]) -> None:
    assert portal_under_test.telephony_refusal(FINISH, **parameters) == NO_PERSON


@pytest.mark.parametrize("parameters", [{}, {"CALL_ID": 17}])
def test_the_call_id_must_be_text(portal_under_test: PortalUnderTest, parameters: dict[str, Any]) -> None:
    refused = portal_under_test.refusal(FINISH, USER_ID=portal_under_test.user, **parameters)
    assert refused == (400, "INVALID_ARGUMENT", "CALL_ID must be a string")


@pytest.mark.parametrize("call_id", [UNKNOWN, ""])
def test_an_unknown_call_is_not_found_whoever_finishes_it(portal_under_test: PortalUnderTest, call_id: str) -> None:
    assert portal_under_test.telephony_refusal(FINISH, USER_ID=NOBODY, CALL_ID=call_id).lower().startswith(NOT_FOUND)


def test_a_person_who_does_not_exist_leaves_the_call_open(portal_under_test: PortalUnderTest) -> None:
    call_id = portal_under_test.register()["CALL_ID"]
    expected = "User is not found or is not active"
    assert portal_under_test.telephony_refusal(FINISH, CALL_ID=call_id, USER_ID=NOBODY) == expected
    assert portal_under_test.finish(call_id)["CALL_ID"] == call_id


def test_a_second_finish_does_not_find_the_call(portal_under_test: PortalUnderTest) -> None:
    call_id = portal_under_test.finished_call()
    refused = portal_under_test.refusal(FINISH, CALL_ID=call_id, USER_ID=portal_under_test.user)
    portal_under_test.note("second finish", f"{refused.status} {refused.error or '(empty)'}: {refused.description}")
    assert refused.status == 400
    assert refused.description.lower().startswith(NOT_FOUND)
    assert len(portal_under_test.statistics(CALL_ID=call_id)) == 1


def test_the_result_has_the_portals_types(portal_under_test: PortalUnderTest) -> None:
    external_id, line = unique_name(), portal_under_test.line_number()
    call_id = portal_under_test.register(EXTERNAL_CALL_ID=external_id, LINE_NUMBER=line)["CALL_ID"]
    result = portal_under_test.finish(call_id, DURATION="35", VOTE=5)
    assert isinstance(result.pop("ID"), int)
    app_id, app_name = result.pop("REST_APP_ID"), result.pop("REST_APP_NAME")
    if portal_under_test.is_application:
        assert isinstance(app_id, str)
        assert app_id.isdigit()
        assert isinstance(app_name, str)
    else:
        assert (app_id, app_name) == (None, False)
    expected = {
        "CALL_ID": call_id,
        "EXTERNAL_CALL_ID": external_id,
        "PORTAL_USER_ID": portal_under_test.user,
        "PHONE_NUMBER": portal_under_test.phone,
        "PORTAL_NUMBER": line,
        "INCOMING": "2",
        "CALL_DURATION": 35,
        "CALL_START_DATE": {},
        "CALL_STATUS": 1,
        "CALL_VOTE": 5,
        "COST": 0,
        "COST_CURRENCY": "",
        "CALL_FAILED_CODE": "200",
        "CALL_FAILED_REASON": LABEL,
        "COMMENT": None,
    }
    assert {key: result.get(key) for key in expected} == expected


def test_a_call_of_no_client_has_no_activity_and_says_so(portal_under_test: PortalUnderTest) -> None:
    result = portal_under_test.finish(portal_under_test.register()["CALL_ID"])
    assert result["CRM_ACTIVITY_ID"] is False
    assert result["ERRORS"]["ACTIVITY_CREATION"] == "Could not find associated crm entity for the current call"
    assert not result.get("CRM_ENTITY_TYPE")
    assert not result.get("CRM_ENTITY_ID")


@pytest.mark.parametrize(
    "parameters, code, status",
    [
        ({"STATUS_CODE": None}, "304", 0),
        ({"DURATION": 0}, "304", 0),
        ({"DURATION": 5}, "200", 1),
        ({"DURATION": 5, "STATUS_CODE": "304"}, "304", 1),
        ({"STATUS_CODE": "200"}, "200", 0),
        ({"STATUS_CODE": "603-S"}, "603-S", 0),
        ({"STATUS_CODE": 486}, "486", 0),
    ],
)
def test_code_and_status_follow_from_duration_unless_the_code_is_given(
    portal_under_test: PortalUnderTest, parameters: dict[str, Any], code: str, status: int
) -> None:
    outgoing = portal_under_test.register(TYPE=1)["CALL_ID"]  # an incoming 304 would be somebody's missed call
    result = portal_under_test.finish(outgoing, **parameters)
    assert (result["CALL_FAILED_CODE"], result["CALL_STATUS"]) == (code, status)


def test_a_call_may_be_finished_by_internal_number(portal_under_test: PortalUnderTest) -> None:
    call_id = portal_under_test.register()["CALL_ID"]
    number = portal_under_test.internal_number
    result = portal_under_test.finish(call_id, USER_ID=None, USER_PHONE_INNER=number)
    assert result["PORTAL_USER_ID"] == portal_under_test.user


def test_values_at_their_longest_are_taken(portal_under_test: PortalUnderTest) -> None:
    external_id = unique_name().ljust(64, "x")
    line = portal_under_test.line_number(length=50)
    call_id = portal_under_test.register(EXTERNAL_CALL_ID=external_id, LINE_NUMBER=line)["CALL_ID"]
    reason = LABEL.ljust(255, "я")
    result = portal_under_test.finish(call_id, STATUS_CODE="603-S".ljust(255, "s"), FAILED_REASON=reason)
    assert result["EXTERNAL_CALL_ID"] == external_id
    assert result["PORTAL_NUMBER"] == line
    assert result["CALL_FAILED_REASON"] == reason
