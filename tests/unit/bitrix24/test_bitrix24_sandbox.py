"""The client and the sandbox's portal understand each other, in answers and in errors."""

from __future__ import annotations

import json
import time

import pytest

from freepbx_bx24.bitrix24.client import webhook_client
from freepbx_bx24.errors import (
    CallNotFound,
    MethodBusy,
    NeedsApplication,
    PersonUnknown,
    PortalAuthorisation,
    PortalBroken,
    PortalBusy,
    PortalGone,
    PortalRefused,
    PortalTimeout,
    PortalUnreachable,
    RecordNotReady,
)
from freepbx_bx24.sandbox.portal import Reply

REGISTER = {"USER_ID": 1101, "PHONE_NUMBER": "+79160000001", "TYPE": 2}


def test_the_parts_of_a_good_answer(client):
    result = client.call("user.get", {"FILTER": {"ACTIVE": True}}, total_seconds=5)
    assert len(result.result) == result.next == 50
    assert result.total > 50
    assert result.time["operating"] >= 0


def refused(client, method, params):
    with pytest.raises(PortalRefused) as caught:
        client.call(method, params, total_seconds=5)
    return caught.value


def test_a_wrong_secret_is_an_authorisation_error(portal):
    with webhook_client(f"{portal.url}/rest/1/wr0ng/") as stranger:
        error = refused(stranger, "user.get", {})
    assert type(error) is PortalAuthorisation
    assert error.code == "INVALID_CREDENTIALS"


def test_a_portal_that_takes_no_webhook_for_register_says_what_it_needs(portal, client):
    portal.switches.webhook_allowed_for_register = False
    error = refused(client, "telephony.externalCall.register", REGISTER)
    assert type(error) is NeedsApplication
    assert "needs a local application" in error.hint


def test_a_deleted_portal_is_gone(portal, client):
    portal.switches.portal_deleted = True
    assert type(refused(client, "user.get", {})) is PortalGone


def test_an_unknown_method_is_refused(client):
    assert refused(client, "telephony.externalCall.sing", {}).code == "ERROR_METHOD_NOT_FOUND"


@pytest.mark.parametrize("empty_code", [True, False])
def test_telephony_errors_are_told_apart_with_the_empty_code_and_with_error_core(portal, client, empty_code):
    portal.switches.empty_error_code = empty_code
    call = client.call("telephony.externalCall.register", REGISTER, total_seconds=5).result["CALL_ID"]
    finish = {"CALL_ID": call, "USER_ID": 1101}
    nobody = {**REGISTER, "USER_ID": 999999}
    silent = {"PHONE_NUMBER": "+79160000001", "TYPE": 2}
    mute = {**REGISTER, "PHONE_NUMBER": "anonymous"}
    record = {"CALL_ID": call, "FILENAME": "a.mp3", "FILE_CONTENT": "AAAA"}
    assert type(refused(client, "telephony.externalCall.register", nobody)) is PersonUnknown
    assert type(refused(client, "telephony.externalCall.register", silent)) is PersonUnknown
    assert type(refused(client, "telephony.externalCall.register", mute)) is PortalRefused
    assert type(refused(client, "telephony.externalCall.attachRecord", record)) is RecordNotReady
    client.call("telephony.externalCall.finish", finish, total_seconds=5)
    assert type(refused(client, "telephony.externalCall.finish", finish)) is CallNotFound


def test_a_portal_that_stops_and_starts_again_is_reached_again(portal, client):
    client.call("user.get", {}, total_seconds=5)
    portal.stop()
    with pytest.raises(PortalUnreachable):
        client.call("user.get", {}, total_seconds=5)
    portal.start()
    assert client.call("user.get", {}, total_seconds=5).result


def test_an_answer_that_comes_too_late_was_carried_out_and_is_called_ambiguous(portal, client):
    portal.delay_seconds["telephony.externalcall.register"] = 0.6
    with pytest.raises(PortalTimeout) as caught:
        client.call("telephony.externalCall.register", REGISTER, total_seconds=0.3)
    assert caught.value.ambiguous
    give_up = time.monotonic() + 5
    while not portal.ledger()["calls"] and time.monotonic() < give_up:
        time.sleep(0.05)
    assert len(portal.ledger()["calls"]) == 1


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(503, {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"}), PortalBusy),
        (Reply(429, {"error": "OPERATION_TIME_LIMIT", "error_description": "Method is blocked"}), MethodBusy),
        (Reply(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"}), PortalBroken),
        (Reply(200, b'{"result": {"CALL_ID": "ext'), PortalBroken),
        (Reply(200, b""), PortalBroken),
        (Reply(200, []), PortalBroken),
    ],
)
def test_faults_that_the_portal_was_told_to_have(portal, each_alone, reply, expected):
    portal.scripted_replies.add("user.get", reply)
    with pytest.raises(expected):
        each_alone("user.get")
    assert each_alone("user.get").result


def test_a_secret_that_the_portal_repeats_in_its_error_is_blotted_out(raw_portal, reply, secret):
    def behave(portal, connection, number):
        portal.read_request(connection)
        body = {"error": f"E{secret}", "error_description": f"No method at /rest/1/{secret}/"}
        connection.sendall(reply(json.dumps(body).encode(), "404 Not Found"))

    with webhook_client(raw_portal(behave).webhook_url) as client:
        error = refused(client, "profile", {})
    assert secret not in f"{error!r}{error.code}{error.description}"
    assert error.description == "No method at /rest/1/***/"
