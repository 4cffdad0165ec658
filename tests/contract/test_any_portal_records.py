"""telephony.externalCall.attachRecord at any portal: content, upload address, and what is refused."""

from __future__ import annotations

import base64
import io
import secrets
import wave
from typing import Any
from urllib.parse import quote

import pytest
from portal_under_test import PortalUnderTest

METHOD = "telephony.externalCall.attachRecord"
MEGABYTE = 1_000_000


def recording(size: int = 1600) -> bytes:
    """A WAV file of silence: 8000 Hz, 16 bits, one channel, `size` bytes of sound."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(size))
    return file.getvalue()


def packed(content: bytes) -> str:
    return base64.b64encode(content).decode()


def name(ending: str = ".wav") -> str:
    """A file name that was never used: a portal takes each once a month."""
    return f"bx24-test-{secrets.token_hex(6)}{ending}"


def attach(portal: PortalUnderTest, call_id: str, file_name: str, content: bytes) -> Any:
    return portal.result(METHOD, CALL_ID=call_id, FILENAME=file_name, FILE_CONTENT=packed(content))


def test_neither_address_nor_name_is_refused_before_all_else(portal_under_test: PortalUnderTest) -> None:
    description = portal_under_test.telephony_refusal(METHOD, CALL_ID="x")
    portal_under_test.note("no mode", description)
    assert description.startswith("Required parameters are not set")


@pytest.mark.parametrize("mode", [{"FILENAME": "a.mp3"}, {"FILENAME": "", "FILE_CONTENT": ""}, {"RECORD_URL": ""}])
def test_a_call_that_is_not_finished_takes_no_record(portal_under_test: PortalUnderTest, mode: dict[str, Any]) -> None:
    call_id = portal_under_test.register()["CALL_ID"]
    description = portal_under_test.telephony_refusal(METHOD, CALL_ID=call_id, **mode)
    portal_under_test.note("unfinished", description)
    assert "not finished yet" in description


@pytest.mark.parametrize(
    "file_name, content, description",
    [
        ("", "", "File name is empty"),
        ("a.MP3", "", "Wrong file extension. Only wav and mp3 are allowed"),
        ("a.flac", "", "Wrong file extension. Only wav and mp3 are allowed"),
        ("a.mp3", "", "File content is empty."),
        ("a.mp3", "data:audio/mp3;base64,AAAA", "File content is not properly encoded. Base64 encoding is expected."),
    ],
)
def test_content_is_checked_in_the_portals_order(
    portal_under_test: PortalUnderTest, file_name: str, content: str, description: str
) -> None:
    call_id = portal_under_test.finished_call()
    refused = portal_under_test.telephony_refusal(METHOD, CALL_ID=call_id, FILENAME=file_name, FILE_CONTENT=content)
    assert refused == description


def test_a_file_that_holds_no_sound_is_refused(portal_under_test: PortalUnderTest) -> None:
    call_id = portal_under_test.finished_call()
    refused = portal_under_test.refusal(
        METHOD, CALL_ID=call_id, FILENAME=name(), FILE_CONTENT=packed(b"plain text, no sound")
    )
    portal_under_test.note("not audio", f"{refused.status} {refused.error or '(empty)'}: {refused.description}")
    assert refused.status == 400


@pytest.mark.parametrize(
    "ending, content",
    [pytest.param(".wav", recording(), id="wav"), pytest.param(".mp3", b"ID3\x04" + bytes(20), id="mp3")],
)
def test_content_is_stored_and_linked(portal_under_test: PortalUnderTest, ending: str, content: bytes) -> None:
    call_id = portal_under_test.finished_call()
    result = attach(portal_under_test, call_id, name(ending), content)
    assert isinstance(result["FILE_ID"], int)
    (row,) = portal_under_test.statistics(CALL_ID=call_id)
    assert row["RECORD_FILE_ID"] == result["FILE_ID"]


def test_a_second_record_replaces_the_first(portal_under_test: PortalUnderTest) -> None:
    call_id = portal_under_test.finished_call()
    first = attach(portal_under_test, call_id, name(), recording())
    second = attach(portal_under_test, call_id, name(), recording())
    assert first["FILE_ID"] != second["FILE_ID"]
    (row,) = portal_under_test.statistics(CALL_ID=call_id)
    assert row["RECORD_FILE_ID"] == second["FILE_ID"]


def test_a_name_that_was_used_is_refused_or_taken_and_a_new_one_is_always_taken(
    portal_under_test: PortalUnderTest,
) -> None:
    first, second = portal_under_test.finished_call(), portal_under_test.finished_call(TYPE=1)
    used = name()
    attach(portal_under_test, first, used, recording())
    reply = portal_under_test.post(METHOD, CALL_ID=second, FILENAME=used, FILE_CONTENT=packed(recording()))
    assert reply.status in (200, 400)
    portal_under_test.note(
        "same name", "yes" if reply.status == 200 else f"no: {portal_under_test.refused(reply).description}"
    )
    assert attach(portal_under_test, second, name(), recording())["FILE_ID"]


def test_a_long_recording_is_taken_as_content_or_refused_for_its_size(portal_under_test: PortalUnderTest) -> None:
    call_id = portal_under_test.finished_call()
    content = packed(recording(5 * MEGABYTE))
    reply = portal_under_test.send(METHOD, data={"CALL_ID": call_id, "FILENAME": name(), "FILE_CONTENT": content})
    portal_under_test.note("big content", "yes" if reply.status == 200 else f"no: status {reply.status}")
    assert reply.status in (200, 413)
    attach(portal_under_test, call_id, name(), recording())  # the portal deletes the long one


def test_recordings_within_a_batch_are_taken_or_refused_each_for_itself(portal_under_test: PortalUnderTest) -> None:
    calls = {"one": portal_under_test.finished_call(), "two": portal_under_test.finished_call(TYPE=1)}
    content = quote(packed(recording() + bytes(range(256)) * 8), safe="")  # all that base64 is written with
    commands = {
        key: f"{METHOD}?CALL_ID={call_id}&FILENAME={name()}&FILE_CONTENT={content}" for key, call_id in calls.items()
    }
    result = portal_under_test.result("batch", halt=0, cmd={**commands, "none": f"{METHOD}?CALL_ID={calls['one']}"})
    taken, refused = result["result"] or {}, result["result_error"]
    portal_under_test.note("batched content", "yes" if set(taken) == set(calls) else f"no: {refused}")
    assert set(taken) | set(refused) == {"one", "two", "none"}
    assert refused["none"]["error_description"].startswith("Required parameters are not set")
    for key, answer in taken.items():
        (row,) = portal_under_test.statistics(CALL_ID=calls[key])
        assert row["RECORD_FILE_ID"] == answer["FILE_ID"]


# -- upload address ------------------------------------------------------------------------------------------------


def test_an_upload_address_takes_a_file_for_its_call(portal_under_test: PortalUnderTest) -> None:
    call_id = portal_under_test.finished_call()
    offer = portal_under_test.result(METHOD, CALL_ID=call_id, FILENAME=name())
    assert offer["fieldName"] == "file"
    reply = portal_under_test.upload(offer["uploadUrl"], {"file": (name(), recording())})
    assert reply.status == 200
    assert isinstance(reply.body["result"]["FILE_ID"], int)
    (row,) = portal_under_test.statistics(CALL_ID=call_id)
    assert row["RECORD_FILE_ID"] == reply.body["result"]["FILE_ID"]


def test_a_long_recording_is_taken_at_an_upload_address(portal_under_test: PortalUnderTest) -> None:
    call_id = portal_under_test.finished_call()
    address = portal_under_test.result(METHOD, CALL_ID=call_id, FILENAME=name())["uploadUrl"]
    reply = portal_under_test.upload(address, {"file": (name(), recording(12 * MEGABYTE))})
    portal_under_test.note("big upload", "yes" if reply.status == 200 else f"no: status {reply.status}")
    assert reply.status == 200
    attach(portal_under_test, call_id, name(), recording())  # the portal deletes the long one


def test_an_upload_address_may_or_may_not_be_used_twice(portal_under_test: PortalUnderTest) -> None:
    address = portal_under_test.result(METHOD, CALL_ID=portal_under_test.finished_call(), FILENAME=name())["uploadUrl"]
    assert portal_under_test.upload(address, {"file": (name(), recording())}).status == 200
    again = portal_under_test.upload(address, {"file": (name(), recording())})
    assert again.status in (200, 400, 403)
    portal_under_test.note("upload twice", "yes" if again.status == 200 else f"no: status {again.status}")


@pytest.mark.parametrize(
    "files, description",
    [
        ({"other": ("a.wav", b"x")}, "Error: required parameter file is not found"),
        ({"file": ("a.WAV", b"x")}, "Wrong file extension. Only wav and mp3 are allowed"),
    ],
)
def test_an_upload_is_checked_for_part_and_extension(
    portal_under_test: PortalUnderTest, files: Any, description: str
) -> None:
    address = portal_under_test.result(METHOD, CALL_ID=portal_under_test.finished_call(), FILENAME=name())["uploadUrl"]
    refused = portal_under_test.refused(portal_under_test.upload(address, files))
    assert (refused.status, refused.description) == (400, description)


def test_a_tampered_upload_address_is_refused(portal_under_test: PortalUnderTest) -> None:
    address = portal_under_test.result(METHOD, CALL_ID=portal_under_test.finished_call(), FILENAME=name())["uploadUrl"]
    refused = portal_under_test.refused(portal_under_test.upload(address.tampered(), {"file": (name(), recording())}))
    assert refused == (403, "ACCESS_DENIED", "Access denied! Link check failed")
