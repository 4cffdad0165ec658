"""Where AGI scripts leave what no service was there for."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator


def intake_files(folder: Path) -> Iterator[Path]:
    """What AGI scripts left while no service could answer them, in the order of writing."""
    try:
        names = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return
    yield from names
