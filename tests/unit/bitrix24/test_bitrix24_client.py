"""What the client sends, how it follows a renamed portal, and whom it trusts."""

from __future__ import annotations

import json
import time

import pytest

from freepbx_bx24 import __version__
from freepbx_bx24.bitrix24.client import webhook_client
from freepbx_bx24.errors import ConfigurationError, PortalBroken, PortalTimeout, PortalUnreachable
from tests.support.in_time import in_time

GOOD = b'{"result": true}'


def redirecting(to, status="302 Found"):
    def behave(portal, connection, number):
        while portal.read_request(connection)[0]:
            connection.sendall(f"HTTP/1.1 {status}\r\nLocation: {to()}\r\nContent-Length: 0\r\n\r\n".encode())

    return behave


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_a_call_is_one_json_post_that_says_who_we_are(raw_portal, patient, secret):
    portal = raw_portal(patient)
    with webhook_client(portal.webhook_url) as client:
        assert client.call("user.get", {"NAME": "Анна"}, total_seconds=2).result == {"NAME": "Анна"}
    ((head, body),) = portal.requests
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert first == f"POST /rest/1/{secret}/user.get.json HTTP/1.1"
    assert headers["user-agent"] == f"freepbx_bx24/{__version__}"
    assert headers["content-type"] == headers["accept"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert "cookie" not in headers
    assert json.loads(body) == {"NAME": "Анна"}


def test_cookies_of_the_portal_are_not_kept(raw_portal, reply):
    def behave(portal, connection, number):
        while portal.read_request(connection)[0]:
            connection.sendall(reply(GOOD, "200 OK", "Set-Cookie: PHPSESSID=1; path=/"))

    portal = raw_portal(behave)
    with webhook_client(portal.webhook_url) as client:
        for _ in range(2):
            client.call("profile", {}, total_seconds=2)
    assert all(b"cookie" not in head.lower() for head, _ in portal.requests)


def test_proxies_and_certificates_of_the_environment_are_ignored(raw_portal, patient, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    with webhook_client(raw_portal(patient).webhook_url) as client:
        assert client.call("profile", {}, total_seconds=2).result == {}


@pytest.mark.parametrize("method", ["../profile", "user.get?x=1", "user get", "", "a\r\nb", "профиль"])
def test_what_is_no_method_is_never_sent(raw_portal, patient, method):
    portal = raw_portal(patient)
    with webhook_client(portal.webhook_url) as client, pytest.raises(ValueError, match="no name of a method"):
        client.call(method, {}, total_seconds=2)
    assert not portal.requests


# -- a renamed portal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent"])
def test_a_renamed_portal_gets_the_same_post_at_its_new_host_and_is_remembered(raw_portal, patient, secret, status):
    new = raw_portal(patient)
    old = raw_portal(redirecting(lambda: new.webhook_url + "echo.json", status))
    with webhook_client(old.webhook_url) as client:
        for turn in range(3):
            assert client.call("echo", {"turn": turn}, total_seconds=2).result == {"turn": turn}
        assert client.origin == f"http://127.0.0.1:{new.port}"
    assert len(old.requests) == 1
    assert [body for _, body in new.requests] == [b'{"turn": 0}', b'{"turn": 1}', b'{"turn": 2}']
    assert all(head.startswith(f"POST /rest/1/{secret}/echo.json ".encode()) for head, _ in new.requests)


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/rest/1/{secret}/other.json",
        "http://127.0.0.1:{port}/",
        "/rest/1/{secret}/echo.json",
        "//127.0.0.1:{port}/rest/1/{secret}/echo.json",
        "http://example.com/rest/1/{secret}/echo.json",
        "ftp://127.0.0.1/rest/1/{secret}/echo.json",
        "http://127.0.0.1:port/rest/1/{secret}/echo.json",
        "http://[::1/rest/1/{secret}/echo.json",
        "",
    ],
)
def test_a_redirect_to_anything_else_is_not_followed(raw_portal, patient, secret, location):
    elsewhere = raw_portal(patient)
    portal = raw_portal(redirecting(lambda: location.format(port=elsewhere.port, secret=secret)))
    with webhook_client(portal.webhook_url) as client, pytest.raises(PortalBroken) as caught:
        client.call("echo", {}, total_seconds=2)
    assert "new webhook" in caught.value.hint
    assert elsewhere.connections == 0
    assert secret not in str(caught.value)


def test_a_portal_in_tls_can_not_send_us_out_of_tls(raw_portal, patient, server_tls, certificate):
    plain = raw_portal(patient)
    portal = raw_portal(redirecting(lambda: plain.webhook_url + "echo.json"), tls=server_tls)
    with webhook_client(portal.webhook_url, ca_bundle=str(certificate[0])) as client, pytest.raises(PortalBroken):
        client.call("echo", {}, total_seconds=2)
    assert plain.connections == 0


def test_portals_that_redirect_to_one_another_end_in_an_error_and_nothing_is_remembered(raw_portal):
    portals = []
    portals.append(raw_portal(redirecting(lambda: portals[1].webhook_url + "echo.json")))
    portals.append(raw_portal(redirecting(lambda: portals[0].webhook_url + "echo.json")))
    with webhook_client(portals[0].webhook_url) as client:
        with pytest.raises(PortalBroken, match="from host to host"):
            client.call("echo", {}, total_seconds=2)
        assert client.origin == f"http://127.0.0.1:{portals[0].port}"


def test_the_deadline_covers_both_hosts_of_a_renamed_portal(raw_portal):
    new = raw_portal(lambda portal, connection, number: time.sleep(5))
    old = raw_portal(redirecting(lambda: new.webhook_url + "echo.json"))
    begun = time.monotonic()
    with webhook_client(old.webhook_url) as client, pytest.raises(PortalTimeout):
        client.call("echo", {}, total_seconds=0.5)
    in_time(time.monotonic() - begun, 0.7)


# -- whom it trusts ----------------------------------------------------------------------------------------------------


def test_a_certificate_of_nobody_we_know_is_refused_with_a_hint(raw_portal, patient, server_tls):
    portal = raw_portal(patient, tls=server_tls)
    with (
        webhook_client(portal.webhook_url) as client,
        pytest.raises(PortalUnreachable, match="not trusted: self.signed") as caught,
    ):
        client.call("profile", {}, total_seconds=2)
    assert "portal.ca_bundle" in caught.value.hint
    assert not portal.requests


def test_a_certificate_for_another_host_is_refused(raw_portal, patient, server_tls, certificate):
    portal = raw_portal(patient, tls=server_tls, address="127.0.0.2")
    with (
        webhook_client(portal.webhook_url, ca_bundle=str(certificate[0])) as client,
        pytest.raises(PortalUnreachable, match="not trusted"),
    ):
        client.call("profile", {}, total_seconds=2)
    assert not portal.requests


def test_a_ca_bundle_that_can_not_be_used_is_a_configuration_error(tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    for path in (empty, tmp_path / "absent.pem"):
        with pytest.raises(ConfigurationError, match="portal.ca_bundle"):
            webhook_client("https://example.bitrix24.com/rest/1/s3cret/", ca_bundle=str(path))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.bitrix24.com/rest/1/s3cretsecret0/",
        "https://example.bitrix24.com/rest/1/s3cretsecret0",
        " https://example.bitrix24.com:8443/rest/12/s3cretsecret0/\n",
        "https://crm.example.com/portal/rest/1/s3cretsecret0/",
        "http://127.0.0.1:8080/rest/1/s3cretsecret0/",
        "http://localhost/rest/1/s3cretsecret0/",
        "http://[::1]:8080/rest/1/s3cretsecret0/",
    ],
)
def test_a_webhook_url_is_taken(url, secret):
    with webhook_client(url) as client:
        assert secret not in repr(client)
        assert secret not in client.origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.bitrix24.com",
        "http://example.bitrix24.com/rest/1/s3cretsecret0/",
        "http://127.0.0.1.example.com/rest/1/s3cretsecret0/",
        "https://example.bitrix24.com/rest/s3cretsecret0/",
        "https://example.bitrix24.com/rest/1/s3cretsecret0/profile.json",
        "https://example.bitrix24.com/rest/1/s3cretsecret0/?x=1",
        "https://user@example.bitrix24.com/rest/1/s3cretsecret0/",
        "https://example.bitrix24.com:port/rest/1/s3cretsecret0/",
        "https://exa\nmple.bitrix24.com/rest/1/s3cret\r\nsecret0/",
        "https://[::1/rest/1/s3cretsecret0/",
        "ftp://example.bitrix24.com/rest/1/s3cretsecret0/",
        "https:///rest/1/s3cretsecret0/",
    ],
)
def test_what_is_no_webhook_url_is_a_configuration_error_that_does_not_show_it(url):
    with pytest.raises(ConfigurationError, match="must look like") as caught:
        webhook_client(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None
