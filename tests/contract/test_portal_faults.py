"""A portal that fails at random, before and after the commit, and one that is down for a while or has moved."""

from __future__ import annotations

import time
from collections import Counter
from urllib.parse import urlsplit

import pytest
import requests
from portal_client import PHONE, Client

from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.sandbox.portal.faults import KINDS
from tests.support.in_time import in_time

REGISTER, FINISH = "telephony.externalCall.register", "telephony.externalCall.finish"
BEFORE = {"503", "401", "500", "reset"}
AFTER = {"timeout_after_commit", "502_html", "cut_body", "empty_body"}
GIVEN = {"USER_ID": 1101, "PHONE_NUMBER": PHONE, "TYPE": 2}


@pytest.fixture(autouse=True)
def quick(portal: Portal) -> None:
    portal.fault_seconds = 0.05


def attempt(client: Client, external_id: str = "a") -> str:
    """What a client sees of one register: a status, or how it failed."""
    try:
        answer = client.post(REGISTER, EXTERNAL_CALL_ID=external_id, **GIVEN)
    except requests.RequestException as error:
        return type(error).__name__
    return str(answer.status_code) if answer.content else "nothing"


def test_every_kind_of_fault_is_of_one_sort() -> None:
    assert set(KINDS) == BEFORE | AFTER


@pytest.mark.parametrize("kind", sorted(BEFORE))
def test_a_fault_before_the_commit_leaves_no_call(portal: Portal, client: Client, kind: str) -> None:
    portal.faults = [(1.0, kind)]
    attempt(client)
    assert portal.ledger()["calls"] == []
    assert portal.ledger()["requests"][0]["fault"] == kind


@pytest.mark.parametrize("kind", sorted(AFTER))
def test_a_fault_after_the_commit_leaves_the_call(portal: Portal, client: Client, kind: str) -> None:
    portal.faults = [(1.0, kind)]
    attempt(client)
    (call,) = portal.ledger()["calls"]
    portal.faults = []
    assert client.register(EXTERNAL_CALL_ID="a")["CALL_ID"] == call["CALL_ID"]  # the repeat finds it
    assert [row["fault"] for row in portal.ledger()["requests"]] == [kind, None]


@pytest.mark.parametrize(
    "kind, seen, status",
    [
        ("503", "503", 503),
        ("500", "500", 500),
        ("502_html", "502", 502),
        ("reset", "ConnectionError", None),
        ("timeout_after_commit", "ConnectionError", None),
        ("cut_body", "ChunkedEncodingError", 200),
        ("empty_body", "nothing", 200),
    ],
)
def test_a_client_sees_each_fault_as_itself(
    portal: Portal, client: Client, kind: str, seen: str, status: int | None
) -> None:
    portal.faults = [(1.0, kind)]
    assert attempt(client) == seen
    assert portal.ledger()["requests"][0]["status"] == status


def test_a_bad_gateway_answers_in_html(portal: Portal, client: Client) -> None:
    portal.faults = [(1.0, "502_html")]
    answer = client.post(REGISTER, **GIVEN)
    assert answer.headers["Content-Type"] == "text/html"
    assert "Bad Gateway" in answer.text


def test_a_cut_body_announces_its_length_and_brings_half(portal: Portal, client: Client) -> None:
    portal.faults = [(1.0, "cut_body")]
    answer = client.session.post(portal.webhook_url + "user.get", stream=True, timeout=5)
    announced = int(answer.headers["Content-Length"])
    came = b""
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        for part in answer.iter_content(512):
            came += part
    assert came.startswith(b'{"result"')
    assert len(came) <= announced // 2


def test_a_time_out_is_silent_for_its_seconds_and_then_drops(portal: Portal, client: Client) -> None:
    portal.fault_seconds = 0.4
    portal.faults = [(1.0, "timeout_after_commit")]
    began = time.monotonic()
    assert attempt(client) == "ConnectionError"
    took = time.monotonic() - began
    assert took >= 0.4
    in_time(took, 2)
    with pytest.raises(requests.ReadTimeout):
        client.session.post(portal.webhook_url + "user.get", timeout=0.1)


def test_stopping_does_not_wait_for_a_silent_request(portal: Portal, client: Client) -> None:
    portal.fault_seconds = 60
    portal.faults = [(1.0, "timeout_after_commit")]
    with pytest.raises(requests.ReadTimeout):
        client.session.post(portal.webhook_url + REGISTER, json=GIVEN, timeout=0.1)
    began = time.monotonic()
    portal.stop()
    in_time(time.monotonic() - began, 2)


def test_a_batch_meets_one_fault_as_a_whole(portal: Portal, client: Client) -> None:
    commands = [f"{REGISTER}?USER_ID=1101&PHONE_NUMBER=7916000000{number}&TYPE=2" for number in range(5)]
    portal.faults = [(1.0, "503")]
    assert client.post("batch", cmd=commands).status_code == 503
    assert portal.ledger()["calls"] == []
    portal.faults = [(1.0, "timeout_after_commit")]
    with pytest.raises(requests.ConnectionError):
        client.post("batch", cmd=commands)
    assert len(portal.ledger()["calls"]) == 5


def faults_of(portal: Portal, client: Client, seed: int, count: int) -> list[str | None]:
    portal.reset()
    portal.fault_seconds = 0.0
    portal.seed_faults(seed)
    portal.faults = [(0.1, "503"), (0.1, "empty_body"), (0.05, "cut_body"), (0.05, "reset")]
    for number in range(count):
        attempt(client, str(number))
    return [row["fault"] for row in portal.ledger()["requests"]]


def test_a_run_can_be_repeated_from_its_seed(portal: Portal, client: Client) -> None:
    first = faults_of(portal, client, 1, 60)
    assert faults_of(portal, client, 1, 60) == first
    assert faults_of(portal, client, 2, 60) != first


def test_the_seed_may_be_given_with_the_portal() -> None:
    def sequence(portal: Portal) -> list[str | None]:
        portal.faults = [(0.5, "503")]
        return [portal.dice.draw() for _ in range(30)]

    assert sequence(Portal(fault_seed=5)) == sequence(Portal(fault_seed=5)) != sequence(Portal(fault_seed=6))


def test_faults_come_as_often_as_they_should(portal: Portal) -> None:
    portal.faults = [(0.1, "503"), (0.2, "reset"), (0.0, "500")]
    drawn = Counter(portal.dice.draw() for _ in range(10_000))
    assert drawn["503"] == pytest.approx(1000, abs=150)
    assert drawn["reset"] == pytest.approx(2000, abs=200)
    assert set(drawn) == {"503", "reset", None}


def test_the_ledger_counts_what_was_committed_under_faults(portal: Portal, client: Client) -> None:
    faults = faults_of(portal, client, 3, 120)
    committed = sum(fault is None or fault in AFTER for fault in faults)
    assert 0 < committed < 120
    assert len(portal.ledger()["calls"]) == committed


def test_a_script_for_a_request_goes_before_the_dice(portal: Portal, client: Client) -> None:
    portal.faults = [(1.0, "503")]
    portal.scripted_replies.add(REGISTER, lambda reply: reply)
    assert client.register()["CALL_ID"]
    assert attempt(client) == "503"


def test_a_script_may_drop_the_connection_before_the_commit(portal: Portal, client: Client) -> None:
    portal.scripted_replies.add(REGISTER, ConnectionResetError())
    assert attempt(client) == "ConnectionError"
    assert portal.ledger()["calls"] == []


@pytest.mark.parametrize(
    "wrong", [[(0.5, "no such fault")], [(-0.1, "503")], [(0.6, "503"), (0.6, "500")]], ids=["kind", "negative", "sum"]
)
def test_faults_that_can_not_be_are_refused_at_once(portal: Portal, wrong: list[tuple[float, str]]) -> None:
    with pytest.raises(ValueError, match="fault|probabilit"):
        portal.faults = wrong
    assert portal.faults == []


# -- down for a while ----------------------------------------------------------------------------------------------


def test_a_portal_that_is_down_for_a_while_comes_back_with_all_it_knew(portal: Portal, client: Client) -> None:
    call_id = client.register()["CALL_ID"]
    url = portal.webhook_url
    began = time.monotonic()
    portal.down_for(0.3)
    with pytest.raises(requests.ConnectionError):
        client.register()
    while time.monotonic() - began < 5:
        try:
            again = client.register()
            break
        except requests.ConnectionError:
            time.sleep(0.02)
    assert time.monotonic() - began >= 0.3
    assert (portal.webhook_url, again["CALL_ID"]) == (url, call_id)


@pytest.mark.parametrize("how", ["start", "stop"])
def test_a_start_or_stop_meanwhile_goes_before_the_end_of_the_outage(portal: Portal, client: Client, how: str) -> None:
    portal.down_for(0.2)
    portal.start() if how == "start" else portal.stop()
    for _ in range(2):
        if how == "start":
            assert client.register()
        else:
            with pytest.raises(requests.ConnectionError):
                client.register()
        time.sleep(0.3)


# -- renamed -------------------------------------------------------------------------------------------------------


def test_a_renamed_portal_sends_every_request_to_the_same_path_elsewhere_and_runs_nothing(
    portal: Portal, client: Client
) -> None:
    portal.switches.renamed_to = "https://new.example"
    for address in (portal.webhook_url + REGISTER, f"{portal.url}/rest/{REGISTER}.json?auth=a%2Fb&x=%20"):
        answer = client.session.post(address, json=GIVEN, allow_redirects=False, timeout=5)
        sent = urlsplit(address)
        target = f"https://new.example{sent.path}" + (f"?{sent.query}" if sent.query else "")
        assert (answer.status_code, answer.headers["Location"]) == (302, target)
    assert portal.ledger()["calls"] == []
    assert [row["status"] for row in portal.ledger()["requests"]] == [302, 302]


def test_a_post_sent_again_to_the_new_host_is_carried_out_there(client: Client) -> None:
    old = client.portal
    with Portal(webhook_secret=old.credentials.webhooks[1]) as new:
        old.switches.renamed_to = new.url + "/"
        answer = client.session.post(old.webhook_url + REGISTER, json=GIVEN, allow_redirects=False, timeout=5)
        again = client.session.post(answer.headers["Location"], json=GIVEN, timeout=5)
        assert again.json()["result"]["CALL_ID"] == new.ledger()["calls"][0]["CALL_ID"]
        assert old.ledger()["calls"] == []


def test_tokens_of_a_renamed_portal_name_its_new_host(portal: Portal) -> None:
    portal.switches.renamed_to = "https://new.example"
    tokens = portal.issue_tokens()
    assert tokens["client_endpoint"] == "https://new.example/rest/"
    assert tokens["server_endpoint"] == f"{portal.url}/rest/"


# -- where documentation and portals differ ------------------------------------------------------------------------


def test_the_wording_may_be_that_of_the_documentation(portal: Portal, client: Client) -> None:
    attach = "telephony.externalCall.attachRecord"
    unfinished = {"CALL_ID": client.register()["CALL_ID"], "FILENAME": "a.mp3"}
    asked = [(FINISH, {"CALL_ID": "x", "USER_ID": 1}), (attach, unfinished), (attach, {"CALL_ID": "x"})]
    table = "Call is not found in the statistic table."
    required = "Required parameters are not set. Request should contain"
    said = [client.refusal(method, **given).description for method, given in asked]
    assert said == [
        "Call is not found (call should be registered prior to finishing",
        f"{table} Looks like it is not finished yet.",
        f"{required} or URL or FILENAME parameter",
    ]
    portal.switches.documented_wording = True
    said = [client.refusal(method, **given).description for method, given in asked]
    assert said == [
        "Call is not found (call should be registered prior to finishing)",
        f"{table} It looks like it is not finished yet.",
        f"{required} either URL or FILENAME parameter",
    ]


@pytest.mark.parametrize("default", [False, True])
@pytest.mark.parametrize("given", [None, 0, 1])
def test_a_finish_without_add_to_chat_does_what_the_portal_defaults_to(
    portal: Portal, client: Client, default: bool, given: int | None
) -> None:
    portal.switches.add_to_chat_default = default
    call_id = client.register()["CALL_ID"]
    client.finish(call_id, **({} if given is None else {"ADD_TO_CHAT": given}))
    assert client.ledger_call(call_id)["ADD_TO_CHAT"] is (default if given is None else bool(given))


def test_a_reply_in_xml_is_not_offered(portal: Portal, client: Client) -> None:
    assert client.refusal("user.get.xml").status == 404
