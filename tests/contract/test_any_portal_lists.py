"""The reading methods of any portal: people, call statistics, lines and clients."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from portal_under_test import LABEL, NO_EXTENSION, NOBODY, PortalUnderTest, unique_name

PAGE = 50
MOST_PAGES = 20

# -- user.get ------------------------------------------------------------------------------------------------------


def test_people_come_fifty_a_page(portal_under_test: PortalUnderTest) -> None:
    seen: set[str] = set()
    longest = 0
    for start in range(0, PAGE * MOST_PAGES, PAGE):
        body = portal_under_test.post("user.get", start=start).body
        assert len(body["result"]) == min(PAGE, max(0, body["total"] - start))
        assert body.get("next") == (start + PAGE if body["total"] > start + PAGE else None)
        seen |= {person["ID"] for person in body["result"]}
        longest = max([longest, *(len(person.get("UF_PHONE_INNER") or "") for person in body["result"])])
        if "next" not in body:
            assert len(seen) == body["total"]
            break
    portal_under_test.note("extension", longest)


def test_a_person_has_the_portals_types(portal_under_test: PortalUnderTest) -> None:
    (person,) = portal_under_test.result("user.get", ID=portal_under_test.user)
    assert (person["ID"], person["ACTIVE"]) == (str(portal_under_test.user), True)
    assert person["UF_PHONE_INNER"] == portal_under_test.internal_number
    assert person["UF_PHONE_INNER"].isdigit()


@pytest.mark.parametrize(
    "parameters, is_found",
    [
        ({"FILTER": {"UF_PHONE_INNER": "{extension}"}}, True),
        ({"UF_PHONE_INNER": ["{extension}", NO_EXTENSION]}, True),
        ({"filter": {"UF_PHONE_INNER": "{extension}", "active": True}}, True),
        ({"FILTER": {"UF_PHONE_INNER": "{extension}", "ACTIVE": False}}, False),
        ({"FILTER": {"UF_PHONE_INNER": "{extension}", "USER_TYPE": "employee"}}, True),
        ({"FILTER": {"UF_PHONE_INNER": NO_EXTENSION}}, False),
        ({"FILTER": {"ID": NOBODY}}, False),
    ],
)
def test_people_are_filtered_exactly(
    portal_under_test: PortalUnderTest, parameters: dict[str, Any], is_found: bool
) -> None:
    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item) for item in value]
        return portal_under_test.internal_number if value == "{extension}" else value

    body = portal_under_test.post("user.get", **filled(parameters)).body
    assert [person["ID"] for person in body["result"]] == ([str(portal_under_test.user)] if is_found else [])
    assert body["total"] == int(is_found)


# -- voximplant.statistic.get --------------------------------------------------------------------------------------


def test_a_statistics_row_is_all_strings(portal_under_test: PortalUnderTest) -> None:
    external_id, line = unique_name(), portal_under_test.line_number()
    call_id = portal_under_test.finished_call(EXTERNAL_CALL_ID=external_id, LINE_NUMBER=line)
    (row,) = portal_under_test.statistics(CALL_ID=call_id)
    expected = {
        "CALL_ID": call_id,
        "EXTERNAL_CALL_ID": external_id,
        "PORTAL_USER_ID": str(portal_under_test.user),
        "PORTAL_NUMBER": line,
        "PHONE_NUMBER": portal_under_test.phone,
        "CALL_DURATION": "10",
        "CALL_TYPE": "2",
        "COST": "0.0000",
        "CALL_FAILED_CODE": "200",
        "RECORD_FILE_ID": None,
    }
    assert {key: row.get(key) for key in expected} == expected
    assert isinstance(row["ID"], str)
    assert row["ID"].isdigit()
    assert datetime.fromisoformat(row["CALL_START_DATE"]).tzinfo
    if portal_under_test.is_application:
        assert row["REST_APP_ID"].isdigit()
    else:
        assert (row["REST_APP_ID"], row["REST_APP_NAME"]) == (None, False)


def test_open_and_unknown_calls_are_not_in_the_statistics(portal_under_test: PortalUnderTest) -> None:
    assert portal_under_test.statistics(CALL_ID=portal_under_test.register()["CALL_ID"]) == []
    assert portal_under_test.statistics(CALL_ID="externalCall.0.0") == []


def test_statistics_are_filtered_by_fields_and_operators(portal_under_test: PortalUnderTest) -> None:
    start = datetime.now(timezone.utc).replace(microsecond=0)
    moments = [(start - timedelta(minutes=minutes)).isoformat() for minutes in (30, 20, 10)]
    ids = [unique_name() for _ in moments]
    for external_id, moment in zip(ids, moments):
        portal_under_test.finished_call(EXTERNAL_CALL_ID=external_id, CALL_START_DATE=moment)

    def found(**filters: Any) -> list[int]:
        rows = portal_under_test.statistics(**{"EXTERNAL_CALL_ID": ids, **filters})
        return sorted(ids.index(row["EXTERNAL_CALL_ID"]) for row in rows)

    assert found() == [0, 1, 2]
    assert found(EXTERNAL_CALL_ID=ids[1]) == [1]
    assert found(**{">CALL_START_DATE": moments[1]}) == [2]
    assert found(**{">=CALL_START_DATE": moments[1]}) == [1, 2]
    assert found(**{"<CALL_START_DATE": moments[1]}) == [0]
    assert found(NO_SUCH_FIELD="x") == [0, 1, 2]


def test_statistics_come_sorted(portal_under_test: PortalUnderTest) -> None:
    ids = [unique_name(), unique_name()]
    for external_id, seconds in zip(ids, (3, 20)):
        call_id = portal_under_test.register(EXTERNAL_CALL_ID=external_id)["CALL_ID"]
        portal_under_test.finish(call_id, DURATION=seconds)
    for order, expected in (("ASC", ["3", "20"]), ("DESC", ["20", "3"])):
        rows = portal_under_test.result(
            "voximplant.statistic.get", FILTER={"EXTERNAL_CALL_ID": ids}, SORT="CALL_DURATION", ORDER=order
        )
        assert [row["CALL_DURATION"] for row in rows] == expected


# -- externalLine --------------------------------------------------------------------------------------------------

ADD, UPDATE, DELETE, GET = (f"telephony.externalLine.{verb}" for verb in ("add", "update", "delete", "get"))


def lines(portal: PortalUnderTest, number: str) -> list[dict[str, Any]]:
    return [line for line in portal.result(GET) if line["NUMBER"] == number]


def test_the_id_of_a_line_is_a_number_in_add_and_text_in_update(portal_under_test: PortalUnderTest) -> None:
    number = portal_under_test.line_number()
    line_id = portal_under_test.result(ADD, NUMBER=f" {number} ", NAME=LABEL)["ID"]
    assert isinstance(line_id, int)
    assert portal_under_test.result(UPDATE, NUMBER=number, CRM_AUTO_CREATE="N") == {"ID": str(line_id)}
    assert lines(portal_under_test, number) == [{"NUMBER": number, "NAME": LABEL, "CRM_AUTO_CREATE": "N"}]
    assert portal_under_test.result(DELETE, NUMBER=number) == []
    assert lines(portal_under_test, number) == []


@pytest.mark.parametrize(
    "given, flag",
    [({}, "Y"), ({"CRM_AUTO_CREATE": "Y"}, "Y"), ({"CRM_AUTO_CREATE": 1}, "N"), ({"CRM_AUTO_CREATE": "y"}, "N")],
)
def test_anything_but_a_capital_y_switches_creation_off(
    portal_under_test: PortalUnderTest, given: dict[str, Any], flag: str
) -> None:
    number = portal_under_test.line_number()
    portal_under_test.result(ADD, NUMBER=number, NAME=LABEL, **given)
    assert [line["CRM_AUTO_CREATE"] for line in lines(portal_under_test, number)] == [flag]


@pytest.mark.parametrize(
    "method, parameters, description",
    [
        (ADD, {}, "NUMBER should not be empty"),
        (ADD, {"NUMBER": "  "}, "NUMBER should not be empty"),
        (UPDATE, {}, "There are no fields to update"),
        (UPDATE, {"NUMBER": "bx24-test-none"}, "There are no fields to update"),
        (UPDATE, {"NAME": "x"}, "NUMBER should not be empty"),
        (UPDATE, {"NAME": "x", "NUMBER": "bx24-test-none"}, "Could not find line with number bx24-test-none"),
        (DELETE, {}, "NUMBER should not be empty"),
        (DELETE, {"NUMBER": "bx24-test-none"}, "Could not find line with number bx24-test-none"),
    ],
)
def test_lines_are_refused_in_the_portals_order_and_words(
    portal_under_test: PortalUnderTest, method: str, parameters: dict[str, Any], description: str
) -> None:
    assert portal_under_test.telephony_refusal(method, **parameters) == description


def test_a_line_exists_once(portal_under_test: PortalUnderTest) -> None:
    number = portal_under_test.line_number()
    portal_under_test.result(ADD, NUMBER=number, NAME=LABEL)
    assert portal_under_test.telephony_refusal(ADD, NUMBER=f"{number} ", NAME=LABEL) == "Line already exists"


# -- searchCrmEntities ---------------------------------------------------------------------------------------------

SEARCH = "telephony.externalCall.searchCrmEntities"


def test_nobody_is_an_empty_list_and_no_number_a_refusal(portal_under_test: PortalUnderTest) -> None:
    assert portal_under_test.result(SEARCH, PHONE_NUMBER=portal_under_test.phone) == []
    assert portal_under_test.result(SEARCH, PHONE_NUMBER="anonymous") == []
    assert portal_under_test.telephony_refusal(SEARCH) == "PHONE_NUMBER is empty"
