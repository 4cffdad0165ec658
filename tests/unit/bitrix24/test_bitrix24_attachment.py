"""A recording is attached under a new name at each attempt, so that a lost answer never blocks the next one."""

from __future__ import annotations

import base64
import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepbx_bx24.bitrix24 import attachment
from freepbx_bx24.errors import PortalBroken, PortalRefused, RecordNotReady

STARTED = datetime(2026, 9, 21, 17, 15, 22, tzinfo=timezone(timedelta(hours=3)))
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28)


def name(attempt: int = 1, **changes: str) -> str:
    given_ = {"direction": "in", "extension": "101", "uniqueid": "1790000120.77", "suffix": "mp3", **changes}
    return attachment.file_name(STARTED, attempt=str(attempt), **{"number": "+79160000001", **given_})


def test_a_name_tells_when_who_and_which_attempt():
    assert name() == "20260921-171522_in_101_79160000001_1790000120.77_1.mp3"
    assert name(extension="", suffix="wav") == "20260921-171522_in_none_79160000001_1790000120.77_1.wav"


@given(st.text(), st.text(), st.text(), st.integers(1, 99))
def test_every_name_is_one_that_any_disk_and_the_portal_take(direction, extension, uniqueid, attempt):
    made = name(attempt, direction=direction, extension=extension, uniqueid=uniqueid)
    assert re.fullmatch(r"[A-Za-z0-9._-]{5,104}", made)
    assert made.endswith(f"_{attempt}.mp3")


def test_no_two_attempts_are_called_the_same_whoever_was_killed_in_between():
    assert len({attachment.new_attempt(1) for _ in range(50)}) == 50
    assert re.fullmatch(r"3-[0-9a-f]{6}", attachment.new_attempt(3))


def test_each_attempt_has_a_name_of_its_own_however_long_the_call_is_named():
    names = {name(attempt, uniqueid="9" * 300) for attempt in range(1, 20)}
    assert len(names) == 19


@pytest.mark.parametrize("suffix", ["MP3", "gsm", "WAV", ""])
def test_kinds_of_files_that_the_portal_refuses_are_not_sent(suffix):
    with pytest.raises(ValueError, match="wav and mp3"):
        name(suffix=suffix)


def test_the_same_name_twice_is_refused_by_the_portal_and_a_new_one_is_taken(client):
    call_id = client.call(
        "telephony.externalCall.register", {"USER_ID": 1101, "PHONE_NUMBER": "+79160000001", "TYPE": 2}, total_seconds=5
    ).result["CALL_ID"]

    def attach(attempt):
        parameters = attachment.content_parameters(call_id, name(attempt, suffix="wav"), WAV)
        return attachment.parse_attached(client.call(attachment.METHOD, parameters, total_seconds=5).result)

    with pytest.raises(RecordNotReady):
        attach(1)
    client.call("telephony.externalCall.finish", {"CALL_ID": call_id, "USER_ID": 1101}, total_seconds=5)
    first = attach(1)
    with pytest.raises(PortalRefused):
        attach(1)
    assert attach(2) > first


def test_the_content_goes_as_base64_without_a_prefix():
    assert base64.b64decode(attachment.content_parameters("c", "a.wav", WAV)["FILE_CONTENT"]) == WAV


@pytest.mark.parametrize("result", [None, [], {}, {"FILE_ID": "x"}, {"FILE_ID": True}, {"uploadUrl": "https://p/"}])
def test_an_answer_without_a_file_is_no_answer(result):
    with pytest.raises(PortalBroken):
        attachment.parse_attached(result)
