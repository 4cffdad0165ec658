"""The local application that a portal's administrator made for the connector: its keys and where its users are sent."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from freepbx_bx24.sandbox.portal.auth import ALL_SCOPES


def _client_id() -> str:
    return f"local.{secrets.token_hex(7)}.{secrets.randbelow(90_000_000) + 10_000_000}"


@dataclass
class Application:
    """One local application. A test may change any of it at any time."""

    client_id: str = field(default_factory=_client_id)
    client_secret: str = field(default_factory=lambda: secrets.token_hex(25), repr=False)
    # Signs the events that the portal sends to a handler.
    application_token: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    app_id: str = "3"
    app_name: str = "PBX bridge"
    scopes: frozenset[str] = ALL_SCOPES
    installed: bool = True
    user_id: int = 1  # the administrator whose browser agrees
    member_id: str = field(default_factory=lambda: secrets.token_hex(16))  # of the portal
    # Where the browser is sent with the code. Empty until the portal is started: then an address of nobody, in which
    # a person can read the code in the browser's address bar.
    handler_url: str = ""
    # `https://HOST/rest/` of the authorisation server in token replies; empty: this server.
    server_endpoint: str = ""
