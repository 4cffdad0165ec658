"""How a finding about the YAML reads: one printable line with file, line and option, and never a secret's value."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

# More findings than a person reads at once; it also bounds the work that a hostile file can cause.
LIMIT = 100

_LONGEST_SHOWN = 40
# A webhook's secret is a run of small letters and digits; an extension, a number, a country or a line's name is not.
_SECRET = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{12,}")
_ADDRESS = re.compile(r"://|\brest/[0-9]+/", re.IGNORECASE)


@dataclass(frozen=True)
class Problem:
    """One finding: `line` counts from 1, 0 where no line is to blame; `option` is a path such as `wait.in` or empty."""

    line: int
    option: str
    text: str


def shown(text: str) -> str:
    """Return how a value of the YAML may be shown: quoted and printable, or only described where it may be a secret."""
    # The length comes first: what a hostile file holds is not searched.
    if len(text) > _LONGEST_SHOWN or may_be_secret(text):
        return f"a text of {len(text)} characters"
    return "'" + printable(text) + "'"


def may_be_secret(text: str) -> bool:
    """Say whether a text looks like a webhook's URL or secret, which an admin may have pasted at the wrong place."""
    return bool(_ADDRESS.search(text) or ("/" not in text and _SECRET.search(text)))


def written(path: Sequence[str]) -> str:
    """Return an option's path as a message shows it: a name that may be a pasted secret is only described."""
    return ".".join(shown(name) if len(name) > _LONGEST_SHOWN or may_be_secret(name) else name for name in path)


def printable(text: str) -> str:
    """Return the text with everything that a terminal or a log line could take for a command written as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def lines(path: Path, problems: Sequence[Problem]) -> list[str]:
    """Return the findings as an admin reads them, in the order of the file: at most `LIMIT`, then a line to say so."""
    # What is missing has often no line: it comes after what is there.
    found = sorted(dict.fromkeys(problems), key=lambda problem: problem.line or sys.maxsize)
    report = []
    for problem in found[:LIMIT]:
        place = printable(str(path)) + (f":{problem.line}" if problem.line else "")
        report.append(": ".join(part for part in (place, printable(problem.option), printable(problem.text)) if part))
    if len(found) > LIMIT:
        report.append(f"{printable(str(path))}: and more: these are the first {LIMIT} problems")
    return report
