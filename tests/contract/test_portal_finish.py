"""telephony.externalCall.finish at the sandbox: every effect on the CRM, and what is too long."""

from __future__ import annotations

from typing import Any

import pytest
from portal_client import PHONE, Client

METHOD = "telephony.externalCall.finish"
NOT_FOUND = "Call is not found (call should be registered prior to finishing"
ANNA = "+74951234567"


@pytest.mark.parametrize("user_id", [5555, 1198])
def test_the_person_is_checked_last(client: Client, user_id: int) -> None:
    call_id = client.register()["CALL_ID"]
    expected = (400, "", "User is not found or is not active")
    assert client.refusal(METHOD, CALL_ID=call_id, USER_ID=user_id) == expected
    assert client.ledger_call(call_id)["state"] == "open"


def test_a_second_finish_does_not_find_the_call(client: Client) -> None:
    call_id = client.finished_call()
    assert client.refusal(METHOD, CALL_ID=call_id, USER_ID=1101) == (400, "", NOT_FOUND)
    assert len(client.portal.ledger()["calls"]) == 1


def test_the_result_of_a_webhook_has_the_portals_types(client: Client) -> None:
    call_id = client.register(PHONE_NUMBER=ANNA, EXTERNAL_CALL_ID="pbx-1", LINE_NUMBER="74957770000")["CALL_ID"]
    assert client.finish(call_id, USER_ID=1102, DURATION="35", VOTE=5) == {
        "CALL_ID": call_id,
        "EXTERNAL_CALL_ID": "pbx-1",
        "PORTAL_USER_ID": 1102,
        "PHONE_NUMBER": ANNA,
        "PORTAL_NUMBER": "74957770000",
        "INCOMING": "2",
        "CALL_DURATION": 35,
        "CALL_START_DATE": {},
        "CALL_STATUS": 1,
        "CALL_VOTE": 5,
        "COST": 0,
        "COST_CURRENCY": "",
        "CALL_FAILED_CODE": "200",
        "CALL_FAILED_REASON": "",
        "REST_APP_ID": None,
        "REST_APP_NAME": False,
        "CRM_ACTIVITY_ID": 901,
        "COMMENT": None,
        "CRM_ENTITY_TYPE": "CONTACT",
        "CRM_ENTITY_ID": 42,
        "ID": 77,
    }


def test_the_result_of_an_application_names_it(client: Client) -> None:
    result = client.finish(client.register("oauth")["CALL_ID"], "oauth")
    assert (result["REST_APP_ID"], result["REST_APP_NAME"]) == ("3", "PBX bridge")


def test_a_client_who_appears_during_the_call_gets_the_activity(client: Client) -> None:
    call_id = client.register()["CALL_ID"]
    contact = client.portal.world.create("CONTACT", "New", PHONE)
    assert client.finish(call_id)["CRM_ENTITY_ID"] == contact.entity_id


def test_finish_hides_the_card_of_its_own_person_only(client: Client) -> None:
    call_id = client.register(SHOW=1)["CALL_ID"]
    client.result("telephony.externalCall.show", CALL_ID=call_id, USER_ID=[1102])
    client.finish(call_id, USER_ID=1102)
    assert client.cards() == [("show", 1101, "register"), ("show", 1102, "show"), ("hide", 1102, "finish")]


def test_what_the_call_created_goes_to_the_person_who_finished_it(client: Client) -> None:
    client.finish(client.register(CRM_CREATE=1)["CALL_ID"], USER_ID=1105)
    client.finish(client.register(PHONE_NUMBER=ANNA)["CALL_ID"], USER_ID=1105)
    owners = {
        (row["CRM_ENTITY_TYPE"], row["CRM_ENTITY_ID"]): row["ASSIGNED_BY_ID"]
        for row in client.portal.ledger()["entities"]
    }
    assert owners["LEAD", 32] == 1105
    assert owners["CONTACT", 42] == 1102  # existing ones keep their owner


@pytest.mark.parametrize(
    "call_type, code, missed, activity_missed",
    [
        (2, "304", True, True),
        (3, "304", True, False),
        (4, "304", False, True),
        (1, "304", False, False),
        (2, "603", False, False),
        (2, "200", False, False),
    ],
)
def test_a_missed_call_is_code_304_of_incoming_types(
    client: Client, call_type: int, code: str, missed: bool, activity_missed: bool
) -> None:
    call_id = client.register(PHONE_NUMBER=ANNA, TYPE=call_type)["CALL_ID"]
    client.finish(call_id, STATUS_CODE=code)
    assert client.ledger_call(call_id)["missed"] is missed
    assert client.portal.ledger()["activities"][0]["missed"] is activity_missed


@pytest.mark.parametrize(
    "call_back, closed",
    [
        ({"TYPE": 1}, True),
        ({"TYPE": 1, "STATUS_CODE": "304"}, False),
        ({"TYPE": 2}, False),
        ({"TYPE": 1, "PHONE_NUMBER": PHONE.lstrip("+")}, False),
        ({"TYPE": 1, "USER_ID": 1107}, True),
    ],
)
def test_an_answered_call_back_to_the_same_number_string_closes_a_missed_call(
    client: Client, call_back: dict[str, Any], closed: bool
) -> None:
    missed = client.register()["CALL_ID"]
    client.finish(missed)
    code = call_back.pop("STATUS_CODE", "200")
    again = client.register(**call_back)["CALL_ID"]
    client.finish(again, STATUS_CODE=code)
    assert client.ledger_call(missed)["missed_closed_by"] == (again if closed else None)


@pytest.mark.parametrize(
    "at_register, at_finish, column",
    [
        ({"PHONE_NUMBER": "+" + "7" * 20}, {}, "PHONE_NUMBER"),
        ({"EXTERNAL_CALL_ID": "x" * 65}, {}, "EXTERNAL_CALL_ID"),
        ({}, {"STATUS_CODE": "x" * 256}, "CALL_FAILED_CODE"),
        ({}, {"FAILED_REASON": "x" * 256}, "CALL_FAILED_REASON"),
    ],
)
def test_a_value_too_long_for_the_statistics_leaves_the_call_open_and_an_activity_at_each_try(
    client: Client, at_register: dict[str, Any], at_finish: dict[str, Any], column: str
) -> None:
    call_id = client.register(CRM_CREATE=1, **at_register)["CALL_ID"]
    for attempt in (1, 2):
        refused = client.refusal(METHOD, CALL_ID=call_id, USER_ID=1101, **at_finish)
        assert (refused.status, refused.error) == (400, "")
        assert refused.description.startswith("Unexpected database error; ")
        assert column in refused.description
        assert len(client.portal.ledger()["activities"]) == attempt
    assert client.ledger_call(call_id)["state"] == "open"


def test_the_ledger_shows_how_the_call_ended(client: Client) -> None:
    call_id = client.register(TYPE=1)["CALL_ID"]
    client.finish(call_id, USER_ID=None, USER_PHONE_INNER="104", STATUS_CODE="486", FAILED_REASON="busy")
    row = client.ledger_call(call_id)
    assert {
        key: row[key]
        for key in ("state", "finished_by", "CALL_DURATION", "STATUS_CODE", "FAILED_REASON", "missed", "ADD_TO_CHAT")
    } == {
        "state": "finished",
        "finished_by": 1104,
        "CALL_DURATION": 0,
        "STATUS_CODE": "486",
        "FAILED_REASON": "busy",
        "missed": False,
        "ADD_TO_CHAT": False,
    }
