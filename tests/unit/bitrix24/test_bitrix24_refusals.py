"""Everything that a portal is known to refuse with, sent over HTTP: its class, its remedy and what a person reads."""

from __future__ import annotations

import pytest

from freepbx_bx24 import errors
from freepbx_bx24.bitrix24.refusals import TABLE, Row, refusal, without_words
from freepbx_bx24.bitrix24.replies import entry_refusal
from freepbx_bx24.errors import (
    AGAIN,
    DONE,
    GIVE_UP,
    ITEM,
    LOGIN,
    METHOD,
    PORTAL,
    REFRESH,
    SETTLE,
    STOP,
    AlreadySo,
    CallNotFound,
    DatabaseRefused,
    FeatureMissing,
    LoginNeeded,
    MethodBusy,
    MethodForbidden,
    NeedsApplication,
    PersonUnknown,
    PortalAuthorisation,
    PortalBlocked,
    PortalBroken,
    PortalBusy,
    PortalError,
    PortalGone,
    PortalRefused,
    RecordNotReady,
    RecordRefused,
    TokenExpired,
    TooLarge,
    UnknownRefusal,
    UploadStale,
)
from freepbx_bx24.sandbox.portal import Reply

# What is known of the portal's refusals, by place: HTTP statuses (documentation and wire) | error | description.
# `-` is the code of telephony's own errors: empty on the wire, ERROR_CORE in the documentation.
FACTS = """
[batch]
400 | ERROR_BATCH_LENGTH_EXCEEDED | Max batch length exceeded
400 | ERROR_BATCH_METHOD_NOT_ALLOWED | Method is not allowed for batch usage
[any]
401 | expired_token | The access token provided has expired
401 | expired_token | The access token provided has expired.
401 | invalid_token | Unable to get application by token
401 | NO_AUTH_FOUND | Wrong authorization data
403 401 | INVALID_CREDENTIALS | Invalid request credentials
403 401 | insufficient_scope | The request requires higher privileges than provided by the access token
403 401 | insufficient_scope | The request requires higher privileges than provided by the webhook token
403 401 | user_access_error | The user does not have access to the application.
403 401 | ACCESS_DENIED | REST is available only on commercial plans.
403 401 | ACCESS_DENIED | REST is available only by subscription.
403 401 | ACCESS_DENIED | Current user can't be authorized in this context
401 | authorization_error | Unable to authorize user
401 | APPLICATION_NOT_FOUND | Application not found
401 | CONNECTION_ERROR | Error connecting to authorization server
503 401 | OVERLOAD_LIMIT | REST API is blocked due to overload.
400 401 | INVALID_REQUEST | Https required.
403 | WRONG_AUTH_TYPE | Current authorization type is denied for this method
403 | ACCESS_DENIED | Access denied!
403 | ACCESS_DENIED | Access denied! Telephony settings
403 | WRONG_LICENSE | This feature is not enabled for the current license: telephony
404 | ERROR_METHOD_NOT_FOUND | Method not found!
429 | OPERATION_TIME_LIMIT | Method is blocked due to operation time limit.
503 | QUERY_LIMIT_EXCEEDED | Too many requests
500 | INTERNAL_SERVER_ERROR | Internal server error
500 | ERROR_UNEXPECTED_ANSWER |
500 410 403 | PORTAL_DELETED | Portal was deleted
401 | METHOD_CONFIRM_WAITING | Waiting for confirmation
400 | ERROR_ARGUMENT | Argument 'FILTER' is null or empty
500 | - | SQL query error!
[register]
400 | - | USER_ID or USER_PHONE_INNER should be set
400 | - | Unknown TYPE
400 | - | CALL_START_DATE should be in the ISO-8601 format
400 | - | Unsupported phone number format
400 | - | User is not found or is not active
[finish]
400 | INVALID_ARGUMENT | CALL_ID must be a string
400 | - | Call is not found (call should be registered prior to finishing
400 | - | Call is not found (call should be registered prior to finishing)
400 | - | Unexpected database error; (1406) Data too long for column 'PHONE_NUMBER' at row 1
[attachRecord]
400 | - | Required parameters are not set. Request should contain or URL or FILENAME parameter
400 | - | Required parameters are not set. Request should contain either URL or FILENAME parameter
400 | - | Call is not found in the statistic table. Looks like it is not finished yet.
400 | - | Call is not found in the statistic table. It looks like it is not finished yet.
400 | - | File name is empty
400 | - | Wrong file extension. Only wav and mp3 are allowed
400 | - | File content is empty.
400 | - | File content is not properly encoded. Base64 encoding is expected.
400 | - | Server returns HTTP error code 404
400 | - | CRM is not installed
400 | - | Недопустимый тип файла
400 | - | Eine Datei mit diesem Namen existiert bereits
400 | - | NETWORK: connection refused
[upload]
400 | - | Error: required parameter file is not found
403 | ACCESS_DENIED | Access denied! Link check failed
[searchCrm]
400 | - | PHONE_NUMBER is empty
400 | - | CRM is not installed.
[line.add]
400 | - | NUMBER should not be empty
400 | - | Line already exists
400 | - | DB error
[line.update]
400 | - | There are no fields to update
400 | - | Could not find line with number 74957770000
[transcription]
400 | - | CALL_ID should be set
400 | - | MESSAGES should be an array
400 | - | MESSAGES[0][SIDE] should be either Client or User
400 | - | MESSAGES[0][START_TIME] should be greater or equal to zero
400 | - | MESSAGES[0][STOP_TIME] should be greater than zero
400 | - | MESSAGES[0][MESSAGE] is empty
400 | - | Call externalCall.5f2b.1790000123 is not found. Is it finished?
[event.bind]
400 | ERROR_EVENT_NOT_FOUND | Event not found
400 | - | Unable to set event handler: Handler already binded
400 | ERROR_WRONG_HANDLER_URL | Wrong handler URL
400 | ERROR_UNSUPPORTED_PROTOCOL | Unsupported event handler protocol
403 | ACCESS_DENIED | Access denied! Offline events binding requires administrator access rights
[event.offline]
403 | WRONG_LICENSE | This feature is not enabled for the current license: extended offline events handling
[oauth]
400 | invalid_grant |
400 | invalid_client |
200 | wrong_client |
400 | invalid_request |
401 | NOT_INSTALLED | Application not installed
401 402 | PAYMENT_REQUIRED |
403 | invalid_scope |
403 | insufficient_scope |
"""

REPORT = "please report it"

# Code, or code and beginning of the description -> (class, what its hint says). The longest beginning counts.
EXPECTED = {
    "error_batch_length_exceeded": (PortalRefused, REPORT),
    "error_batch_method_not_allowed": (PortalRefused, REPORT),
    "expired_token": (TokenExpired, "bx24 login"),
    "invalid_token": (TokenExpired, "bx24 login"),
    "no_auth_found": (PortalAuthorisation, "new webhook"),
    "invalid_credentials": (PortalAuthorisation, "new webhook"),
    "insufficient_scope": (MethodForbidden, "rights telephony, user and crm"),
    "user_access_error": (PortalAuthorisation, "access to the application"),
    "access_denied | REST is available only": (PortalAuthorisation, "plans and subscription"),
    "access_denied | Current user": (PortalAuthorisation, "dismissed"),
    "access_denied | Access denied!": (MethodForbidden, "rights telephony, user and crm"),
    "access_denied | Access denied! Offline events": (MethodForbidden, "administrator"),
    "access_denied | Access denied! Link check failed": (UploadStale, "new upload address"),
    "authorization_error": (LoginNeeded, "dismissed"),
    "application_not_found": (LoginNeeded, "installed"),
    "connection_error": (PortalBusy, "authorisation server"),
    "overload_limit": (PortalBlocked, "support"),
    "invalid_request": (PortalAuthorisation, "client_id and client_secret"),
    "invalid_request | Https required": (PortalAuthorisation, "https://"),
    "wrong_auth_type": (NeedsApplication, "local application"),
    "wrong_license": (FeatureMissing, "plan"),
    "error_method_not_found": (MethodForbidden, "webhook's URL is copied whole"),
    "operation_time_limit": (MethodBusy, "by itself"),
    "query_limit_exceeded": (PortalBusy, "by itself"),
    "internal_server_error": (PortalBroken, "web page"),
    "error_unexpected_answer": (PortalBroken, "web page"),
    "portal_deleted": (PortalGone, "deleted"),
    "method_confirm_waiting": (MethodForbidden, "must allow this method"),
    "error_argument": (PortalRefused, REPORT),
    "invalid_argument": (PortalRefused, REPORT),
    "error_event_not_found": (MethodForbidden, "rights telephony"),
    "error_wrong_handler_url": (PortalRefused, "address for the portal's events"),
    "error_unsupported_protocol": (PortalRefused, "https://"),
    "invalid_grant": (LoginNeeded, "bx24 login"),
    "invalid_client": (PortalAuthorisation, "client_id and client_secret"),
    "wrong_client": (PortalAuthorisation, "client_id and client_secret"),
    "not_installed": (LoginNeeded, "installed"),
    "payment_required": (PortalAuthorisation, "plans and subscription"),
    "invalid_scope": (LoginNeeded, "telephony, user and crm"),
    "- | SQL query error": (DatabaseRefused, "nothing repeats it"),
    "- | Unexpected database error": (DatabaseRefused, "nothing repeats it"),
    "- | DB error": (DatabaseRefused, "nothing repeats it"),
    "- | USER_ID or USER_PHONE_INNER": (PersonUnknown, "default_person"),
    "- | User is not found or is not active": (PersonUnknown, "default_person"),
    "- | Unknown TYPE": (PortalRefused, REPORT),
    "- | CALL_START_DATE": (PortalRefused, REPORT),
    "- | Unsupported phone number": (PortalRefused, "no digits"),
    "- | PHONE_NUMBER is empty": (PortalRefused, "no digits"),
    "- | Call is not found (": (CallNotFound, "the journal settles it"),
    "- | Call is not found in the statistic": (RecordNotReady, "by itself"),
    "- | Call externalCall.": (RecordNotReady, "by itself"),
    "- | Required parameters": (PortalRefused, REPORT),
    "- | Error: required parameter file": (PortalRefused, REPORT),
    "- | File name is empty": (PortalRefused, REPORT),
    "- | Wrong file extension": (RecordRefused, "wav and mp3"),
    "- | File content is empty": (RecordRefused, "wav and mp3"),
    "- | File content is not properly": (PortalRefused, REPORT),
    "- | Server returns HTTP error": (RecordRefused, "fetch"),
    "- | CRM is not installed": (FeatureMissing, "modules"),
    "- | Недопустимый": (UnknownRefusal, "own words"),
    "- | Eine Datei": (UnknownRefusal, "own words"),
    "- | NETWORK:": (UnknownRefusal, "own words"),
    "- | NUMBER should not": (PortalRefused, REPORT),
    "- | Line already exists": (AlreadySo, "Nothing to do"),
    "- | There are no fields": (PortalRefused, REPORT),
    "- | Could not find line": (PortalRefused, "no such line"),
    "- | CALL_ID should be set": (PortalRefused, REPORT),
    "- | MESSAGES should be": (PortalRefused, REPORT),
    "- | MESSAGES[0]": (PortalRefused, REPORT),
    "- | Unable to set event handler": (AlreadySo, "Nothing to do"),
}

# Class -> remedy, blame, seconds to wait at least, whether the request may have been carried out.
DECISIONS = {
    PortalBusy: (AGAIN, PORTAL, 1.0, False),
    MethodBusy: (AGAIN, METHOD, 60.0, False),
    PortalBlocked: (AGAIN, PORTAL, 600.0, False),
    PortalBroken: (AGAIN, PORTAL, 0.0, True),
    PortalAuthorisation: (STOP, PORTAL, 60.0, False),
    PortalGone: (STOP, PORTAL, 60.0, False),
    MethodForbidden: (STOP, METHOD, 60.0, False),
    NeedsApplication: (LOGIN, METHOD, 60.0, False),
    LoginNeeded: (LOGIN, PORTAL, 60.0, False),
    TokenExpired: (REFRESH, PORTAL, 0.0, False),
    RecordNotReady: (AGAIN, ITEM, 0.0, False),
    UploadStale: (AGAIN, ITEM, 0.0, False),
    CallNotFound: (SETTLE, ITEM, 0.0, False),
    AlreadySo: (DONE, ITEM, 0.0, False),
    **dict.fromkeys(
        (PortalRefused, PersonUnknown, RecordRefused, TooLarge, FeatureMissing, DatabaseRefused, UnknownRefusal),
        (GIVE_UP, ITEM, 0.0, False),
    ),
}


def rows() -> list[tuple[str, str, str, str]]:
    """FACTS as (place, statuses, code, description)."""
    found, place = [], ""
    for line in FACTS.strip().splitlines():
        if line.startswith("["):
            place = line.strip("[]")
        else:
            statuses, code, description = (part.strip() for part in line.split("|"))
            found.append((place, statuses, code, description))
    return found


ROWS = rows()


def key_of(code: str, description: str) -> str:
    """The key of EXPECTED for a fact, "" where there is none."""
    said = f"{code.lower()} | {description}"
    return max((key for key in EXPECTED if said.startswith(key)), key=len, default="")


def codes_on_the_wire(code: str) -> list[str]:
    return ["", "ERROR_CORE", "error_core"] if code == "-" else [code, code.lower(), code.upper(), code.title()]


def decision(error: PortalError) -> tuple[str, str, float, bool]:
    return error.remedy, error.blame, error.pause_seconds, error.ambiguous


def portal_errors() -> list[type[PortalError]]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PortalError)]
    return sorted(kinds, key=lambda kind: kind.__name__)


@pytest.mark.parametrize(
    ("place", "statuses", "code", "description"), ROWS, ids=[f"{row[0]}: {row[2]}: {row[3][:40]}" for row in ROWS]
)
def test_what_the_portal_refuses_with_becomes_one_error_with_its_remedy_and_its_hint(
    portal, each_alone, place, statuses, code, description
):
    key = key_of(code, description)
    assert key, f"{code}: {description} has no expectation here: what is to be done about it?"
    kind, hint = EXPECTED[key]
    for status in map(int, statuses.split()):
        for spelt in codes_on_the_wire(code):
            body = {"error": spelt, **({"error_description": description} if description else {})}
            portal.scripted_replies.add("profile", Reply(status, body))
            with pytest.raises(PortalError) as caught:
                each_alone()
            error = caught.value
            assert type(error) is kind
            assert decision(error) == DECISIONS[kind]
            assert error.retryable is (error.remedy in (AGAIN, REFRESH))
            assert hint in error.hint
            # A person sees the portal's own words.
            assert (spelt or "refused") in str(error) and description in str(error)
            assert type(entry_refusal(body)) is kind, "the same words in a batch, where there is no status"
            if isinstance(error, PortalRefused):
                assert (error.code, error.description, error.status) == (spelt, description, status)


def deciding_row(code: str, description: str) -> Row | None:
    fitting = (row for row in TABLE if row.code == code.lower().strip("-") and row.text in description.lower())
    return next(fitting, None)


def test_every_expectation_is_met_by_a_fact_and_every_row_of_the_table_decides_one():
    assert {key_of(code, description) for _, _, code, description in ROWS} == set(EXPECTED)
    assert {deciding_row(code, description) for _, _, code, description in ROWS} - {None} == set(TABLE)


def test_no_row_is_missing_but_for_what_is_in_the_portals_own_language():
    unknown = {key_of(code, text) for _, _, code, text in ROWS if deciding_row(code, text) is None}
    assert unknown == {key for key, (kind, _) in EXPECTED.items() if kind is UnknownRefusal}


def test_a_row_without_code_never_takes_every_description():
    assert all(row.code or row.text for row in TABLE)
    assert all(row.code == row.code.lower() and row.text == row.text.lower() for row in TABLE)
    assert len(set(TABLE)) == len(TABLE)


@pytest.mark.parametrize("kind", portal_errors(), ids=lambda kind: kind.__name__)
def test_an_error_is_retryable_exactly_where_its_remedy_is_to_send_it_again(kind):
    assert kind.retryable is (kind.remedy in (AGAIN, REFRESH))
    assert kind.remedy in {AGAIN, REFRESH, LOGIN, STOP, SETTLE, DONE, GIVE_UP}
    assert kind.blame in {PORTAL, METHOD, ITEM}
    assert 0 <= kind.pause_seconds <= 600
    # Somebody else's calls never wait for what is settled with one.
    assert kind.blame == ITEM or kind.remedy not in (SETTLE, DONE, GIVE_UP)
    assert kind.remedy == AGAIN or not kind.ambiguous


@pytest.mark.parametrize(
    ("status", "code", "kind", "ambiguous"),
    [
        (400, "SOMETHING_NEW", UnknownRefusal, False),
        (404, "SOMETHING_NEW", UnknownRefusal, False),
        (200, "SOMETHING_NEW", UnknownRefusal, False),
        (0, "SOMETHING_NEW", UnknownRefusal, False),
        (0, "", UnknownRefusal, False),
        (500, "ERROR_CORE", UnknownRefusal, False),
        (401, "SOMETHING_NEW", PortalAuthorisation, False),
        (401, "", PortalAuthorisation, False),
        (402, "SOMETHING_NEW", PortalAuthorisation, False),
        (403, "SOMETHING_NEW", MethodForbidden, False),
        (413, "SOMETHING_NEW", TooLarge, False),
        (429, "SOMETHING_NEW", PortalBusy, False),
        (503, "SOMETHING_NEW", PortalBusy, True),
        (503, "ERROR_CORE", PortalBusy, True),
        (500, "", PortalBroken, True),
        (502, "SOMETHING_NEW", PortalBroken, True),
        (504, "SOMETHING_NEW", PortalBroken, True),
    ],
)
def test_the_status_decides_where_no_row_fits_and_a_bare_401_asks_for_no_new_token(status, code, kind, ambiguous):
    error = refusal(code, "in words that nobody knows", status)
    assert type(error) is kind
    assert error.ambiguous is ambiguous
    assert "in words that nobody knows" in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(413, TooLarge), (429, PortalBusy), (503, PortalBusy)]
    + [(status, PortalBroken) for status in (200, 302, 400, 401, 403, 404, 410, 500, 502, 504, 0)],
)
def test_without_words_of_the_portal_only_what_a_front_end_says_by_its_status_is_believed(
    portal, each_alone, status, kind
):
    error = without_words(status)
    assert type(error) is kind
    assert str(status) in str(error) or status == 0
    if status >= 400:
        portal.scripted_replies.add("profile", Reply(status, b"<html>Sorry</html>", {"Content-Type": "text/html"}))
        with pytest.raises(kind) as caught:
            each_alone()
        assert str(caught.value) == str(error)


def test_a_text_of_telephony_under_another_code_is_not_taken_for_telephonys():
    assert type(refusal("ACCESS_DENIED", "User is not found or is not active", 403)) is MethodForbidden
    assert type(refusal("SOMETHING_NEW", "Line already exists", 400)) is UnknownRefusal


@pytest.mark.parametrize("entry", [None, [], "QUERY_LIMIT_EXCEEDED", 5, {}, {"error": None}, {"error": {"code": 1}}])
def test_an_entry_of_a_batch_that_is_no_error_of_a_portal_is_broken(entry):
    error = entry_refusal(entry)
    assert type(error) is PortalBroken
    assert "one request of a batch" in str(error)


def test_a_refusal_that_says_nothing_is_told_with_its_status():
    assert str(refusal("", "", 400)) == "the portal refused: HTTP 400 without a reason"
    assert str(refusal("", "Unknown TYPE", 400)) == "the portal refused: Unknown TYPE"
