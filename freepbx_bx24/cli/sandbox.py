"""`bx24 sandbox portal`: a Bitrix24 portal on this machine, with a page and a ledger of what the CRM would show."""

from __future__ import annotations

import argparse

from ..errors import SandboxError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`portal [--port N] [--listen ADDRESS]`."""
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    portal = parts.add_parser("portal", help="the portal alone, with its web page")
    portal.add_argument("--port", type=int, default=8024, help="TCP port on 127.0.0.1 (default: 8024)")
    portal.add_argument(
        "--listen",
        metavar="ADDRESS",
        default="",
        help="show the page to other machines, too: listen on this address, and ask for the token in the printed URL",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    try:
        from ..sandbox.portal.command import run_portal
    except ImportError as error:
        raise SandboxError(
            f"the sandbox needs {error.name}, which is not installed",
            "Install it with `pip install 'freepbx_bx24[sandbox]'`, or run `sudo ./install.sh --demo`.",
        ) from error
    return run_portal(options.port, options.listen)
