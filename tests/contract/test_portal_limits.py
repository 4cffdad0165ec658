"""What a cloud portal limits: requests by address, and the running time of each method; all on a simulated clock."""

from __future__ import annotations

import math
from datetime import datetime

import pytest
import requests
from portal_client import Client, Refusal

from freepbx_bx24.sandbox.portal import Portal, Reply, SimulatedTime

REGISTER, LINES = "telephony.externalCall.register", "telephony.externalLine.get"
BUSY = Refusal(503, "QUERY_LIMIT_EXCEEDED", "Too many requests")
BLOCKED = Refusal(429, "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.")


@pytest.fixture
def time(portal: Portal) -> SimulatedTime:
    portal.clock = SimulatedTime()
    return portal.clock


def accepted(client: Client, most: int) -> int:
    """How many requests are let in before the first refusal."""
    for number in range(most):
        if client.post(LINES).status_code == 503:
            return number
    return most


# -- the bucket of requests ----------------------------------------------------------------------------------------


def test_a_portal_without_a_plan_takes_any_number_of_requests(client: Client, time: SimulatedTime) -> None:
    assert accepted(client, 300) == 300


@pytest.mark.parametrize("plan, burst, a_second", [("ordinary", 50, 2), ("enterprise", 250, 5)])
def test_a_plan_has_its_burst_and_its_drain(
    portal: Portal, client: Client, time: SimulatedTime, plan: str, burst: int, a_second: int
) -> None:
    portal.switches.plan = plan
    assert accepted(client, 300) == burst
    time.advance(1)
    assert accepted(client, 300) == a_second
    time.advance(burst / a_second)
    assert accepted(client, 300) == burst


def test_a_steady_two_requests_a_second_are_never_refused(portal: Portal, client: Client, time: SimulatedTime) -> None:
    portal.switches.plan = "ordinary"
    for _ in range(200):
        assert client.post(LINES).status_code == 200
        time.advance(0.5)


def test_a_refused_request_runs_nothing_fills_nothing_and_stands_in_the_ledger(
    portal: Portal, client: Client, time: SimulatedTime
) -> None:
    portal.switches.plan = "ordinary"
    accepted(client, 51)
    given = {"USER_ID": 1101, "PHONE_NUMBER": "+79160000555", "TYPE": 2}
    for _ in range(30):
        assert client.refusal(REGISTER, **given) == BUSY
    assert portal.ledger()["calls"] == []
    last = portal.ledger()["requests"][-1]
    assert (last["method"], last["status"], last["error"]) == (REGISTER.lower(), 503, "QUERY_LIMIT_EXCEEDED")
    time.advance(0.5)  # the refused ones did not fill the bucket: one place is free again
    assert client.register()["CALL_ID"]


def test_a_batch_is_one_request(portal: Portal, client: Client, time: SimulatedTime) -> None:
    portal.switches.plan = "ordinary"
    assert accepted(client, 49) == 49
    assert len(client.result("batch", cmd=[LINES] * 50)["result"]) == 50
    assert client.refusal("batch", cmd=[LINES]) == BUSY


def test_the_bucket_stands_in_front_of_all_else(portal: Portal, client: Client, time: SimulatedTime) -> None:
    portal.switches.plan = "ordinary"
    accepted(client, 51)
    portal.switches.portal_deleted = True
    portal.scripted_replies.add(LINES, Reply(500))
    portal.delay_seconds[LINES.lower()] = 60
    assert client.refusal(LINES) == BUSY
    for path in ("rest/no.such", "rest/user.get?auth=nonsense", "rest/1/x/y/z"):
        answer = requests.post(f"{portal.url}/{path}", timeout=5)
        assert (answer.status_code, answer.json()["error"]) == (503, "QUERY_LIMIT_EXCEEDED")


def test_all_keys_of_one_address_share_the_bucket(portal: Portal, client: Client, time: SimulatedTime) -> None:
    portal.switches.plan = "ordinary"
    for number in range(50):
        assert client.post(LINES, auth=("webhook", "oauth")[number % 2]).status_code == 200
    assert client.refusal(LINES, "webhook") == client.refusal(LINES, "oauth") == BUSY


def test_tokens_come_from_another_server_which_the_bucket_does_not_guard(
    portal: Portal, client: Client, time: SimulatedTime
) -> None:
    portal.switches.plan = "ordinary"
    accepted(client, 51)
    application = portal.application
    given = {
        "grant_type": "refresh_token",
        "client_id": application.client_id,
        "client_secret": application.client_secret,
        "refresh_token": portal.issue_tokens()["refresh_token"],
    }
    assert requests.get(f"{portal.url}/oauth/token/", params=given, timeout=5).status_code == 200


# -- the running time of a method ----------------------------------------------------------------------------------


def test_a_method_that_used_up_its_time_is_blocked_and_the_others_are_not(
    portal: Portal, client: Client, time: SimulatedTime
) -> None:
    portal.switches.operating_limit_seconds = 480
    portal.switches.method_seconds[LINES] = 100.0
    assert [client.post(LINES).status_code for _ in range(5)] == [200] * 5  # 400 s are below, 500 s above
    assert client.refusal(LINES) == BLOCKED
    assert client.post("user.get").status_code == 200
    assert portal.ledger()["requests"][5]["status"] == 429


def test_the_time_is_not_limited_where_the_portal_has_no_limit(client: Client, time: SimulatedTime) -> None:
    client.portal.switches.method_seconds[LINES] = 10_000.0
    assert [client.post(LINES).status_code for _ in range(3)] == [200] * 3


def test_what_was_used_leaves_the_window_minute_by_minute(portal: Portal, client: Client, time: SimulatedTime) -> None:
    portal.switches.operating_limit_seconds = 480
    portal.switches.method_seconds[LINES.lower()] = 250.0
    client.result(LINES)
    time.advance(60)
    client.result(LINES)
    assert client.refusal(LINES) == BLOCKED
    time.advance(9 * 60)  # the first minute has left
    assert client.post(LINES).json()["time"]["operating"] == pytest.approx(500, abs=0.5)
    assert client.refusal(LINES) == BLOCKED
    time.advance(600)
    assert client.post(LINES).json()["time"]["operating"] == pytest.approx(250, abs=0.5)


def test_at_operating_reset_at_the_method_is_free_again(portal: Portal, client: Client, time: SimulatedTime) -> None:
    portal.switches.operating_limit_seconds = 480
    portal.switches.method_seconds[LINES] = 500.0
    time.advance(17.3)
    reset_at = client.post(LINES).json()["time"]["operating_reset_at"]
    assert isinstance(reset_at, int)
    assert client.refusal(LINES) == BLOCKED
    time.advance(reset_at - 1.1 - portal.now())
    assert client.refusal(LINES) == BLOCKED
    time.advance(reset_at - portal.now())
    assert client.post(LINES).status_code == 200


@pytest.mark.parametrize("seconds, operating", [(0.05, 0.0), (0.2, 0.2)])
def test_short_hits_are_not_counted(
    portal: Portal, client: Client, time: SimulatedTime, seconds: float, operating: float
) -> None:
    portal.switches.method_seconds[LINES] = seconds
    assert client.post(LINES).json()["time"]["operating"] == pytest.approx(operating, abs=0.04)


def test_nothing_used_is_reset_a_window_from_now(portal: Portal, client: Client, time: SimulatedTime) -> None:
    times = client.post(LINES).json()["time"]
    assert (times["operating"], times["operating_reset_at"]) == (0.0, math.ceil(portal.now() + 600))


def test_an_application_and_each_webhook_have_a_time_of_their_own(
    portal: Portal, client: Client, time: SimulatedTime
) -> None:
    portal.credentials.webhooks[1101] = "other"
    portal.switches.operating_limit_seconds = 10
    portal.switches.method_seconds[LINES] = 20.0
    client.result(LINES)
    assert client.refusal(LINES) == BLOCKED
    assert client.post(LINES, auth="oauth").status_code == 200
    assert client.refusal(LINES, "oauth") == BLOCKED
    assert requests.post(f"{portal.url}/rest/1101/other/{LINES}", timeout=5).status_code == 200


def test_the_limit_is_checked_before_the_method_runs(portal: Portal, client: Client, time: SimulatedTime) -> None:
    portal.switches.operating_limit_seconds = 10
    portal.switches.method_seconds[REGISTER] = 20.0
    client.register(EXTERNAL_CALL_ID="a")
    given = {"USER_ID": 1101, "PHONE_NUMBER": "1", "TYPE": 2, "EXTERNAL_CALL_ID": "b"}
    assert client.refusal(REGISTER, **given) == BLOCKED
    assert len(portal.ledger()["calls"]) == 1


def test_a_refused_method_has_used_its_time_too(portal: Portal, client: Client, time: SimulatedTime) -> None:
    portal.switches.operating_limit_seconds = 10
    portal.switches.method_seconds[REGISTER] = 20.0
    assert client.refusal(REGISTER).status == 400
    assert client.refusal(REGISTER) == BLOCKED


def test_in_a_batch_each_command_is_charged_and_blocked_by_itself(
    portal: Portal, client: Client, time: SimulatedTime
) -> None:
    portal.switches.operating_limit_seconds = 480
    portal.switches.method_seconds.update({LINES: 300.0, "batch": 10_000.0})
    result = client.result("batch", cmd={"a": LINES, "b": LINES, "c": LINES, "people": "user.get?ID=1"})
    assert set(result["result"]) == {"a", "b", "people"}
    assert result["result_error"] == {"c": {"error": BLOCKED.error, "error_description": BLOCKED.description}}
    assert client.refusal(LINES) == BLOCKED
    assert client.post("batch", cmd={"people": "user.get"}).status_code == 200  # batch itself is exempt


def test_each_command_of_a_batch_tells_its_time(portal: Portal, client: Client, time: SimulatedTime) -> None:
    portal.switches.method_seconds[LINES] = 30.0
    result = client.result("batch", cmd={"a": LINES, "b": LINES})
    assert [result["result_time"][key]["operating"] for key in "ab"] == pytest.approx([30, 60], abs=0.1)
    assert set(result["result_time"]["a"]) == {
        "start",
        "finish",
        "duration",
        "processing",
        "date_start",
        "date_finish",
        "operating",
        "operating_reset_at",
    }
    portal.switches.operating_time = False
    result = client.result("batch", cmd={"a": LINES})
    assert not {"operating", "operating_reset_at"} & set(result["result_time"]["a"])


# -- the clock -----------------------------------------------------------------------------------------------------


def test_the_thirty_minutes_in_which_a_repeat_is_recognised_follow_the_clock(
    client: Client, time: SimulatedTime
) -> None:
    first = client.register()["CALL_ID"]
    time.advance(29 * 60)
    assert client.register()["CALL_ID"] == first
    time.advance(2 * 60)
    assert client.register()["CALL_ID"] != first


def test_dates_follow_the_clock(portal: Portal, client: Client, time: SimulatedTime) -> None:
    time.advance(86400)
    began = portal.now()
    call_id = client.finished_call()
    call = client.ledger_call(call_id)
    assert call["registered_at"] == call["finished_at"] == began
    assert datetime.fromisoformat(call["CALL_START_DATE"]).timestamp() == int(began)
    assert call_id.endswith(f".{int(began)}")
    assert portal.ledger()["requests"][0]["arrived"] == portal.ledger()["cards"][0]["time"] == began
    assert client.post(LINES).json()["time"]["start"] == began


def test_time_goes_on_without_a_jump_when_a_test_takes_the_clock(portal: Portal, client: Client) -> None:
    before = portal.now()
    portal.switches.token_seconds = 100
    access_token = portal.issue_tokens()["access_token"]
    simulated = SimulatedTime()
    simulated.advance(12345)
    portal.clock = simulated
    assert portal.now() == pytest.approx(before, abs=5)
    address = f"{portal.url}/rest/user.get?auth={access_token}"
    assert requests.post(address, timeout=5).status_code == 200
    simulated.advance(101)
    assert requests.post(address, timeout=5).status_code == 401


def test_simulated_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="does not go back"):
        SimulatedTime().advance(-1)


def test_a_day_of_an_ordinary_plan_passes_in_seconds(portal: Portal, client: Client, time: SimulatedTime) -> None:
    portal.switches.plan, portal.switches.operating_limit_seconds = "ordinary", 480
    portal.switches.method_seconds = {REGISTER: 0.4, "telephony.externalCall.finish": 0.5}
    refused = 0
    for number in range(24 * 20):
        call_id = client.register(EXTERNAL_CALL_ID=str(number))["CALL_ID"]
        refused += client.post("telephony.externalCall.finish", CALL_ID=call_id, USER_ID=1101).status_code != 200
        time.advance(180)
    assert (refused, len(portal.ledger()["calls"])) == (0, 480)
