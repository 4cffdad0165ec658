"""What has changed since a browser last heard of it: levels, not events, so that no gap leaves anything wrong."""

from __future__ import annotations

import secrets
import threading
from typing import Any, Mapping, NamedTuple

MOST_GONE = 1000  # items that are gone and whose absence is still told one by one


class Changes(NamedTuple):
    """What a browser must put in place: `items` by key, None for one that is gone; `whole`: forget all others."""

    version: str
    whole: bool
    items: dict[str, Any]


class Feed:
    """The newest value of each item, with the number of the change that brought it."""

    def __init__(self) -> None:
        # A browser that comes back to a feed which was made anew must not believe its old numbers.
        self._epoch = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._number = 0
        self._forgotten = 0  # up to this change, items that are gone are no longer known
        self._items: dict[str, tuple[int, Any]] = {}

    def update(self, items: Mapping[str, Any]) -> None:
        """`items` is everything that there is now."""
        with self._lock:
            gone = {key: None for key, (_, value) in self._items.items() if value is not None and key not in items}
            for key, value in {**items, **gone}.items():
                if self._items.get(key, (0, None))[1] != value:
                    self._number += 1
                    self._items.pop(key, None)  # so that the order is that of the changes
                    self._items[key] = (self._number, value)
            self._forget()

    def since(self, version: str) -> Changes:
        """The changes after `version`: "" or one that is not ours stands for nothing known."""
        with self._lock:
            known = self._known(version)
            changes = {key: value for key, (number, value) in self._items.items() if number > known}
            if not known:
                changes = {key: value for key, value in changes.items() if value is not None}
            return Changes(f"{self._epoch}.{self._number}", not known, changes)

    def _known(self, version: str) -> int:
        epoch, _, number = version.partition(".")
        known = int(number) if number.isascii() and number.isdigit() and len(number) < 16 else 0
        return known if epoch == self._epoch and self._forgotten <= known <= self._number else 0

    def _forget(self) -> None:
        gone = [(key, number) for key, (number, value) in self._items.items() if value is None]
        for key, number in gone[: max(0, len(gone) - MOST_GONE)]:
            del self._items[key]
            self._forgotten = number
