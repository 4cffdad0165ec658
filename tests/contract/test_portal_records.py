"""telephony.externalCall.attachRecord at the sandbox: what it stores, foreign upload addresses, and downloads."""

from __future__ import annotations

import base64
import http.server
import threading
from typing import Any, Iterator

import pytest
from portal_client import Client

from freepbx_bx24.sandbox.portal import state

METHOD = "telephony.externalCall.attachRecord"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(20)
MP3 = b"ID3\x04" + bytes(20)
NOT_FINISHED = "Call is not found in the statistic table. Looks like it is not finished yet."


def _packed(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_neither_address_nor_name_is_refused_in_the_servers_words(client: Client) -> None:
    refused = client.refusal(METHOD, CALL_ID="x")
    assert refused == (400, "", "Required parameters are not set. Request should contain or URL or FILENAME parameter")


@pytest.mark.parametrize("mode", [{"FILENAME": "a.mp3"}, {"FILENAME": "", "FILE_CONTENT": ""}, {"RECORD_URL": ""}])
def test_a_call_that_is_not_finished_is_refused_in_the_servers_words(client: Client, mode: dict[str, Any]) -> None:
    call_id = client.register()["CALL_ID"]
    assert client.refusal(METHOD, CALL_ID=call_id, **mode) == (400, "", NOT_FINISHED)


@pytest.mark.parametrize(
    "name, content, description",
    [
        ("a.mp3", "", "File content is empty."),
        ("a.mp3", "data:audio/mp3;base64,AAAA", "File content is not properly encoded. Base64 encoding is expected."),
        ("a.mp3", _packed(b"plain text, no sound"), "The file type is not allowed"),
    ],
)
def test_refused_content_is_not_kept(client: Client, name: str, content: str, description: str) -> None:
    call_id = client.finished_call()
    assert client.refusal(METHOD, CALL_ID=call_id, FILENAME=name, FILE_CONTENT=content) == (400, "", description)
    assert client.ledger_call(call_id)["records"] == []


@pytest.mark.parametrize("name, content", [("a.mp3", MP3), ("a.wav", WAV), ("b.mp3", b"\xff\xfb\x90\x00" + bytes(9))])
def test_content_is_stored_and_linked(client: Client, name: str, content: bytes) -> None:
    call_id = client.finished_call()
    assert client.result(METHOD, CALL_ID=call_id, FILENAME=name, FILE_CONTENT=_packed(content)) == {"FILE_ID": 9079}
    (record,) = client.ledger_call(call_id)["records"]
    assert (record["FILE_ID"], record["FILENAME"], record["size"]) == (9079, name, len(content))


def test_a_name_is_taken_once_in_the_month_of_the_calls_start(client: Client) -> None:
    def attach(call_id: str, name: str) -> Any:
        return client.post(METHOD, CALL_ID=call_id, FILENAME=name, FILE_CONTENT=_packed(MP3)).json()

    first = client.finished_call(CALL_START_DATE="2026-08-31T21:30:00+00:00")  # September on the portal's clock
    second = client.finished_call(CALL_START_DATE="2026-09-01T12:00:00+03:00", TYPE=1)
    third = client.finished_call(CALL_START_DATE="2026-10-01T12:00:00+03:00", TYPE=1)
    assert "result" in attach(first, "a.mp3")
    assert attach(second, "a.mp3")["error_description"] == "A file with this name already exists"
    assert attach(first, "a.mp3")["error"] == ""
    assert "result" in attach(third, "a.mp3")
    assert "result" in attach(first, "b.mp3")  # replaces a.mp3, which is deleted
    assert "result" in attach(second, "a.mp3")


def test_a_calls_newest_recording_can_be_heard(client: Client) -> None:
    call_id = client.finished_call()
    assert client.portal.recording(call_id) is None
    for name, content in (("a.mp3", MP3), ("b.wav", WAV)):
        client.result(METHOD, CALL_ID=call_id, FILENAME=name, FILE_CONTENT=_packed(content))
        assert client.portal.recording(call_id) == (name, content)


def test_of_many_recordings_the_newest_can_be_heard(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MOST_SOUND", 2 * len(MP3))
    call_ids = [client.finished_call(PHONE_NUMBER=f"+7916123450{number}") for number in range(3)]
    for call_id in call_ids:
        client.result(METHOD, CALL_ID=call_id, FILENAME=f"{call_id}.mp3", FILE_CONTENT=_packed(MP3))
    assert [client.portal.recording(call_id) is not None for call_id in call_ids] == [False, True, True]
    client.result(METHOD, CALL_ID=call_ids[0], FILENAME="long.wav", FILE_CONTENT=_packed(WAV + bytes(len(MP3))))
    assert client.portal.recording(call_ids[0]) is None
    assert client.portal.recording(call_ids[2])


# -- upload address ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["webhook", "oauth"])
def test_an_upload_address_takes_one_file_for_its_call(client: Client, auth: str) -> None:
    call_id = client.finished_call(auth)
    offer = client.result(METHOD, auth, CALL_ID=call_id, FILENAME="ignored.mp3")
    assert offer["fieldName"] == "file"
    answer = client.session.post(offer["uploadUrl"], files={"file": ("real.wav", b"whatever")}, timeout=5)
    assert (answer.status_code, answer.json()) == (200, {"result": {"FILE_ID": 9079}})
    assert client.ledger_call(call_id)["records"][0]["FILENAME"] == "real.wav"


def test_upload_addresses_have_the_form_of_their_credential(client: Client) -> None:
    portal = client.portal
    call_id = client.finished_call()
    assert client.result(METHOD, CALL_ID=call_id, FILENAME="a.mp3")["uploadUrl"].startswith(
        f"{portal.webhook_url}upload/?token=telephony%7C"
    )
    assert client.result(METHOD, "oauth", CALL_ID=call_id, FILENAME="a.mp3")["uploadUrl"].startswith(
        f"{portal.url}/rest/upload.json?auth={portal.access_token}&token=telephony%7C"
    )


def test_a_tampered_or_foreign_upload_address_is_refused(client: Client) -> None:
    portal = client.portal
    address = client.result(METHOD, CALL_ID=client.finished_call(), FILENAME="a.wav")["uploadUrl"]
    token = address.partition("token=")[2]
    for wrong in (
        address[:-1] + ("0" if address[-1] != "0" else "1"),
        address.partition("token=")[0],
        f"{portal.url}/rest/upload.json?auth={portal.access_token}&token={token}",
    ):
        answer = client.session.post(wrong, files={"file": ("a.wav", WAV)}, timeout=5)
        assert (answer.status_code, answer.json()) == (
            403,
            {"error": "ACCESS_DENIED", "error_description": "Access denied! Link check failed"},
        )


# -- RECORD_URL ----------------------------------------------------------------------------------------------------


class _Files(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path.startswith("/good") else 404)
        self.end_headers()
        self.wfile.write(MP3 if "text" not in self.path else b"a page that asks to log in")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def files_url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_record_is_downloaded_from_its_address(client: Client, files_url: str) -> None:
    call_id = client.finished_call()
    assert client.result(METHOD, CALL_ID=call_id, RECORD_URL=f"{files_url}/good/a.MP3?x=1") == {"FILE_ID": 9079}
    assert client.ledger_call(call_id)["records"][0]["FILENAME"] == "a.MP3"
    client.result(METHOD, CALL_ID=call_id, RECORD_URL=f"{files_url}/good/x", FILENAME="named.mp3")
    assert client.ledger_call(call_id)["records"][1]["FILENAME"] == "named.mp3"


@pytest.mark.parametrize(
    "path, description",
    [
        ("/gone/a.mp3", "Server returns HTTP error code 404"),
        ("/good/a.txt", "Wrong file extension"),
        ("/", "File name is empty"),
        ("/good/text.mp3", "The file type is not allowed"),
    ],
)
def test_a_record_that_can_not_be_had_is_refused(client: Client, files_url: str, path: str, description: str) -> None:
    refused = client.refusal(METHOD, CALL_ID=client.finished_call(), RECORD_URL=files_url + path)
    assert refused.description.startswith(description)


def test_other_calls_go_on_while_a_record_is_downloaded(client: Client) -> None:
    """The record's address is the portal itself: it would wait for itself for ever if the download held its lock."""
    call_id = client.finished_call()
    refused = client.refusal(
        METHOD, CALL_ID=call_id, RECORD_URL=client.portal.webhook_url + "user.get?x=a.mp3", FILENAME="a.mp3"
    )
    assert refused.description == "The file type is not allowed"
