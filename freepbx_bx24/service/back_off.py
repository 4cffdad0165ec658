"""How long to wait after failures in a row, and how often an item may be refused: the same for all that is owed."""

from __future__ import annotations

import random

FIRST_SECONDS = 2.0
LONGEST_SECONDS = 60.0  # between two probes of a portal that is down
LONGEST_ITEM_SECONDS = 3600.0  # between two tries of an item that the portal refuses
TRIES = 8  # of an item that the portal refuses, before it is parked for a human


def back_off(failures: int, longest: float) -> float:
    """Seconds to wait after so many failures in a row; never the same for two PBXs of one portal."""
    return min(FIRST_SECONDS * 2.0 ** min(failures, 12), longest) * random.uniform(0.75, 1.25)
