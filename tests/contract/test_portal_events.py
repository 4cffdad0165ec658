"""Events of the sandbox: what a click and a callback form send, the two ways out, and who may ask for them."""

from __future__ import annotations

from typing import Any

import pytest
from portal_client import PHONE, Client, Refusal

from freepbx_bx24.errors import SandboxError
from freepbx_bx24.sandbox.portal import Portal

CLICK, CALLBACK = "ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART"


@pytest.fixture
def offline(client: Client) -> Client:
    """An application that has bound both events to the offline queue."""
    for event in (CLICK, CALLBACK):
        assert client.result("event.bind", "oauth", event=event, event_type="offline") is True
    return client


def read(client: Client, **parameters: Any) -> Any:
    return client.result("event.offline.get", "oauth", **parameters)


# -- a click ---------------------------------------------------------------------------------------------------------


def test_a_click_is_a_registered_call_and_an_event_in_the_queue(offline: Client, portal: Portal) -> None:
    offline.result("telephony.externalLine.add", "oauth", NUMBER="74957770000")
    call_id = portal.click(1101, "8 (495) 123-45-67", line="74957770000")
    answer = read(offline)
    (row,) = answer["events"]
    assert answer["process_id"] is None
    assert (row["ID"], row["EVENT_NAME"], row["EVENT_ADDITIONAL"]) == ("31", CLICK, {"user_id": 1101})
    assert row["EVENT_DATA"] == {
        "PHONE_NUMBER": "8 (495) 123-45-67",
        "PHONE_NUMBER_INTERNATIONAL": "+74951234567",
        "EXTENSION": "",
        "USER_ID": 1101,
        "CALL_LIST_ID": 0,
        "LINE_NUMBER": "74957770000",
        "IS_MOBILE": False,
        "CALL_ID": call_id,
        "CRM_ENTITY_TYPE": "CONTACT",
        "CRM_ENTITY_ID": 42,
        "CRM_CREATED_LEAD": None,
        "CRM_CREATED_ENTITIES": [],
    }
    call = offline.ledger_call(call_id)
    assert (call["TYPE"], call["PHONE_NUMBER"], call["state"]) == (1, "84951234567", "open")
    assert offline.cards() == [("show", 1101, "click")]


def test_a_second_click_before_the_finish_is_the_same_call(offline: Client, portal: Portal) -> None:
    first = portal.click(1101, PHONE)
    assert portal.click(1101, PHONE) == first
    assert len(read(offline)["events"]) == 1, "unread and the same: one row"
    offline.finish(first, "oauth", STATUS_CODE="480", DURATION=0)
    assert portal.click(1101, PHONE) != first


def test_a_call_with_a_name_of_its_own_is_never_taken_for_the_click(offline: Client, portal: Portal) -> None:
    clicked = portal.click(1101, PHONE)
    outgoing = offline.register("oauth", TYPE=1, EXTERNAL_CALL_ID="pbx-1")
    assert outgoing["CALL_ID"] != clicked


def test_nobody_can_click_before_the_event_is_bound(portal: Portal) -> None:
    with pytest.raises(SandboxError, match="has not bound ONEXTERNALCALLSTART"):
        portal.click(1101, PHONE)


def test_a_callback_form_names_no_call_and_no_person(offline: Client, portal: Portal) -> None:
    portal.callback(PHONE, text="Call me")
    (row,) = read(offline)["events"]
    (lead,) = [entity for entity in portal.ledger()["entities"] if entity["PHONES"] == [PHONE]]
    assert row["EVENT_DATA"] == {
        "PHONE_NUMBER": PHONE,
        "TEXT": "Call me",
        "VOICE": "",
        "CRM_ENTITY_TYPE": "LEAD",
        "CRM_ENTITY_ID": lead["CRM_ENTITY_ID"],
        "LINE_NUMBER": "",
    }
    assert portal.ledger()["calls"] == []


# -- the queue -------------------------------------------------------------------------------------------------------


def test_what_was_read_is_gone(offline: Client, portal: Portal) -> None:
    portal.click(1101, PHONE)
    assert len(read(offline)["events"]) == 1
    assert read(offline)["events"] == []


def test_reserved_rows_are_hidden_until_they_are_cleared(offline: Client, portal: Portal) -> None:
    portal.click(1101, PHONE)
    reserved = read(offline, clear=0)
    assert len(reserved["process_id"]) == 32
    assert read(offline, clear=0)["events"] == []
    again = read(offline, clear=0, process_id=reserved["process_id"])
    assert again == reserved
    ((listed),) = offline.result("event.offline.list", "oauth")
    assert listed["PROCESS_ID"] == reserved["process_id"]
    assert offline.result("event.offline.clear", "oauth", process_id=reserved["process_id"]) is True
    assert offline.result("event.offline.list", "oauth") == []


def test_some_of_the_reserved_rows_can_be_cleared_by_id_or_message(offline: Client, portal: Portal) -> None:
    for user_id in (1101, 1102, 1103):
        portal.click(user_id, PHONE)
    reserved = read(offline, clear=0)
    first, second, third = reserved["events"]
    own = {"process_id": reserved["process_id"]}
    offline.result("event.offline.clear", "oauth", **own, id=[first["ID"]])
    offline.result("event.offline.clear", "oauth", **own, message_id=[second["MESSAGE_ID"]])
    assert read(offline, clear=0, **own)["events"] == [third]


def test_rows_with_errors_are_met_again_only_by_who_asks_for_them(offline: Client, portal: Portal) -> None:
    portal.click(1101, PHONE)
    reserved = read(offline, clear=0)
    messages = [row["MESSAGE_ID"] for row in reserved["events"]]
    offline.result("event.offline.error", "oauth", process_id=reserved["process_id"], message_id=messages)
    assert read(offline)["events"] == []
    assert len(read(offline, error=1)["events"]) == 1


def test_the_queue_is_read_by_filter_order_and_limit(offline: Client, portal: Portal) -> None:
    portal.callback(PHONE)
    portal.click(1101, PHONE)
    portal.click(1102, PHONE)
    clicks = read(offline, filter={"=EVENT_NAME": CLICK}, order={"ID": "DESC"}, limit=1, clear=0)["events"]
    assert [row["EVENT_DATA"]["USER_ID"] for row in clicks] == [1102]
    assert [row["EVENT_NAME"] for row in read(offline, filter={">ID": "31"})["events"]] == [CLICK]
    assert [row["EVENT_NAME"] for row in read(offline)["events"]] == [CALLBACK]


def test_a_plan_without_extended_offline_events_reads_and_deletes_only(offline: Client, portal: Portal) -> None:
    portal.switches.offline_extended = False
    assert offline.result("feature.get", "oauth", CODE="rest_offline_extended") == {"value": "N"}
    refused = offline.refusal("event.offline.get", "oauth", clear=0)
    assert (refused.status, refused.error) == (403, "WRONG_LICENSE")
    assert refused.description.endswith("extended offline events handling")
    portal.click(1101, PHONE)
    assert len(read(offline)["events"]) == 1


# -- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        "event.bind",
        "event.unbind",
        "event.get",
        "events",
        "event.offline.get",
        "event.offline.list",
        "event.offline.clear",
        "event.offline.error",
    ],
)
def test_events_are_for_applications_not_for_webhooks(client: Client, method: str) -> None:
    refused = client.refusal(method, event=CLICK, event_type="offline", process_id="1")
    assert refused == Refusal(403, "WRONG_AUTH_TYPE", "Current authorization type is denied for this method")


def test_who_is_no_administrator_has_no_offline_events(client: Client, portal: Portal) -> None:
    token = portal.issue_tokens(1101)["access_token"]
    answers = {
        method: client.session.post(
            f"{portal.url}/rest/{method}", json={"auth": token, "event": CLICK, "event_type": "offline"}, timeout=10
        ).json()
        for method in ("event.bind", "event.unbind", "event.offline.get")
    }
    assert {method: body["error"] for method, body in answers.items()} == dict.fromkeys(answers, "ACCESS_DENIED")
    assert answers["event.bind"]["error_description"] == (
        "Access denied! Offline events binding requires administrator access rights"
    )


# -- bindings --------------------------------------------------------------------------------------------------------


def test_bindings_are_listed_and_unbound(offline: Client) -> None:
    handler = "https://pbx.example.com:8443/bx24"
    offline.result("event.bind", "oauth", event=CLICK, handler=handler)
    rows = offline.result("event.get", "oauth")
    assert {"event": CLICK, "handler": handler, "auth_type": 0, "offline": 0} in rows
    assert {"event": CLICK, "connector_id": "", "offline": 1} in rows
    assert offline.result("event.unbind", "oauth", event=CLICK, event_type="offline") == {"count": 1}
    assert offline.result("event.unbind", "oauth", event=CLICK, handler=handler) == {"count": 1}
    assert offline.result("event.unbind", "oauth", event=CLICK, handler=handler) == {"count": 0}
    assert [row["event"] for row in offline.result("event.get", "oauth")] == [CALLBACK]


@pytest.mark.parametrize(
    "parameters, error",
    [
        ({"event": CLICK, "event_type": "offline"}, "ERROR_CORE"),  # it is bound already
        ({"event": "ONNOTHING", "event_type": "offline"}, "ERROR_EVENT_NOT_FOUND"),
        ({"event": "ONOFFLINEEVENT", "event_type": "offline"}, "ERROR_EVENT_NOT_FOUND"),
        ({"event": CLICK, "handler": "https://pbx/bx24"}, "ERROR_WRONG_HANDLER_URL"),
        ({"event": CLICK, "handler": "ftp://pbx.example.com/"}, "ERROR_UNSUPPORTED_PROTOCOL"),
    ],
)
def test_what_can_not_be_bound_is_refused(offline: Client, parameters: dict[str, Any], error: str) -> None:
    refused = offline.refusal("event.bind", "oauth", **parameters)
    assert (refused.status, refused.error) == (400, error)


@pytest.mark.parametrize("parameters, missing", [({"event": CLICK}, "HANDLER"), ({"handler": "x"}, "EVENT")])
def test_a_missing_parameter_is_named(offline: Client, parameters: dict[str, Any], missing: str) -> None:
    body = offline.post("event.bind", "oauth", **parameters).json()
    assert (body["error"], body["argument"]) == ("ERROR_ARGUMENT", missing)


def test_an_application_without_the_telephony_scope_finds_no_such_event(client: Client, portal: Portal) -> None:
    portal.application.scopes = frozenset({"crm"})
    token = portal.issue_tokens()["access_token"]
    answer = client.session.post(
        f"{portal.url}/rest/event.bind", json={"auth": token, "event": CLICK, "event_type": "offline"}, timeout=10
    )
    assert answer.json()["error"] == "ERROR_EVENT_NOT_FOUND"


# -- notices ---------------------------------------------------------------------------------------------------------


def test_a_notice_reaches_a_person(client: Client, portal: Portal) -> None:
    assert client.result("im.notify.system.add", USER_ID=1101, MESSAGE="Your click was refused") == 1
    (notice,) = portal.ledger()["notices"]
    assert (notice["USER_ID"], notice["MESSAGE"]) == (1101, "Your click was refused")


def test_a_notice_needs_its_scope_a_person_and_a_text(client: Client, portal: Portal) -> None:
    assert client.refusal("im.notify.system.add", MESSAGE="x").error == "USER_ID_EMPTY"
    assert client.refusal("im.notify.system.add", USER_ID=1).error == "MESSAGE_EMPTY"
    portal.credentials.webhook_scopes = frozenset({"telephony"})
    assert client.refusal("im.notify.system.add", USER_ID=1, MESSAGE="x").error == "insufficient_scope"
