"""The authorisation server: /oauth/authorize/ as an administrator's browser sees it, and /oauth/token/."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from freepbx_bx24.sandbox.portal.application import Application
from freepbx_bx24.sandbox.portal.auth import Credentials, Grant, Token
from freepbx_bx24.sandbox.portal.clock import Clock
from freepbx_bx24.sandbox.portal.errors import RestError
from freepbx_bx24.sandbox.portal.interference import Reply
from freepbx_bx24.sandbox.portal.switches import Switches

CODE_SECONDS = 30
GRANT_TYPES = {"authorization_code": "code", "refresh_token": "refresh_token"}  # -> the parameter that holds the grant

# error -> (HTTP status, error_description; empty: none is sent)
OAUTH_ERRORS: dict[str, tuple[int, str]] = {
    "invalid_request": (400, "Invalid or missing parameters"),
    "wrong_client": (200, ""),
    "invalid_client": (400, "Invalid client credentials"),
    "invalid_grant": (400, "Invalid or expired grant"),
    "invalid_scope": (403, "Invalid scope"),
    "insufficient_scope": (403, "The request requires higher privileges than provided"),
    "NOT_INSTALLED": (401, "Application not installed"),
    "PAYMENT_REQUIRED": (402, "Payment required"),
}


def oauth_error(name: str) -> RestError:
    """A refusal of the token server; `name` is a key of OAUTH_ERRORS."""
    status, description = OAUTH_ERRORS[name]
    return RestError(status, name, description)


@dataclass
class AuthorizationServer:
    """What /oauth/ knows while it answers one request; under the portal's lock.

    `origin` is `http://HOST:PORT` of this server, which stands for both the portal and the authorisation server.
    """

    application: Application
    credentials: Credentials
    switches: Switches
    clock: Clock
    origin: str

    @property
    def _server_endpoint(self) -> str:
        return self.application.server_endpoint or f"{self.origin}/rest/"

    @property
    def _portal(self) -> str:
        """The portal's origin, the new one where it was renamed."""
        return self.switches.renamed_to.rstrip("/") or self.origin

    def authorize(self, parameters: Mapping[str, str]) -> str | None:
        """Where the browser goes once the administrator has agreed; None for an unknown application."""
        if parameters.get("client_id") != self.application.client_id:
            return None
        code = secrets.token_hex(16)
        self.credentials.codes[code] = Grant(self.application.user_id, self.clock.monotonic() + CODE_SECONDS)
        answer = {
            "code": code,
            "state": parameters.get("state", ""),
            "domain": urlsplit(self._portal).netloc,
            "member_id": self.application.member_id,
            "scope": self._scope,
            "server_domain": urlsplit(self._server_endpoint).netloc,
        }
        handler = self.application.handler_url
        return f"{handler}{'&' if urlsplit(handler).query else '?'}{urlencode(answer)}"

    def token(self, parameters: Mapping[str, str]) -> Reply:
        """Answer a request for tokens; a refused one changes nothing."""
        try:
            return Reply(200, self._exchange(parameters))
        except RestError as error:
            body = {"error": error.code}
            return Reply(error.status, {**body, "error_description": error.description} if error.description else body)

    def _exchange(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        given = parameters.get(GRANT_TYPES.get(parameters.get("grant_type", ""), ""), "")
        client_id, client_secret = parameters.get("client_id", ""), parameters.get("client_secret", "")
        if not (given and client_id and client_secret):
            raise oauth_error("invalid_request")
        if client_id != self.application.client_id:
            raise oauth_error("wrong_client")
        if not hmac.compare_digest(client_secret.encode(), self.application.client_secret.encode()):
            raise oauth_error("invalid_client")
        if self.switches.oauth_error:
            raise oauth_error(self.switches.oauth_error)
        if not self.application.installed:
            raise oauth_error("NOT_INSTALLED")
        if parameters["grant_type"] == "authorization_code":
            grant = self.credentials.codes.pop(given, None)  # a code is used up even where it came too late
        else:
            grant = self._take_refresh_token(given)
        if grant is None or self.clock.monotonic() >= grant.expires:
            raise oauth_error("invalid_grant")
        return self.issue(grant.user_id)

    def _take_refresh_token(self, token: str) -> Grant | None:
        if self.switches.old_refresh_token_works:
            return self.credentials.refresh_tokens.get(token)
        return self.credentials.refresh_tokens.pop(token, None)

    def issue(self, user_id: int) -> dict[str, Any]:
        """A new pair of tokens that acts as `user_id`, as the reply that carries it; earlier pairs stay."""
        access_token, refresh_token = secrets.token_hex(35), secrets.token_hex(35)
        moment, application = self.clock.monotonic(), self.application
        self.credentials.tokens[access_token] = Token(
            user_id,
            application.app_id,
            application.app_name,
            application.scopes,
            expires=moment + self.switches.token_seconds,
        )
        self.credentials.refresh_tokens[refresh_token] = Grant(user_id, moment + self.switches.refresh_token_seconds)
        return {
            "access_token": access_token,
            "refresh_token": refresh_token,
            "expires": int(self.clock.now() + self.switches.token_seconds),
            "expires_in": int(self.switches.token_seconds),
            "client_endpoint": f"{self._portal}/rest/",
            "server_endpoint": self._server_endpoint,
            "domain": urlsplit(self._server_endpoint).netloc,  # of the authorisation server, not of the portal
            "member_id": application.member_id,
            "scope": self._scope,
            "status": "L",  # a local application
            "user_id": user_id,
        }

    @property
    def _scope(self) -> str:
        return ",".join(sorted(self.application.scopes))
