"""How a request gets into the portal: where it goes and what it shows there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Mapping, Protocol

from ..errors import ConfigurationError
from .transport import origin_of, split

_WEBHOOK_PATH = re.compile(r"(?P<before>(?:/[\w.~-]+)*/rest/[0-9]+/)(?P<secret>[\w.~-]+)/?", re.ASCII)


@dataclass(frozen=True)
class Key:
    """What one request shows.

    :ivar origin: `https://HOST[:PORT]`. :ivar path: what stands before the method's name; ends with a slash.
    :ivar parameters: added to the method's own. :ivar secrets: to be blotted out of whatever the portal says.
    """

    origin: str
    path: str = field(repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


class Access(Protocol):
    """A way in: an inbound webhook, or a local application whose tokens expire. Safe to use from every thread."""

    @property
    def origin(self) -> str:
        """Where the portal is, as far as that is known without asking anybody: `https://HOST[:PORT]`."""

    def key(self, total_seconds: float) -> Key:
        """Return the key for a request; it may be renewed just before it expires, within `total_seconds`.

        :raises LoginNeeded: there is none. :raises PortalError: it can't be renewed now.
        """

    def renewed(self, refused: Key, total_seconds: float) -> Key | None:
        """Return another key in place of one that the portal has just called expired, None where there is none.

        :raises LoginNeeded: somebody has to log in again. :raises PortalError: it can't be renewed now.
        """

    def settle(self, longest: float) -> None:
        """Let a renewal that is under way end before the process does, within `longest` seconds."""


class WebhookAccess:
    """The portal behind an inbound webhook: the key is a part of the address, and there is one.

    :param webhook_url: `https://HOST/rest/USER/SECRET/`; plain http on loopback only.
    :raises ConfigurationError: the URL is no webhook's URL. It never shows the URL.
    """

    def __init__(self, webhook_url: str) -> None:
        address = split(webhook_url.strip())
        path = _WEBHOOK_PATH.fullmatch(address.path)
        origin = origin_of(address)
        if not path or not origin or address.query or address.fragment or address.username is not None:
            raise ConfigurationError(
                ["the webhook URL must look like https://example.bitrix24.com/rest/1/SECRET/ (http on loopback only)"]
            )
        self._key = Key(origin, f"{path['before']}{path['secret']}/", secrets=(path["secret"],))

    @property
    def origin(self) -> str:
        """Where the webhook's URL says that the portal is."""
        return self._key.origin

    def key(self, total_seconds: float) -> Key:
        """Return the one key."""
        return self._key

    def renewed(self, refused: Key, total_seconds: float) -> Key | None:
        """Return None: a webhook's key can't be renewed."""
        return None

    def settle(self, longest: float) -> None:
        """Nothing is ever under way."""
