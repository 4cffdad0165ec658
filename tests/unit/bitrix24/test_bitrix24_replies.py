"""Every reply becomes a result or the one error class that says what can be done about it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepbx_bx24.bitrix24.replies import harmless, read, refusal, whole_number
from freepbx_bx24.errors import (
    CallNotFound,
    PersonUnknown,
    PortalAuthorisation,
    PortalBroken,
    PortalBusy,
    PortalError,
    PortalRefused,
    RecordNotReady,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (503, "QUERY_LIMIT_EXCEEDED", PortalBusy),
        (503, "query_limit_exceeded", PortalBusy),
        (200, "QUERY_LIMIT_EXCEEDED", PortalBusy),
        (429, "OPERATION_TIME_LIMIT", PortalBusy),
        (429, "SOMETHING_NEW", PortalBusy),
        (401, "OVERLOAD_LIMIT", PortalBusy),
        (503, "OVERLOAD_LIMIT", PortalBusy),
        (401, "CONNECTION_ERROR", PortalBusy),
        (401, "expired_token", PortalAuthorisation),
        (401, "invalid_token", PortalAuthorisation),
        (401, "NO_AUTH_FOUND", PortalAuthorisation),
        (401, "INVALID_CREDENTIALS", PortalAuthorisation),
        (403, "INVALID_CREDENTIALS", PortalAuthorisation),
        (401, "insufficient_scope", PortalAuthorisation),
        (401, "user_access_error", PortalAuthorisation),
        (401, "ACCESS_DENIED", PortalAuthorisation),
        (403, "ACCESS_DENIED", PortalAuthorisation),
        (401, "authorization_error", PortalAuthorisation),
        (401, "APPLICATION_NOT_FOUND", PortalAuthorisation),
        (400, "INVALID_REQUEST", PortalAuthorisation),
        (403, "WRONG_AUTH_TYPE", PortalAuthorisation),
        (410, "PORTAL_DELETED", PortalAuthorisation),
        (500, "PORTAL_DELETED", PortalAuthorisation),
        (404, "ERROR_METHOD_NOT_FOUND", PortalRefused),
        (403, "WRONG_LICENSE", PortalRefused),
        (400, "ERROR_ARGUMENT", PortalRefused),
        (401, "SOMETHING_NEW", PortalRefused),
        (500, "ERROR_CORE", PortalRefused),
        (400, "", PortalRefused),
        (500, "INTERNAL_SERVER_ERROR", PortalBroken),
        (400, "ERROR_UNEXPECTED_ANSWER", PortalBroken),
        (500, "", PortalBroken),
        (502, "SOMETHING_NEW", PortalBroken),
    ],
)
def test_the_code_decides_and_the_status_only_where_no_code_is_known(status, code, expected):
    error = refusal(code, "what the portal says", status)
    assert type(error) is expected
    assert error.hint
    assert "what the portal says" in str(error)


@pytest.mark.parametrize("code", ["", "ERROR_CORE", "error_core"])
@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("Call is not found (call should be registered prior to finishing", CallNotFound),
        ("Call is not found (call should be registered prior to finishing)", CallNotFound),
        ("CALL IS NOT FOUND (CALL SHOULD BE REGISTERED", CallNotFound),
        ("Call is not found in the statistic table. Looks like it is not finished yet.", RecordNotReady),
        ("Call is not found in the statistic table. It looks like it is not finished yet.", RecordNotReady),
        ("User is not found or is not active", PersonUnknown),
        ("USER_ID or USER_PHONE_INNER should be set", PersonUnknown),
        ("Unsupported phone number format", PortalRefused),
        ("Unknown TYPE", PortalRefused),
        ("", PortalRefused),
    ],
)
def test_telephonys_errors_without_a_code_are_told_apart_by_their_text(code, description, expected):
    assert type(refusal(code, description, 400)) is expected


def test_a_text_of_telephony_under_another_code_is_not_taken_for_telephonys():
    assert type(refusal("ACCESS_DENIED", "User is not found or is not active", 403)) is PortalAuthorisation


def test_only_those_errors_are_tried_again_that_can_end_well():
    assert refusal("QUERY_LIMIT_EXCEEDED", "", 503).retryable
    assert refusal("INTERNAL_SERVER_ERROR", "", 500).retryable
    assert not refusal("WRONG_AUTH_TYPE", "", 403).retryable
    assert not refusal("ERROR_CORE", "SQL query error!", 500).retryable


def test_a_webhook_that_is_not_enough_has_the_hint_of_the_local_application():
    assert "needs a local application" in refusal("WRONG_AUTH_TYPE", "", 403).hint


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
        (503, b"<html>Service unavailable</html>"),
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
    ids=range(16),
)
def test_what_no_portal_answers_is_broken(status, body):
    with pytest.raises(PortalBroken) as caught:
        read(status, body)
    assert caught.value.__context__ is None


def test_patience_is_asked_for_by_429_with_any_body():
    with pytest.raises(PortalBusy):
        read(429, b"<html>Too many requests</html>")


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
