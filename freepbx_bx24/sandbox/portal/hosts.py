"""Whose address a request was sent to: a name that a hostile page made point here (DNS rebinding) is turned away."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


def host_name(host: str) -> str | None:
    """The name in a Host header, in lower case and without port and brackets; None where it can't be read."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def is_address(name: str | None) -> bool:
    """Whether it is an IP address: nobody can make one of those point anywhere else."""
    try:
        ipaddress.ip_address(name or "")
    except ValueError:
        return False
    return True
