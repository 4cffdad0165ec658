"""telephony.externalCall.register at the sandbox: what it keeps of a call, and what the CRM creates."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from portal_client import PHONE, Client

from freepbx_bx24.sandbox.portal import Entity, Portal

METHOD = "telephony.externalCall.register"
GOOD: dict[str, Any] = {"USER_ID": 1101, "PHONE_NUMBER": PHONE, "TYPE": 2}
ANNA = "+7 (495) 123-45-67"
NO_PERSON = "USER_ID or USER_PHONE_INNER should be set"
NO_DATE = "CALL_START_DATE should be in the ISO-8601 format"
NOT_ACTIVE = "User is not found or is not active"


@pytest.mark.parametrize(
    "wrong, description",
    [
        ({"USER_ID": None, "USER_PHONE_INNER": "198"}, NO_PERSON),
        ({"CALL_START_DATE": 1790000123}, NO_DATE),
        ({"USER_ID": 1198}, NOT_ACTIVE),
    ],
)
def test_a_refused_registration_leaves_nothing_behind(client: Client, wrong: dict[str, Any], description: str) -> None:
    assert client.refusal(METHOD, **{**GOOD, **wrong}) == (400, "", description)
    assert client.portal.ledger()["calls"] == []


def test_the_result_has_the_portals_types(client: Client) -> None:
    result = client.register()
    assert re.fullmatch(r"externalCall\.[0-9a-f]{32}\.\d{10}", result["CALL_ID"])
    del result["CALL_ID"]
    assert result == {
        "CRM_CREATED_LEAD": None,
        "CRM_CREATED_ENTITIES": [],
        "CRM_ENTITY_TYPE": "",
        "CRM_ENTITY_ID": None,
    }


def test_a_non_zero_user_id_wins_over_the_internal_number(client: Client) -> None:
    call_id = client.register(USER_ID="1102", USER_PHONE_INNER="107")["CALL_ID"]
    assert client.ledger_call(call_id)["registered_by"] == 1102


def test_the_ledger_shows_the_call_as_the_portal_keeps_it(client: Client) -> None:
    call_id = client.register(
        PHONE_NUMBER="8 (495) 000-00-01 доб.*12",
        TYPE="1",
        LINE_NUMBER=" +74957770000 ",
        CALL_START_DATE="2026-09-21T15:15:22+01:00",
        EXTERNAL_CALL_ID="pbx-1.2",
    )["CALL_ID"]
    row = client.ledger_call(call_id)
    assert row["PHONE_NUMBER"] == "84950000001*12"  # stripped, not normalised
    assert (row["TYPE"], row["direction"], row["state"]) == (1, "outgoing", "open")
    assert (row["LINE_NUMBER"], row["PORTAL_NUMBER"]) == ("+74957770000", "+74957770000")
    assert row["CALL_START_DATE"] == "2026-09-21T17:15:22+03:00"
    assert row["EXTERNAL_CALL_ID"] == "pbx-1.2"


def test_a_line_longer_than_its_column_is_a_server_error(client: Client) -> None:
    assert client.refusal(METHOD, **GOOD, LINE_NUMBER="7" * 51) == (500, "ERROR_CORE", "SQL query error!")


@pytest.mark.parametrize("show, cards", [(None, 1), (1, 1), ("1", 1), ("N", 1), (0, 0), ("0", 0), ("", 0), (False, 0)])
def test_the_card_is_shown_to_the_person_unless_show_is_falsy_to_php(client: Client, show: Any, cards: int) -> None:
    client.register(SHOW=show)
    assert client.cards() == [("show", 1101, "register")] * cards


# -- dedupe --------------------------------------------------------------------------------------------------------


def recent() -> str:
    """Well within the half hour of the dedupe, however long ago the tests were collected."""
    return (datetime.now(timezone.utc) - timedelta(minutes=20)).isoformat(timespec="seconds")


@pytest.mark.parametrize(
    "first, second, same",
    [
        ({}, {}, True),
        ({}, {"USER_ID": 1102}, False),
        ({"auth": "webhook"}, {"auth": "oauth"}, False),
        ({"auth": "oauth"}, {"auth": "oauth"}, True),
        ({}, {"CRM_CREATE": 1, "USER_ID": None, "USER_PHONE_INNER": "101"}, True),
    ],
)
def test_a_registration_repeats_an_open_call_or_makes_a_new_one(
    client: Client, first: dict[str, Any], second: dict[str, Any], same: bool
) -> None:
    calls = [client.register(**first)["CALL_ID"], client.register(**second)["CALL_ID"]]
    assert (len(set(calls)) == 1) is same
    assert len(client.portal.ledger()["calls"]) == len(set(calls))


def test_all_webhooks_of_a_portal_share_one_namespace(client: Client) -> None:
    first = client.register()["CALL_ID"]
    client.portal.credentials.webhooks[1101] = "other"
    answer = client.session.post(f"{client.portal.url}/rest/1101/other/{METHOD}", json=GOOD, timeout=5)
    assert answer.json()["result"]["CALL_ID"] == first


def test_a_repeat_ignores_new_crm_and_date_and_shows_the_card_again(client: Client) -> None:
    first = client.register(CALL_START_DATE=recent())
    started = client.ledger_call(first["CALL_ID"])["CALL_START_DATE"]
    again = client.register(CRM_CREATE=1, CRM_ENTITY_TYPE="CONTACT", CRM_ENTITY_ID=42)
    assert again == {**first, "CRM_ENTITY_TYPE": False}  # the portal says false here, "" the first time
    assert client.ledger_call(first["CALL_ID"])["CALL_START_DATE"] == started
    assert client.cards() == [("show", 1101, "register")] * 2
    client.register(SHOW=0)
    assert len(client.cards()) == 2


def test_a_repeat_keeps_the_entities_of_the_first(client: Client) -> None:
    first = client.register(CRM_CREATE=1)
    assert first["CRM_CREATED_LEAD"] == 32
    assert client.register(CRM_CREATE=1) == first


# -- CRM -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "phone, entity_type, entity_id",
    [
        (ANNA, "CONTACT", 42),
        ("84951234567", "CONTACT", 42),
        ("74951234567", "CONTACT", 42),
        ("0074951234567", "CONTACT", 42),
        ("01174951234567", "CONTACT", 42),
        ("+78120000007", "COMPANY", 7),
        ("+74950000031", "LEAD", 31),
        ("4951234567", "", None),
        (PHONE, "", None),
    ],
)
def test_the_client_is_found_by_the_normalised_number(
    client: Client, phone: str, entity_type: str, entity_id: int | None
) -> None:
    result = client.register(PHONE_NUMBER=phone)
    assert (result["CRM_ENTITY_TYPE"], result["CRM_ENTITY_ID"]) == (entity_type, entity_id)
    assert result["CRM_CREATED_ENTITIES"] == []


def test_a_lead_is_the_client_only_without_contact_and_company(client: Client) -> None:
    client.portal.world.entities.append(Entity("COMPANY", 8, "Their firm", ["+7 495 000-00-31"]))
    result = client.register(PHONE_NUMBER="+74950000031")
    assert (result["CRM_ENTITY_TYPE"], result["CRM_ENTITY_ID"]) == ("COMPANY", 8)


def test_a_given_entity_is_taken_without_a_look(client: Client) -> None:
    result = client.register(PHONE_NUMBER=ANNA, CRM_ENTITY_TYPE="DEAL", CRM_ENTITY_ID="777", CRM_CREATE=1)
    assert (result["CRM_ENTITY_TYPE"], result["CRM_ENTITY_ID"], result["CRM_CREATED_ENTITIES"]) == ("DEAL", 777, [])


def test_an_unknown_number_becomes_a_lead_of_the_person(client: Client) -> None:
    result = client.register(CRM_CREATE=1, CRM_SOURCE="WEB")
    assert result["CRM_CREATED_LEAD"] == 32
    assert result["CRM_CREATED_ENTITIES"] == [{"ENTITY_TYPE": "LEAD", "ENTITY_ID": 32}]
    assert (result["CRM_ENTITY_TYPE"], result["CRM_ENTITY_ID"]) == ("LEAD", 32)
    lead = client.portal.ledger()["entities"][-1]
    assert (lead["ASSIGNED_BY_ID"], lead["SOURCE_ID"], lead["CREATED_BY_CALL"]) == (1101, "WEB", result["CALL_ID"])


@pytest.mark.parametrize("source", [None, "NO_SUCH"])
def test_an_unknown_source_falls_back_silently(client: Client, source: str | None) -> None:
    client.register(CRM_CREATE=1, CRM_SOURCE=source)
    assert client.portal.ledger()["entities"][-1]["SOURCE_ID"] == "CALL"


def test_a_portal_without_leads_makes_a_contact_and_a_deal(portal: Portal, client: Client) -> None:
    portal.switches.lead_mode = False
    result = client.register(CRM_CREATE=1)
    assert result["CRM_CREATED_LEAD"] is None
    assert result["CRM_CREATED_ENTITIES"] == [
        {"ENTITY_TYPE": "CONTACT", "ENTITY_ID": 43},
        {"ENTITY_TYPE": "DEAL", "ENTITY_ID": 1},
    ]
    assert (result["CRM_ENTITY_TYPE"], result["CRM_ENTITY_ID"]) == ("CONTACT", 43)


@pytest.mark.parametrize(
    "switches, created",
    [
        ({}, [{"ENTITY_TYPE": "LEAD", "ENTITY_ID": 32}]),
        ({"repeat_leads": False}, []),
        ({"lead_mode": False}, [{"ENTITY_TYPE": "DEAL", "ENTITY_ID": 1}]),
    ],
)
def test_a_known_client_gets_a_repeat_lead_or_a_deal_once(
    portal: Portal, client: Client, switches: dict[str, bool], created: list[Any]
) -> None:
    for name, value in switches.items():
        setattr(portal.switches, name, value)
    first = client.register(PHONE_NUMBER=ANNA, CRM_CREATE=1)
    assert (first["CRM_ENTITY_TYPE"], first["CRM_ENTITY_ID"]) == ("CONTACT", 42)
    assert first["CRM_CREATED_ENTITIES"] == created
    client.finish(first["CALL_ID"])
    second = client.register(PHONE_NUMBER=ANNA, CRM_CREATE=1)
    assert (second["CRM_CREATED_ENTITIES"], second["LEAD_CREATION_ERROR"]) == ([], "")


@pytest.mark.parametrize(
    "parameters",
    [
        {"PHONE_NUMBER": ANNA, "TYPE": 1},
        {"PHONE_NUMBER": "+74950000031"},
        {"PHONE_NUMBER": "102"},
    ],
)
def test_nothing_is_created_for_outgoing_to_clients_for_leads_and_for_internal_numbers(
    client: Client, parameters: dict[str, Any]
) -> None:
    result = client.register(CRM_CREATE=1, **parameters)
    assert (result["CRM_CREATED_ENTITIES"], result["CRM_CREATED_LEAD"], result["LEAD_CREATION_ERROR"]) == ([], None, "")


def test_no_lead_is_made_of_an_employees_phone(client: Client) -> None:
    result = client.register(CRM_CREATE=1, PHONE_NUMBER="+79160000101")
    assert result["LEAD_CREATION_ERROR"] == "Lead creation is disabled for local users"
    assert result["CRM_CREATED_ENTITIES"] == []
    assert "LEAD_CREATION_ERROR" not in client.register(PHONE_NUMBER="+79160000101", TYPE=3)


def test_no_lead_is_made_of_an_excluded_number(client: Client) -> None:
    client.portal.world.excluded_numbers.add("8 916 000-05-55")
    assert client.register(CRM_CREATE=1)["CRM_CREATED_ENTITIES"] == []
