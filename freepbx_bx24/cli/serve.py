"""`bx24 serve`: the service in the foreground, as systemd or a supervisor runs it."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from ..errors import ConfigurationError
from .user import become_service_user


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything else is in the YAML."""
    parser.add_argument(
        "--supervised", action="store_true", help="where there is no systemd: start it again when it dies or hangs"
    )


def run(options: argparse.Namespace) -> int:
    """Run until stopped; exit code 78 where the configuration can't be used: a restart would not mend it."""
    become_service_user()
    if options.supervised:  # imports little: the parent stays small
        from ..service import supervisor

        return supervisor.supervise()
    from ..service import serve

    try:
        code = serve.serve()
    except ConfigurationError as error:  # its findings are in the log, and on the terminal
        print(error.hint, "Then: systemctl restart freepbx-bx24", file=sys.stderr)
        code = os.EX_CONFIG
    # A request to a portal that does not answer would hold the interpreter's end for many seconds more; whatever it
    # was to tell is in the journal.
    logging.shutdown()
    os._exit(code)
