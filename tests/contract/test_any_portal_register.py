"""telephony.externalCall.register at any portal: checks in order, result types, dates, lines and the dedupe rule."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from portal_under_test import NO_EXTENSION, NOBODY, REGISTER, PortalUnderTest, unique_name

NO_PERSON = "USER_ID or USER_PHONE_INNER should be set"
NO_DATE = "CALL_START_DATE should be in the ISO-8601 format"
NO_PHONE = "Unsupported phone number format"
NOT_ACTIVE = "User is not found or is not active"


def ago(minutes: int) -> str:
    """A CALL_START_DATE as the connector writes it."""
    return (datetime.now(timezone.utc) - timedelta(minutes=minutes)).isoformat(timespec="seconds")


def test_register_and_lines_are_open_to_this_kind_of_key(portal_under_test: PortalUnderTest) -> None:
    assert isinstance(portal_under_test.result("telephony.externalLine.get"), list)
    assert portal_under_test.register()["CALL_ID"]
    portal_under_test.note("webhook", "yes")


@pytest.mark.parametrize(
    "wrong, description",
    [
        ({"USER_ID": None}, NO_PERSON),
        ({"USER_ID": 0}, NO_PERSON),
        ({"USER_ID": "abc"}, NO_PERSON),
        ({"USER_ID": None, "USER_PHONE_INNER": NO_EXTENSION}, NO_PERSON),
        ({"USER_ID": None, "USER_PHONE_INNER": ""}, NO_PERSON),
        ({"TYPE": None}, "Unknown TYPE"),
        ({"TYPE": 0}, "Unknown TYPE"),
        ({"TYPE": 6}, "Unknown TYPE"),
        ({"TYPE": "in"}, "Unknown TYPE"),
        ({"CALL_START_DATE": "no date"}, NO_DATE),
        ({"CALL_START_DATE": "2026-13-01T00:00:00+03:00"}, NO_DATE),
        ({"PHONE_NUMBER": None}, NO_PHONE),
        ({"PHONE_NUMBER": "anonymous"}, NO_PHONE),
        ({"PHONE_NUMBER": ""}, NO_PHONE),
        ({"USER_ID": NOBODY}, NOT_ACTIVE),
    ],
)
def test_a_wrong_parameter_is_refused_in_the_portals_words(
    portal_under_test: PortalUnderTest, wrong: dict[str, Any], description: str
) -> None:
    assert portal_under_test.telephony_refusal(REGISTER, **portal_under_test.call_parameters(**wrong)) == description


def test_checks_come_in_the_portals_order(portal_under_test: PortalUnderTest) -> None:
    bad: dict[str, Any] = {"USER_ID": 0, "TYPE": 9, "CALL_START_DATE": "no date", "PHONE_NUMBER": "anonymous"}
    seen = []
    for mend in (
        {},
        {"USER_ID": NOBODY},
        {"TYPE": 2},
        {"CALL_START_DATE": ""},
        {"PHONE_NUMBER": portal_under_test.phone},
    ):
        bad.update(mend)
        seen.append(portal_under_test.telephony_refusal(REGISTER, **bad))
    assert seen == [NO_PERSON, "Unknown TYPE", NO_DATE, NO_PHONE, NOT_ACTIVE]


def test_the_result_has_the_portals_types(portal_under_test: PortalUnderTest) -> None:
    result = portal_under_test.register()
    call_id = result["CALL_ID"]
    assert isinstance(call_id, str)
    assert re.fullmatch(r"[\w.:-]{1,255}", call_id, re.ASCII)
    portal_under_test.note(
        "CALL_ID", re.sub(r"\b\d{10}\b", "(unix time)", re.sub(r"\b[0-9a-f]{32}\b", "(32 hex digits)", call_id))
    )
    assert result["CRM_CREATED_LEAD"] is None
    assert result["CRM_CREATED_ENTITIES"] == []
    assert result["CRM_ENTITY_TYPE"] == ""
    assert result["CRM_ENTITY_ID"] is None
    assert not result.get("LEAD_CREATION_ERROR")


def test_a_person_is_found_by_internal_number(portal_under_test: PortalUnderTest) -> None:
    parameters = {"EXTERNAL_CALL_ID": unique_name()}
    by_id = portal_under_test.register(**parameters)
    by_number = portal_under_test.register(
        USER_ID=None, USER_PHONE_INNER=portal_under_test.internal_number, **parameters
    )
    assert by_number["CALL_ID"] == by_id["CALL_ID"]  # the person is part of the dedupe key


def test_a_number_is_stripped_and_not_normalised(portal_under_test: PortalUnderTest) -> None:
    digits = portal_under_test.phone.lstrip("+")
    call_id = portal_under_test.register(PHONE_NUMBER=f"({digits[:3]}) {digits[3:]} ext.*12")["CALL_ID"]
    assert portal_under_test.finish(call_id)["PHONE_NUMBER"] == f"{digits}*12"


def test_a_date_keeps_its_instant(portal_under_test: PortalUnderTest) -> None:
    started = ago(10)
    call_id = portal_under_test.finished_call(CALL_START_DATE=started)
    (row,) = portal_under_test.statistics(CALL_ID=call_id)
    assert datetime.fromisoformat(row["CALL_START_DATE"]) == datetime.fromisoformat(started)


def test_a_date_without_offset_is_read_on_the_portals_clock(portal_under_test: PortalUnderTest) -> None:
    started = ago(10)[:19]
    call_id = portal_under_test.finished_call(CALL_START_DATE=started)
    (row,) = portal_under_test.statistics(CALL_ID=call_id)
    assert row["CALL_START_DATE"][:19] == started


def test_without_a_line_the_application_is_the_line(portal_under_test: PortalUnderTest) -> None:
    result = portal_under_test.finish(portal_under_test.register()["CALL_ID"])
    expected = r"REST_APP:\d+" if portal_under_test.is_application else "REST_APP:"
    assert re.fullmatch(expected, result["PORTAL_NUMBER"])


def test_an_unknown_line_is_created_once_without_name(portal_under_test: PortalUnderTest) -> None:
    number = portal_under_test.line_number()
    call_id = portal_under_test.register(LINE_NUMBER=f" {number} ")["CALL_ID"]
    portal_under_test.register(LINE_NUMBER=number)
    (line,) = [line for line in portal_under_test.result("telephony.externalLine.get") if line["NUMBER"] == number]
    assert not line["NAME"]
    assert line["CRM_AUTO_CREATE"] == "Y"
    assert portal_under_test.finish(call_id)["PORTAL_NUMBER"] == number


# -- dedupe --------------------------------------------------------------------------------------------------------

# `line` and `id` stand for line numbers and EXTERNAL_CALL_IDs of the test's own; without a word of it a call is on line
# A, so that it can't be taken for a call that something else left open.
OLD, RECENT = {"CALL_START_DATE": 31}, {"CALL_START_DATE": 20}  # minutes ago


@pytest.mark.parametrize(
    "first, second, same",
    [
        ({}, {}, True),
        ({}, {"TYPE": 1}, False),
        ({}, {"number": "without plus"}, False),
        ({}, {"number": "with brackets"}, True),
        ({}, {"person": "by extension"}, True),
        ({"line": None}, {"line": "A"}, False),
        ({"line": "A"}, {"line": None}, True),
        ({"line": "A"}, {"line": "B"}, False),
        ({}, {"id": "a"}, False),
        ({"id": "a"}, {}, True),
        ({"id": "a"}, {"id": "a"}, True),
        ({"id": "a"}, {"id": "b"}, False),
        (RECENT, OLD, True),
        (OLD, {}, False),
        (OLD, OLD, False),
    ],
)
def test_a_registration_repeats_an_open_call_or_makes_a_new_one(
    portal_under_test: PortalUnderTest, first: dict[str, Any], second: dict[str, Any], same: bool
) -> None:
    phone = portal_under_test.phone
    numbers = {"without plus": phone.lstrip("+"), "with brackets": f"{phone[:3]} ({phone[3:5]}) {phone[5:]}"}
    lines = {"A": portal_under_test.line_number(), "B": portal_under_test.line_number(), None: None}
    ids = {"a": unique_name(), "b": unique_name(), None: None}

    def register(given: dict[str, Any]) -> str:
        parameters = {
            "PHONE_NUMBER": numbers.get(given.get("number", ""), phone),
            "LINE_NUMBER": lines[given.get("line", "A")],
            "EXTERNAL_CALL_ID": ids[given.get("id")],
            "TYPE": given.get("TYPE", 2),
        }
        if "CALL_START_DATE" in given:
            parameters["CALL_START_DATE"] = ago(given["CALL_START_DATE"])
        if "person" in given:
            parameters.update(USER_ID=None, USER_PHONE_INNER=portal_under_test.internal_number)
        return str(portal_under_test.register(**parameters)["CALL_ID"])

    assert (register(first) == register(second)) is same


def test_after_finish_the_same_key_is_a_new_call(portal_under_test: PortalUnderTest) -> None:
    external_id = unique_name()
    first = portal_under_test.finished_call(EXTERNAL_CALL_ID=external_id)
    assert portal_under_test.register(EXTERNAL_CALL_ID=external_id)["CALL_ID"] != first


def test_a_repeat_answers_with_the_first_call_and_no_client(portal_under_test: PortalUnderTest) -> None:
    external_id = unique_name()
    first = portal_under_test.register(EXTERNAL_CALL_ID=external_id)
    again = portal_under_test.register(EXTERNAL_CALL_ID=external_id)
    portal_under_test.note("repeat entity", "false" if again["CRM_ENTITY_TYPE"] is False else "empty text")
    assert not again["CRM_ENTITY_TYPE"]
    assert (again["CALL_ID"], again["CRM_ENTITY_ID"]) == (first["CALL_ID"], None)
