"""The telephony methods' parameters keep the portal's names and limits; their results survive every type seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepbx_bx24.bitrix24 import telephony
from freepbx_bx24.bitrix24.telephony import Finished, Registered
from freepbx_bx24.call import Entity, Outcome, Person, Registration
from freepbx_bx24.errors import PortalBroken

CALL_ID = "externalCall.5f2b0c8d9e7a41c3b6d2f1a09e8c7b64.1790000123"

REGISTRATION = Registration(
    uniqueid="1790000120.77",
    linkedid="1790000120.77",
    external_id="pbx-7f3a91-1790000120.77",
    direction="in",
    number="+79160000001",
    line="+74957770000",
    people=(Person("101"),),
    started=datetime(2026, 9, 21, 17, 15, 22, 999999, timezone(timedelta(hours=3))),
    create=True,
    source="CALL",
    show=True,
)
OUTCOME = Outcome("1790000120.77", (Person("101"),), 35, "200", "")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
registered_keys = ("CALL_ID", "CRM_CREATED_LEAD", "CRM_ENTITY_TYPE", "CRM_ENTITY_ID", "LEAD_CREATION_ERROR")


def test_an_inbound_call_is_registered_with_all_that_is_known():
    assert telephony.register_parameters(REGISTRATION, 1101, "101") == {
        "USER_ID": 1101,
        "PHONE_NUMBER": "+79160000001",
        "TYPE": 2,
        "CALL_START_DATE": "2026-09-21T17:15:22+03:00",
        "CRM_CREATE": 1,
        "SHOW": 1,
        "EXTERNAL_CALL_ID": "pbx-7f3a91-1790000120.77",
        "CRM_SOURCE": "CALL",
        "LINE_NUMBER": "+74957770000",
    }


def test_an_outbound_call_of_little_knowledge_sends_nothing_empty():
    bare = replace(REGISTRATION, direction="out", line="", source="", create=False, show=False)
    assert telephony.register_parameters(bare, 0, "101") == {
        "USER_PHONE_INNER": "101",
        "PHONE_NUMBER": "+79160000001",
        "TYPE": 1,
        "CALL_START_DATE": "2026-09-21T17:15:22+03:00",
        "CRM_CREATE": 0,
        "SHOW": 0,
        "EXTERNAL_CALL_ID": "pbx-7f3a91-1790000120.77",
    }


def test_numbers_and_not_booleans_are_sent_for_yes_and_no():
    parameters = telephony.register_parameters(REGISTRATION, 1101, "")
    assert [type(parameters[name]) for name in ("CRM_CREATE", "SHOW", "TYPE")] == [int, int, int]


def test_a_call_that_is_bound_to_a_record_names_it():
    parameters = telephony.register_parameters(replace(REGISTRATION, entity=Entity("CONTACT", 42)), 1101, "")
    assert (parameters["CRM_ENTITY_TYPE"], parameters["CRM_ENTITY_ID"]) == ("CONTACT", 42)


def test_a_call_of_nobody_leaves_the_refusal_to_the_portal():
    assert not {"USER_ID", "USER_PHONE_INNER"} & set(telephony.register_parameters(REGISTRATION, 0, ""))


def test_a_start_without_an_offset_is_never_sent():
    with pytest.raises(ValueError, match="offset"):
        telephony.register_parameters(replace(REGISTRATION, started=datetime(2026, 9, 21)), 1101, "")


def test_numbers_are_stripped_as_the_portal_strips_them_and_cut_to_its_column():
    long = replace(REGISTRATION, number="+7 (916) 000-00-01\r\n٣" + "9" * 30)
    assert telephony.register_parameters(long, 1101, "")["PHONE_NUMBER"] == "+7916000000199999999"
    assert telephony.register_parameters(replace(long, number="anonymous"), 1101, "")["PHONE_NUMBER"] == ""


@given(st.text(), st.text(), st.text(), st.text())
def test_no_text_is_longer_than_the_portals_column_or_unprintable(number, line, source, external_id):
    odd = replace(REGISTRATION, number=number, line=line, source=source, external_id=external_id)
    parameters = telephony.register_parameters(odd, 1101, "")
    assert len(parameters["PHONE_NUMBER"]) <= 20
    assert len(parameters["EXTERNAL_CALL_ID"]) <= 64
    assert len(parameters.get("LINE_NUMBER", "")) <= 50
    assert all(value.isprintable() for value in parameters.values() if isinstance(value, str))


def test_of_a_long_external_id_the_end_is_kept_for_it_tells_calls_apart():
    parameters = telephony.register_parameters(replace(REGISTRATION, external_id="p" * 100 + "-1790000120.77"), 1, "")
    assert parameters["EXTERNAL_CALL_ID"].endswith("pp-1790000120.77")
    assert len(parameters["EXTERNAL_CALL_ID"]) == 64


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Registered(CALL_ID)),
        ({"CRM_ENTITY_TYPE": "CONTACT", "CRM_ENTITY_ID": 42}, Registered(CALL_ID, Entity("CONTACT", 42))),
        ({"CRM_ENTITY_TYPE": "CONTACT", "CRM_ENTITY_ID": "42"}, Registered(CALL_ID, Entity("CONTACT", 42))),
        ({"CRM_ENTITY_TYPE": "", "CRM_ENTITY_ID": None}, Registered(CALL_ID)),
        ({"CRM_ENTITY_TYPE": False, "CRM_ENTITY_ID": None}, Registered(CALL_ID)),
        ({"CRM_ENTITY_TYPE": False, "CRM_ENTITY_ID": 42}, Registered(CALL_ID)),
        ({"CRM_ENTITY_TYPE": "LEAD", "CRM_ENTITY_ID": 0}, Registered(CALL_ID)),
        ({"CRM_ENTITY_TYPE": 'LEAD"\n${SHELL(touch pwned)}', "CRM_ENTITY_ID": 42}, Registered(CALL_ID)),
        ({"CRM_ENTITY_TYPE": "LEAD", "CRM_ENTITY_ID": True}, Registered(CALL_ID)),
        ({"CRM_CREATED_LEAD": 7}, Registered(CALL_ID, created_lead=7, made=(Entity("LEAD", 7),))),
        ({"CRM_CREATED_LEAD": "7"}, Registered(CALL_ID, created_lead=7, made=(Entity("LEAD", 7),))),
        (
            {
                "CRM_CREATED_ENTITIES": [
                    {"ENTITY_TYPE": "CONTACT", "ENTITY_ID": 8},
                    {"ENTITY_TYPE": "DEAL", "ENTITY_ID": "9"},
                ]
            },
            Registered(CALL_ID, made=(Entity("CONTACT", 8), Entity("DEAL", 9))),
        ),
        ({"CRM_CREATED_ENTITIES": [None, {}, {"ENTITY_TYPE": 1, "ENTITY_ID": 1}, "x"]}, Registered(CALL_ID)),
        ({"CRM_CREATED_ENTITIES": {"ENTITY_TYPE": "DEAL", "ENTITY_ID": 9}}, Registered(CALL_ID)),
        ({"CRM_CREATED_LEAD": None, "LEAD_CREATION_ERROR": ""}, Registered(CALL_ID)),
        ({"LEAD_CREATION_ERROR": None}, Registered(CALL_ID)),
        ({"LEAD_CREATION_ERROR": "Lead\ncreation"}, Registered(CALL_ID, lead_error="Lead creation")),
        ({"CRM_CREATED_ENTITIES": [], "UNKNOWN": {}}, Registered(CALL_ID)),
    ],
)
def test_register_results_of_every_type_seen_are_read(changes, expected):
    assert telephony.parse_registered({"CALL_ID": CALL_ID, **changes}) == expected


@pytest.mark.parametrize(
    "call_id",
    [None, 0, False, [], {}, "", "x" * 256]
    + [f"externalCall.1{bad}" for bad in ["\n", "\r", "\t", "\0", "\x7f", "\u202e", "\ud800", *"\"'`${},;\\"]],
)
def test_a_call_id_that_could_do_harm_is_refused(call_id):
    with pytest.raises(PortalBroken):
        telephony.parse_registered({"CALL_ID": call_id})


@pytest.mark.parametrize("result", [None, True, [], "", 1, {}, [CALL_ID]])
def test_a_register_result_without_a_call_id_is_refused(result):
    with pytest.raises(PortalBroken):
        telephony.parse_registered(result)


@given(st.one_of(json_values, st.fixed_dictionaries({}, optional=dict.fromkeys(registered_keys, json_values))))
def test_whatever_register_answers_is_registered_or_broken(result):
    try:
        registered = telephony.parse_registered(result)
    except PortalBroken:
        return
    assert isinstance(registered, Registered)


@given(st.fixed_dictionaries({"CALL_ID": st.just(CALL_ID)}, optional=dict.fromkeys(registered_keys[1:], json_values)))
def test_a_good_call_id_is_never_lost_because_of_what_is_beside_it(result):
    registered = telephony.parse_registered(result)
    assert registered.call_id == CALL_ID
    assert registered.lead_error.isprintable()
    assert registered.entity is None or registered.entity.id > 0


def test_an_answered_call_is_finished_with_its_talk_time():
    assert telephony.finish_parameters(CALL_ID, 1101, "101", OUTCOME) == {
        "CALL_ID": CALL_ID,
        "USER_ID": 1101,
        "DURATION": 35,
        "STATUS_CODE": "200",
        "FAILED_REASON": "",
        "ADD_TO_CHAT": 0,
    }


def test_the_reason_is_one_printable_line_within_the_portals_column():
    outcome = replace(OUTCOME, talk_seconds=-1, status_code="304", reason="menu\n1 \ud800" + "н" * 400)
    parameters = telephony.finish_parameters(CALL_ID, 0, "101", outcome)
    assert parameters["USER_PHONE_INNER"] == "101"
    assert parameters["DURATION"] == 0
    assert parameters["FAILED_REASON"].startswith("menu 1 н")
    assert len(parameters["FAILED_REASON"]) == 255


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"CALL_START_DATE": {}, "CRM_ACTIVITY_ID": 901}, Finished(901)),
        ({"CRM_ACTIVITY_ID": "901", "CRM_ENTITY_TYPE": "DEAL", "CRM_ENTITY_ID": 5}, Finished(901, Entity("DEAL", 5))),
        (
            {"CRM_ACTIVITY_ID": False, "ERRORS": {"ACTIVITY_CREATION": "Could not find"}},
            Finished(problem="Could not find"),
        ),
        ({"CRM_ACTIVITY_ID": None, "ERRORS": []}, Finished()),
        ({"ERRORS": ["one", 2, "three"]}, Finished(problem="one; three")),
        ({}, Finished()),
    ],
)
def test_finish_results_of_every_type_seen_are_read(result, expected):
    assert telephony.parse_finished(result) == expected


@given(json_values)
def test_whatever_finish_answers_is_finished_or_broken(result):
    try:
        assert telephony.parse_finished(result).problem.isprintable()
    except PortalBroken:
        assert not isinstance(result, dict)


def test_cards_are_shown_to_a_list_of_people_and_never_to_nobody():
    assert telephony.card_parameters(CALL_ID, (1101, 1102)) == {"CALL_ID": CALL_ID, "USER_ID": [1101, 1102]}
    with pytest.raises(ValueError, match="somebody"):
        telephony.card_parameters(CALL_ID, [])


def test_a_whole_call_reaches_the_portals_ledger(portal, client):
    def call(method, params):
        return client.call(method, params, total_seconds=5).result

    registered = telephony.parse_registered(
        call(telephony.REGISTER, telephony.register_parameters(REGISTRATION, 1101, ""))
    )
    assert call("telephony.externalCall.show", telephony.card_parameters(registered.call_id, [1101, 1102])) is True
    assert call(telephony.HIDE, telephony.card_parameters(registered.call_id, [1102])) is True
    finish = telephony.finish_parameters(registered.call_id, 0, "101", OUTCOME)
    finished = telephony.parse_finished(call(telephony.FINISH, finish))
    assert finished.activity_id
    assert finished.entity == registered.entity
    (row,) = portal.ledger()["calls"]
    assert registered.call_id in str(row)
    assert "pbx-7f3a91-1790000120.77" in str(row)


def test_the_widest_values_that_are_sent_fit_into_the_portal(client):
    wide = replace(REGISTRATION, number="+" + "9" * 40, external_id="p" * 90, line="7" * 90, source="S" * 90)
    reason = replace(OUTCOME, talk_seconds=0, status_code="304" * 200, reason="н" * 900)
    registered = telephony.parse_registered(
        client.call(telephony.REGISTER, telephony.register_parameters(wide, 1101, ""), total_seconds=5).result
    )
    finish = telephony.finish_parameters(registered.call_id, 1101, "", reason)
    telephony.parse_finished(client.call(telephony.FINISH, finish, total_seconds=5).result)


@pytest.mark.parametrize("inner", ["10101", "reception", "", "1 1", "١٠١"])
def test_an_extension_that_can_be_nobodys_internal_number_is_not_sent(inner):
    assert "USER_PHONE_INNER" not in telephony.register_parameters(REGISTRATION, 0, inner)
    assert "USER_PHONE_INNER" not in telephony.finish_parameters(CALL_ID, 0, inner, OUTCOME)
