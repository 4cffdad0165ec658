"""Who is calling: checks a webhook's secret or an application's token, and the scope of the method."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from freepbx_bx24.sandbox.portal.errors import system_error
from freepbx_bx24.sandbox.portal.switches import Switches
from freepbx_bx24.sandbox.portal.world import World

ALL_SCOPES = frozenset({"telephony", "user", "crm", "call", "im"})


@dataclass(frozen=True)
class Presented:
    """What a request showed: a webhook's user and secret, or a token, or nothing."""

    webhook_user: int | None = None
    webhook_secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @property
    def kind(self) -> str:
        """ "webhook", "oauth" or "none"."""
        return "webhook" if self.webhook_user is not None else "oauth" if self.token else "none"


@dataclass(frozen=True)
class Caller:
    """Whom the portal takes the request to be from. Webhooks have no application: `app_id` None, `app_name` None."""

    user_id: int
    app_id: str | None
    app_name: str | None
    scopes: frozenset[str]
    upload_path: str = field(default="", repr=False)  # where attachRecord sends this caller to; holds the credential

    @property
    def is_webhook(self) -> bool:
        """True for an inbound webhook."""
        return self.app_id is None

    @property
    def meter(self) -> str:
        """Whose operating time the caller uses up: the application's, or this one webhook's."""
        return f"webhook of {self.user_id}" if self.is_webhook else f"application {self.app_id}"


@dataclass
class Token:
    """An access token: acts as a user, for an application. `expires`: on the monotonic clock; None: never."""

    user_id: int
    app_id: str = "3"
    app_name: str = "PBX bridge"
    scopes: frozenset[str] = ALL_SCOPES
    expires: float | None = None


@dataclass(frozen=True)
class Grant:
    """What an authorisation code or a refresh token stands for; `expires` on the monotonic clock."""

    user_id: int
    expires: float


@dataclass
class Credentials:
    """All keys that open this portal: secret per webhook user, tokens, and what can be exchanged for tokens."""

    webhooks: dict[int, str] = field(default_factory=dict, repr=False)
    tokens: dict[str, Token] = field(default_factory=dict, repr=False)
    codes: dict[str, Grant] = field(default_factory=dict, repr=False)
    refresh_tokens: dict[str, Grant] = field(default_factory=dict, repr=False)
    webhook_scopes: frozenset[str] = ALL_SCOPES
    # Signs upload links; a link holds for the credential that asked for it.
    signing_key: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)


def identify(presented: Presented, credentials: Credentials, world: World, switches: Switches, moment: float) -> Caller:
    """The caller behind what was presented; `moment` is the portal's monotonic clock.

    :raises RestError: NO_AUTH_FOUND, INVALID_CREDENTIALS, invalid_token, expired_token, authorization_error,
        ACCESS_DENIED.
    """
    if presented.webhook_user is not None:
        user_id = presented.webhook_user
        secret = credentials.webhooks.get(user_id, "")
        if not secret or not hmac.compare_digest(secret.encode(), presented.webhook_secret.encode()):
            raise system_error("invalid_credentials", switches.auth_error_status)
        if not world.active_employee(user_id):
            raise system_error("webhook_user_dismissed", switches.auth_error_status)
        return Caller(user_id, None, None, credentials.webhook_scopes, upload_path=f"rest/{user_id}/{secret}/upload/?")
    if not presented.token:
        raise system_error("no_auth")
    token = credentials.tokens.get(presented.token)
    if token is None:
        raise system_error("invalid_token")
    if token.expires is not None and moment >= token.expires:
        raise system_error("expired_token")
    if not world.active_employee(token.user_id):
        raise system_error("user_dismissed")
    return Caller(
        token.user_id,
        token.app_id,
        token.app_name,
        token.scopes,
        upload_path=f"rest/upload.json?auth={presented.token}&",
    )


def check_scope(caller: Caller, scopes: frozenset[str], switches: Switches) -> None:
    """Any one of `scopes` is enough; an empty set asks for none.

    :raises RestError: insufficient_scope.
    """
    if scopes and not scopes & caller.scopes:
        name = "insufficient_scope_webhook" if caller.is_webhook else "insufficient_scope"
        raise system_error(name, switches.auth_error_status)


def check_auth_type(caller: Caller, switches: Switches) -> None:
    """For register, finish and the lines, which some portals keep for applications.

    :raises RestError: WRONG_AUTH_TYPE.
    """
    if caller.is_webhook and not switches.webhook_allowed_for_register:
        raise system_error("wrong_auth_type")
