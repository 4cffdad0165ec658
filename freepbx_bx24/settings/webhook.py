"""The webhook file: one line, an inbound webhook's URL, which is a secret from its first character to its last."""

from __future__ import annotations

import re
from pathlib import Path

from . import files

_LONGEST = 2048
# https://PORTAL/rest/USER/SECRET/: the form of the portal's page "Inbound webhook"; on a self-hosted portal a folder
# may come before "rest".
_WEBHOOK = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+)(?P<port>:[0-9]{1,5})?"
    r"(?P<path>(?:/[A-Za-z0-9._-]+)*/rest/[0-9]+/[A-Za-z0-9]+)/?",
)
_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")
_FORM = "https://PORTAL/rest/USER/SECRET/, as the portal's page of the inbound webhook shows it"


def read(path: Path) -> str:
    """Return the webhook's URL, which ends with a slash.

    :raises ValueError: with one line that says what is wrong; it never holds anything of what the file holds.
    """
    line = files.secret_line(path, _LONGEST, "webhook file", _FORM)
    found = _WEBHOOK.fullmatch(line)
    if not found or int((found["port"] or ":0")[1:]) > 65535:
        raise ValueError(f"holds no webhook's URL; allowed: {_FORM}")
    if found["scheme"] == "http" and not _LOOPBACK.fullmatch(found["host"]):
        raise ValueError("holds a URL with http, by which everybody on the way can read the secret; allowed: https")
    return line.rstrip("/") + "/"
