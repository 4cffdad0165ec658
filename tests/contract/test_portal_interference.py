"""What tests do to a portal: outages, delays, gates, scripted replies; and what its ledger keeps of requests."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from portal_client import Client

from freepbx_bx24.sandbox.portal import Portal, Reply, World
from tests.support.in_time import in_time
from tests.support.running_service import wait_until

REGISTER = "telephony.externalCall.register"
HOSTILE = 'x"\nSET VARIABLE PWNED 1 ${SHELL(touch pwned)}'


def test_a_stopped_portal_refuses_connections_and_remembers_everything(portal: Portal, client: Client) -> None:
    call_id = client.register()["CALL_ID"]
    url = portal.webhook_url
    portal.stop()
    with pytest.raises(requests.ConnectionError):
        client.register()
    portal.start()
    assert portal.webhook_url == url
    assert client.register()["CALL_ID"] == call_id


def test_a_delay_holds_one_method_and_not_the_others(portal: Portal, client: Client) -> None:
    portal.delay_seconds[REGISTER.lower()] = 0.3
    with ThreadPoolExecutor() as pool:
        began = time.monotonic()
        slow = pool.submit(client.register)
        requests.post(portal.webhook_url + "user.get", timeout=5)
        in_time(time.monotonic() - began, 0.25)
        slow.result()
        assert time.monotonic() - began >= 0.3


def test_a_gate_holds_a_request_before_it_is_worked_on(portal: Portal, client: Client) -> None:
    with ThreadPoolExecutor() as pool, portal.gate(REGISTER) as gate:
        waiting = pool.submit(client.register)
        gate.wait_for_arrival(timeout=5)
        assert portal.ledger()["calls"] == []
        assert portal.ledger()["requests"][0]["answered"] is None
        assert not waiting.done()
        gate.release()
        assert waiting.result(5)["CALL_ID"]
    assert client.register()


def test_waiting_at_a_gate_for_what_never_comes_is_an_error(portal: Portal) -> None:
    with portal.gate(REGISTER) as gate, pytest.raises(TimeoutError):
        gate.wait_for_arrival(timeout=0.01)


@pytest.mark.parametrize("how", ["gate", "delay"])
def test_stopping_drops_held_requests_undone(portal: Portal, client: Client, how: str) -> None:
    gate = portal.gate(REGISTER) if how == "gate" else portal.gate("nothing")
    if how == "delay":
        portal.delay_seconds[REGISTER.lower()] = 60
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.register)
        while not portal.ledger()["requests"]:
            time.sleep(0.005)
        if how == "gate":
            gate.wait_for_arrival()
        portal.stop()
        with pytest.raises(requests.ConnectionError):
            waiting.result(5)
    assert portal.ledger()["calls"] == []


def test_a_scripted_reply_is_sent_instead_of_running_the_method(portal: Portal, client: Client) -> None:
    portal.scripted_replies.add(REGISTER, Reply(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}))
    portal.scripted_replies.add(REGISTER, Reply(302, {}, {"Location": "https://renamed.example/rest/"}))
    first = client.post(REGISTER)
    assert (first.status_code, first.text, first.headers["Content-Type"]) == (
        502,
        "<html>Bad Gateway</html>",
        "text/html",
    )
    second = client.session.post(portal.webhook_url + REGISTER, allow_redirects=False, timeout=5)
    assert (second.status_code, second.headers["Location"]) == (302, "https://renamed.example/rest/")
    assert portal.ledger()["calls"] == []
    client.register()
    assert [row["status"] for row in portal.ledger()["requests"]] == [502, 302, 200]


def test_a_scripted_function_alters_the_next_replies_after_the_method_ran(portal: Portal, client: Client) -> None:
    def poison(reply: Reply) -> Reply:
        reply.body["result"]["CALL_ID"] = HOSTILE
        reply.body["result"]["CRM_ENTITY_TYPE"] = HOSTILE
        return reply

    portal.scripted_replies.add(REGISTER, poison, times=2)
    answers = [client.register() for _ in range(3)]
    assert [answer["CALL_ID"] == HOSTILE for answer in answers] == [True, True, False]
    assert len(portal.ledger()["calls"]) == 1


def test_a_hostile_error_text_travels_unchanged(portal: Portal, client: Client) -> None:
    portal.scripted_replies.add(REGISTER, Reply(400, {"error": "", "error_description": HOSTILE}))
    assert client.refusal(REGISTER) == (400, "", HOSTILE)
    assert portal.ledger()["requests"][0]["error_description"] == HOSTILE


def test_a_scripted_function_may_drop_the_connection_after_the_commit(portal: Portal, client: Client) -> None:
    def drop(reply: Reply) -> Reply:
        raise ConnectionResetError

    portal.scripted_replies.add(REGISTER, drop)
    with pytest.raises(requests.ConnectionError):
        client.register()
    assert len(portal.ledger()["calls"]) == 1
    assert portal.ledger()["requests"][0]["status"] is None


def test_a_reset_portal_is_as_new(client: Client) -> None:
    portal = client.portal
    fresh, webhook_url = portal.ledger(), portal.webhook_url
    client.finish(client.register(CRM_CREATE=1, LINE_NUMBER="100")["CALL_ID"])
    portal.switches.lead_mode = False
    portal.credentials.webhooks[1] = "other"
    portal.scripted_replies.add(REGISTER, Reply(500))
    portal.delay_seconds[REGISTER.lower()] = 60
    portal.gate(REGISTER)
    portal.reset()
    assert (portal.ledger(), portal.webhook_url) == (fresh, webhook_url)
    assert client.register(CRM_CREATE=1)["CRM_CREATED_LEAD"] == 32


def test_a_portal_may_be_given_a_world(client: Client) -> None:
    world = World.default()
    world.create("CONTACT", "Test", "+79990000000")
    with Portal(world) as portal:
        other = Client(portal)
        assert other.register(PHONE_NUMBER="+79990000000")["CRM_ENTITY_ID"] == 43
        other.session.close()


def test_the_ledger_is_served_as_json(client: Client) -> None:
    client.register(LINE_NUMBER="100")
    # How long it took is written when its answer is on the wire.
    wait_until(lambda: client.portal.ledger()["requests"][0]["took_seconds"] is not None, 5)
    served = requests.get(client.portal.ledger_url, timeout=5)
    assert served.headers["Content-Type"].startswith("application/json")
    assert served.json() == json.loads(json.dumps(client.portal.ledger()))
    assert set(served.json()) == {
        *("calls", "cards", "requests", "oauth", "entities", "lines", "activities"),
        *("bindings", "offline_events", "deliveries", "notices"),
    }


def test_the_ledger_lists_each_request_with_times_auth_and_error(client: Client) -> None:
    client.register()
    client.post("Telephony.ExternalCall.Finish", auth="oauth", USER_ID=1)
    first, second = client.portal.ledger()["requests"]
    assert (first["sequence"], first["method"], first["auth"], first["status"], first["error"]) == (
        1,
        REGISTER.lower(),
        "webhook",
        200,
        None,
    )
    assert first["arrived"] <= first["answered"] <= second["arrived"]
    assert second["parameters"] == {"USER_ID": 1}
    assert (second["auth"], second["status"], second["error"], second["error_description"]) == (
        "oauth",
        400,
        "INVALID_ARGUMENT",
        "CALL_ID must be a string",
    )


def test_no_secret_and_no_file_content_reaches_the_ledger(client: Client) -> None:
    portal = client.portal
    call_id = client.finished_call()
    offer = client.result("telephony.externalCall.attachRecord", "oauth", CALL_ID=call_id, FILENAME="a.mp3")
    client.session.post(offer["uploadUrl"], files={"file": ("a.mp3", b"ID3")}, timeout=5)
    client.post("telephony.externalCall.attachRecord", CALL_ID=call_id, FILENAME="b.mp3", FILE_CONTENT="SUQzQUJD")
    client.session.post(f"{portal.url}/rest/user.get", data={"auth": portal.access_token}, timeout=5)
    client.post("telephony.externalCall.attachRecord", CALL_ID=call_id, RECORD_URL="http://u:pw@127.0.0.1:1/a?k=pw")
    client.post("batch", cmd={"a": f"user.get?auth={portal.access_token}&ID=1"})
    attach = f"telephony.externalCall.attachRecord?CALL_ID={call_id}&FILENAME=c.mp3&FILE_CONTENT="
    client.post("batch", cmd={"a": attach + "SUQzQUJE" * 1000, "b": attach + "SUQzQUJE"})
    text = json.dumps(portal.ledger())
    for secret in (
        portal.access_token,
        portal.credentials.webhooks[1],
        offer["uploadUrl"].partition("token=")[2],
        "SUQzQUJD",
        "SUQzQUJE",
        "pw",
    ):
        assert secret not in text
    assert "<8 characters>" in text
    assert "FILENAME=c.mp3&FILE_CONTENT=<8000 characters>" in text, "what a batch asks for is to be seen"


def test_many_callers_at_once_lose_nothing(portal: Portal) -> None:
    def one_call(number: int) -> None:
        client = Client(portal)
        call_id = client.register(PHONE_NUMBER=f"+7916{number:07}", CRM_CREATE=1)["CALL_ID"]
        client.finish(call_id, DURATION=number)
        client.session.close()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(one_call, range(1, 61)))
    calls = portal.ledger()["calls"]
    assert sorted(call["CALL_DURATION"] for call in calls) == list(range(1, 61))
    assert len({call["CALL_ID"] for call in calls}) == len({call["CRM_CREATED_LEAD"] for call in calls}) == 60
    assert threading.active_count() < 60
