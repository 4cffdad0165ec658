"""`bx24 off` and `bx24 on`: a flag in Asterisk's own database, which the dialplan reads before any script starts."""

from __future__ import annotations

import argparse

from ..pbx.console import console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(options: argparse.Namespace) -> int:
    """Set or clear AstDB bx24/off; effective on the next call, also with the service dead."""
    if options.verb == "off":
        console("database put bx24 off 1")
        print("Off: from the next call on the CRM hears of nothing. `bx24 on` switches it on again.")
    else:
        console("database del bx24 off")
        print("On: calls are registered from the next one on.")
    return 0
