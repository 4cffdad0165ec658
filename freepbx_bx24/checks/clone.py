"""Whether this machine is the one that the PBX's name was made for: two of one name mix their calls up in the CRM."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Iterator

from .finding import Finding, ok, warning
from .machine import Machine

FILE = "machine"
MACHINE_ID = Path("/etc/machine-id")
LONGEST = 200


def clone(machine: Machine) -> Iterator[Finding]:
    """The state folder was begun on this machine, under this pbx_id."""
    assert machine.settings
    pbx_id, place = machine.settings.rules.pbx_id, machine.state / FILE
    now, then = mark(MACHINE_ID, pbx_id), _read(place)
    if not now or not then or then == now or then.split(" ")[:1] != now.split(" ")[:1]:
        yield ok("pbx_id", f"{pbx_id} is this machine's")
        return
    yield warning(
        "pbx_id",
        f"this machine was copied from the one that is {pbx_id} in the CRM: two of one name mix their calls up",
        f"If the other one lives on, write another pbx_id into {machine.settings.path}; if this one takes its place:"
        f" rm {place}. Then: systemctl restart freepbx-bx24",
    )


def mark(machine_id: Path, pbx_id: str) -> str:
    """What tells this machine under this name from others; empty where it has no id. The id itself is not in it."""
    try:
        own = machine_id.read_text(encoding="ascii", errors="replace")[:LONGEST].strip()
    except OSError:
        return ""
    if not own:
        return ""
    return " ".join(hashlib.sha256(f"freepbx_bx24 {text}".encode()).hexdigest()[:32] for text in (pbx_id, own))


def remember(state: Path, pbx_id: str, machine_id: Path | None = None) -> None:
    """Write the mark where there is none, or where it is that of another name. :raises OSError: it can't be written."""
    now, then = mark(machine_id or MACHINE_ID, pbx_id), _read(state / FILE)
    if now and then.split(" ")[:1] != now.split(" ")[:1]:
        hidden = state / ("." + FILE)
        hidden.write_text(now + "\n", encoding="ascii")
        hidden.replace(state / FILE)


def _read(place: Path) -> str:
    try:
        return place.read_text(encoding="ascii", errors="replace")[:LONGEST].strip()
    except OSError:
        return ""
