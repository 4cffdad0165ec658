"""Small questions of a client about itself, open to any scope: profile, app.info and scope."""

from __future__ import annotations

from typing import Any

from freepbx_bx24.sandbox.portal import php
from freepbx_bx24.sandbox.portal.auth import ALL_SCOPES
from freepbx_bx24.sandbox.portal.state import Context


def profile(context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
    """profile: the person that the caller acts as."""
    person = context.world.employee(context.caller.user_id)
    assert person, "nobody is let in without an active user"
    return {
        "ID": str(person.user_id),
        "ADMIN": person.admin,
        "NAME": person.name,
        "LAST_NAME": person.last_name,
        "PERSONAL_GENDER": "",
        "TIME_ZONE": person.time_zone,
    }


def app_info(context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
    """app.info: the application, or for a webhook what it may do."""
    scopes = sorted(context.caller.scopes)
    if context.caller.is_webhook:
        return {"SCOPE": scopes, "LICENSE": "ru_nfr"}
    return {
        "ID": context.caller.app_id,
        "CODE": context.application.client_id,
        "VERSION": 1,
        "STATUS": "L",
        "INSTALLED": context.application.installed,
        "PAYMENT_EXPIRED": "N",
        "DAYS": None,
        "LANGUAGE_ID": "en",
        "LICENSE": "ru_nfr",
        "LICENSE_TYPE": "nfr",  # the official SDK takes no answer without these two
        "LICENSE_FAMILY": "nfr",
    }


def scope(context: Context, parameters: dict[str, Any]) -> list[str]:
    """scope: what the caller may use; with `full` all that the portal has."""
    return sorted(ALL_SCOPES if php.truth(parameters.get("FULL")) else context.caller.scopes)
