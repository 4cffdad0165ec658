"""The official SDK's OAuth at the sandbox portal: codes, tokens that it renews by itself, refusals, who is asking."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from b24pysdk import BitrixAppLocal, BitrixTokenLocal, BitrixWebhook, errors
from b24pysdk.client import BaseClient
from b24pysdk.errors import oauth as oauth_errors

from freepbx_bx24.sandbox.portal import Portal


def test_it_exchanges_a_code_and_reads_the_reply_as_its_own_type(
    portal: Portal, app: BitrixAppLocal, code: str
) -> None:
    given = app.get_oauth_token(code)
    assert (given.user_id, given.status.is_local, given.member_id) == (1, True, portal.application.member_id)
    assert given.scope == ["call", "crm", "im", "telephony", "user"]
    assert given.client_endpoint == f"{portal.url}/rest/"
    assert given.portal_domain == "127.0.0.1"
    left = given.oauth_token.expires - datetime.now(timezone.utc)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert given.oauth_token.expires_in == 3600


def test_it_refreshes_a_pair_of_tokens_when_asked_to(portal: Portal, token: BitrixTokenLocal) -> None:
    access, refresh = token.auth_token, token.refresh_token
    token.refresh_and_set_oauth_token()
    assert access != token.auth_token and refresh != token.refresh_token
    assert token.get_client().profile().value.bitrix_id == 1


def test_it_refreshes_by_itself_when_the_portal_says_that_the_token_has_expired(
    portal: Portal, token: BitrixTokenLocal, client: BaseClient
) -> None:
    expired = token.auth_token
    portal.expire_tokens()
    assert client.profile().value.name == "Admin"
    assert token.auth_token != expired
    assert [request["error"] for request in portal.ledger()["requests"]] == ["expired_token", None]
    assert [request["grant_type"] for request in portal.ledger()["oauth"]] == ["authorization_code", "refresh_token"]


def test_it_refreshes_before_it_asks_when_its_own_clock_says_so(
    portal: Portal, token: BitrixTokenLocal, client: BaseClient
) -> None:
    token.expires = datetime.now(timezone.utc) - timedelta(seconds=1)
    assert client.profile().value.admin is True
    assert [request["status"] for request in portal.ledger()["requests"]] == [200]
    assert not token.has_expired


def test_a_dead_refresh_token_is_its_invalid_grant(portal: Portal, client: BaseClient) -> None:
    portal.expire_tokens()
    portal.revoke_refresh_tokens()
    with pytest.raises(oauth_errors.BitrixOAuthInvalidGrant):
        client.profile().call()


@pytest.mark.parametrize(
    "error, raised",
    [
        ("NOT_INSTALLED", oauth_errors.BitrixOAuthNotInstalled),
        ("invalid_scope", oauth_errors.BitrixOAuthInvalidScope),
        ("insufficient_scope", oauth_errors.BitrixOAuthInsufficientScope),
        ("PAYMENT_REQUIRED", errors.BitrixAPIPaymentRequired),
        ("invalid_grant", oauth_errors.BitrixOAuthInvalidGrant),
    ],
)
def test_each_refusal_of_the_authorisation_server_is_an_error_that_it_knows(
    portal: Portal, app: BitrixAppLocal, error: str, raised: type[Exception]
) -> None:
    portal.switches.oauth_error = error
    with pytest.raises(raised):
        app.get_oauth_token("0" * 32)


def test_wrong_keys_of_the_application_are_errors_that_it_knows(portal: Portal, app: BitrixAppLocal) -> None:
    with pytest.raises(oauth_errors.BitrixOAuthInvalidRequest):
        app.get_oauth_token("")
    app.client_secret = "1" * 50
    with pytest.raises(oauth_errors.BitrixOAuthInvalidClient):
        app.get_oauth_token("0" * 32)
    app.client_id = "local.0.1"
    with pytest.raises(oauth_errors.BitrixOauthWrongClient):
        app.get_oauth_token("0" * 32)


# -- who is asking --------------------------------------------------------------------------------------------------


def test_it_reads_the_profile_the_application_and_the_scopes_as_its_own_types(
    portal: Portal, client: BaseClient
) -> None:
    profile, about = client.profile().value, client.app.info().value
    assert (profile.bitrix_id, profile.admin, profile.name) == (1, True, "Admin")
    assert (about.bitrix_id, about.code, about.version) == (3, portal.application.client_id, 1)
    assert about.status.is_local and about.installed and not about.payment_expired
    assert client.scope().result == client.scope(full=True).result == ["call", "crm", "im", "telephony", "user"]


def test_it_reads_what_a_webhook_may_do(webhook: BitrixWebhook) -> None:
    about = webhook.get_client().app.info().value
    assert (about.scope, about.license) == (["call", "crm", "im", "telephony", "user"], "ru_nfr")


def test_it_reads_the_server_times_of_an_answer(client: BaseClient) -> None:
    times = client.profile().response.time
    assert times.finish >= times.start and times.date_start.utcoffset() == timedelta(hours=3)
    assert times.operating_reset_at is not None and times.operating_reset_at > times.date_finish
    assert times.operating is not None and times.operating >= 0
