"""im.notify.system.add: a line in a person's notifications."""

from __future__ import annotations

from typing import Any

from freepbx_bx24.sandbox.portal import php
from freepbx_bx24.sandbox.portal.errors import RestError
from freepbx_bx24.sandbox.portal.state import Context


def add(context: Context, parameters: dict[str, Any]) -> int:
    """im.notify.system.add: the notice's id. Who does not exist gets none, and the portal does not say so."""
    user_id, message = php.integer(parameters.get("USER_ID")), php.text(parameters.get("MESSAGE")).strip()
    if not user_id:
        raise RestError(400, "USER_ID_EMPTY", "User ID can't be empty")
    if not message:
        raise RestError(400, "MESSAGE_EMPTY", "Message can't be empty")
    number = context.state.next_number("notice")
    tag = php.text(parameters.get("TAG"))
    notices = context.state.notices
    if tag:  # a newer notice with the same tag takes the older one's place
        notices[:] = [notice for notice in notices if (notice["USER_ID"], notice["TAG"]) != (user_id, tag)]
    notices.append(
        {"ID": number, "USER_ID": user_id, "MESSAGE": message, "TAG": tag, "time": context.state.clock.now()}
    )
    return number
