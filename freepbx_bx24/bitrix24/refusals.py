"""One table: what the portal says when it refuses, and which error of ours that is, with what a person can do."""

from __future__ import annotations

from typing import NamedTuple, Union

from ..errors import (
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
    PortalGone,
    PortalRefused,
    RecordNotReady,
    RecordRefused,
    TokenExpired,
    TooLarge,
    UnknownRefusal,
    UploadStale,
)

Refusal = Union[PortalRefused, PortalBroken]

_PLAN = "REST is part of the portal's paid plans and subscription only: ask the portal's owner."
_OWNER = "Its owner was dismissed: make a new webhook, or type `bx24 login`, as an administrator who stays."
_ADDRESS = "Check the portal's address: it begins with https://, and a webhook's URL is copied whole."
_KEYS = "Compare the local application's client_id and client_secret with its page on the portal, then `bx24 login`."
_NUMBER = "The number has no digits that the portal takes: callers without a number need one set for them."
_LINE = "The portal has no such line: the next call over it makes it anew."
_FAULT = "This is a fault of freepbx_bx24: please report it with the lines of its log."
_BROWSER = "Open the local application on the portal once, so that it is installed, then type `bx24 login`."


class Row(NamedTuple):
    """One line of the table.

    :ivar code: `error` in lower case; "" stands for both codes of telephony's own errors.
    :ivar text: a part of `error_description` in lower case; "" for every description.
    :ivar kind: the class of the error. :ivar hint: in place of the class's own where it says more.
    """

    code: str
    text: str
    kind: type[PortalRefused] | type[PortalBroken]
    hint: str = ""


# The first row that fits decides. The portal mixes the cases of its codes, and its HTTP statuses differ between the
# documentation and the wire: so the code comes first, and the status decides only where no row fits.
#
# Telephony throws its errors without a code: `"error": ""` on the wire, ERROR_CORE in the documentation. Their texts
# differ in endings, brackets and little words between versions: what is compared is the part that has stayed.
TABLE: tuple[Row, ...] = (
    # Patience.
    Row("query_limit_exceeded", "", PortalBusy),
    Row("operation_time_limit", "", MethodBusy),
    Row("overload_limit", "", PortalBlocked),
    Row("connection_error", "", PortalBusy, "The portal can't reach its authorisation server: it is tried again."),
    Row("internal_server_error", "", PortalBroken),
    Row("error_unexpected_answer", "", PortalBroken),
    # Who we are, and what we may.
    Row("expired_token", "", TokenExpired),
    Row("invalid_token", "", TokenExpired),
    Row("no_auth_found", "", PortalAuthorisation),
    Row("invalid_credentials", "", PortalAuthorisation),
    Row("insufficient_scope", "", MethodForbidden),
    Row(
        "user_access_error", "", PortalAuthorisation, "Give the login's user access to the application, on the portal."
    ),
    Row("access_denied", "rest is available only", PortalAuthorisation, _PLAN),
    Row("access_denied", "can't be authorized", PortalAuthorisation, _OWNER),
    Row("access_denied", "link check failed", UploadStale),
    Row("access_denied", "offline events", MethodForbidden, "Type `bx24 login` as an administrator of the portal."),
    Row("access_denied", "", MethodForbidden),
    Row("authorization_error", "", LoginNeeded, _OWNER),
    Row("application_not_found", "", LoginNeeded, _BROWSER),
    Row("wrong_auth_type", "", NeedsApplication),
    Row("wrong_license", "", FeatureMissing),
    Row(
        "method_confirm_waiting",
        "",
        MethodForbidden,
        "An administrator must allow this method: see the portal's notices.",
    ),
    Row("portal_deleted", "", PortalGone),
    Row("error_method_not_found", "", MethodForbidden, f"The portal has no such method. {_ADDRESS}"),
    Row("invalid_request", "https required", PortalAuthorisation, _ADDRESS),
    # The authorisation server.
    Row("invalid_grant", "", LoginNeeded),
    Row("invalid_client", "", PortalAuthorisation, _KEYS),
    Row("wrong_client", "", PortalAuthorisation, _KEYS),
    Row("invalid_request", "", PortalAuthorisation, f"{_KEYS} {_ADDRESS}"),
    Row("not_installed", "", LoginNeeded, _BROWSER),
    Row("payment_required", "", PortalAuthorisation, _PLAN),
    Row(
        "invalid_scope", "", LoginNeeded, "Give the local application telephony, user and crm, then type `bx24 login`."
    ),
    # What was asked.
    Row("error_argument", "", PortalRefused, _FAULT),
    Row("invalid_argument", "", PortalRefused, _FAULT),
    Row("error_batch_length_exceeded", "", PortalRefused, _FAULT),
    Row("error_batch_method_not_allowed", "", PortalRefused, _FAULT),
    Row("error_event_not_found", "", MethodForbidden),
    Row("error_wrong_handler_url", "", PortalRefused, "Correct the address for the portal's events."),
    Row("error_unsupported_protocol", "", PortalRefused, "The address for the portal's events begins with https://."),
    # Calls: what is not finished yet is "not found" as well, in other tables.
    Row("", "not finished yet", RecordNotReady),
    Row("", "is it finished?", RecordNotReady),
    Row("", "call is not found", CallNotFound),
    Row("", "user is not found or is not active", PersonUnknown),
    Row("", "user_id or user_phone_inner should be set", PersonUnknown),
    Row("", "unsupported phone number format", PortalRefused, _NUMBER),
    Row("", "phone_number is empty", PortalRefused, _NUMBER),
    Row("", "unknown type", PortalRefused, _FAULT),
    Row("", "call_start_date should be", PortalRefused, _FAULT),
    Row("", "call_id should be set", PortalRefused, _FAULT),
    Row("", "messages should be an array", PortalRefused, _FAULT),
    Row("", "messages[", PortalRefused, _FAULT),
    Row("", "unexpected database error", DatabaseRefused),
    Row("", "sql query error", DatabaseRefused),
    Row("", "crm is not installed", FeatureMissing),
    # Recordings.
    Row("", "wrong file extension", RecordRefused),
    Row("", "file name is empty", PortalRefused, _FAULT),
    Row("", "file content is empty", RecordRefused),
    Row("", "file content is not properly encoded", PortalRefused, _FAULT),
    Row("", "required parameter file is not found", PortalRefused, _FAULT),
    Row("", "required parameters are not set", PortalRefused, _FAULT),
    Row("", "server returns http error code", RecordRefused, "The portal could not fetch the recording from its URL."),
    # Lines and events.
    Row("", "line already exists", AlreadySo),
    Row("", "could not find line", PortalRefused, _LINE),
    Row("", "number should not be empty", PortalRefused, _FAULT),
    Row("", "there are no fields to update", PortalRefused, _FAULT),
    Row("", "db error", DatabaseRefused),
    Row("", "handler already bind", AlreadySo),
)

_CODELESS = frozenset({"", "error_core"})

# Where no row fits. A bare 401 never asks for a new token: only two codes say that one would help.
_BY_STATUS: dict[int, tuple[type[PortalRefused], str]] = {
    401: (PortalAuthorisation, ""),
    402: (PortalAuthorisation, _PLAN),
    403: (MethodForbidden, ""),
    413: (TooLarge, ""),
    429: (PortalBusy, ""),
    503: (PortalBusy, ""),
}
# What a front end says by its status alone, with whatever page: the other statuses need the portal's own words.
_FRONT_END = frozenset({413, 429, 503})


def refusal(code: str, description: str, status: int) -> Refusal:
    """Return the error for what the portal said; both texts harmless already.

    :param code: `error`, in any case. :param description: `error_description`.
    :param status: HTTP status; 0 for an entry of a batch's `result_error`, which has none of its own.
    """
    key, said = code.lower(), description.lower()
    codeless = key in _CODELESS
    for row in TABLE:
        if row.code == ("" if codeless else key) and row.text in said:
            return _made(row.kind, row.hint, code, description, status)
    if status in _BY_STATUS:
        kind, hint = _BY_STATUS[status]
        error = kind(code, description, status, hint)
        # 429 is said before the work; a 503 without a code that we know may come from behind it.
        error.ambiguous = status == 503
        return error
    if status >= 500 and key != "error_core":
        return _made(PortalBroken, "", code, description, status)
    return UnknownRefusal(code, description, status)


def without_words(status: int) -> Refusal:
    """Return the error for a reply that holds neither a result nor an error of the portal's: a page, nothing, half."""
    if status in _FRONT_END:
        return refusal("", "", status)
    answered = f"HTTP {status}" if status else "one request of a batch"
    return PortalBroken(f"the portal answered {answered} with neither a result nor an error")


def _made(
    kind: type[PortalRefused] | type[PortalBroken], hint: str, code: str, description: str, status: int
) -> Refusal:
    if issubclass(kind, PortalBroken):
        said = ": ".join(text for text in (code, description) if text)
        return kind(f"the portal stumbled with HTTP {status}: {said or 'no reason given'}", hint)
    return kind(code, description, status, hint)
