"""The product as a local application that an administrator has let into a sandbox portal, without `bx24 login`."""

from __future__ import annotations

import time
from pathlib import Path

from freepbx_bx24.bitrix24.token_store import TokenStore
from freepbx_bx24.bitrix24.tokens import Grant, fingerprint, from_grant
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.settings import PortalSettings


def application_settings(portal: Portal, plan: str = "self-hosted") -> PortalSettings:
    """The way in of the portal's application."""
    application = portal.application
    return PortalSettings(
        "",
        url=portal.url,
        client_id=application.client_id,
        client_secret=application.client_secret,
        oauth_url=portal.oauth_url,
        plan=plan,
    )


def let_in(portal: Portal, state: Path, user_id: int = 1) -> None:
    """Leave a fresh pair of tokens of this user in the state folder."""
    given = portal.issue_tokens(user_id)
    grant = Grant(
        given["access_token"],
        given["refresh_token"],
        given["expires_in"],
        given["client_endpoint"],
        given["server_endpoint"],
        given["member_id"],
        tuple(given["scope"].split(",")),
        given["user_id"],
    )
    application = fingerprint(portal.application.client_id)
    TokenStore(state).keep(from_grant(grant, application, None, time.time()))


def portal_lines(portal: Portal, folder: Path, plan: str = "self-hosted") -> str:
    """The YAML's `portal` for the application, its secret left in `folder`."""
    secret = folder / "freepbx_bx24.secret"
    secret.write_text(portal.application.client_secret + "\n")
    secret.chmod(0o600)
    ways = (
        f"url: {portal.url}",
        f"client_id: {portal.application.client_id}",
        f"client_secret_file: {secret}",
        f"oauth_url: {portal.oauth_url}",
        f"plan: {plan}",
    )
    return f"portal: {{{', '.join(ways)}}}"
