"""The local application against the sandbox's faithful portal: login, expiry, rotation, renaming, a dead grant."""

from __future__ import annotations

import json
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from freepbx_bx24.bitrix24 import application as application_module
from freepbx_bx24.bitrix24.application import application_access
from freepbx_bx24.bitrix24.oauth import Application, OAuth
from freepbx_bx24.bitrix24.replies import read
from freepbx_bx24.bitrix24.token_store import TokenStore
from freepbx_bx24.bitrix24.tokens import from_grant
from freepbx_bx24.bitrix24.transport import Transport
from freepbx_bx24.errors import LoginNeeded, PortalAuthorisation, TokenExpired
from tests.support.application import application_settings


@pytest.fixture
def transport():
    one = Transport()
    yield one
    one.close()


@pytest.fixture
def access(portal, transport, tmp_path):
    """The way in of somebody who has just logged in."""
    log_in(portal, transport, tmp_path)
    return application_access(application_settings(portal), tmp_path, transport)


def log_in(portal, transport, folder) -> None:
    oauth = OAuth(
        transport,
        Application(portal.application.client_id, portal.application.client_secret),
        portal.url,
        portal.oauth_url,
    )
    asked = f"{portal.url}/oauth/authorize/?client_id={portal.application.client_id}&state=x"
    handler = transport.exchange("GET", asked, 5).headers["location"]
    answer = parse_qs(urlsplit(handler).query)
    grant = oauth.exchange(answer["code"][0], 5, answer["server_domain"][0])
    TokenStore(folder).keep(from_grant(grant, oauth.application, None, time.time()))


def call(transport, key, method="user.get"):
    reply = transport.exchange(
        "POST", f"{key.origin}{key.path}{method}.json", 5, json.dumps(dict(key.parameters)).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    return read(reply.status, reply.body, key.secrets, reply.headers).result


def test_the_key_opens_the_portal(portal, transport, access):
    assert call(transport, access.key(5))
    assert call(transport, access.key(5), "telephony.externalLine.get") == []


def test_an_expired_token_is_renewed_and_the_new_one_opens_the_portal(portal, transport, access, tmp_path):
    key = access.key(5)
    portal.expire_tokens()
    with pytest.raises(TokenExpired):
        call(transport, key)
    newer = access.renewed(key, 5)
    assert call(transport, newer)
    assert TokenStore(tmp_path).read().access_token == newer.parameters["auth"]


def test_tokens_of_a_second_are_renewed_again_and_again(portal, transport, tmp_path):
    portal.switches.token_seconds = 1
    log_in(portal, transport, tmp_path)
    running = application_access(application_settings(portal), tmp_path, transport)
    seen = set()
    ends = time.monotonic() + 3.5
    while time.monotonic() < ends:
        key = running.key(5)
        try:
            assert call(transport, key)
        except TokenExpired:
            assert call(transport, running.renewed(key, 5))
        seen.add(key.parameters["auth"])
        time.sleep(0.02)
    assert 3 <= len(seen) <= 8
    running.settle(5)


def test_a_refresh_token_that_was_revoked_needs_a_login_which_mends_it(portal, transport, access, tmp_path):
    key = access.key(5)
    portal.expire_tokens()
    portal.revoke_refresh_tokens()
    with pytest.raises(LoginNeeded):
        access.renewed(key, 5)
    log_in(portal, transport, tmp_path)
    time.sleep(application_module.LOOK_SECONDS)
    assert call(transport, access.key(5))


@pytest.mark.parametrize("code", ["invalid_client", "NOT_INSTALLED", "PAYMENT_REQUIRED", "insufficient_scope"])
def test_what_is_no_dead_grant_needs_no_login_once_it_is_put_right(portal, transport, access, tmp_path, code):
    key = access.key(5)
    portal.expire_tokens()
    portal.switches.oauth_error = code
    with pytest.raises(PortalAuthorisation) as refused:
        access.renewed(key, 5)
    assert refused.value.blame == "portal"
    assert refused.value.hint
    portal.switches.oauth_error = ""
    # A new process, as after a reload of the settings.
    assert call(transport, application_access(application_settings(portal), tmp_path, transport).renewed(key, 5))


def test_a_renamed_portal_is_found_by_the_next_token(portal, transport, access):
    key = access.key(5)
    renamed = portal.url.replace("127.0.0.1", "localhost")
    portal.switches.renamed_to = renamed
    portal.expire_tokens()
    newer = access.renewed(key, 5)
    assert (key.origin, newer.origin) == (portal.url, renamed)
