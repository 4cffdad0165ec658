"""What a line wants to know of its client before a phone rings, and what the dialplan is told: no I/O, no clock."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Collection

from .. import numbers
from ..bitrix24.clients import Client
from ..bitrix24.directory import Directory
from ..call import INBOUND, Beginning, Entity, Person
from ..policy import Rules, line_of
from .outputs import NOBODY, About

FRESH_SECONDS = 30.0  # how old the word may be that somebody is at work


@dataclass(frozen=True)
class Wishes:
    """`name`: phones show the client's name. `responsible_seconds`: how long the client's manager is rung first."""

    name: bool = False
    responsible_seconds: int = 0

    def __bool__(self) -> bool:
        return self.name or self.responsible_seconds > 0


@dataclass(frozen=True)
class Known:
    """The portal's last answer, and how many seconds old it is. :ivar client: None where the CRM knows nobody."""

    client: Client | None
    age: float


def wishes(rules: Rules, beginning: Beginning) -> Wishes:
    """What an inbound call's line wants to know of its client; nothing of a caller who hides."""
    if beginning.direction != INBOUND or numbers.is_anonymous(beginning.client_number or beginning.number):
        return Wishes()
    chosen = line_of(rules, beginning)[0] or rules.unlisted
    # The blacklist is the inbound route's, which that person would be rung before.
    return Wishes(chosen.client_name, 0 if beginning.blacklisted == "1" else chosen.responsible_seconds)


def about(
    known: Known | None, wanted: Wishes, rules: Rules, directory: Directory, made: Collection[Entity] = ()
) -> About:
    """What the dialplan is told: a name that may be some minutes old; whom to ring only by a fresh word of work.

    :param made: what this very call has made in the CRM. A search beside its register may find that already: a lead
        whose name is a number, and which belongs to whoever the line belongs to.
    """
    if not wanted or known is None or known.client is None or known.client.entity in made:
        return NOBODY
    client, device = known.client, ""
    # Who has left the company is not rung: the extension may be somebody else's by now.
    if client.responsible and (not directory.loaded or directory.user_id(Person(user_id=client.responsible))):
        extension = client.extension or directory.extension(client.responsible)
        device = device_of(rules, Person(extension, client.responsible))
    rings = device and client.at_work and known.age <= FRESH_SECONDS
    return About(client.name if wanted.name else "", device, wanted.responsible_seconds if rings else 0)


def device_of(rules: Rules, person: Person) -> str:
    """The number by which the PBX rings a person of the portal; empty where none is known.

    It is the portal's extension, or the one device that `people` gives to the person: the portal's numbers have four
    digits at most. FreePBX's second devices, 99 or 98 before the extension, ring with the first.
    """
    same = {Person(extension=person.extension), Person(user_id=person.user_id)} - {Person()}
    twins = {f"{prefix}{person.extension}" for prefix in ("98", "99")}
    devices = [
        device
        for device, owner in rules.people.items()
        if owner in same and device not in twins and re.fullmatch(r"[0-9]{1,10}", device)
    ]
    return devices[0] if len(devices) == 1 else person.extension
