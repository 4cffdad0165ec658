"""What the YAML becomes: one frozen value that the whole program works with; its secrets do not print."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping

from ..clicks import CallbackRules, ClickRules
from ..policy import Rules


@dataclass(frozen=True)
class PortalSettings:
    """How the portal is reached.

    Exactly one way in is there: an inbound webhook, or a local application.

    :ivar webhook_url: a secret; ends with a slash. Empty: the local application is the way in.
    :ivar ca_bundle: a path, empty for the certificates of the library.
    :ivar url: the portal's address without a slash at its end. :ivar client_id: of the local application.
    :ivar client_secret: a secret. :ivar oauth_url: the authorisation server, empty for Bitrix24's own.
    :ivar plan: ordinary, enterprise or self-hosted: how many requests a second the portal takes.
    """

    webhook_url: str = field(repr=False)
    ca_bundle: str = ""
    url: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    oauth_url: str = ""
    plan: str = "ordinary"


@dataclass(frozen=True)
class EventSettings:
    """How the portal's events come. :ivar address: where it posts them, for everybody; empty: it is asked for them.

    :ivar port: on loopback, where a web server passes its posts on to.
    """

    address: str = ""
    port: int = 8926

    @property
    def path(self) -> str:
        """The address's path: the only one that is answered."""
        return "/" + self.address.partition("://")[2].partition("/")[2]


@dataclass(frozen=True)
class Settings:
    """Everything of the YAML. Waits are seconds, `path` is the YAML's own.

    :ivar manager_file: with the user of the manager interface; it may be missing: calls are told without it.
    :ivar prefixes: what is dialled before a number when a click chose the line, by line.
    """

    path: Path
    rules: Rules
    portal: PortalSettings
    wait_in: float
    wait_out: float
    journal_days: int
    mask_numbers: bool
    manager_file: Path
    clicks: ClickRules = ClickRules()
    callbacks: CallbackRules = CallbackRules()
    events: EventSettings = EventSettings()
    prefixes: Mapping[str, str] = field(default_factory=dict)

    @property
    def clicks_file(self) -> Path:
        """With the user of the manager interface who may dial; it is there where clicks or callbacks are on."""
        return self.manager_file.with_name("manager_bx24_clicks.conf")

    @property
    def dials(self) -> bool:
        """Whether the portal's people can have anything dialled: clicks or callbacks are on."""
        return self.clicks.enabled or bool(self.callbacks.target or self.callbacks.targets)
