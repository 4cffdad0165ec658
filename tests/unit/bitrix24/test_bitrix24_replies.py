"""Every reply becomes a result or the one error class that says what can be done about it."""

from __future__ import annotations

import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from freepbx_bx24.bitrix24.client import webhook_client
from freepbx_bx24.bitrix24.replies import blotted, entry_refusal, harmless, read, whole_number
from freepbx_bx24.errors import (
    CallNotFound,
    MethodBusy,
    PortalAuthorisation,
    PortalBlocked,
    PortalBroken,
    PortalBusy,
    PortalError,
    PortalRefused,
    UnknownRefusal,
)
from tests.support.in_time import in_time

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
        (200, b'{"result": 1e999}'),
        (200, b'{"result": ' + b"9" * 4_000_000 + b"}"),
        (200, b'{"result": ' + b"9" * 1000 + b"}"),
        (404, b'{"result": true}'),
        (400, b'{"error": null, "error_description": "Unknown TYPE"}'),
        (200, b'{"result": true, "error": null}'),
        (400, b'{"error": {"code": "expired_token"}}'),
        (400, b'{"error": ["expired_token"]}'),
        (400, b'{"error": true}'),
        (400, b'{"error": 1.5}'),
        (200, '{"result": true}'.encode("utf-16")),
    ],
    ids=range(26),
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


def test_a_broken_byte_in_a_name_does_not_cost_the_answer():
    assert read(200, b'{"result": {"CALL_ID": "externalCall.1", "NAME": "\xff\xd0"}}').result == {
        "CALL_ID": "externalCall.1",
        "NAME": "\ufffd\ufffd",
    }


def test_of_keys_that_come_twice_the_last_counts_and_an_error_always():
    assert read(200, b'{"result": 1, "result": 2}').result == 2
    with pytest.raises(PortalRefused):
        read(200, b'{"error": "", "result": 2, "error": "SOMETHING_NEW", "result": 3}')


def test_an_unknown_client_is_an_error_with_status_200():
    with pytest.raises(PortalAuthorisation, match="wrong_client"):
        read(200, b'{"error": "wrong_client"}')


@pytest.mark.parametrize("description", [{}, [], None, 7, True])
def test_a_description_of_the_wrong_type_is_left_out(description):
    with pytest.raises(PortalAuthorisation) as caught:
        read(401, json.dumps({"error": "INVALID_CREDENTIALS", "error_description": description}).encode())
    assert caught.value.description == ""
    assert str(caught.value) == "the portal refused: INVALID_CREDENTIALS"


def test_a_code_that_is_a_number_is_a_code():
    with pytest.raises(UnknownRefusal) as caught:
        read(400, b'{"error": 131002}')
    assert caught.value.code == "131002"


# -- how long to wait --------------------------------------------------------------------------------------------------

NOW = 1790000123


def pause(status, code, times=None, headers=None):
    body = {"error": code, **({} if times is None else {"time": times})}
    with pytest.raises(PortalError) as caught:
        read(status, json.dumps(body).encode(), (), headers)
    return type(caught.value), caught.value.pause_seconds


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ({"finish": NOW, "operating_reset_at": NOW + 420}, 420),
        ({"finish": NOW + 0.5, "operating_reset_at": NOW + 420}, 419.5),
        ({"start": str(NOW), "operating_reset_at": str(NOW + 5)}, 5),
        ({"date_start": "2026-09-21T17:15:23+03:00", "operating_reset_at": NOW + 5}, 5),
        (
            {
                "finish": "soon",
                "start": None,
                "date_finish": 5,
                "date_start": "2026-09-21T14:15:23+00:00",
                "operating_reset_at": NOW + 5,
            },
            5,
        ),
        # Bounded on both sides.
        ({"finish": NOW, "operating_reset_at": NOW + 86400}, 600),
        ({"finish": NOW, "operating_reset_at": NOW + 0.01}, 1),
        # What can't be used leaves the class's own pause.
        ({"finish": NOW, "operating_reset_at": NOW - 5}, 60),
        ({"operating_reset_at": NOW + 5}, 60),
        ({"finish": NOW, "operating_reset_at": "never"}, 60),
        ({"finish": NOW, "operating_reset_at": True}, 60),
        ({"finish": NOW, "operating_reset_at": [NOW + 5]}, 60),
        ({"date_start": "yesterday", "operating_reset_at": NOW + 5}, 60),
        ([NOW], 60),
        ("now", 60),
        (None, 60),
    ],
)
def test_a_method_waits_until_its_operating_time_is_counted_anew_by_the_portals_clock(times, seconds):
    assert pause(429, "OPERATION_TIME_LIMIT", times) == (MethodBusy, seconds)


def test_the_date_of_the_reply_is_the_portals_clock_where_it_tells_no_other():
    headers = {"Date": "Mon, 21 Sep 2026 14:15:23 GMT"}
    assert pause(429, "OPERATION_TIME_LIMIT", {"operating_reset_at": NOW + 30}, headers) == (MethodBusy, 30)


def test_over_http_the_pause_is_that_of_the_reply(raw_portal, reply):
    def behave(portal, connection, number):
        portal.read_request(connection)
        body = {"error": "OPERATION_TIME_LIMIT", "time": {"start": NOW, "operating_reset_at": NOW + 250}}
        connection.sendall(reply(json.dumps(body).encode(), "429 Too Many Requests"))

    with webhook_client(raw_portal(behave).webhook_url) as client, pytest.raises(MethodBusy) as caught:
        client.call("profile", {}, total_seconds=5)
    assert caught.value.pause_seconds == 250


DATE = {"date": "Mon, 21 Sep 2026 14:15:23 GMT"}


@pytest.mark.parametrize(
    ("status", "code", "headers", "kind", "seconds"),
    [
        (503, "QUERY_LIMIT_EXCEEDED", {"Retry-After": "7"}, PortalBusy, 7),
        (503, "QUERY_LIMIT_EXCEEDED", {"retry-after": "7"}, PortalBusy, 7),
        (503, "QUERY_LIMIT_EXCEEDED", {"RETRY-AFTER": " 7 "}, PortalBusy, 7),
        (503, "QUERY_LIMIT_EXCEEDED", {"Retry-After": "Mon, 21 Sep 2026 14:15:53 GMT", **DATE}, PortalBusy, 30),
        (503, "QUERY_LIMIT_EXCEEDED", {"Retry-After": "86400"}, PortalBusy, 600),
        (503, "QUERY_LIMIT_EXCEEDED", {"Retry-After": "Mon, 21 Sep 2099 14:15:53 GMT", **DATE}, PortalBusy, 600),
        (429, "OPERATION_TIME_LIMIT", {"Retry-After": "7"}, MethodBusy, 7),
        (500, "INTERNAL_SERVER_ERROR", {"Retry-After": "7"}, PortalBroken, 7),
        # No shorter than the class's own.
        (503, "QUERY_LIMIT_EXCEEDED", {"Retry-After": "0.1"}, PortalBusy, 1),
        (503, "OVERLOAD_LIMIT", {"Retry-After": "7"}, PortalBlocked, 600),
        # What can't be used.
        (503, "QUERY_LIMIT_EXCEEDED", {"Retry-After": "Mon, 21 Sep 2026 14:15:53 GMT"}, PortalBusy, 1),
        (503, "QUERY_LIMIT_EXCEEDED", {"Retry-After": "Mon, 21 Sep 2020 14:15:53 GMT", **DATE}, PortalBusy, 1),
        *[
            (503, "QUERY_LIMIT_EXCEEDED", {"Retry-After": value, **DATE}, PortalBusy, 1)
            for value in ("", "0", "-7", "nan", "inf", "later", "Mon, 99 Foo 99999 99:99:99 GMT", "9" * 5000 + "x")
        ],
        # Only what is sent again can wait for it.
        (401, "expired_token", {"Retry-After": "7"}, None, 0),
        (400, "ERROR_ARGUMENT", {"Retry-After": "7"}, None, 0),
    ],
)
def test_retry_after_is_a_hint_within_bounds(status, code, headers, kind, seconds):
    found, waits = pause(status, code, headers=headers)
    assert waits == seconds
    assert kind in (found, None)


def test_a_page_of_a_front_end_can_ask_for_a_pause_too():
    with pytest.raises(PortalBusy) as caught:
        read(503, b"<html>Maintenance</html>", (), {"Retry-After": "120"})
    assert caught.value.pause_seconds == 120
    assert PortalBusy.pause_seconds == 1, "the pause of one error is not that of its class"


# -- secrets -----------------------------------------------------------------------------------------------------------

FORMS = (
    str,
    str.upper,
    lambda secret: quote(secret, safe=""),
    lambda secret: quote(secret, safe="").lower(),
    lambda secret: quote(quote(secret, safe=""), safe=""),
    quote_plus,
    lambda secret: "".join(f"%{byte:02x}" for byte in secret.encode()),
    lambda secret: f"https://b24.example/rest/1/{secret}/profile.json?auth={quote(secret)}&x=1",
)


def shown(error):
    return (
        f"{error} {error!r} {error.hint} {getattr(error, 'code', '')} {getattr(error, 'description', '')} {error.args}"
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_blotted_out_in_every_form(form):
    secret = "a+b/c=d&e.f~g%h"
    assert blotted(f"<{form('k0' + secret)}>", ["", "other", "k0" + secret]) in (
        "<***>",
        "<https://b24.example/rest/1/***/profile.json?auth=***&x=1>",
    )


def test_of_two_secrets_that_begin_alike_the_longer_one_goes_whole():
    assert blotted("token-1234567 token-1234", ["token-1234", "token-1234567"]) == "*** ***"


def test_no_part_of_a_secret_is_left_where_the_text_is_cut():
    secret = "0123456789abcdef" * 4
    for before in range(150, 201):
        body = {"error": "x" * (before - 145) + secret, "error_description": "y" * before + secret + "z" * 9000}
        with pytest.raises(PortalRefused) as caught:
            read(400, json.dumps(body).encode(), (secret,))
        assert "0123" not in shown(caught.value)


def test_many_secrets_in_a_row_leave_none_behind():
    secret = "s3cret" * 20
    with pytest.raises(PortalRefused) as caught:
        read(400, json.dumps({"error": "", "error_description": secret * 500}).encode(), (secret,))
    assert "s3cret" not in shown(caught.value)


def test_a_secret_that_cleaning_would_put_together_is_blotted_out():
    with pytest.raises(PortalRefused) as caught:
        read(400, b'{"error": "", "error_description": "it is open\\tsesame"}', ("open sesame",))
    assert caught.value.description == "it is ***"


def test_an_entry_of_a_batch_shows_no_secret_either():
    error = entry_refusal({"error": "", "error_description": "Call is not found: s3cretsecret0"}, ("s3cretsecret0",))
    assert type(error) is CallNotFound
    assert error.description == "Call is not found: ***"


def test_the_largest_text_is_blotted_out_in_bearable_time():
    body = json.dumps({"error": "", "error_description": "s3cretsecre%73" * 280_000}).encode()
    begun = time.monotonic()
    with pytest.raises(PortalRefused):
        read(400, body, ("s3cretsecret0", "t0ken" * 20, "refre5h" * 20))
    in_time(time.monotonic() - begun, 5)


secrets = st.text("abcdefgXYZ0123456789-_.~+/=%&", min_size=8, max_size=90)
portals_words = st.lists(st.text(max_size=60) | st.integers(0, 15), max_size=8)


@given(st.lists(secrets, min_size=1, max_size=2), portals_words, portals_words, st.sampled_from((200, 400, 401, 500)))
@example(["%25%25%25"], [0, 1, 2], [4], 400)
def test_no_secret_is_seen_in_any_error(given_secrets, code, description, status):
    def said(words):
        forms = [form(secret) for secret in given_secrets for form in FORMS]
        return "".join(forms[word % len(forms)] if isinstance(word, int) else word for word in words)

    body = {"error": said(code), "error_description": said(description), "result": said(code)}
    with pytest.raises(PortalError) as caught:
        read(status, json.dumps(body).encode(), given_secrets)
    seen = shown(caught.value).lower()
    for secret in given_secrets:
        for form in FORMS[:-1]:
            assert form(secret).lower() not in seen
    assert len(str(caught.value)) < 400


# -- any reply ---------------------------------------------------------------------------------------------------------


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


headers_and_times = (
    st.text() | st.dates().map(lambda day: day.strftime("%a, %d %b %Y 10:00:00 GMT")) | st.floats().map(str)
)


@given(
    st.sampled_from(("OPERATION_TIME_LIMIT", "QUERY_LIMIT_EXCEEDED", "OVERLOAD_LIMIT", "INTERNAL_SERVER_ERROR")),
    st.dictionaries(
        st.sampled_from(("start", "finish", "date_start", "date_finish", "operating_reset_at")),
        json_values | headers_and_times | st.datetimes().map(str),
    ),
    st.dictionaries(st.sampled_from(("Retry-After", "date", "DATE")), headers_and_times),
)
def test_any_times_and_headers_give_a_pause_within_bounds(code, times, headers):
    with pytest.raises(PortalError) as caught:
        read(429, json.dumps({"error": code, "time": times}).encode(), (), headers)
    assert 0 <= caught.value.pause_seconds <= 600


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
