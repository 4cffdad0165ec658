"""Runs the portal alone, for a person: `bx24 sandbox portal --port N`."""

from __future__ import annotations

import os
import signal
import sys
import threading

from freepbx_bx24.sandbox.portal.page.reach import started_page, ways_in
from freepbx_bx24.sandbox.portal.server import Portal


def run_portal(port: int, listen: str = "") -> int:
    """Serve on 127.0.0.1 until Ctrl-C or SIGTERM; prints the addresses and
    the application's keys. Returns the exit code: 1 if the port is taken.

    Call it from the main thread: it waits for signals.

    :param listen: where the page listens, if not on loopback.
    :raises SandboxError: that is no address of this machine.
    """
    portal = Portal(port=port)
    try:
        portal.start()
    except OSError as error:
        print(f"The sandbox portal cannot listen on port {port}: {os.strerror(error.errno or 0)}.", file=sys.stderr)
        return 1
    try:
        return _serve(portal, listen)
    finally:
        portal.stop()


def _serve(portal: Portal, listen: str) -> int:
    page = started_page(portal, listen)
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    for name, value in (
        ("Portal", portal.url),
        ("Webhook", portal.webhook_url),
        ("Ledger", portal.ledger_url),
        ("Client id", portal.application.client_id),
        ("Client secret", portal.application.client_secret),  # it opens nothing but this sandbox
        ("OAuth host", portal.oauth_url),
    ):
        print(f"{name + ':':<15}{value}")
    print(f"{'Page:':<15}" + f"\n{'':<15}".join(ways_in(page)))
    print("Press Ctrl-C to stop.", flush=True)
    done.wait()
    page.stop()
    return 0
