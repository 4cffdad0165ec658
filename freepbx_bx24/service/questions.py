"""The table of what people may ask, of the running service or of the journal of one that does not run."""

from __future__ import annotations

from typing import Callable, Mapping

from . import looking, standing
from .looking import Arguments, Desk, Value

LOOKS: Mapping[str, Callable[[Desk, Arguments], Value]] = {
    "calls": looking.calls,
    "why": looking.why,
    "outbox-list": looking.outbox,
    "outbox-show": looking.item,
    "recordings": looking.recordings,
    "status": standing.status,
}
