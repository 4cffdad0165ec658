"""A portal that speaks TLS with a test authority's certificate, and one that has a name of its own."""

from __future__ import annotations

import gc
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import requests
from portal_client import PHONE

from freepbx_bx24.errors import SandboxError
from freepbx_bx24.sandbox.portal import Portal
from tests.support.in_time import in_time

REGISTER = "telephony.externalCall.register"
GIVEN = {"USER_ID": 1101, "PHONE_NUMBER": PHONE, "TYPE": 2}


@pytest.fixture(scope="module")
def secure_portal() -> Iterator[Portal]:
    with Portal(tls=True, host_names=("portal.example",)) as portal:
        yield portal


@pytest.fixture
def session(secure_portal: Portal) -> Iterator[requests.Session]:
    secure_portal.reset()
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(secure_portal.ca_bundle)
        yield session


def port_of(portal: Portal) -> int:
    return urlsplit(portal.url).port or 0


def handshake(portal: Portal, name: str) -> str:
    """The protocol agreed on by a client as strict as they come, which knows the portal as `name`."""
    context = ssl.create_default_context(cafile=str(portal.ca_bundle))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    plain = socket.create_connection(("127.0.0.1", port_of(portal)), timeout=5)
    with plain, context.wrap_socket(plain, server_hostname=name) as secure:
        return str(secure.version())


def test_its_addresses_are_https(secure_portal: Portal) -> None:
    for address in (secure_portal.url, secure_portal.webhook_url, secure_portal.ledger_url, secure_portal.oauth_url):
        assert address.startswith(f"https://127.0.0.1:{port_of(secure_portal)}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_client_that_trusts_the_authority_is_served(
    secure_portal: Portal, session: requests.Session, host: str
) -> None:
    address = secure_portal.webhook_url.replace("127.0.0.1", host)
    assert session.post(address + REGISTER, json=GIVEN, timeout=5).json()["result"]["CALL_ID"]
    assert len(secure_portal.ledger()["calls"]) == 1


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "portal.example"])
def test_the_strictest_client_accepts_the_certificate_for_each_name(secure_portal: Portal, name: str) -> None:
    assert handshake(secure_portal, name).startswith("TLSv1.")


def test_the_certificate_is_for_no_other_name(secure_portal: Portal) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(secure_portal, "other.example")


def test_a_client_that_does_not_know_the_authority_refuses(secure_portal: Portal) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.post(secure_portal.webhook_url + REGISTER, json=GIVEN, timeout=5)
    with Portal(tls=True) as other, pytest.raises(requests.exceptions.SSLError):
        requests.get(secure_portal.ledger_url, timeout=5, verify=str(other.ca_bundle))


def test_plain_http_is_not_answered(secure_portal: Portal) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get(secure_portal.ledger_url.replace("https:", "http:"), timeout=5)


def test_addresses_that_it_gives_out_are_https_too(secure_portal: Portal, session: requests.Session) -> None:
    assert secure_portal.issue_tokens()["client_endpoint"] == f"{secure_portal.url}/rest/"
    call_id = session.post(secure_portal.webhook_url + REGISTER, json=GIVEN, timeout=5).json()["result"]["CALL_ID"]
    finished = {"CALL_ID": call_id, "USER_ID": 1101}
    session.post(secure_portal.webhook_url + "telephony.externalCall.finish", json=finished, timeout=5)
    wanted = {"CALL_ID": call_id, "FILENAME": "a.mp3"}
    attach = secure_portal.webhook_url + "telephony.externalCall.attachRecord"
    offer = session.post(attach, json=wanted, timeout=5).json()["result"]
    assert offer["uploadUrl"].startswith(secure_portal.url)
    uploaded = session.post(offer["uploadUrl"], files={"file": ("a.mp3", b"ID3")}, timeout=5)
    assert uploaded.json()["result"]["FILE_ID"]


def test_a_connection_stays_open_for_many_requests(secure_portal: Portal) -> None:
    context = ssl.create_default_context(cafile=str(secure_portal.ca_bundle))
    request = b"POST /rest/no.such HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    plain = socket.create_connection(("127.0.0.1", port_of(secure_portal)), timeout=5)
    with plain, context.wrap_socket(plain, server_hostname="localhost") as secure:
        for _ in range(3):
            secure.sendall(request)
            answer = b""
            while b"Method not found!" not in answer:
                answer += secure.recv(4096)


def test_a_client_that_stalls_in_its_handshake_holds_up_nobody(
    secure_portal: Portal, session: requests.Session
) -> None:
    stalled = [socket.create_connection(("127.0.0.1", port_of(secure_portal)), timeout=5) for _ in range(5)]
    try:
        assert session.post(secure_portal.webhook_url + REGISTER, json=GIVEN, timeout=2).status_code == 200
    finally:
        for connection in stalled:
            connection.close()


def test_stopping_cuts_its_connections_and_a_start_keeps_the_authority() -> None:
    with Portal(tls=True) as portal, requests.Session() as session, ThreadPoolExecutor() as pool:
        session.trust_env, session.verify = False, str(portal.ca_bundle)
        with portal.gate(REGISTER) as gate:
            waiting = pool.submit(session.post, portal.webhook_url + REGISTER, json=GIVEN, timeout=10)
            gate.wait_for_arrival()
            began = time.monotonic()
            portal.stop()
            with pytest.raises(requests.ConnectionError):
                waiting.result(5)
            in_time(time.monotonic() - began, 2)
        portal.start()
        assert session.post(portal.webhook_url + REGISTER, json=GIVEN, timeout=5).status_code == 200


@pytest.mark.parametrize("kind", ["reset", "cut_body", "timeout_after_commit"])
def test_faults_of_the_connection_reach_a_tls_client(
    secure_portal: Portal, session: requests.Session, kind: str
) -> None:
    secure_portal.faults, secure_portal.fault_seconds = [(1.0, kind)], 0.05
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        session.post(secure_portal.webhook_url + REGISTER, json=GIVEN, timeout=5)


def test_the_authoritys_files_go_with_the_portal() -> None:
    portal = Portal(tls=True)
    folder = portal.ca_bundle.parent
    assert folder.stat().st_mode & 0o077 == 0
    del portal
    gc.collect()
    assert not folder.exists()


def test_a_portal_without_tls_has_no_authority(portal: Portal) -> None:
    with pytest.raises(SandboxError, match="no TLS"):
        assert portal.ca_bundle


def test_a_missing_openssl_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SandboxError, match="openssl program is missing"):
        Portal(tls=True)


# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host, status",
    [
        ("portal.example", 200),
        ("PORTAL.example:443", 200),
        ("localhost:8443", 200),
        ("other.example", 403),
        ("portal.example.evil.example", 403),
        ("evil.portal.example", 403),
    ],
)
def test_a_portal_answers_to_the_names_it_was_given_and_the_local_ones(
    secure_portal: Portal, session: requests.Session, host: str, status: int
) -> None:
    assert session.get(secure_portal.ledger_url, headers={"Host": host}, timeout=5).status_code == status


def test_a_portal_with_a_name_calls_itself_by_it(secure_portal: Portal, session: requests.Session) -> None:
    application = secure_portal.application
    given = {
        "grant_type": "refresh_token",
        "client_id": application.client_id,
        "client_secret": application.client_secret,
        "refresh_token": secure_portal.issue_tokens()["refresh_token"],
    }
    answer = session.get(
        f"{secure_portal.url}/oauth/token/", params=given, headers={"Host": "portal.example:8443"}, timeout=5
    )
    assert answer.json()["client_endpoint"] == "https://portal.example:8443/rest/"
