"""Who is let in: webhooks, tokens, scopes, and the errors of those who are not."""

from __future__ import annotations

import pytest
import requests
from portal_client import Client

from freepbx_bx24.sandbox.portal import Portal

APPLICATION_ONLY_BY_THE_DOCUMENTATION = (
    "telephony.externalCall.register",
    "telephony.externalCall.finish",
    "telephony.externalLine.add",
    "telephony.externalLine.update",
    "telephony.externalLine.delete",
    "telephony.externalLine.get",
)


def _answer(address: str) -> tuple[int, str, str]:
    answer = requests.post(address, timeout=5)
    return answer.status_code, answer.json()["error"], answer.json()["error_description"]


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("path", ["rest/1/wrong/user.get", "rest/2/{secret}/user.get"])
def test_a_wrong_secret_or_user_is_refused_with_either_status(portal: Portal, path: str, status: int) -> None:
    portal.switches.auth_error_status = status
    path = path.format(secret=portal.credentials.webhooks[1])
    assert _answer(f"{portal.url}/{path}") == (status, "INVALID_CREDENTIALS", "Invalid request credentials")


def test_an_unknown_token_is_invalid(portal: Portal) -> None:
    expected = (401, "invalid_token", "Unable to get application by token")
    assert _answer(f"{portal.url}/rest/user.get?auth=nonsense") == expected


@pytest.mark.parametrize("method", APPLICATION_ONLY_BY_THE_DOCUMENTATION)
def test_a_portal_may_keep_register_finish_and_lines_for_applications(
    portal: Portal, client: Client, method: str
) -> None:
    assert client.post(method).json().get("error") != "WRONG_AUTH_TYPE"
    portal.switches.webhook_allowed_for_register = False
    expected = (403, "WRONG_AUTH_TYPE", "Current authorization type is denied for this method")
    assert client.refusal(method) == expected
    assert client.post(method, auth="oauth").json().get("error") != "WRONG_AUTH_TYPE"


@pytest.mark.parametrize("method", ["telephony.externalCall.show", "telephony.externalCall.hide"])
def test_cards_are_open_to_webhooks_on_every_portal(portal: Portal, client: Client, method: str) -> None:
    portal.switches.webhook_allowed_for_register = False
    assert client.result(method, CALL_ID="unknown") is False


def test_a_webhook_without_the_scope_is_refused(portal: Portal, client: Client) -> None:
    portal.credentials.webhook_scopes = frozenset({"user_basic"})
    assert client.post("user.get").status_code == 200
    assert client.refusal("telephony.externalLine.get") == (
        401,
        "insufficient_scope",
        "The request requires higher privileges than provided by the webhook token",
    )


def test_a_token_without_the_scope_is_refused(portal: Portal, client: Client) -> None:
    portal.credentials.tokens[portal.access_token].scopes = frozenset({"telephony"})
    assert client.refusal("user.get", auth="oauth") == (
        401,
        "insufficient_scope",
        "The request requires higher privileges than provided by the access token",
    )


def test_everything_stops_when_the_user_behind_the_key_is_dismissed(portal: Portal, client: Client) -> None:
    admin = portal.world.employee(1)
    assert admin
    admin.active = False
    assert client.refusal("user.get") == (401, "ACCESS_DENIED", "Current user can't be authorized in this context")
    assert client.refusal("user.get", auth="oauth") == (401, "authorization_error", "Unable to authorize user")


def test_a_deleted_portal_answers_so_to_everything(portal: Portal, client: Client) -> None:
    portal.switches.portal_deleted = True
    assert client.refusal("user.get") == (403, "PORTAL_DELETED", "Portal was deleted")
    assert client.refusal("no.such") == (403, "PORTAL_DELETED", "Portal was deleted")
