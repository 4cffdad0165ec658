"""The official SDK's telephony calls at the sandbox portal: each one that the portal has, and what it reads of it."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest
import requests
from b24pysdk import errors
from b24pysdk.client import BaseClient
from portal_client import PHONE

from freepbx_bx24.sandbox.portal import Portal

ANNA = "+7 495 123-45-67"  # contact 42, whose person is user 1102
MP3 = b"ID3\x04" + bytes(20)
SPOKEN = [
    {"SIDE": "Client", "START_TIME": 0, "STOP_TIME": 2, "MESSAGE": "Is Tuesday & Wednesday free?"},
    {"SIDE": "User", "START_TIME": 2, "STOP_TIME": 4, "MESSAGE": "Вторник"},
]


def ledger_call(portal: Portal, call_id: str) -> dict[str, Any]:
    return next(call for call in portal.ledger()["calls"] if call["CALL_ID"] == call_id)


def test_a_call_lives_from_register_to_finish(portal: Portal, client: BaseClient) -> None:
    calls = client.telephony.external_call
    registered = calls.register(
        ANNA,
        2,
        user_phone_inner="101",
        call_start_date="2026-03-01T12:00:00+03:00",
        crm_create=1,
        crm_source="CALL",
        show=1,
        line_number="74957770101",
        external_call_id="pbx-1.1",
    ).result
    call_id = registered["CALL_ID"]
    assert (registered["CRM_ENTITY_TYPE"], registered["CRM_ENTITY_ID"]) == ("CONTACT", 42)
    assert calls.show(call_id, user_id=(1102, 1103)).result is True
    assert calls.show(call_id).result is True
    assert calls.hide(call_id, 1101).result is True
    finished = calls.finish(
        call_id, user_id=1102, duration=35, status_code="200", cost=1.5, cost_currency="RUB", vote=5, add_to_chat=0
    ).result
    assert (finished["CALL_STATUS"], finished["PORTAL_USER_ID"], finished["INCOMING"]) == (1, 1102, "2")
    assert finished["CALL_START_DATE"] == {}
    shown = [(card["action"], card["USER_ID"]) for card in portal.ledger()["cards"]]
    assert shown == [
        ("show", 1101),
        ("show", 1102),
        ("show", 1103),
        ("show", 1101),
        ("hide", 1101),
        ("hide", 1102),
    ]
    row = ledger_call(portal, call_id)
    assert (row["CALL_DURATION"], row["finished_by"], row["VOTE"], row["REST_APP_ID"]) == (35, 1102, 5, "3")
    assert row["CALL_START_DATE"] == "2026-03-01T12:00:00+03:00"
    assert calls.show(call_id).result is False  # it is over


def test_it_finds_a_client_and_the_person_of_the_client(client: BaseClient) -> None:
    found = client.telephony.external_call.search_crm_entities(ANNA).result
    assert [(one["CRM_ENTITY_TYPE"], one["CRM_ENTITY_ID"], one["ASSIGNED_BY"]["ID"]) for one in found] == [
        ("CONTACT", 42, "1102")
    ]
    assert client.telephony.external_call.search_crm_entities(PHONE).result == []


class _Recording(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(MP3)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def recording_url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Recording) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/there.mp3"
        server.shutdown()


@pytest.mark.parametrize("mode", ["content", "url", "upload"])
def test_a_recording_is_attached_in_each_way(
    portal: Portal, client: BaseClient, finished_call: Callable[[], str], recording_url: str, mode: str
) -> None:
    call_id, attach = finished_call(), client.telephony.external_call.attach_record
    if mode == "content":
        stored = attach(call_id, filename="there.mp3", file_content=base64.b64encode(MP3).decode()).result
    elif mode == "url":
        stored = attach(call_id, record_url=recording_url).result
    else:
        place = attach(call_id, filename="there.mp3").result
        answer = requests.post(place["uploadUrl"], files={place["fieldName"]: ("there.mp3", MP3)}, timeout=5)
        stored = answer.json()["result"]
    (record,) = ledger_call(portal, call_id)["records"]
    assert (stored["FILE_ID"], record["mode"], record["FILENAME"]) == (record["FILE_ID"], mode, "there.mp3")
    (row,) = client.voximplant.statistic.get(filter={"CALL_ID": call_id}).result
    assert row["RECORD_FILE_ID"] == stored["FILE_ID"]


def test_what_was_said_is_attached(portal: Portal, client: BaseClient, finished_call: Callable[[], str]) -> None:
    call_id = finished_call()
    attached = client.telephony.call.attach_transcription(call_id, SPOKEN, cost=2, cost_currency="RUB").result
    assert attached == {"TRANSCRIPT_ID": 1}
    assert ledger_call(portal, call_id)["transcript"] == SPOKEN
    assert client.telephony.call.attach_transcription(call_id, SPOKEN[:1]).result == {"TRANSCRIPT_ID": 2}
    assert ledger_call(portal, call_id)["transcript"] == SPOKEN[:1]


@pytest.mark.parametrize(
    "wrong, description",
    [
        ({"SIDE": "client"}, "MESSAGES[1][SIDE] should be either Client or User"),
        ({"START_TIME": -1}, "MESSAGES[1][START_TIME] should be greater or equal to zero"),
        ({"STOP_TIME": 0}, "MESSAGES[1][STOP_TIME] should be greater than zero"),
        ({"MESSAGE": ""}, "MESSAGES[1][MESSAGE] is empty"),
        ({}, "Call externalCall.0.1 is not found. Is it finished?"),
    ],
)
def test_what_was_said_must_be_whole_and_of_a_finished_call(
    client: BaseClient, wrong: dict[str, Any], description: str
) -> None:
    with pytest.raises(errors.BitrixAPIBadRequest) as refused:
        client.telephony.call.attach_transcription("externalCall.0.1", [SPOKEN[0], {**SPOKEN[1], **wrong}]).call()
    assert (refused.value.error, refused.value.error_description) == ("", description)


def test_a_line_lives_from_add_to_delete(client: BaseClient) -> None:
    lines = client.telephony.external_line
    added = lines.add("74957770199", name="Night", crm_auto_create=False).result
    assert isinstance(added["ID"], int)
    assert lines.update(number="74957770199", name="Day", crm_auto_create=True).result == {"ID": str(added["ID"])}
    assert lines.get().result == [{"NUMBER": "74957770199", "NAME": "Day", "CRM_AUTO_CREATE": "Y"}]
    assert lines.delete("74957770199").result == []
    assert lines.get().result == []
