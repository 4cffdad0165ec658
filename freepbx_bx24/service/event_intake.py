"""The one place where the portal's events come in, whichever way: each is handed over once."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Callable

from ..bitrix24.events import PortalEvent, wanted_events
from ..errors import JournalError

if TYPE_CHECKING:
    from .runtime import Runtime

LOG = logging.getLogger("bx24.events")

TWICE_SECONDS = 5.0  # connectors have seen the portal tell one event twice
MOST_REMEMBERED = 1000

Handler = Callable[[PortalEvent], None]


def drop(event: PortalEvent) -> None:
    """What becomes of an event that nobody is there for."""
    LOG.info("an event that nobody needs: %s", event.name)


class EventIntake:
    """Hands events to `Runtime.portal_event`; safe to use from every thread."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._taken: OrderedDict[str, float] = OrderedDict()  # message id -> timestamp

    def take(self, event: PortalEvent) -> None:
        """Hand an event over, unless that was done already. It has been worked on when this returns.

        :raises JournalError: it could not be kept: it has to come again.
        """
        if event.name not in wanted_events(self._runtime.settings):
            drop(event)
            return
        with self._lock:
            if abs(self._taken.get(event.message_id, 0.0) - event.timestamp) <= TWICE_SECONDS:
                LOG.info("%s came a second time", event.name)
                return
            self._taken[event.message_id] = event.timestamp
            self._taken.move_to_end(event.message_id)
            while len(self._taken) > MOST_REMEMBERED:
                self._taken.popitem(last=False)
        try:
            self._runtime.portal_event(event)
        except Exception as error:
            if isinstance(error, JournalError) or self._runtime.stopping.is_set():
                with self._lock:
                    self._taken.pop(event.message_id, None)
                raise
            # One that can't be worked on must not come again and again.
            LOG.exception("%s can't be worked on for an unforeseen reason", event.name)
