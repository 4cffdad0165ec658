"""directory.json: the last list of employees, for a start while the portal is down and for AGI scripts alone."""

from __future__ import annotations

import os
from pathlib import Path

from ..bitrix24.directory import LONGEST_TEXT, Directory
from ..settings import files

NAME = "directory.json"


def read(state: Path) -> Directory:
    """Return the directory as it was last kept; an empty one where nothing usable is there. Never raises.

    :param state: the state folder.
    """
    try:
        content, _ = files.read(state / NAME, LONGEST_TEXT, "list of employees")
        return Directory.from_json(content.decode("utf-8"))
    except ValueError:
        return Directory()


def write(state: Path, text: str) -> None:
    """Replace the file; whoever reads meanwhile, and whoever starts after a power cut, sees the old one or the new.

    :raises OSError: it can't be written; the old one stays.
    """
    hidden = state / ("." + NAME)
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o640)  # whatever the umask, and whatever an interrupted write left
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(descriptor)
    hidden.rename(state / NAME)
