"""Where a person finds the page: its usual port, another address to listen on, and the way to it through ssh."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from freepbx_bx24.errors import SandboxError
from freepbx_bx24.sandbox.portal.hosts import LOOPBACK_NAMES
from freepbx_bx24.sandbox.portal.page.server import Page

if TYPE_CHECKING:
    from freepbx_bx24.sandbox.portal.server import Portal

PORT = 8025
LOOPBACK = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "::")


def started_page(portal: Portal, listen: str = "") -> Page:
    """The page, on loopback or on the address `listen`; on its usual port, or on a free one where that is taken.

    :raises SandboxError: `listen` is no address of this machine.
    """
    host = listen or LOOPBACK
    for port in (PORT, 0):
        try:
            return Page(portal, host=host, port=port, open_to_others=host not in LOOPBACK_NAMES).start()
        except OSError as error:
            refusal = error
    raise SandboxError(
        f"the page cannot listen on {host}: {refusal.strerror}",
        "Give --listen an IP address of this machine, or leave it out.",
    ) from refusal


def ways_in(page: Page) -> list[str]:
    """What to print: the page's address, and how to reach it from another machine."""
    if page.entry.visitor_token:
        return [
            f"{shown_url(page)}",
            "Whoever knows this address can use the page; it is sent unencrypted: for a network that you trust.",
        ]
    return [page.url, f"From another machine: ssh -L {page.port}:{LOOPBACK}:{page.port} root@{socket.gethostname()}"]


def shown_url(page: Page) -> str:
    """The address for a browser elsewhere: "everywhere" is no place to go to."""
    for everywhere in EVERYWHERE:
        host = f"[{everywhere}]" if ":" in everywhere else everywhere
        if page.url.startswith(f"http://{host}:"):
            return page.url.replace(host, own_address(everywhere), 1)
    return page.url


def own_address(everywhere: str) -> str:
    """The address by which this machine would go out (nothing is sent); loopback where it has no network."""
    family, far = (socket.AF_INET6, "2001:db8::1") if ":" in everywhere else (socket.AF_INET, "192.0.2.1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((far, 9))
            address = str(probe.getsockname()[0])
        except OSError:
            return "[::1]" if family == socket.AF_INET6 else LOOPBACK
    return f"[{address}]" if family == socket.AF_INET6 else address
