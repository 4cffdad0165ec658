"""`bx24 calls`: a call a line, who talked how long, and what the CRM knows. Exit code 0; 1: it can't be read."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta
from typing import Any

from . import asking, words
from .user import become_service_user

HEADER = ("time", "", "number", "line", "person", "talk", "outcome", "CRM")
MOST = (14, 3, 16, 13, 16, 7, 12)
_AGO = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--since`, `--number`, `--json`."""
    parser.add_argument(
        "--since",
        type=since,
        metavar="8h|DATE",
        help="90m, 8h, 2d, 1w, or 2026-09-21, or 2026-09-21T14:00; else today's",
    )
    parser.add_argument("--number", default="", help="calls of this client only, the number in any form")
    parser.add_argument("--json", action="store_true", help="print them as JSON (docs/commands.md)")


def since(text: str) -> float:
    """A time ago, or a date and time of this machine's zone, as wall clock seconds.

    :raises argparse.ArgumentTypeError: it is neither.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return max(0.0, (datetime.now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).timestamp())
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(
            f"{words.harmless(text[:40])!r} is neither like 8h nor like 2026-09-21"
        ) from None


def run(options: argparse.Namespace) -> int:
    """Print the calls, the oldest first."""
    become_service_user()
    now = datetime.now().astimezone()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begin = midnight.timestamp() if options.since is None else options.since
    answer = asking.look("calls", {"since": f"{begin:.3f}", "number": options.number[:80]})
    if options.json:
        print(words.as_json(answer))
        return 0
    rows = sorted(
        [(call["started"], line(call, now)) for call in answer["calls"]]
        + [(call["started"], left_out(call, now)) for call in answer["left_out"]],
        key=lambda row: datetime.fromisoformat(row[0]),
    )
    if rows:
        print("\n".join(words.table(HEADER, [row for _, row in rows], MOST)))
    print(summary(answer))
    return 0


def line(call: words.Value, now: datetime) -> tuple[str, ...]:
    """The cells of one call."""
    return (
        words.when(call["started"], now),
        call["direction"],
        call["number"],
        call["line"] or "-",
        words.person(call["person"]),
        words.duration(call["talk_seconds"]),
        call["outcome"],
        words.crm(call, now),
    )


def left_out(call: words.Value, now: datetime) -> tuple[str, ...]:
    """The cells of one call of which the CRM is told nothing."""
    when = words.when(call["started"], now)
    return (when, call["direction"], call["number"] or "-", "-", "-", "-", "left out", call["why"])


def summary(answer: dict[str, Any]) -> str:
    """The last line: how many of what; what there is none of is left out."""
    counts = answer["counts"]
    parts = [f"{counts[name]} {name.replace('_', ' ')}" for name in _PARTS if counts[name]]
    more = "; older ones are not shown: give a later --since" if answer["more"] else ""
    calls = "1 call" if counts["calls"] == 1 else f"{counts['calls'] or 'no'} calls"
    return f"{calls}{': ' if parts else ''}{', '.join(parts)}{more}"


_PARTS = ("answered", "missed", "not_answered", "going_on", "owed", "parked", "left_out")
