"""The authorisation server of Bitrix24: a code, or a token that lasts, becomes a new pair of tokens."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from typing import Mapping
from urllib.parse import urlencode

from ..errors import (
    PORTAL,
    LoginNeeded,
    PortalAuthorisation,
    PortalBroken,
    PortalBusy,
    PortalError,
    PortalGone,
    PortalRefused,
    PortalUnreachable,
)
from . import tokens
from .replies import harmless, read, whole_number
from .tokens import Grant
from .transport import HttpReply, Transport, origin_of, split

LOG = logging.getLogger("bx24.portal")

ELSEWHERE = "https://oauth.bitrix.info"
NEAR_RUSSIA = "https://oauth.bitrix24.tech"
# The server picks by the portal's region; a portal's address is all that we know of that before the first token.
_NEAR_RUSSIA = (".ru", ".by", ".kz", ".kg", ".uz", ".am", ".az", ".ge")
# The secret goes to these and to the configured host only, whatever a stored or received address says.
_OWN_DOMAINS = ("bitrix.info", "bitrix24.tech")
_PATH = "/oauth/token/"
_USUAL_LIFETIME = 3600.0
_LONGEST_LIFETIME = 30 * 86400.0

_CODE = "A code lives 30 seconds and works once: type `bx24 login` again and be quicker."
_WORDS = "Copy client_id and client_secret again from the local application's page in Bitrix24: "
# More than the table of refusals says: here it is known what was asked for.
_HINTS: Mapping[str, str] = {
    "invalid_client": f"{_WORDS}`sudo ./install.sh --client-secret-file -`.",
    "wrong_client": f"{_WORDS}`sudo ./install.sh --portal-url URL --client-id ID --client-secret-file -`.",
}
_WRONG_CLIENT = "wrong_client"
INVALID_GRANT = "invalid_grant"


@dataclass(frozen=True)
class Application:
    """A local application: the two codes from its page in the portal."""

    client_id: str
    client_secret: str = field(repr=False)


class OAuth:
    """One local application at the authorisation server. Safe to use from every thread.

    :param portal_url: the portal's address, whose top-level domain tells the server's region.
    :param oauth_url: the server's address where it is configured; no other is used then.
    """

    def __init__(self, transport: Transport, application: Application, portal_url: str, oauth_url: str = "") -> None:
        self._transport = transport
        self._application = application
        self._portal_url = portal_url
        self._oauth_url = oauth_url
        self.application = tokens.fingerprint(application.client_id)

    def exchange(self, code: str, total_seconds: float, server: str = "") -> Grant:
        """Return the tokens for a code, which lives 30 s and works once.

        :param server: the server's address or host, as the redirect named it; empty where unknown.
        :raises LoginNeeded: the code is none (any more). :raises PortalError: as for `refresh`.
        """
        asked = {"grant_type": "authorization_code", "code": tokens.token(code)}
        grant = self._ask(asked, server, total_seconds, (code,), _CODE)
        if not grant.refresh_token:
            raise PortalBroken("the authorisation server gave no token that can be renewed")
        return grant

    def refresh(self, refresh_token: str, total_seconds: float, server: str = "") -> Grant:
        """Return the next tokens; from then on `refresh_token` may be void. The new one is empty where none came.

        :param server: the server's address, as the last answer named it; empty where unknown.
        :raises LoginNeeded: invalid_grant: this pair can't be renewed. :raises PortalAuthorisation: something must be
            put right first. :raises PortalError: it could not be asked, or gave no sense.
        """
        asked = {"grant_type": "refresh_token", "refresh_token": tokens.token(refresh_token)}
        return self._ask(asked, server, total_seconds, (refresh_token,), "")

    def _ask(
        self, asked: dict[str, str], server: str, total_seconds: float, secrets: tuple[str, ...], hint: str
    ) -> Grant:
        query = urlencode(
            {
                "client_id": self._application.client_id,
                "client_secret": self._application.client_secret,
                **asked,
            }
        )
        ends = time.monotonic() + total_seconds
        servers = hosts(self._portal_url, self._oauth_url, server)
        refused: PortalRefused | None = None
        for number, origin in enumerate(servers, 1):
            last = number == len(servers)
            left = ends - time.monotonic()
            try:
                # Half of the time, since a firewall may let the first one hang.
                reply = self._transport.exchange("GET", f"{origin}{_PATH}?{query}", left if last else left / 2)
                return _grant(reply, (*secrets, self._application.client_secret), hint)
            except PortalUnreachable as error:
                if last:
                    raise refused or PortalUnreachable(
                        f"the authorisation server: {error.message}", error.hint
                    ) from None
            except PortalRefused as error:
                if last or error.code.lower() != _WRONG_CLIENT:
                    raise
                refused = error
            LOG.warning("%s can't be used, the next is asked: %s", origin, servers[number])
        raise AssertionError("there is always a server")


def hosts(portal_url: str, oauth_url: str, server: str) -> tuple[str, ...]:
    """Return the origins to be asked, in their order; the second one only where the first can't help.

    :param oauth_url: configured. :param server: an address or host that a reply or a redirect has named.
    """
    if oauth_url:
        return (origin_of(split(oauth_url)),)
    named = split(server if "://" in server else f"https://{server}")
    host = named.hostname or ""
    if named.scheme == "https" and any(host == one or host.endswith(f".{one}") for one in _OWN_DOMAINS):
        first = f"https://{host}"
    else:
        portal = split(portal_url).hostname or ""
        first = NEAR_RUSSIA if portal.endswith(_NEAR_RUSSIA) else ELSEWHERE
    return first, NEAR_RUSSIA if first == ELSEWHERE else ELSEWHERE


def _grant(reply: HttpReply, secrets: tuple[str, ...], hint: str) -> Grant:
    """Return what a reply gives. :param hint: for a grant that is none."""
    try:
        said = json.loads(reply.body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or "error" in said:
        raise _refusal(reply, secrets, hint)
    try:
        access_token = tokens.token(said.get("access_token"))
        refresh_token = tokens.token(said["refresh_token"]) if said.get("refresh_token") else ""
    except ValueError:
        raise PortalBroken(f"the authorisation server answered HTTP {reply.status} without a token") from None
    lifetime = whole_number(said.get("expires_in")) or _USUAL_LIFETIME
    return Grant(
        access_token=access_token,
        refresh_token=refresh_token,
        lifetime=min(float(lifetime), _LONGEST_LIFETIME),
        client_endpoint=harmless(said.get("client_endpoint"), 500),
        server_endpoint=harmless(said.get("server_endpoint"), 500),
        member_id=harmless(said.get("member_id"), 100),
        scope=_scopes(said.get("scope")),
        user_id=whole_number(said.get("user_id")) or 0,
    )


def _scopes(value: object) -> tuple[str, ...]:
    return tuple(sorted(set(harmless(value, 1000).lower().replace(",", " ").split())))[:100]


def _refusal(reply: HttpReply, secrets: tuple[str, ...], hint: str) -> PortalError:
    """Return the error for a reply that is no grant; whatever it refuses, nothing can be sent without a token."""
    try:
        read(reply.status, reply.body, secrets, reply.headers)
    except PortalRefused as error:
        key = error.code.lower()
        said = hint if key == INVALID_GRANT and hint else _HINTS.get(key, error.hint)
        if isinstance(error, PortalBusy) and error.blame == PORTAL:
            return error
        kind = type(error) if isinstance(error, (LoginNeeded, PortalGone)) else PortalAuthorisation
        return kind(error.code, error.description, error.status, said)
    except PortalBroken as error:
        return PortalBroken(f"the authorisation server: {error.message}", error.hint)
    return PortalBroken(f"the authorisation server answered HTTP {reply.status} with no JSON object")
