"""How requests reach a method of the sandbox: every address form, bodies, Host names, connections and batch."""

from __future__ import annotations

import re
import socket
from urllib.parse import urlsplit

import pytest
import requests
from portal_client import PHONE, Client

from freepbx_bx24.sandbox.portal import Portal

REGISTER = "telephony.externalCall.register"
GIVEN = {"USER_ID": 1101, "PHONE_NUMBER": PHONE, "TYPE": 2}


@pytest.mark.parametrize(
    "address",
    [
        "rest/1/{secret}/user.get",
        "rest/1/{secret}/user.get/",
        "rest/1/{secret}/user.get.json",
        "rest/1/{secret}/user.get.json/",
        "rest/1/{secret}/USER.Get",
        "rest/user.get?auth={token}",
        "rest/user.get.json?auth={token}",
        "rest/user.get?access_token={token}",
    ],
)
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_every_documented_address_form_reaches_the_method(portal: Portal, address: str, verb: str) -> None:
    path = address.format(secret=portal.credentials.webhooks[1], token=portal.access_token)
    assert requests.request(verb, f"{portal.url}/{path}", timeout=5).json()["total"] == 100


def test_the_token_may_stand_in_the_body_or_in_the_header(portal: Portal, client: Client) -> None:
    address = f"{portal.url}/rest/user.get"
    assert requests.post(address, json={"auth": portal.access_token}, timeout=5).status_code == 200
    assert requests.post(address, data={"auth": portal.access_token}, timeout=5).status_code == 200
    assert client.post("user.get", auth="oauth").status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "rest/1/user.get",
        "rest/",
        "rest/1/{secret}/",
        "rest/1/{secret}/a/b",
        "rest/1/{secret}/no.such.method",
        "rest/1/wrong/no.such.method",
        "rest/no.such.method",
    ],
)
def test_unknown_methods_and_malformed_addresses_are_not_found_before_auth_is_checked(
    portal: Portal, address: str
) -> None:
    answer = requests.post(f"{portal.url}/{address.format(secret=portal.credentials.webhooks[1])}", timeout=5)
    assert answer.status_code == 404
    assert answer.json() == {"error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!"}


def test_the_body_wins_over_the_query(portal: Portal, client: Client) -> None:
    answer = client.session.post(portal.webhook_url + "user.get?ID=1&NAME=Admin", json={"ID": 1101}, timeout=5).json()
    assert answer["total"] == 0  # ID of the body together with NAME of the query
    answer = client.session.post(portal.webhook_url + "user.get?ID=1", json={"ID": 1101}, timeout=5).json()
    assert [person["ID"] for person in answer["result"]] == ["1101"]


def test_form_keys_with_brackets_become_lists_and_maps(portal: Portal, client: Client) -> None:
    call_id = client.register(SHOW=0)["CALL_ID"]
    client.session.post(
        portal.webhook_url + "telephony.externalCall.show",
        timeout=5,
        data={"CALL_ID": call_id, "USER_ID[0]": "1102", "USER_ID[1]": "1103"},
    )
    assert [card[1] for card in client.cards()] == [1102, 1103]
    answer = client.session.post(
        portal.webhook_url + "user.get",
        timeout=5,
        data={"FILTER[UF_PHONE_INNER][]": ["101", "102"], "FILTER[ACTIVE]": "true"},
    )
    assert answer.json()["total"] == 2


@pytest.mark.parametrize(
    "body, content_type",
    [
        (b"{broken", "application/json"),
        (b"[1,2]", "application/json"),
        (b"", "application/json"),
        (b'{"USER_ID":1101,"PHONE_NUMBER":"+79160000555","TYPE":2}', "text/plain"),
    ],
)
def test_a_body_that_is_not_what_its_type_says_is_silently_no_parameters(
    portal: Portal, body: bytes, content_type: str
) -> None:
    answer = requests.post(portal.webhook_url + REGISTER, data=body, headers={"Content-Type": content_type}, timeout=5)
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "", "error_description": "USER_ID or USER_PHONE_INNER should be set"},
    )


def test_a_success_carries_result_and_time(client: Client) -> None:
    answer = client.post("telephony.externalLine.get")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    body = answer.json()
    assert list(body) == ["result", "time"]
    assert {name for name, value in body["time"].items() if isinstance(value, (int, float))} == {
        "start",
        "finish",
        "duration",
        "processing",
        "operating",
        "operating_reset_at",
    }
    for name in ("date_start", "date_finish"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+03:00", body["time"][name])


def test_operating_seconds_may_be_absent_as_on_self_hosted_portals(portal: Portal, client: Client) -> None:
    portal.switches.operating_time = False
    assert not {"operating", "operating_reset_at"} & set(client.post("user.get").json()["time"])


def test_telephony_errors_have_an_empty_code_or_the_documented_one(portal: Portal, client: Client) -> None:
    assert client.refusal(REGISTER) == (400, "", "USER_ID or USER_PHONE_INNER should be set")
    portal.switches.empty_error_code = False
    assert client.refusal(REGISTER) == (400, "ERROR_CORE", "USER_ID or USER_PHONE_INNER should be set")


@pytest.mark.parametrize(
    "host, status",
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:80", 200),
        ("localhost:8443", 200),
        ("LOCALHOST", 200),
        ("[::1]:80", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("10.0.0.1", 403),
        ("localhost.evil.example:80", 403),
        ("[broken", 403),
    ],
)
def test_only_loopback_host_names_are_answered(portal: Portal, host: str, status: int) -> None:
    for address in (portal.ledger_url, portal.webhook_url + "user.get"):
        assert requests.get(address, headers={"Host": host}, timeout=5).status_code == status


def test_a_missing_host_header_is_not_answered(portal: Portal) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(portal.url).port or 0), timeout=5) as connection:
        connection.sendall(b"GET /sandbox/ledger.json HTTP/1.0\r\n\r\n")
        assert b" 403 " in connection.recv(4096).splitlines()[0]


def test_other_addresses_are_not_found(portal: Portal) -> None:
    assert requests.get(portal.url + "/", timeout=5).status_code == 404


def test_a_connection_stays_open_for_many_requests(portal: Portal) -> None:
    request = (
        f"POST {urlsplit(portal.webhook_url).path}telephony.externalLine.get HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
    ).encode()
    with socket.create_connection(("127.0.0.1", urlsplit(portal.url).port or 0), timeout=5) as connection:
        reader = connection.makefile("rb")
        for _ in range(3):
            connection.sendall(request)
            assert b" 200 " in reader.readline()
            length = 0
            for line in iter(reader.readline, b"\r\n"):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            assert b'"result"' in reader.read(length)


def test_batch_files_each_answer_under_its_key(client: Client) -> None:
    answer = client.post(
        "batch",
        halt=0,
        cmd={
            "who": "user.get?FILTER[UF_PHONE_INNER]=102",
            "lines": "telephony.externalLine.get",
            "bad": "telephony.externalCall.finish?USER_ID=1101",
            "none": "no.such",
            "inner": "batch",
            "file": "upload",
            "call": f"{REGISTER}?USER_ID=$result[who][0][ID]&PHONE_NUMBER=%2B79160000555&TYPE=2",
        },
    )
    result = answer.json()["result"]
    assert set(result["result"]) == {"who", "lines", "call"}
    assert client.ledger_call(result["result"]["call"]["CALL_ID"])["registered_by"] == 1102
    assert result["result_error"] == {
        "bad": {"error": "INVALID_ARGUMENT", "error_description": "CALL_ID must be a string"},
        "none": {"error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!"},
        "inner": {
            "error": "ERROR_BATCH_METHOD_NOT_ALLOWED",
            "error_description": "Method is not allowed for batch usage",
        },
        "file": {
            "error": "ERROR_BATCH_METHOD_NOT_ALLOWED",
            "error_description": "Method is not allowed for batch usage",
        },
    }
    assert result["result_total"] == {"who": 1}
    assert result["result_next"] == []
    assert set(result["result_time"]) == {"who", "lines", "call"}


def test_batch_takes_fifty_commands_and_refuses_the_rest(client: Client) -> None:
    result = client.result("batch", cmd=["telephony.externalLine.get"] * 51)
    assert isinstance(result["result"], list)
    assert len(result["result"]) == 50
    assert result["result_error"]["50"]["error"] == "ERROR_BATCH_LENGTH_EXCEEDED"
