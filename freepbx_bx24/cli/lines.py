"""`bx24 lines`: the configuration's lines beside the portal's and the inbound routes. Exit code 1: one was refused."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Mapping, Sequence

from ..bitrix24.directory import Directory
from ..bitrix24.portal import open_portal
from ..checks.routes import line_of_did
from ..errors import PortalError, ServiceError
from ..pbx.console import console
from ..pbx.freepbx import Shown
from ..policy import Rules, owner_of
from ..service.refresh import lines_of
from ..service.surroundings import state_directory
from ..settings import Settings, load
from . import words
from .switch import lines_off
from .user import become_service_user

PORTAL_SECONDS = 30.0
HEADER = ("line", "name", "person", "in Bitrix24", "inbound routes")
MOST = (16, 20, 10, 22)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`sync`, `--json`."""
    parser.add_argument(
        "what", nargs="?", choices=["sync"], help="have the portal make the lines that it does not have"
    )
    parser.add_argument("--json", action="store_true", help="print them as JSON (docs/commands.md)")


def run(options: argparse.Namespace) -> int:
    """Print them as the portal has them now; with `sync` have it make those that are missing."""
    become_service_user()
    settings = load()
    directory, refused = asked(settings, options.what == "sync")
    try:
        shown, off = Shown(console).dids(), lines_off(console)
    except ServiceError:
        shown, off = [], []
    values = found(settings.rules, directory, shown, off)
    if options.json:
        said = {number: {"text": error.message, "hint": error.hint} for number, error in refused.items()}
        print(words.as_json({"lines": values, "refused": said}))
    else:
        rows = [(one["number"], one["name"] or "-", one["person"], _there(one), _routes(one)) for one in values]
        print("\n".join(words.table(HEADER, rows, MOST)) if rows else "The configuration has no lines.")
        for number, error in refused.items():
            print(f"{number}: {words.harmless(error.message)}\n    -> {words.harmless(error.hint)}", file=sys.stderr)
    return 1 if refused else 0


def asked(settings: Settings, sync: bool) -> tuple[Directory, Mapping[str, PortalError]]:
    """The portal's lines, after it has made the missing ones where that is wanted, and what it refused.

    None is changed or taken away: names and settings that people give lines on the portal are theirs.
    """
    directory = Directory()
    with open_portal(settings.portal, state_directory()) as client:
        directory.load_lines(client, total_seconds=PORTAL_SECONDS)
        wanted = [line for line in lines_of(settings.rules) if line.number not in directory.lines] if sync else []
        refused = directory.add_lines(client, wanted, total_seconds=PORTAL_SECONDS) if wanted else {}
        if wanted:
            directory.load_lines(client, total_seconds=PORTAL_SECONDS)
    return directory, refused


def found(rules: Rules, directory: Directory, dids: Sequence[str], off: Sequence[str]) -> list[dict[str, Any]]:
    """The configuration's lines, then those that the portal alone has. :param dids: of the inbound routes."""
    ours = {line.number: line for line in rules.lines}
    of_dids = {did: line_of_did(rules, did) for did in dids}
    default = [rules.default_line] if rules.default_line and rules.default_line not in ours else []
    values = []
    for number in [*ours, *default, *sorted(set(directory.lines) - {*ours, *default})]:
        line = ours.get(number)
        values.append(
            {
                "number": number,
                "name": line.name if line else directory.lines.get(number, ""),
                "person": str(owner_of(rules, line)),
                "configured": line is not None,
                "default": number == rules.default_line,
                "in_portal": number in directory.lines,
                "portal_name": directory.lines.get(number, ""),
                "off": number in off,
                "routes": [did for did, other in of_dids.items() if other is not None and other == number],
            }
        )
    return values


def _there(one: Mapping[str, Any]) -> str:
    off = "OFF; " if one["off"] else ""
    if not one["in_portal"]:
        return off + ("no: bx24 lines sync" if one["configured"] else "with its first call")
    return off + ("yes" if one["configured"] or one["default"] else "there alone")


def _routes(one: Mapping[str, Any]) -> str:
    return ", ".join(one["routes"]) or "-"
