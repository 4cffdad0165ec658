"""Every reply becomes a result or the one error class that says what can be done about it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepbx_bx24.bitrix24.replies import harmless, read, whole_number
from freepbx_bx24.errors import PortalBroken, PortalBusy, PortalError, PortalRefused

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_an_error_key_counts_even_when_it_is_empty_and_the_status_is_200():
    with pytest.raises(PortalRefused) as caught:
        read(200, b'{"error": "", "error_description": "Unknown TYPE", "result": 1}')
    assert (caught.value.code, caught.value.description, caught.value.status) == ("", "Unknown TYPE", 200)


@pytest.mark.parametrize("result", [None, False, 0, "", [], {}])
def test_a_result_that_is_empty_is_still_a_result(result):
    assert read(200, json.dumps({"result": result}).encode()).result == result


def test_time_total_and_next_are_read_and_odd_ones_are_absent():
    good = read(200, b'{"result": [], "time": {"operating": 0.5}, "total": 120, "next": "50"}')
    assert (good.time, good.total, good.next) == ({"operating": 0.5}, 120, 50)
    odd = read(200, b'{"result": [], "time": [], "total": true, "next": -50}')
    assert (odd.time, odd.total, odd.next) == ({}, None, None)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>Welcome to the wireless network</html>"),
        (502, b"<html>Bad gateway</html>"),
        (401, b"<html>Who are you?</html>"),
        (200, b'{"result": {"CALL_ID": "ext'),
        (200, b'{"time": {}}'),
        (500, b'{"result": true}'),
        (302, b'{"result": true}'),
        (200, b"[]"),
        (200, b'"result"'),
        (200, b"null"),
        (200, b'{"result": NaN}'),
        (200, b"\xff\xfe\xfd"),
        (200, b"[" * 500_000),
        (200, b'{"result":' * 500_000),
    ],
    ids=range(15),
)
def test_what_no_portal_answers_is_broken(status, body):
    with pytest.raises(PortalBroken) as caught:
        read(status, body)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("body", [b"<html>Wait</html>", b"", b'{"result": true}', b"[]", b'{"error": {}}'])
def test_patience_is_asked_for_by_429_and_503_with_any_body(body):
    for status, ambiguous in ((429, False), (503, True)):
        with pytest.raises(PortalBusy) as caught:
            read(status, body)
        assert caught.value.ambiguous is ambiguous


def test_a_byte_order_mark_before_a_good_answer_does_no_harm():
    assert read(200, b'\xef\xbb\xbf{"result": true}').result is True


def test_texts_of_the_portal_are_harmless_in_the_exception():
    body = {"error": "BAD\r\nCODE" + "x" * 500, "error_description": 'one\ntwo\x1b[31m\u202e\ud800\x00" ' + "y" * 900}
    with pytest.raises(PortalRefused) as caught:
        read(400, json.dumps(body).encode())
    error = caught.value
    assert error.code.startswith("BAD CODE") and len(error.code) <= 60
    assert error.description.startswith('one two [31m " yyy') and len(error.description) <= 200
    assert str(error).isprintable()


@given(st.integers(100, 599), json_values)
def test_any_json_is_a_result_or_an_error_of_ours(status, value):
    try:
        read(status, json.dumps(value).encode())
    except PortalError as error:
        assert str(error).isprintable() and len(str(error)) < 400


@given(
    st.integers(100, 599),
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("error", "error_description", "result", "time", "next"), json_values)
    ),
)
def test_any_reply_with_the_right_keys_is_a_result_or_an_error_of_ours(status, value):
    try:
        read(status, json.dumps(value).encode())
    except PortalError as error:
        assert str(error).isprintable() and len(str(error)) < 400


@given(st.integers(100, 599), st.binary())
def test_any_bytes_are_a_result_or_an_error_of_ours(status, body):
    try:
        read(status, body)
    except PortalError as error:
        assert str(error).isprintable()


@given(st.text(alphabet=st.characters()), st.integers(1, 300))
def test_harmless_text_is_one_short_printable_line(text, longest):
    cleaned = harmless(text, longest)
    assert cleaned.isprintable() and len(cleaned) <= longest


@pytest.mark.parametrize("value", [None, True, False, 0, -1, 1.0, "", "0", "-1", "1.0", "٣", "1" * 19, 10**18, [], {}])
def test_what_is_no_positive_whole_number_is_none(value):
    assert whole_number(value) is None


@pytest.mark.parametrize("value", [42, "42", "042"])
def test_ids_come_as_numbers_and_as_text(value):
    assert whole_number(value) == 42
