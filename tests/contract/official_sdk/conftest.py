"""Bitrix24's own Python SDK, which is not ours, as a client of a sandbox portal that speaks TLS.

The SDK is made to ask this authorisation server instead of Bitrix24's, and requests trusts its authority; the rest is
as it is installed. It builds `https://{domain}/rest/...`, and takes a port in the domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from b24pysdk import BitrixAppLocal, BitrixTokenLocal, BitrixWebhook
from b24pysdk.api.requesters import BitrixOAuthRequester
from b24pysdk.client import BaseClient
from portal_client import PHONE

from freepbx_bx24.sandbox.portal import Portal


@pytest.fixture(scope="module")
def secure_portal() -> Iterator[Portal]:
    with Portal(tls=True) as portal:
        yield portal


@pytest.fixture
def portal(secure_portal: Portal, monkeypatch: pytest.MonkeyPatch) -> Portal:
    secure_portal.reset()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(secure_portal.ca_bundle))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(BitrixOAuthRequester, "_BASE_OAUTH_URL", secure_portal.oauth_url)
    monkeypatch.setattr(BitrixOAuthRequester, "_OAUTH_TOKEN_URL", f"{secure_portal.oauth_url}/oauth/token/")
    return secure_portal


@pytest.fixture
def app(portal: Portal) -> BitrixAppLocal:
    keys = portal.application
    return BitrixAppLocal(
        domain=urlsplit(portal.url).netloc, client_id=keys.client_id, client_secret=keys.client_secret
    )


@pytest.fixture
def code(app: BitrixAppLocal) -> str:
    """What the administrator's browser brings back from the page that asks whether the application may."""
    page = f"https://{app.domain}/oauth/authorize/"
    answer = requests.get(page, params={"client_id": app.client_id}, allow_redirects=False, timeout=5)
    return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]


@pytest.fixture
def token(app: BitrixAppLocal, code: str) -> BitrixTokenLocal:
    return BitrixTokenLocal.from_oauth(app.get_oauth_token(code), app)


@pytest.fixture
def client(token: BitrixTokenLocal) -> BaseClient:
    return token.get_client(max_retries=1)


@pytest.fixture
def webhook(portal: Portal) -> BitrixWebhook:
    return BitrixWebhook(domain=urlsplit(portal.url).netloc, webhook_token=f"1/{portal.credentials.webhooks[1]}")


@pytest.fixture
def finished_call(client: BaseClient) -> Callable[[], str]:
    """Registers a call of nobody's number and finishes it; returns its CALL_ID."""

    def make() -> str:
        calls = client.telephony.external_call
        call_id = calls.register(PHONE, 2, user_id=1101).result["CALL_ID"]
        return str(calls.finish(call_id, user_id=1101, duration=10).result["CALL_ID"])

    return make
