"""The application_token that the portal signs its posts with: learned once, kept in a file that nobody else reads."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

from ..bitrix24.tokens import fingerprint

NAME = "application_token"
LONGEST = 1000  # bytes of the file
_TOKEN = re.compile(r"[!-~]{8,200}", re.ASCII)


def read(state: Path, client_id: str) -> str:
    """The token of this application; empty while none is known."""
    try:
        with (state / NAME).open("rb") as file:
            kept = json.loads(file.read(LONGEST))
    except (OSError, ValueError, RecursionError):
        return ""
    if not isinstance(kept, dict) or kept.get("application") != fingerprint(client_id):
        return ""  # of another application
    token = kept.get("token")
    return str(token) if usable(token) else ""


def usable(token: object) -> bool:
    """Whether this can be a token: long enough not to be guessed."""
    return isinstance(token, str) and bool(_TOKEN.fullmatch(token))


def keep(state: Path, client_id: str, token: str) -> None:
    """Keep the token, mode 0600. :raises OSError: the disk does not take it."""
    hidden = state / f".{NAME}"
    hidden.unlink(missing_ok=True)
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump({"application": fingerprint(client_id), "token": token}, file)
    hidden.replace(state / NAME)


def forget(state: Path) -> None:
    """The next event that the portal vouches for tells the token anew. :raises OSError: the file can't be removed."""
    with contextlib.suppress(FileNotFoundError):
        (state / NAME).unlink()
