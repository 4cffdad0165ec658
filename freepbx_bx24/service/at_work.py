"""Which calls AGI scripts alone are at work on, by the files that they keep in the intake folder."""

from __future__ import annotations

from pathlib import Path

from ..journal.intake_folder import intake_files
from .note import FRAME, RESULT

KINDS = frozenset({FRAME, RESULT})


def at_work(state: Path) -> set[str]:
    """The calls that have files here: a script alone is at work on them, or what it left is not taken in yet."""
    names = (path.stem for path in intake_files(state / "intake") if path.suffix in KINDS)
    return {name.split("-", 2)[-1] for name in names}
