"""Opens the portal that the settings name: the way in, the connections, the shared budget, the remembered moves."""

from __future__ import annotations

from pathlib import Path

from ..settings import PortalSettings
from .access import Access, WebhookAccess
from .application import application_access
from .budget import PLANS, Budget
from .client import Client
from .moves import FILE as MOVES_FILE
from .moves import Moves
from .transport import Transport

BUDGET_FILE = "budget"


def open_portal(settings: PortalSettings, state: Path) -> Client:
    """Return a client; everything on this machine that is given the same state folder shares one budget and one token.

    :param state: the folder of the token file, the budget and the moves. What can't be written there stops no call.
    :raises ConfigurationError: the settings can't be used.
    """
    transport = Transport(settings.ca_bundle)
    access: Access
    if settings.webhook_url:
        access = WebhookAccess(settings.webhook_url)
    else:
        access = application_access(settings, state, transport)
    budget = Budget(state / BUDGET_FILE, PLANS[settings.plan])
    return Client(access, transport, budget=budget, moves=Moves(state / MOVES_FILE))
