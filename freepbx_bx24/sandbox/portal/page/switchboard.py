"""The portal's troubles that a person switches on and off: away, slow, refusing for its limit or for an old token."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from freepbx_bx24.errors import SandboxError

if TYPE_CHECKING:
    from freepbx_bx24.sandbox.portal.server import Portal

SLOW_SECONDS = 3.0  # longer than a caller may be kept waiting
# Those that refuse every request, by the name of the fault; where several are on, the first one refuses.
REFUSING = {"limited": "503", "expired": "401"}
NAMES = ("down", "slow", *REFUSING)


class Switchboard:
    """Which troubles are on. The portal itself is what is asked: a test may have changed it, too."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._lock = threading.Lock()

    def state(self) -> dict[str, bool]:
        """Each trouble, and whether it is on."""
        refusing = {kind for _, kind in self._portal.faults}
        return {
            "down": not self._portal.is_up,
            "slow": self._portal.interference.slow_seconds > 0,
            **{name: kind in refusing for name, kind in REFUSING.items()},
        }

    def switch(self, name: str, on: bool) -> None:
        """Switch one trouble. :raises SandboxError: its port was taken while the portal was down."""
        with self._lock:
            if name == "down":
                self._switch_down(on)
            elif name == "slow":
                self._portal.interference.slow_seconds = SLOW_SECONDS if on else 0.0
            else:
                self._switch_refusing(name, on)

    def _switch_down(self, on: bool) -> None:
        if on:
            self._portal.stop()
        elif not self._portal.is_up:
            try:
                self._portal.start()
            except OSError as error:
                raise SandboxError(
                    "the portal's port was taken while it was down", "End the other program and switch again."
                ) from error

    def _switch_refusing(self, name: str, on: bool) -> None:
        wanted = {**self.state(), name: on}
        # A probability of 1 leaves none for a second fault: the others wait with 0 until it is their turn.
        kinds = [kind for known, kind in REFUSING.items() if wanted[known]]
        self._portal.faults = [(1.0 if place == 0 else 0.0, kind) for place, kind in enumerate(kinds)]
        if name == "expired" and on:
            self._portal.expire_tokens()  # those of an application must be renewed afterwards; a webhook goes on
