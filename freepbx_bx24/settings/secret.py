"""The secret file: one line, the local application's client_secret, of which no message ever shows a character."""

from __future__ import annotations

import re
from pathlib import Path

from . import files

_LONGEST = 2048
# The portal makes 50 letters and digits; whatever its next version makes will be one printable word.
_SECRET = re.compile(r"[!-~]{8,500}")
_FORM = "the application's client_secret, as the local application's page in the portal shows it"


def read(path: Path) -> str:
    """Return the secret.

    :raises ValueError: with one line that says what is wrong; it never holds anything of what the file holds.
    """
    line = files.secret_line(path, _LONGEST, "secret file", _FORM)
    if not _SECRET.fullmatch(line) or "://" in line:
        raise ValueError(f"holds no client_secret; allowed: {_FORM}")
    return line
