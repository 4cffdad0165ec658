"""`bx24 serve`: the service in the foreground, as systemd or a supervisor runs it."""

from __future__ import annotations

import argparse

from ..service import serve
from .user import become_service_user


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options: everything is in the YAML."""


def run(options: argparse.Namespace) -> int:
    """Run until stopped."""
    become_service_user()
    return serve.serve()
