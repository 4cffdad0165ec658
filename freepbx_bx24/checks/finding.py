"""What a check has found: how bad it is, one line of reason, and the command or menu path that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

OK, WARNING, FAILURE = "ok", "warning", "failure"
SHOWN = 10  # of a list in one line


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :ivar what: what it is about; programs may go by it, so it does not change.
    :ivar level: OK, WARNING (calls go on, something is worse than it could be) or FAILURE.
    :ivar hint: what mends it; empty for what is in order.
    """

    what: str
    level: str
    text: str
    hint: str = ""

    def value(self) -> dict[str, Any]:
        """As `bx24 check --json` prints it."""
        return {
            "what": self.what,
            "level": self.level,
            "right": self.level != FAILURE,
            "text": self.text,
            "hint": self.hint,
        }


def ok(what: str, text: str) -> Finding:
    """In order, or good to know."""
    return Finding(what, OK, text)


def warning(what: str, text: str, hint: str) -> Finding:
    """Calls go on, and something is worse than it could be."""
    return Finding(what, WARNING, text, hint)


def failure(what: str, text: str, hint: str) -> Finding:
    """Calls are lost to the CRM, late or told wrongly until it is mended."""
    return Finding(what, FAILURE, text, hint)


def judged(right: bool, what: str, text: str, hint: str) -> Finding:
    """In order or a failure."""
    return ok(what, text) if right else failure(what, text, hint)


def listed(names: Sequence[object]) -> str:
    """The first of many names for one line."""
    return ", ".join(map(str, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")
