"""The authorisation server: what is asked of which host, and what its answers mean."""

from __future__ import annotations

import json
import socket
import time

import pytest

from freepbx_bx24.bitrix24 import oauth as oauth_module
from freepbx_bx24.bitrix24.oauth import ELSEWHERE, NEAR_RUSSIA, Application, OAuth, hosts
from freepbx_bx24.bitrix24.transport import Transport
from freepbx_bx24.errors import (
    LoginNeeded,
    PortalAuthorisation,
    PortalBroken,
    PortalBusy,
    PortalError,
    PortalGone,
    PortalTimeout,
    PortalUnreachable,
)
from tests.support.in_time import in_time
from tests.support.oauth_server import CLIENT_ID, CLIENT_SECRET, OAuthServer

PORTAL = "https://example.bitrix24.ru"


@pytest.fixture
def server():
    running = OAuthServer()
    yield running
    running.close()


def asking(server, client_id=CLIENT_ID, client_secret=CLIENT_SECRET):
    return OAuth(Transport(), Application(client_id, client_secret), PORTAL, server.url)


def failure(step) -> PortalError:
    """What a step raises; neither it nor what it was raised from may hold a secret, or a log would."""
    with pytest.raises(PortalError) as raised:
        step()
    told, error = raised.value.message + raised.value.hint, raised.value
    while error is not None:
        told += repr(error) + str(error)
        error = error.__cause__ or error.__context__
    assert "S3cret" not in told
    return raised.value


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_code_becomes_a_pair(server):
    grant = asking(server).exchange(server.code(), 5)
    assert (grant.access_token, grant.refresh_token) == ("S3cretAccess2", "S3cretRefresh2")
    assert (grant.lifetime, grant.user_id, grant.member_id) == (3600, 7, "0123456789abcdef")
    assert grant.scope == ("crm", "telephony", "user")
    assert grant.client_endpoint == f"{server.url}/rest/"
    assert server.asked == [
        {
            "grant_type": "authorization_code",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "code": "S3cretCode1",
        }
    ]
    assert "S3cret" not in repr(grant)


def test_a_refresh_token_becomes_the_next_pair_and_is_void_then(server):
    application = asking(server)
    first = application.exchange(server.code(), 5)
    second = application.refresh(first.refresh_token, 5)
    assert second.refresh_token != first.refresh_token
    assert server.asked[-1]["grant_type"] == "refresh_token"
    refused = failure(lambda: application.refresh(first.refresh_token, 5))
    assert isinstance(refused, LoginNeeded)
    assert "bx24 login" in refused.hint


def test_a_code_that_is_used_or_too_old_says_that_it_lives_30_seconds(server):
    refused = failure(lambda: asking(server).exchange("S3cretCode99", 5))
    assert isinstance(refused, LoginNeeded)
    assert "30 seconds" in refused.hint


def test_a_wrong_secret_stops_and_names_the_file_and_never_repeats_it(server):
    refused = failure(lambda: asking(server, client_secret="S3cretWr0ng+/%").exchange(server.code(), 5))
    assert type(refused) is PortalAuthorisation
    assert refused.description == "wrong secret ***"
    assert "--client-secret-file" in refused.hint


def test_an_unknown_application_comes_with_status_200_and_is_an_error_all_the_same(server):
    refused = failure(lambda: asking(server, client_id="local.nobody").exchange(server.code(), 5))
    assert (type(refused), refused.code, refused.status) == (PortalAuthorisation, "wrong_client", 200)
    assert "--client-id" in refused.hint


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b'{"error": "NOT_INSTALLED", "error_description": "Application not installed"}', LoginNeeded),
        (402, b'{"error": "PAYMENT_REQUIRED"}', PortalAuthorisation),
        (402, b'{"error": "something_new"}', PortalAuthorisation),
        (403, b'{"error": "insufficient_scope"}', PortalAuthorisation),
        (403, b'{"error": "PORTAL_DELETED"}', PortalGone),
        (400, b'{"error": "invalid_request"}', PortalAuthorisation),
        (400, b'{"error": ["S3cretRefresh1"], "error_description": {"a": 1}}', PortalBroken),
        (
            403,
            b'{"error": "S3cretRefresh1", "error_description": "s3cretrefresh1 %53%33cretRefresh1"}',
            PortalAuthorisation,
        ),
        (418, b'{"error": "in words of its own"}', PortalAuthorisation),
        (400, b'{"error": "", "error_description": "S3cretRefresh1 S3cretClientSecret"}', PortalAuthorisation),
        (503, b'{"error": "QUERY_LIMIT_EXCEEDED"}', PortalBusy),
        (429, b"slow down", PortalBusy),
        (500, b'{"error": "internal_server_error"}', PortalBroken),
        (200, b"<html>Sign in to the hotel's network</html>", PortalBroken),
        (502, b"<html>Bad gateway</html>", PortalBroken),
        (302, b"", PortalBroken),
        (200, b"", PortalBroken),
        (200, b"[]", PortalBroken),
        (200, b"[" * 100_000, PortalBroken),
        (200, b"{}", PortalBroken),
        (200, b'{"access_token": null, "refresh_token": "S3cret"}', PortalBroken),
        (200, b'{"access_token": "S3cret\\nwith a line end", "refresh_token": "S3cret"}', PortalBroken),
        (200, b'{"access_token": "S3cret", "refresh_token": ["S3cret"]}', PortalBroken),
        (200, json.dumps({"access_token": "S3cret" * 1000, "refresh_token": "x"}).encode(), PortalBroken),
    ],
)
def test_an_answer_that_is_no_pair_is_an_error_that_says_what_to_do(server, status, body, kind):
    server.reply = (status, body)
    refused = failure(lambda: asking(server).refresh("S3cretRefresh1", 5))
    assert type(refused) is kind
    assert refused.hint


def test_what_is_odd_in_a_pair_is_taken_as_absent(server):
    server.extra = {
        "expires_in": "soon",
        "client_endpoint": 7,
        "scope": None,
        "user_id": "x",
        "member_id": "\x1b[2J" * 1000,
    }
    grant = asking(server).exchange(server.code(), 5)
    assert (grant.lifetime, grant.client_endpoint, grant.scope, grant.user_id) == (3600, "", (), 0)
    assert grant.member_id.isprintable()
    assert len(grant.member_id) <= 100


def test_a_refresh_without_a_new_refresh_token_is_no_error_but_a_login_without_one_is(server):
    server.extra = {"refresh_token": ""}
    server.refresh_tokens.add("S3cretRefresh0")
    assert asking(server).refresh("S3cretRefresh0", 5).refresh_token == ""
    assert isinstance(failure(lambda: asking(server).exchange(server.code(), 5)), PortalBroken)


def test_a_slow_server_is_a_timeout_at_the_deadline(server):
    server.delay = 5
    started = time.monotonic()
    assert isinstance(failure(lambda: asking(server).exchange(server.code(), 0.3)), PortalTimeout)
    in_time(time.monotonic() - started, 2)


def test_a_dead_server_is_unreachable():
    dead = OAuth(Transport(), Application(CLIENT_ID, CLIENT_SECRET), PORTAL, closed_port())
    assert isinstance(failure(lambda: dead.refresh("S3cretRefresh1", 2)), PortalUnreachable)


@pytest.mark.parametrize(
    ("portal", "configured", "named", "expected"),
    [
        ("https://a.bitrix24.ru", "", "", (NEAR_RUSSIA, ELSEWHERE)),
        ("https://a.bitrix24.kz/", "", "", (NEAR_RUSSIA, ELSEWHERE)),
        ("https://a.bitrix24.com", "", "", (ELSEWHERE, NEAR_RUSSIA)),
        ("https://ru.example.com", "", "", (ELSEWHERE, NEAR_RUSSIA)),
        ("https://a.bitrix24.ru", "", "https://oauth.bitrix.info/rest/", (ELSEWHERE, NEAR_RUSSIA)),
        ("https://a.bitrix24.ru", "", "oauth.bitrix.info", (ELSEWHERE, NEAR_RUSSIA)),
        ("https://a.bitrix24.de", "", "https://eu.bitrix24.tech/rest/", ("https://eu.bitrix24.tech", ELSEWHERE)),
        ("https://a.bitrix24.de", "", "https://oauth.bitrix.info.evil.example/", (ELSEWHERE, NEAR_RUSSIA)),
        ("https://a.bitrix24.de", "", "https://evilbitrix.info/rest/", (ELSEWHERE, NEAR_RUSSIA)),
        ("https://a.bitrix24.ru", "", "http://oauth.bitrix.info/rest/", (NEAR_RUSSIA, ELSEWHERE)),
        ("https://a.bitrix24.ru", "", "http://127.0.0.1/", (NEAR_RUSSIA, ELSEWHERE)),
        ("https://a.bitrix24.ru", "", "https://[", (NEAR_RUSSIA, ELSEWHERE)),
        ("https://a.ru", "https://auth.example.com/", "oauth.bitrix.info", ("https://auth.example.com",)),
    ],
)
def test_the_host_is_the_configured_one_or_else_the_named_one_or_else_the_regions(portal, configured, named, expected):
    assert hosts(portal, configured, named) == expected


@pytest.fixture
def pair(monkeypatch, server):
    """Two hosts for one application: `pair(first)` puts a first one before the server."""

    def make(first, client_id=CLIENT_ID):
        monkeypatch.setattr(oauth_module, "hosts", lambda *unused: (first, server.url))
        return OAuth(Transport(), Application(client_id, CLIENT_SECRET), PORTAL)

    return make


def test_the_second_host_is_asked_where_the_first_is_dead(server, pair, caplog):
    assert pair(closed_port()).exchange(server.code(), 4).access_token == "S3cretAccess2"
    assert "S3cret" not in caplog.text


def test_the_second_host_has_half_of_the_time_where_the_first_one_hangs(server, pair):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        # Nobody accepts: with the backlog full, the connection itself hangs.
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        host = f"http://127.0.0.1:{full.getsockname()[1]}"
        assert pair(host).exchange(server.code(), 2).access_token == "S3cretAccess2"
        for one in waiting:
            one.close()


def test_the_second_host_is_asked_where_the_first_does_not_know_the_application(server, pair):
    other = OAuthServer()
    other.reply = (200, b'{"error": "wrong_client"}')
    assert pair(other.url).exchange(server.code(), 4).access_token == "S3cretAccess2"
    other.close()


@pytest.mark.parametrize("reply", [(400, b'{"error": "invalid_grant"}'), (400, b'{"error": "invalid_client"}')])
def test_the_second_host_is_not_asked_where_the_first_says_no(server, pair, reply):
    other = OAuthServer()
    other.reply = reply
    failure(lambda: pair(other.url).refresh("S3cretRefresh1", 4))
    assert server.asked == []
    other.close()


def test_the_second_host_is_not_asked_where_the_first_may_have_done_it(server, pair):
    other = OAuthServer()
    other.delay = 3
    assert isinstance(failure(lambda: pair(other.url).refresh("S3cretRefresh1", 0.6)), PortalTimeout)
    assert server.asked == []
    other.close()


def test_no_secret_is_in_the_text_of_an_application(server):
    assert "S3cret" not in repr(Application(CLIENT_ID, CLIENT_SECRET)) + repr(asking(server))
