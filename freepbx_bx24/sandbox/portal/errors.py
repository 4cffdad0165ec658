"""What a REST method says when it refuses: one error class and the table of the portal's system errors."""

from __future__ import annotations

from typing import Any


class RestError(Exception):
    """A refusal as it travels: HTTP status, `error`, `error_description` and extra keys.

    Telephony methods throw without a code, so their `error` is the empty string (see `refusal`).
    """

    def __init__(self, status: int, code: str, description: str, **extra: Any) -> None:
        super().__init__(description)
        self.status = status
        self.code = code
        self.description = description
        self.extra = extra


# Name here -> (HTTP status or None for the "authorisation family" switch, error, error_description).
SYSTEM_ERRORS: dict[str, tuple[int | None, str, str]] = {
    "portal_deleted": (403, "PORTAL_DELETED", "Portal was deleted"),
    "method_not_found": (404, "ERROR_METHOD_NOT_FOUND", "Method not found!"),
    "no_auth": (401, "NO_AUTH_FOUND", "Wrong authorization data"),
    "expired_token": (401, "expired_token", "The access token provided has expired"),
    "invalid_token": (401, "invalid_token", "Unable to get application by token"),
    "invalid_credentials": (None, "INVALID_CREDENTIALS", "Invalid request credentials"),
    "insufficient_scope": (
        None,
        "insufficient_scope",
        "The request requires higher privileges than provided by the access token",
    ),
    "insufficient_scope_webhook": (
        None,
        "insufficient_scope",
        "The request requires higher privileges than provided by the webhook token",
    ),
    "user_dismissed": (401, "authorization_error", "Unable to authorize user"),
    "webhook_user_dismissed": (None, "ACCESS_DENIED", "Current user can't be authorized in this context"),
    "wrong_auth_type": (403, "WRONG_AUTH_TYPE", "Current authorization type is denied for this method"),
    "access_denied": (403, "ACCESS_DENIED", "Access denied!"),
    "link_check_failed": (403, "ACCESS_DENIED", "Access denied! Link check failed"),
    "operation_time_limit": (429, "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit."),
    "too_many_requests": (503, "QUERY_LIMIT_EXCEEDED", "Too many requests"),
    "sql_error": (500, "ERROR_CORE", "SQL query error!"),
    "internal": (500, "INTERNAL_SERVER_ERROR", "Internal server error"),
    "batch_length": (400, "ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded"),
    "batch_method": (400, "ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage"),
}


def system_error(name: str, auth_error_status: int = 401) -> RestError:
    """The error that the portal's framework (not a method) raises; `name` is a key of SYSTEM_ERRORS."""
    status, code, description = SYSTEM_ERRORS[name]
    return RestError(auth_error_status if status is None else status, code, description)


def refusal(description: str) -> RestError:
    """A telephony method's own error: HTTP 400 and no code."""
    return RestError(400, "", description)


def missing_argument(name: str) -> RestError:
    """The framework's complaint about a parameter that was left out: HTTP 400 `ERROR_ARGUMENT`, with its name."""
    return RestError(400, "ERROR_ARGUMENT", f"Argument '{name}' is null or empty", argument=name)


def bad_argument(description: str) -> RestError:
    """The framework's complaint about a parameter's type: HTTP 400 `INVALID_ARGUMENT`."""
    return RestError(400, "INVALID_ARGUMENT", description)
