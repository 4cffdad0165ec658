"""A file goes to the upload address in pieces, to the portal alone, and the address is never seen by anybody else."""

from __future__ import annotations

import hashlib
import io
import tracemalloc

import pytest

from freepbx_bx24.bitrix24 import attachment, upload
from freepbx_bx24.bitrix24.client import webhook_client
from freepbx_bx24.errors import PortalBroken, PortalRefused, RecordRefused, UploadStale

ORIGIN = "https://portal.example:8443"
TOKEN = "telephony%7CY2FsbElk%7Cs1gnatureS1gnature"
ADDRESS = f"{ORIGIN}/rest/1/s3cretsecret0/upload/?token={TOKEN}"


def body(content: bytes = b"RIFF1234WAVE", name: str = "a_1-abc123.wav", told=lambda sent: None) -> upload.Multipart:
    return upload.Multipart("file", name, io.BytesIO(content), len(content), told)


@pytest.fixture
def finished_call(client):
    call_id = client.call(
        "telephony.externalCall.register", {"USER_ID": 1101, "PHONE_NUMBER": "+79160000001", "TYPE": 2}, total_seconds=5
    ).result["CALL_ID"]
    client.call("telephony.externalCall.finish", {"CALL_ID": call_id, "USER_ID": 1101}, total_seconds=5)
    return call_id


def address_for(client, call_id, name="a_1-abc123.wav"):
    parameters = attachment.address_parameters(call_id, name)
    return upload.offered(client.call(attachment.METHOD, parameters, total_seconds=5).result)


def test_a_form_is_as_long_as_it_says_however_it_is_read() -> None:
    content = bytes(range(256)) * 1000
    whole = b"".join(body(content))
    assert len(whole) == len(body(content))
    assert content in whole
    assert b'name="file"; filename="a_1-abc123.wav"\r\nContent-Type: audio/wav' in whole
    one = body(content)
    assert b"".join(iter(lambda: one.read(7), b"")).count(content) == 1


def test_what_a_file_grows_by_is_not_sent_and_one_that_gets_shorter_is_an_error() -> None:
    grown = upload.Multipart("file", "a.mp3", io.BytesIO(b"ID3abcdef"), 6)
    assert b"ID3abc\r\n" in b"".join(grown)
    shorter = upload.Multipart("file", "a.mp3", io.BytesIO(b"ID3"), 6)
    with pytest.raises(OSError, match="shorter"):
        b"".join(shorter)


def test_the_portal_stores_what_was_uploaded_under_the_name_of_the_part(client, portal, finished_call) -> None:
    content, heard = b"RIFF" + bytes(300_000), []
    address, field = address_for(client, finished_call)
    result = client.upload(address, body(content, told=heard.append), total_seconds=5).result
    assert attachment.parse_attached(result)
    (record,) = portal.ledger()["calls"][0]["records"]
    assert (record["FILENAME"], record["size"]) == ("a_1-abc123.wav", len(content))
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert heard[-1] == len(content)
    assert heard == sorted(heard)


def test_a_large_file_is_never_in_memory_as_a_whole(raw_portal) -> None:
    size, got = 64 * 1024 * 1024, []

    def swallow(portal, connection, number):
        count = 0
        while True:
            piece = connection.recv(1 << 20)
            count += len(piece)
            if not piece or count > size and piece.endswith(b"--\r\n"):
                break
        got.append(count)
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{"result":{"FILE_ID":1}}'[:-1])
        connection.close()

    class Zeros(io.RawIOBase):
        def read(self, most: int = -1) -> bytes:
            return bytes(most)

    portal = raw_portal(swallow)
    origin = portal.webhook_url.partition("/rest/")[0]
    with webhook_client(portal.webhook_url) as client:
        file = upload.Multipart("file", "a.wav", Zeros(), size)
        tracemalloc.start()
        try:
            with pytest.raises(PortalBroken):  # the answer is cut on purpose
                client.upload(f"{origin}/upload/?token=x", file, total_seconds=60)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert got[0] > size
    assert most < 16 * 1024 * 1024  # the test's own pieces of a megabyte among them


@pytest.mark.parametrize(
    "address",
    [
        ADDRESS,
        ADDRESS.replace(":8443", ""),  # behind a proxy that ends TLS
        ADDRESS.replace("https", "http").replace(":8443", ":80"),
        ADDRESS.replace("portal.example", "PORTAL.example"),
    ],
)
def test_the_address_is_used_at_the_portals_own_origin_unmodified_behind_it(address: str) -> None:
    url, hidden = upload.at_the_portal(address, ORIGIN)
    assert url == ADDRESS
    assert "s3cretsecret0" in hidden


@pytest.mark.parametrize(
    "address",
    [
        ADDRESS.replace("portal.example", "evil.example"),
        ADDRESS.replace("portal.example", "portal.example.evil.example"),
        ADDRESS.replace("//portal", "//portal.example@evil"),
        ADDRESS.replace("//portal", "//user:word@portal"),
    ],
)
def test_no_other_host_ever_gets_a_recording(address: str) -> None:
    with pytest.raises(RecordRefused) as refused:
        upload.at_the_portal(address, ORIGIN)
    assert "s3cret" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize("result", [None, {}, [], {"uploadUrl": 7}, {"uploadUrl": ADDRESS, "fieldName": 'a"b'}, "x"])
def test_an_answer_without_an_address_is_none(result: object) -> None:
    with pytest.raises(PortalBroken):
        upload.offered(result)


@pytest.mark.parametrize(
    "address", ["", "portal.example/x", "https://", "https://portal.example:8443", "https://a\nb/"]
)
def test_what_is_no_address_is_not_used(address: str) -> None:
    with pytest.raises((PortalBroken, RecordRefused)):
        upload.at_the_portal(address, ORIGIN)


def test_a_spoilt_address_is_refused_without_being_shown(client, finished_call) -> None:
    address, _ = address_for(client, finished_call)
    with pytest.raises(UploadStale) as refused:
        client.upload(address[:-3] + "abc", body(), total_seconds=5)
    token = address.partition("token=")[2]
    assert token[:20] not in str(refused.value)


def test_no_redirect_is_followed_with_a_recording(raw_portal, reply) -> None:
    def behave(portal, connection, number):
        while portal.read_request(connection)[0]:
            connection.sendall(reply(b"", "302 Found", "Location: https://portal.example/other"))

    portal = raw_portal(behave)
    origin = portal.webhook_url.partition("/rest/")[0]
    with webhook_client(portal.webhook_url) as client, pytest.raises((PortalBroken, PortalRefused)):
        client.upload(f"{origin}/upload/?token=x", body(), total_seconds=5)
    assert len(portal.requests) == 1
