"""The sandbox's reading methods over a world that is known: people, call statistics, lines and clients."""

from __future__ import annotations

from typing import Any

import pytest
from portal_client import PHONE, Client

from freepbx_bx24.sandbox.portal import Employee, Entity

# -- user.get ------------------------------------------------------------------------------------------------------


def test_people_come_fifty_a_page(client: Client) -> None:
    client.portal.world.employees.append(Employee(2000, "Late"))
    pages = [client.post("user.get", start=start).json() for start in (0, 50, 100, 150)]
    assert [len(page["result"]) for page in pages] == [50, 50, 1, 0]
    assert [page["total"] for page in pages] == [101] * 4
    assert [page.get("next") for page in pages] == [50, 100, None, None]
    assert len({person["ID"] for page in pages for person in page["result"]}) == 101


def test_a_person_has_the_portals_types(client: Client) -> None:
    admin, first = client.result("user.get", ID=["1", 1101])
    assert "UF_PHONE_INNER" not in admin
    assert (first["ID"], first["ACTIVE"], first["UF_PHONE_INNER"]) == ("1101", True, "101")


@pytest.mark.parametrize(
    "parameters, total",
    [
        ({}, 100),
        ({"FILTER": {"ACTIVE": True}}, 99),
        ({"filter": {"active": False}}, 1),
        ({"ACTIVE": "Y"}, 99),
        ({"FILTER": {"UF_PHONE_INNER": "101"}}, 1),
        ({"UF_PHONE_INNER": ["101", "102", "9"]}, 2),
        ({"FILTER": {"UF_PHONE_INNER": "10"}}, 0),
        ({"FILTER": {"UF_PHONE_INNER": "198", "ACTIVE": True}}, 0),
        ({"FILTER": {"NO_SUCH_FIELD": "x"}}, 100),
        ({"USER_TYPE": "employee"}, 100),
        ({"USER_TYPE": "extranet"}, 0),
    ],
)
def test_people_are_filtered_exactly(client: Client, parameters: dict[str, Any], total: int) -> None:
    assert client.post("user.get", **parameters).json()["total"] == total


# -- voximplant.statistic.get --------------------------------------------------------------------------------------


def test_a_statistics_row_is_all_strings(client: Client) -> None:
    call_id = client.finished_call(
        "oauth",
        PHONE_NUMBER="+74951234567",
        EXTERNAL_CALL_ID="pbx-1",
        LINE_NUMBER="100",
        CALL_START_DATE="2026-09-21T17:15:22+03:00",
    )
    (row,) = client.result("voximplant.statistic.get")
    assert row.pop("RECORD_FILE_ID") is None
    assert row.pop("COMMENT") is None
    assert all(isinstance(value, str) for value in row.values()), row
    expected = {
        "CALL_ID": call_id,
        "EXTERNAL_CALL_ID": "pbx-1",
        "PORTAL_USER_ID": "1101",
        "CALL_DURATION": "10",
        "CALL_START_DATE": "2026-09-21T17:15:22+03:00",
        "COST": "0.0000",
        "CALL_FAILED_CODE": "200",
        "CRM_ENTITY_TYPE": "CONTACT",
        "CRM_ENTITY_ID": "42",
        "REST_APP_ID": "3",
        "CALL_TYPE": "2",
        "PORTAL_NUMBER": "100",
        "PHONE_NUMBER": "+74951234567",
    }
    assert expected.items() <= row.items()


@pytest.mark.parametrize(
    "filters, days",
    [
        ({}, [1, 2, 3]),
        ({"EXTERNAL_CALL_ID": "call-2"}, [2]),
        ({"=EXTERNAL_CALL_ID": ["call-1", "call-3"]}, [1, 3]),
        ({"!EXTERNAL_CALL_ID": "call-2"}, [1, 3]),
        ({">CALL_START_DATE": "2026-09-02T12:00:00+03:00"}, [3]),
        ({">=CALL_START_DATE": "2026-09-02T09:00:00+00:00"}, [2, 3]),
        ({"<CALL_START_DATE": "2026-09-02 12:00"}, [1]),
        ({"<=CALL_START_DATE": "2026-09-02T12:00:00+03:00"}, [1, 2]),
        ({">CALL_DURATION": 2, "<CALL_DURATION": "20"}, [3]),
        ({"CALL_DURATION": "2"}, [2]),
        ({"NO_SUCH_FIELD": "x"}, [1, 2, 3]),
        ({">NO_SUCH": 1, "PHONE_NUMBER": PHONE}, [1, 2, 3]),
        ({"CALL_ID": "externalCall.0.0"}, []),
    ],
)
def test_statistics_are_filtered_by_fields_and_operators(
    client: Client, filters: dict[str, Any], days: list[int]
) -> None:
    for day, duration in ((1, 20), (2, 2), (3, 3)):
        call_id = client.register(CALL_START_DATE=f"2026-09-0{day}T12:00:00+03:00", EXTERNAL_CALL_ID=f"call-{day}")[
            "CALL_ID"
        ]
        client.finish(call_id, DURATION=duration)
    rows = client.result("voximplant.statistic.get", FILTER=filters)
    assert [int(row["EXTERNAL_CALL_ID"][-1]) for row in rows] == days


def test_statistics_come_fifty_a_page_and_sorted(client: Client) -> None:
    for number in range(51):
        client.finish(client.register(TYPE=1)["CALL_ID"], DURATION=number)
    page = client.post("voximplant.statistic.get", SORT="CALL_DURATION", ORDER="DESC").json()
    assert (len(page["result"]), page["total"], page["next"]) == (50, 51, 50)
    assert page["result"][0]["CALL_DURATION"] == "50"
    last = client.post("voximplant.statistic.get", SORT="CALL_DURATION", ORDER="DESC", start=50).json()
    assert ([row["CALL_DURATION"] for row in last["result"]], "next" in last) == (["0"], False)


def test_statistics_need_a_right_of_their_own(client: Client) -> None:
    admin = client.portal.world.employee(1)
    assert admin
    admin.may_view_statistics = False
    assert client.refusal("voximplant.statistic.get") == (403, "ACCESS_DENIED", "Access denied!")


# -- externalLine --------------------------------------------------------------------------------------------------

ADD, UPDATE, DELETE, GET = (f"telephony.externalLine.{verb}" for verb in ("add", "update", "delete", "get"))


@pytest.mark.parametrize(
    "method, parameters, description",
    [
        (ADD, {}, "NUMBER should not be empty"),
        (ADD, {"NUMBER": "  "}, "NUMBER should not be empty"),
        (ADD, {"NUMBER": "7"}, "Line already exists"),
        (ADD, {"NUMBER": "1" * 51}, "DB error"),
        (UPDATE, {}, "There are no fields to update"),
        (UPDATE, {"NUMBER": "9"}, "There are no fields to update"),
        (UPDATE, {"NAME": "x"}, "NUMBER should not be empty"),
        (UPDATE, {"NAME": "x", "NUMBER": "9"}, "Could not find line with number 9"),
        (DELETE, {}, "NUMBER should not be empty"),
        (DELETE, {"NUMBER": "9"}, "Could not find line with number 9"),
    ],
)
def test_lines_are_refused_in_the_portals_order_and_words(
    client: Client, method: str, parameters: dict[str, Any], description: str
) -> None:
    client.result(ADD, NUMBER="7")
    assert client.refusal(method, **parameters) == (400, "", description)


def test_each_application_has_lines_of_its_own(client: Client) -> None:
    client.result(ADD, NUMBER="100")
    assert client.result(GET, "oauth") == []
    assert client.result(ADD, "oauth", NUMBER="100") == {"ID": 8}


# -- searchCrmEntities ---------------------------------------------------------------------------------------------

SEARCH = "telephony.externalCall.searchCrmEntities"


def test_clients_are_listed_contacts_first_then_leads_then_companies(client: Client) -> None:
    client.portal.world.entities += [
        Entity("COMPANY", 8, "Firm", ["84951234567"]),
        Entity("LEAD", 50, "Closed", ["+74951234567"], closed=True),
        Entity("CONTACT", 41, "Ivan", ["+7 495 1234567"], assigned_by_id=9999),
    ]
    found = client.result(SEARCH, PHONE_NUMBER="8 (495) 123-45-67")
    assert [(row["CRM_ENTITY_TYPE"], row["CRM_ENTITY_ID"]) for row in found] == [
        ("CONTACT", 41),
        ("CONTACT", 42),
        ("LEAD", 50),
        ("COMPANY", 8),
    ]
    assert set(found[0]["ASSIGNED_BY"].values()) == {None}  # the person's row is missing
    assert found[1] == {
        "CRM_ENTITY_TYPE": "CONTACT",
        "CRM_ENTITY_ID": 42,
        "ASSIGNED_BY_ID": 1102,
        "NAME": "Anna Petrova",
        "ASSIGNED_BY": {
            "ID": "1102",
            "TIMEMAN_STATUS": "OPENED",
            "USER_PHONE_INNER": "102",
            "WORK_PHONE": None,
            "PERSONAL_PHONE": "",
            "PERSONAL_MOBILE": "",
        },
    }


def test_a_client_without_a_name_has_none_in_the_list(client: Client) -> None:
    client.portal.world.entities.append(Entity("CONTACT", 77, "", ["+7 495 000-00-77"]))
    (row,) = client.result(SEARCH, PHONE_NUMBER="+74950000077")
    assert "NAME" not in row and row["CRM_ENTITY_ID"] == 77


def test_a_portal_without_the_crm_searches_for_nobody(client: Client) -> None:
    client.portal.switches.crm_installed = False
    assert client.refusal(SEARCH, PHONE_NUMBER="+74951234567") == (400, "", "CRM is not installed.")
    assert client.refusal(SEARCH) == (400, "", "PHONE_NUMBER is empty")
