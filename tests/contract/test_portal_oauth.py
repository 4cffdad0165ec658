"""The authorisation server beside the portal: codes, tokens that expire and rotate, and its refusals."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from portal_client import Client

from freepbx_bx24.sandbox.portal import Portal, Reply, SimulatedTime

HALF_A_YEAR = 180 * 86400
EXPIRED = (401, "expired_token", "The access token provided has expired")


@pytest.fixture
def time(portal: Portal) -> SimulatedTime:
    portal.clock = SimulatedTime()
    return portal.clock


def authorize(portal: Portal, **parameters: str) -> requests.Response:
    """The browser's request; it agrees at once."""
    given = {"client_id": portal.application.client_id, "state": "s t&1", **parameters}
    return requests.get(f"{portal.url}/oauth/authorize/", params=given, allow_redirects=False, timeout=5)


def code_of(portal: Portal) -> str:
    return dict(parse_qsl(urlsplit(authorize(portal).headers["Location"]).query))["code"]


def token(portal: Portal, verb: str = "GET", **parameters: str) -> requests.Response:
    application = portal.application
    given = {"client_id": application.client_id, "client_secret": application.client_secret, **parameters}
    options: dict[str, Any] = {"params": given} if verb == "GET" else {"data": given}
    return requests.request(verb, f"{portal.url}/oauth/token/", timeout=5, **options)


def exchanged(portal: Portal, **parameters: str) -> dict[str, Any]:
    answer = token(portal, **parameters)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert isinstance(body, dict)
    assert "error" not in body
    return body


def by_code(portal: Portal) -> dict[str, Any]:
    return exchanged(portal, grant_type="authorization_code", code=code_of(portal))


def refreshed(portal: Portal, refresh_token: str) -> dict[str, Any]:
    return exchanged(portal, grant_type="refresh_token", refresh_token=refresh_token)


def refusal(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def user_get(portal: Portal, access_token: str) -> tuple[int, str, str]:
    answer = requests.post(f"{portal.url}/rest/user.get", json={"auth": access_token}, timeout=5)
    body = answer.json()
    return answer.status_code, body.get("error", ""), body.get("error_description", "")


# -- the browser ---------------------------------------------------------------------------------------------------


def test_the_browser_is_sent_to_the_handler_with_all_that_the_application_needs(portal: Portal) -> None:
    portal.application.handler_url = "https://pbx.example/bx24?from=portal"
    answer = authorize(portal)
    target = urlsplit(answer.headers["Location"])
    assert (answer.status_code, target.scheme, target.netloc, target.path) == (302, "https", "pbx.example", "/bx24")
    given = dict(parse_qsl(target.query))
    host = urlsplit(portal.url).netloc
    assert given.pop("code")
    assert given == {
        "from": "portal",
        "state": "s t&1",
        "domain": host,
        "member_id": portal.application.member_id,
        "scope": "call,crm,im,telephony,user",
        "server_domain": host,
    }


def test_without_a_handler_the_code_can_be_read_in_the_address_bar(portal: Portal) -> None:
    target = authorize(portal).headers["Location"]
    assert target.startswith(f"{portal.url}/handler?code=")
    assert portal.application.handler_url == f"{portal.url}/handler"
    portal.reset()
    assert portal.application.handler_url == f"{portal.url}/handler"


def test_the_redirect_address_is_the_applications_own_whatever_the_request_says(portal: Portal) -> None:
    target = authorize(portal, redirect_uri="https://evil.example/").headers["Location"]
    assert target.startswith(portal.url)


@pytest.mark.parametrize("client_id", ["local.0.1", ""])
def test_an_unknown_application_is_an_error_page_and_no_redirect(portal: Portal, client_id: str) -> None:
    answer = authorize(portal, client_id=client_id)
    assert "Location" not in answer.headers
    assert answer.headers["Content-Type"].startswith("text/html")
    assert portal.credentials.codes == {}


def test_the_application_id_has_the_shape_of_a_local_application(portal: Portal) -> None:
    word, hexadecimal, digits = portal.application.client_id.split(".")
    assert (word, digits.isdigit(), len(digits)) == ("local", True, 8)
    assert int(hexadecimal, 16)


# -- a code becomes tokens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_a_code_is_exchanged_for_tokens_that_open_the_portal(portal: Portal, verb: str) -> None:
    before = int(portal.now())
    answer = token(portal, verb, grant_type="authorization_code", code=code_of(portal))
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {
        "access_token",
        "refresh_token",
        "expires",
        "expires_in",
        "client_endpoint",
        "server_endpoint",
        "domain",
        "member_id",
        "scope",
        "status",
        "user_id",
    }
    assert (body["expires_in"], body["status"], body["user_id"]) == (3600, "L", 1)
    assert before + 3600 <= body["expires"] <= portal.now() + 3600
    assert body["client_endpoint"] == body["server_endpoint"] == f"{portal.url}/rest/"
    assert body["member_id"] == portal.application.member_id
    assert requests.post(body["client_endpoint"] + "profile", data={"auth": body["access_token"]}, timeout=5).ok


@pytest.mark.parametrize("where", ["auth in the body", "access_token in the query", "bearer header"])
def test_a_token_is_taken_wherever_it_may_stand(portal: Portal, where: str) -> None:
    access_token = portal.issue_tokens()["access_token"]
    options: dict[str, Any] = {
        "auth in the body": {"json": {"auth": access_token}},
        "access_token in the query": {"params": {"access_token": access_token}},
        "bearer header": {"headers": {"Authorization": f"Bearer {access_token}"}},
    }[where]
    assert requests.post(f"{portal.url}/rest/user.get", timeout=5, **options).json()["total"] == 100


def test_calls_made_with_a_token_are_the_applications(portal: Portal) -> None:
    access_token = portal.issue_tokens()["access_token"]
    given = {"auth": access_token, "USER_ID": 1101, "PHONE_NUMBER": "+79160000555", "TYPE": 2}
    requests.post(f"{portal.url}/rest/telephony.externalCall.register", json=given, timeout=5)
    (call,) = portal.ledger()["calls"]
    assert (call["REST_APP_ID"], call["PORTAL_NUMBER"]) == ("3", "REST_APP:3")


def test_the_domain_of_a_token_reply_is_the_authorisation_server_and_not_the_portal(portal: Portal) -> None:
    portal.application.server_endpoint = "https://oauth.example/rest/"
    body = by_code(portal)
    assert (body["domain"], body["server_endpoint"]) == ("oauth.example", "https://oauth.example/rest/")
    assert body["client_endpoint"] == f"{portal.url}/rest/"


def test_a_code_works_once(portal: Portal) -> None:
    code = code_of(portal)
    assert exchanged(portal, grant_type="authorization_code", code=code)
    assert refusal(token(portal, grant_type="authorization_code", code=code)) == (400, "invalid_grant")


def test_a_code_lives_thirty_seconds(portal: Portal, time: SimulatedTime) -> None:
    first, second = code_of(portal), code_of(portal)
    time.advance(29.9)
    assert exchanged(portal, grant_type="authorization_code", code=first)
    time.advance(0.1)
    assert refusal(token(portal, grant_type="authorization_code", code=second)) == (400, "invalid_grant")


# -- access tokens expire ------------------------------------------------------------------------------------------


def test_an_access_token_expires_after_its_hour(portal: Portal, time: SimulatedTime) -> None:
    access_token = portal.issue_tokens()["access_token"]
    time.advance(3599)
    assert user_get(portal, access_token)[0] == 200
    time.advance(1)
    assert user_get(portal, access_token) == EXPIRED


def test_the_life_of_tokens_is_a_switch(portal: Portal, time: SimulatedTime) -> None:
    portal.switches.token_seconds = 2
    tokens = portal.issue_tokens()
    assert tokens["expires_in"] == 2
    time.advance(2)
    assert user_get(portal, tokens["access_token"]) == EXPIRED


def test_expiry_is_checked_before_the_method_runs_and_after_its_name(portal: Portal) -> None:
    access_token = portal.issue_tokens()["access_token"]
    portal.expire_tokens()
    given = {"auth": access_token, "USER_ID": 1101, "PHONE_NUMBER": "1", "TYPE": 2}
    answer = requests.post(f"{portal.url}/rest/telephony.externalCall.register", json=given, timeout=5)
    assert refusal(answer) == (401, "expired_token")
    assert portal.ledger()["calls"] == []
    assert refusal(requests.post(f"{portal.url}/rest/no.such", json=given, timeout=5))[0] == 404


def test_all_tokens_can_be_made_to_expire_at_once_and_a_reset_revives_the_fixed_one(portal: Portal) -> None:
    assert user_get(portal, portal.access_token)[0] == 200
    portal.expire_tokens()
    assert user_get(portal, portal.access_token) == EXPIRED
    portal.reset()
    assert user_get(portal, portal.access_token)[0] == 200


def test_the_fixed_token_never_expires_by_itself(portal: Portal, time: SimulatedTime) -> None:
    time.advance(10 * HALF_A_YEAR)
    assert user_get(portal, portal.access_token)[0] == 200


def test_a_token_acts_as_the_user_it_was_issued_for(portal: Portal) -> None:
    address = f"{portal.url}/rest/profile"
    for user_id, name in ((1, "Admin"), (1101, "Anton")):
        access_token = portal.issue_tokens(user_id)["access_token"]
        result = requests.post(address, json={"auth": access_token}, timeout=5).json()["result"]
        assert (result["ID"], result["ADMIN"], result["NAME"]) == (str(user_id), user_id == 1, name)


def test_a_dismissed_users_tokens_stop_to_work(portal: Portal) -> None:
    access_token = portal.issue_tokens(1101)["access_token"]
    person = portal.world.employee(1101)
    assert person
    person.active = False
    assert user_get(portal, access_token) == (401, "authorization_error", "Unable to authorize user")


# -- refresh tokens rotate -----------------------------------------------------------------------------------------


def test_a_refresh_gives_a_new_pair_and_the_old_refresh_token_is_dead(portal: Portal) -> None:
    first = by_code(portal)
    second = refreshed(portal, first["refresh_token"])
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    again = token(portal, grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert refusal(again) == (400, "invalid_grant")
    assert user_get(portal, first["access_token"])[0] == 200  # an access token lives out its hour
    assert refreshed(portal, second["refresh_token"])


def test_a_portal_may_take_an_old_refresh_token_again(portal: Portal) -> None:
    portal.switches.old_refresh_token_works = True
    first = portal.issue_tokens()
    assert refreshed(portal, first["refresh_token"])["refresh_token"] != first["refresh_token"]
    assert refreshed(portal, first["refresh_token"])


def test_a_refresh_keeps_the_user(portal: Portal) -> None:
    assert refreshed(portal, portal.issue_tokens(1101)["refresh_token"])["user_id"] == 1101


def test_a_refresh_token_lives_half_a_year(portal: Portal, time: SimulatedTime) -> None:
    first, second = portal.issue_tokens(), portal.issue_tokens()
    time.advance(HALF_A_YEAR - 1)
    assert refreshed(portal, first["refresh_token"])
    time.advance(1)
    late = token(portal, grant_type="refresh_token", refresh_token=second["refresh_token"])
    assert refusal(late) == (400, "invalid_grant")


def test_revoked_refresh_tokens_are_an_invalid_grant(portal: Portal) -> None:
    tokens = portal.issue_tokens()
    portal.revoke_refresh_tokens()
    answer = token(portal, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert refusal(answer) == (400, "invalid_grant")
    assert user_get(portal, tokens["access_token"])[0] == 200


def test_of_many_refreshes_at_once_with_one_token_one_succeeds(portal: Portal) -> None:
    given = {"grant_type": "refresh_token", "refresh_token": portal.issue_tokens()["refresh_token"]}
    with ThreadPoolExecutor(8) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: token(portal, **given), range(8))]
    assert sorted(statuses) == [200] + [400] * 7


def test_a_refresh_whose_answer_is_lost_has_used_up_its_token(portal: Portal) -> None:
    def drop(reply: Reply) -> Reply:
        raise ConnectionResetError

    first = portal.issue_tokens()
    portal.scripted_replies.add("oauth/token", drop)
    with pytest.raises(requests.ConnectionError):
        refreshed(portal, first["refresh_token"])
    again = token(portal, grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert refusal(again) == (400, "invalid_grant")


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong, expected",
    [
        ({"client_id": "local.0.1"}, (200, "wrong_client")),
        ({"client_secret": "wrong"}, (400, "invalid_client")),
        ({"grant_type": "password"}, (400, "invalid_request")),
        ({"grant_type": ""}, (400, "invalid_request")),
        ({"refresh_token": ""}, (400, "invalid_request")),
        ({"client_secret": ""}, (400, "invalid_request")),
        ({"refresh_token": "unknown"}, (400, "invalid_grant")),
        ({"client_secret": "пароль"}, (400, "invalid_client")),
    ],
)
def test_a_wrong_request_for_tokens_is_refused_and_costs_nothing(
    portal: Portal, wrong: dict[str, str], expected: tuple[int, str]
) -> None:
    refresh_token = portal.issue_tokens()["refresh_token"]
    given = {"grant_type": "refresh_token", "refresh_token": refresh_token, **wrong}
    assert refusal(token(portal, **given)) == expected
    assert refreshed(portal, refresh_token)


def test_a_wrong_client_is_a_success_by_its_status_and_has_no_description(portal: Portal) -> None:
    answer = token(portal, grant_type="refresh_token", refresh_token="x", client_id="local.0.1")
    assert (answer.status_code, answer.json()) == (200, {"error": "wrong_client"})


def test_an_application_that_is_not_installed_gets_no_tokens(portal: Portal) -> None:
    refresh_token = portal.issue_tokens()["refresh_token"]
    portal.application.installed = False
    answer = token(portal, grant_type="refresh_token", refresh_token=refresh_token)
    assert (answer.status_code, answer.json()) == (
        401,
        {"error": "NOT_INSTALLED", "error_description": "Application not installed"},
    )
    portal.application.installed = True
    assert refreshed(portal, refresh_token)


@pytest.mark.parametrize(
    "error, status", [("PAYMENT_REQUIRED", 402), ("invalid_scope", 403), ("insufficient_scope", 403)]
)
def test_the_authorisation_server_may_be_told_to_refuse(portal: Portal, error: str, status: int) -> None:
    refresh_token = portal.issue_tokens()["refresh_token"]
    portal.switches.oauth_error = error
    assert refusal(token(portal, grant_type="refresh_token", refresh_token=refresh_token)) == (status, error)
    portal.switches.oauth_error = ""
    assert refreshed(portal, refresh_token)


def test_requests_for_tokens_can_be_delayed_held_and_scripted(portal: Portal) -> None:
    refresh_token = portal.issue_tokens()["refresh_token"]
    portal.scripted_replies.add("oauth/token", Reply(502, b"<html>", {"Content-Type": "text/html"}))
    assert token(portal, grant_type="refresh_token", refresh_token=refresh_token).status_code == 502
    with ThreadPoolExecutor() as pool, portal.gate("oauth/token") as gate:
        waiting = pool.submit(refreshed, portal, refresh_token)
        gate.wait_for_arrival(timeout=5)
        assert not waiting.done()
        gate.release()
        assert waiting.result(5)


# -- the ledger ----------------------------------------------------------------------------------------------------


def test_the_ledger_lists_requests_for_tokens_without_their_secrets(portal: Portal) -> None:
    tokens = by_code(portal)
    newer = refreshed(portal, tokens["refresh_token"])
    token(portal, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    token(portal, grant_type="a secret pasted into the wrong field")
    rows = portal.ledger()["oauth"]
    assert [(row["grant_type"], row["status"], row["error"]) for row in rows] == [
        ("authorization_code", 200, None),
        ("refresh_token", 200, None),
        ("refresh_token", 400, "invalid_grant"),
        (None, 400, "invalid_request"),
    ]
    assert all(set(row) == {"time", "grant_type", "status", "error"} for row in rows)
    user_get(portal, newer["access_token"])
    ledger = json.dumps(portal.ledger())
    for secret in (*tokens.values(), *newer.values(), portal.application.client_secret):
        assert not (isinstance(secret, str) and len(secret) > 32 and secret in ledger)
    assert "pasted" not in ledger


# -- what a client may ask about itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["webhook", "oauth"])
def test_anybody_may_ask_who_he_is_whatever_his_scope(portal: Portal, client: Client, auth: str) -> None:
    portal.credentials.webhook_scopes = frozenset({"crm"})
    portal.credentials.tokens[portal.access_token].scopes = frozenset({"crm"})
    assert client.result("profile", auth)["ID"] == "1"
    assert client.result("scope", auth) == ["crm"]
    assert "telephony" in client.result("scope", auth, full=True)


def test_an_application_and_a_webhook_are_told_apart_by_app_info(portal: Portal, client: Client) -> None:
    told = client.result("app.info", "oauth")
    assert (told["ID"], told["CODE"], told["INSTALLED"]) == ("3", portal.application.client_id, True)
    assert client.result("app.info")["SCOPE"] == ["call", "crm", "im", "telephony", "user"]


# -- run alone by a person -----------------------------------------------------------------------------------------


def test_the_portal_run_alone_prints_what_an_application_needs() -> None:
    command = [sys.executable, "-m", "freepbx_bx24.cli.main", "sandbox", "portal", "--port", "0"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        printed = dict(re.split(r":\s+", process.stdout.readline().strip(), maxsplit=1) for _ in range(6))
        given = {"client_id": printed["Client id"], "client_secret": printed["Client secret"]}
        browser = requests.get(f"{printed['Portal']}/oauth/authorize/", params=given, allow_redirects=False, timeout=5)
        code = dict(parse_qsl(urlsplit(browser.headers["Location"]).query))["code"]
        answer = requests.get(
            f"{printed['OAuth host']}/oauth/token/",
            params={**given, "grant_type": "authorization_code", "code": code},
            timeout=5,
        )
        process.terminate()
    assert answer.json()["client_endpoint"] == f"{printed['Portal']}/rest/"
    assert process.returncode == 0
