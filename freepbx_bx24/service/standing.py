"""How the service stands, for `bx24 status`: what it alone knows, and what its journal says as well."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Mapping

from .. import __version__
from ..bitrix24.token_store import TokenStore
from ..journal.records import DUE
from . import looking, outputs
from .looking import Arguments, Desk, Value

if TYPE_CHECKING:
    from .runtime import Runtime


def status(desk: Desk, arguments: Arguments) -> Value:
    """Today's calls by outcome, what is owed, and of a service that runs how it stands (`live`, else null)."""
    now = datetime.fromtimestamp(desk.now).astimezone()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    calls = looking.calls(desk, {"since": f"{midnight.timestamp():.3f}"})
    owed = looking.outbox(desk, {})
    since = [item["since"] for item in owed["items"] if item["state"] == DUE and item["since"]]
    return {
        "at": looking.moment(desk.now),
        "calls": {**calls["counts"], "more": calls["more"]},
        "owed": {**owed["counts"], "oldest": min(since, default=None)},
        "live": dict(desk.live) if desk.live is not None else None,
    }


def live(runtime: Runtime) -> Mapping[str, Any]:
    """What only a running service knows. Asks nobody."""
    trouble, directory = runtime.last_trouble.last, runtime.directory
    return {
        "version": __version__,
        "up_seconds": round(time.monotonic() - runtime.began),
        "portal": {"origin": runtime.client.origin, "answers": not runtime.portal_down},
        "callers_wait": not runtime.breaker.open,
        "register": {
            **runtime.figures.value(outputs.REGISTERED),
            "allowed_seconds": {"in": runtime.settings.wait_in, "out": runtime.settings.wait_out},
        },
        "manager_interface": runtime.presence.connected,
        "employees": len(directory.internal_numbers()),
        "lines": len(directory.lines),
        "lists_age_seconds": round(directory.age()) if directory.age() < 1e9 else None,
        "login": login(runtime),
        "last_trouble": {"at": looking.moment(trouble[0]), "level": trouble[1], "text": trouble[2]}
        if trouble
        else None,
        "findings": [finding.value() for finding in runtime.findings],
    }


def login(runtime: Runtime) -> Value:
    """The way in: `webhook`, or `application` with its token's state (`alive`, `dead` or `none`) and user."""
    if runtime.settings.portal.webhook_url:
        return {"kind": "webhook", "state": "alive", "user_id": None, "seconds_left": None}
    tokens = TokenStore(runtime.state).read()
    if tokens is None:
        return {"kind": "application", "state": "none", "user_id": None, "seconds_left": None}
    return {
        "kind": "application",
        "state": "dead" if tokens.dead else "alive",
        "user_id": tokens.user_id or None,
        "seconds_left": round(max(tokens.seconds_left(time.time()), 0.0)),
    }
