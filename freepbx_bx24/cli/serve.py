"""`bx24 serve`: the service in the foreground, as systemd or a supervisor runs it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import NoReturn

from ..errors import ConfigurationError
from ..service import serve
from .user import become_service_user


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options: everything is in the YAML."""


def run(options: argparse.Namespace) -> NoReturn:
    """Run until stopped; exit code 78 where the configuration can't be used: a restart would not mend it."""
    become_service_user()
    try:
        code = serve.serve()
    except ConfigurationError as error:  # its findings are in the log, and on the terminal
        print(error.hint, "Then: systemctl restart freepbx-bx24", file=sys.stderr)
        code = os.EX_CONFIG
    # A request to a portal that does not answer would hold the interpreter's end for many seconds more; whatever it
    # was to tell is in the journal.
    logging.shutdown()
    os._exit(code)
