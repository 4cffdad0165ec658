"""The command line: finds the verb, prints errors with their hints, sets the exit code."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Sequence

from .. import __version__
from ..errors import Bx24Error, ConfigurationError

# Verb: (module of this package, what it does). A module has `add_arguments(parser)` and `run(options) -> exit code`.
VERBS = {
    "serve": ("serve", "run the service in the foreground"),
    "login": ("login", "let the local application into the portal, or say who is logged in"),
    "check": ("check", "say what is wrong, where, and what to type"),
    "status": ("status", "how it goes, on one screen: how long callers wait, calls today, what is owed, troubles"),
    "calls": ("calls", "today's calls, a line each: who, how long, and what the CRM knows of it"),
    "why": ("why", "everything that happened to a call, by its number or uniqueid"),
    "outbox": ("outbox", "what the CRM is still owed; try it again, hold it back, drop it"),
    "recordings": ("recordings", "recordings that the CRM does not have yet, and why; try them again"),
    "test-call": ("trial", "tell the CRM of one call that nobody makes, step by step, with times"),
    "users": ("users", "which extension is whom in Bitrix24, and who is nobody"),
    "lines": ("lines", "the configuration's lines, the portal's and the inbound routes; `sync` makes missing ones"),
    "forget": ("forget", "erase a client's number from journal, caches and logs"),
    "events": ("events", "whether clicks and callback forms arrive from the portal; bind or unbind them"),
    "off": ("switch", "leave all calls alone from the next one on, also with the service dead"),
    "on": ("switch", "register calls again"),
    "sandbox": ("sandbox", "a Bitrix24 portal to try things against"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0 done, 1 something is wrong, 2 the command line is."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="bx24", description="FreePBX and Asterisk calls in Bitrix24.")
    parser.add_argument("--version", action="version", version=f"bx24 {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, (module, text) in VERBS.items():
        verb_parser = verbs.add_parser(verb, help=text, description=text)
        if given[:1] == [verb]:  # only the verb that runs is imported: `bx24 check` needs no web server
            importlib.import_module(f".{module}", __package__).add_arguments(verb_parser)
    options = parser.parse_args(given)
    try:
        return int(importlib.import_module(f".{VERBS[options.verb][0]}", __package__).run(options))
    except ConfigurationError as error:
        print("\n".join(error.problems), file=sys.stderr)
        print(error.hint, file=sys.stderr)
    except Bx24Error as error:
        print(f"{error}\n{error.hint}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
