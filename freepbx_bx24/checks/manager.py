"""Whether Asterisk's manager interface shows us calls, and what is known to be open in it."""

from __future__ import annotations

import re
from typing import Iterator, NamedTuple

from ..pbx.ami_probe import attempts
from .finding import Finding, judged, ok, warning
from .machine import Machine


class Hole(NamedTuple):
    """A published weakness of the manager interface. :ivar mended: by major version, the first one without it."""

    name: str
    what: str
    mended: dict[int, tuple[int, int]]


# Asterisk's own advisories. A major version that is not named and is older gets no more updates; a newer one never
# had it.
HOLES = (
    Hole("CVE-2024-42365", "who may originate calls can run programs", {18: (24, 2), 20: (9, 2), 21: (4, 2)}),
    Hole(
        "CVE-2023-49294", "who may read the configuration can read other files", {18: (20, 1), 20: (5, 1), 21: (0, 1)}
    ),
)
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def manager(machine: Machine) -> Iterator[Finding]:
    """The user of the manager interface is there, logs in, and may see calls."""
    assert machine.settings
    for one in attempts(machine.settings.manager_file):
        yield judged(one.right, "manager interface", one.text, one.hint)


def dialling(machine: Machine) -> Iterator[Finding]:
    """Where clicks or callbacks are on: the user who may dial is there, and logs in."""
    assert machine.settings
    if machine.settings.dials:
        for one in attempts(machine.settings.clicks_file, dials=True):
            yield judged(one.right, "clicks and callbacks", one.text, one.hint)


def holes(machine: Machine) -> Iterator[Finding]:
    """What this version of Asterisk is known to leave open to users of the manager interface."""
    assert machine.asterisk
    version = machine.asterisk.version()
    dials = machine.settings is not None and machine.settings.dials
    ours = "of our users [bx24-clicks] may originate" if dials else "our user may neither"
    for hole in holes_of(version):
        yield warning(
            "Asterisk",
            f"version {version} has {hole.name} in the manager interface: {hole.what} ({ours})",
            f"Bring Asterisk up to date: {mended(hole)} or later; let nobody but this machine log in (bindaddr ="
            " 127.0.0.1).",
        )
    if version and not holes_of(version):
        yield ok("Asterisk", f"version {version}")


def holes_of(version: str) -> list[Hole]:
    """The holes of a version as Asterisk tells it. A distribution's own build is mended without a new number."""
    found = _VERSION.fullmatch(version)
    if not found:
        return []
    major, rest = int(found[1]), (int(found[2]), int(found[3]))
    return [hole for hole in HOLES if _is_open(hole, major, rest)]


def _is_open(hole: Hole, major: int, rest: tuple[int, int]) -> bool:
    if major in hole.mended:
        return rest < hole.mended[major]
    return major < max(hole.mended)


def mended(hole: Hole) -> str:
    """The versions from which on a hole is closed."""
    return ", ".join(f"{major}.{minor}.{patch}" for major, (minor, patch) in sorted(hole.mended.items()))
