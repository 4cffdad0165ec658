"""Asks the portal whether a token that came with an event is our application's: then the portal has sent it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..settings import PortalSettings
from .access import Key
from .budget import PLANS, Budget, Urgency
from .client import Client
from .portal import BUDGET_FILE
from .tokens import token as checked
from .transport import Transport

INFORMATION = "app.info"


class _Given:
    """The way in of whoever holds this token: it is used once and never renewed."""

    def __init__(self, origin: str, token: str) -> None:
        self.origin = origin
        self._key = Key(origin, "/rest/", {"auth": token}, (token,))

    def key(self, total_seconds: float) -> Key:
        return self._key

    def renewed(self, refused: Key, total_seconds: float) -> Key | None:
        return None

    def settle(self, longest: float) -> None:
        """Nothing is ever under way."""


def vouched(client: Client, settings: PortalSettings, state: Path, token: str, seconds: float) -> bool:
    """Whether our own portal knows the token as one of the same application as our own.

    Only the portal hands such tokens out, so whoever shows one is the portal, or somebody whom it let in.

    :param client: our own. :param state: the folder of the shared budget. :param seconds: for each of two requests.
    :raises PortalError: it could not be asked, or does not know the token.
    """
    try:
        access = _Given(client.origin, checked(token))
    except ValueError:
        return False
    budget = Budget(state / BUDGET_FILE, PLANS[settings.plan])
    with Client(access, Transport(settings.ca_bundle), budget=budget) as stranger:
        theirs = _application(stranger, seconds)
    return theirs is not None and theirs == _application(client, seconds)


def _application(client: Client, seconds: float) -> tuple[str, str] | None:
    """By what the portal knows the application of whoever asks; None where it does not say."""
    answer: Any = client.call(INFORMATION, {}, total_seconds=seconds, urgency=Urgency.EVENTS).result
    number, code = (answer.get("ID"), answer.get("CODE")) if isinstance(answer, dict) else (None, None)
    return (str(number), str(code)) if number and code else None
