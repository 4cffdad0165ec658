"""`bx24 off` and `bx24 on`: flags in Asterisk's own database, which are read at each call before anything else is.

The flag for everything is read by the dialplan itself, so that no script starts. The list of lines is read by the
script with the channel's variables, and whether a call is one of such a line is decided as it is for everything else.
"""

from __future__ import annotations

import argparse
import re
from typing import Callable

from ..errors import ServiceError
from ..numbers import canonical
from ..pbx.console import console
from ..policy import Rules
from ..settings import load
from .words import harmless

MOST = 900  # characters of all numbers together: what the script reads of one variable
_VALUE = re.compile(r"^Value: (\S+)", re.MULTILINE)
_NUMBER = re.compile(r"[-+0-9A-Za-z*#._]{1,50}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--line`."""
    parser.add_argument("--line", metavar="LINE", help="calls of this line of the configuration only, by its number")


def run(options: argparse.Namespace) -> int:
    """Set or clear a flag in AstDB; effective on the next call, also with the service dead."""
    if options.line is not None:
        return _line(options.verb == "off", options.line)
    if options.verb == "off":
        console("database put bx24 off 1")
        print("Off: from the next call on the CRM hears of nothing. `bx24 on` switches it on again.")
    else:
        console("database del bx24 off")
        print("On: calls are registered from the next one on.")
        left = lines_off(console)
        if left:
            print(f"Still off: {', '.join(left)} (bx24 on --line LINE).")
    return 0


def switched_off(ask: Callable[[str], str]) -> bool:
    """Whether all calls are left alone. :raises ServiceError: Asterisk does not answer."""
    return "Value: 1" in ask("database get bx24 off")


def lines_off(ask: Callable[[str], str]) -> list[str]:
    """The numbers of the lines whose calls are left alone. :raises ServiceError: Asterisk does not answer."""
    found = _VALUE.search(ask("database get bx24 lines-off"))
    return [number for number in found[1].split(",") if _NUMBER.fullmatch(number)] if found else []


def line_named(rules: Rules, text: str) -> str:
    """The number of a line of the configuration that is meant. :raises ServiceError: none is."""
    wanted = canonical(text, rules.country, rules.area_code) or text
    named = {line.number: line.name for line in rules.lines}
    if rules.default_line:
        named.setdefault(rules.default_line, "")
    for number, name in named.items():
        if text in (number, name) or wanted == canonical(number, rules.country, rules.area_code):
            return number
    known = ", ".join([*named][:10])
    raise ServiceError(
        f"{harmless(text[:40])} is no line of the configuration", f"Its lines: {known or 'none'}  (bx24 lines)"
    )


def _line(off: bool, text: str) -> int:
    number = line_named(load().rules, text)
    if not _NUMBER.fullmatch(number):
        raise ServiceError(f"the number {harmless(number)} can't be switched", "Write it with digits and a plus.")
    numbers = [one for one in lines_off(console) if one != number] + ([number] if off else [])
    if sum(len(one) + 1 for one in numbers) > MOST:
        raise ServiceError("too many lines are off already", "bx24 off   (switches all of them off)")
    console(f"database put bx24 lines-off {','.join(numbers)}" if numbers else "database del bx24 lines-off")
    if off:
        print(f"Off: from the next call on the CRM hears of nothing of {number}.\nOn again: bx24 on --line {number}")
    else:
        print(f"On: calls of {number} are registered from the next one on.")
    if switched_off(console):
        print("All calls are off: bx24 on")
    return 0
