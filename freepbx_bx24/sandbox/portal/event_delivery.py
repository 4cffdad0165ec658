"""An event leaves the portal: into the offline queue, and as a POST to each bound handler."""

from __future__ import annotations

import hashlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

from freepbx_bx24.sandbox.portal.oauth import AuthorizationServer
from freepbx_bx24.sandbox.portal.state import Context, OfflineEvent

HANDLER_SECONDS = 10  # a handler that is slower has not answered; nothing is sent twice


def fire(context: Context, server: AuthorizationServer, name: str, data: dict[str, Any], user_id: int) -> str:
    """Send an event, caused by `user_id` (0: nobody), to the application. The MESSAGE_ID. Under the portal's lock.

    POSTs run in threads of their own; what came of each is in the ledger.
    """
    state, application = context.state, context.application
    message_id = hashlib.md5(f"{name}{json.dumps(data, sort_keys=True)}".encode(), usedforsecurity=False).hexdigest()
    for binding in state.bindings:
        if binding.event != name or binding.app_id != application.app_id or not application.installed:
            continue
        if binding.offline:
            _queue(context, name, data, message_id, user_id)
        else:
            body = {
                "event": name,
                "event_handler_id": state.next_number("handled event", first=15),
                "data": data,
                "ts": int(state.clock.now()),
                "auth": _auth(context, server, binding.user_id or user_id),
            }
            row = {"event": name, "handler": _origin_and_path(binding.handler), "status": None}
            state.deliveries.append(row)
            threading.Thread(target=_post, args=(binding.handler, body, row), daemon=True).start()
    return message_id


def _queue(context: Context, name: str, data: dict[str, Any], message_id: str, user_id: int) -> None:
    state, app_id = context.state, context.application.app_id
    for event in state.offline_events:
        if (event.app_id, event.message_id, event.process_id) == (app_id, message_id, ""):
            event.stored_at = state.clock.now()  # the same once more, unread: one row
            return
    number = state.next_number("offline event", first=31)
    state.offline_events.append(OfflineEvent(number, name, data, user_id, message_id, state.clock.now(), app_id))


def _auth(context: Context, server: AuthorizationServer, user_id: int) -> dict[str, Any]:
    """The `auth` of an online event: tokens of the person who caused it, if any; never a refresh token."""
    tokens = server.issue(user_id or context.application.user_id)
    context.credentials.refresh_tokens.pop(tokens.pop("refresh_token"))
    portal = urlsplit(tokens["client_endpoint"]).netloc
    if not user_id:  # nobody's: there is no token to act with
        del context.credentials.tokens[tokens["access_token"]]
        tokens = {name: tokens[name] for name in ("client_endpoint", "server_endpoint", "member_id", "status")}
    return {**tokens, "domain": portal, "application_token": context.application.application_token}


def form(body: dict[str, Any]) -> bytes:
    """A body as PHP's http_build_query writes it: brackets for what is nested, nothing for null and empty lists."""
    return urlencode(list(_pairs("", body))).encode()


def _pairs(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _pairs(f"{name}[{key}]" if name else str(key), item)
    elif value is not None:
        yield name, str(int(value)) if isinstance(value, bool) else str(value)


def _post(handler: str, body: dict[str, Any], row: dict[str, Any]) -> None:
    request = urllib.request.Request(
        handler,
        form(body),
        {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Bitrix24 Webhook Engine"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=HANDLER_SECONDS) as answer:
            row["status"] = answer.status
    except urllib.error.HTTPError as error:
        row["status"] = error.code
    except (OSError, ValueError) as error:
        row["status"] = type(error).__name__


def _origin_and_path(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"
