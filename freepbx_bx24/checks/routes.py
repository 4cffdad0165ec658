"""Whether all of a PBX's calls come by: its inbound routes and our lines, trunks, outbound routes, other connectors."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Iterable, Iterator, Sequence

from .. import numbers
from ..call import INBOUND, Beginning
from ..policy import Rules, line_of
from .finding import Finding, listed, ok, warning
from .machine import Machine

# Contexts whose calls come to [from-pstn] in the end, in FreePBX 15 to 17.
INBOUND_CONTEXT = re.compile(r"from-(?:pstn|trunk|digital|analog|dahdi|zaptel|sip-external)(?:-.*)?")
INTERNAL = "from-internal"  # a trunk between offices: its calls are no clients'
BYPASS = re.compile(r"(?:Macro|Gosub)\((?:macro-)?(dialout-(?:dundi|enum))[,)]|\b(Dial)\(")
# What other connectors of Bitrix24 call themselves in processes and as users of the manager interface.
PROGRAMS = ("asterlink", "asterx", "callme", "itgrix", "informunity")
USERS = (*PROGRAMS, "bitrix", "b24")  # a program of such a name may be the portal's own, on the same machine
_EPOCH = datetime.fromtimestamp(0, timezone.utc)
OURS = ("bx24", "freepbx_bx24", "freepbx-bx24")


def lines(machine: Machine) -> Iterator[Finding]:
    """The lines of the configuration that the portal has. Missing ones are made: no fault, but good to know.

    A mistyped number would otherwise be noticed only as a new line in the portal.
    """
    settings, directory = machine.settings, machine.directory
    assert settings and directory
    rules = settings.rules
    known = dict.fromkeys(line.number for line in rules.lines)
    wanted = {**known, rules.default_line: None} if rules.default_line else known
    missing = [number for number in wanted if number not in directory.lines]
    made = {
        "the service adds each once, soon after its start or a reload, and its log says where the portal refuses": [
            number for number in missing if number in known
        ],
        "the portal makes it with its first call": [number for number in missing if number not in known],
    }
    for how, some in made.items():
        if some:
            yield ok("lines", f"not in the portal yet; {how}: {listed(some)}")
    if wanted and not missing:
        yield ok("lines", f"the portal has all {len(wanted)} of the configuration")


def routes(machine: Machine) -> Iterator[Finding]:
    """FreePBX's inbound routes are lines of the configuration, and the other way round."""
    settings, asterisk = machine.settings, machine.asterisk
    assert settings and asterisk
    dids = asterisk.dids()
    if dids:
        yield from compared(settings.rules, dids, str(settings.path))


def compared(rules: Rules, dids: Sequence[str], path: str) -> Iterator[Finding]:
    """DIDs in use against lines. :param dids: of the inbound routes: numbers, patterns, `s` for any."""
    plain = [did for did in dids if re.fullmatch(r"\+?[0-9]+", did)]
    left = [did for did in plain if line_of_did(rules, did) is None and not _is_left_out(rules, did)]
    if left and rules.lines and rules.lines_not_listed == "register" and not rules.default_line:
        yield warning(
            "inbound routes",
            f"no line of the configuration: {listed(left)}; the CRM shows their calls without a line",
            f"Add them under lines, or write default_line, in {path}.",
        )
    elif left and rules.lines:
        shown = f"shown as {rules.default_line}" if rules.lines_not_listed == "register" else "left out"
        yield ok("inbound routes", f"no line of the configuration, and {shown}: {listed(left)}")
    unused = [line.number for line in rules.lines if not line.trunk and not _is_used(rules, line.number, dids)]
    if unused and len(plain) == len(dids):  # a route for any number, or a pattern, may bring whatever it likes
        yield warning(
            "inbound routes",
            f"lines that no inbound route of this PBX brings: {listed(unused)}",
            f"Correct the number in {path}, give the line its dids, or make the route: Connectivity, Inbound Routes.",
        )
    if not left and not unused:
        yield ok("inbound routes", f"{len(dids)} of them, and lines for all")


def line_of_did(rules: Rules, did: str) -> str | None:
    """The number of the configuration's line that calls of an inbound route belong to, None for none."""
    line, _ = line_of(rules, Beginning("", "", "", INBOUND, "", did, _EPOCH))
    return line.number if line else None


def _is_left_out(rules: Rules, did: str) -> bool:
    return any(numbers.matches(pattern, did, rules.country, rules.area_code) for pattern in rules.skip_dids)


def _is_used(rules: Rules, number: str, dids: Sequence[str]) -> bool:
    return any(line_of_did(rules, did) == number for did in dids)


def trunks(machine: Machine) -> Iterator[Finding]:
    """Each trunk's calls come to [from-pstn], where our hook is."""
    assert machine.asterisk
    found = machine.asterisk.trunks()
    outside = {name: context for name, context in found.items() if context and not _comes_by(context)}
    for name, context in outside.items():
        yield warning(
            "trunks",
            f"inbound calls of the trunk {name} do not come by: its context is {context}",
            f"FreePBX: Connectivity, Trunks, {name}, pjsip Settings, Advanced: set Context to from-pstn.",
        )
    if found and not outside:
        yield ok("trunks", f"inbound calls of {listed(list(found))} come by")


def _comes_by(context: str) -> bool:
    return context == INTERNAL or INBOUND_CONTEXT.fullmatch(context) is not None


def outbound(machine: Machine) -> Iterator[Finding]:
    """Each outbound route dials by FreePBX's own macro, where our hook is."""
    assert machine.asterisk
    found = machine.asterisk.outbound_routes()
    around = {name: way for name, way in ((name, bypass(shown)) for name, shown in found.items()) if way}
    for name, way in around.items():
        yield warning(
            "outbound routes",
            f"calls of the route {name} do not come by: it uses {way}",
            "Call  Gosub(bx24-out,s,1)  with DIAL_NUMBER set before it, in extensions_custom.conf (docs/dialplan.md).",
        )
    if found and not around:
        yield ok("outbound routes", f"all {len(found)} come by")


def bypass(shown: str) -> str:
    """What an outbound route dials by where that is not what our hook is in; empty where it is."""
    way = BYPASS.search(shown)
    return next(filter(None, way.groups()), "") if way else ""


def others(machine: Machine) -> Iterator[Finding]:
    """No other connector posts the same calls a second time."""
    assert machine.asterisk
    found = connectors(machine.asterisk.manager_users(), processes())
    for what in found:
        yield warning(
            "other connectors",
            f"{what} looks like another connector: every call would be in the CRM twice",
            "Switch it off before calls go to Bitrix24 from here, or leave its lines out (lines_not_listed: skip).",
        )


def connectors(users: Iterable[str], commands: Iterable[str]) -> list[str]:
    """What looks like another connector among users of the manager interface and running programs."""
    named = [f"the manager user {user}" for user in users if _is_one(user, USERS)]
    return named + [f"the program {command}" for command in dict.fromkeys(commands) if _is_one(command, PROGRAMS)]


def _is_one(name: str, words: Iterable[str]) -> bool:
    low = name.casefold()
    return not any(ours in low for ours in OURS) and any(word in low for word in words)


def processes(proc: Path = Path("/proc")) -> list[str]:
    """The names of the programs that run, and of the scripts that interpreters run."""
    found = []
    for place in proc.glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes()[:4000].decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        names = [Path(word).name for word in words[:3] if word and not word.startswith("-")]
        found += [name for name in names if name.isprintable()]
    return found
