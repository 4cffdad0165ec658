"""Whether extensions and people of the portal belong together, and everybody whom the configuration names is there."""

from __future__ import annotations

from typing import Iterator

from .. import numbers
from ..bitrix24.directory import Directory
from ..call import Person
from ..pbx.freepbx import Member
from ..policy import Rules
from .finding import Finding, failure, judged, listed, ok, warning
from .machine import Machine

LONGEST_INNER = 4  # digits of an internal number, as the portal's own form takes them


def named(machine: Machine) -> Iterator[Finding]:
    """Everybody whom the configuration names is somebody active in the portal."""
    settings, directory = machine.settings, machine.directory
    assert settings and directory
    rules = settings.rules
    people: dict[Person, str] = {rules.default_person: "default_person"}
    for line in rules.lines:
        if line.person:
            people.setdefault(line.person, f"line {line.number}")
    for device, person in rules.people.items():
        people.setdefault(person, f"people {device}")
    for person, where in people.items():
        right = bool(directory.user_id(person))
        yield judged(
            right,
            "person",
            f"{person} ({where}) {'is known' if right else 'is nobody active'} in the portal",
            f"Give an employee of the portal the internal number {person}, or name another one in {settings.path}.",
        )


def shared(machine: Machine) -> Iterator[Finding]:
    """Nobody shares an internal number: whose calls are whose would be left to chance."""
    assert machine.directory
    for extension, ids in sorted(machine.directory.duplicates().items()):
        everybody = " and ".join(f"user:{user_id}" for user_id in ids)
        yield failure(
            "internal numbers",
            f"{everybody} have the same internal number {extension}: calls of {extension} go to user:{ids[0]}",
            "Leave the number to one of them in Bitrix24, or name the person under people in the configuration.",
        )


def extensions(machine: Machine) -> Iterator[Finding]:
    """FreePBX's extensions and the portal's internal numbers, in both directions."""
    settings, directory, asterisk = machine.settings, machine.directory, machine.asterisk
    assert settings and directory and asterisk
    here = asterisk.extensions()
    if here:
        yield from compared(here, asterisk.queue_members(), directory, settings.rules, str(settings.path))


def compared(
    here: list[str], members: list[Member], directory: Directory, rules: Rules, path: str
) -> Iterator[Finding]:
    """Who answers calls here and is nobody there, and the other way round.

    :param here: the PBX's extensions. :param members: whom its queues ring.
    """
    alone = [extension for extension in here if not _is_known(extension, directory, rules)]
    long = [extension for extension in alone if len(extension) > LONGEST_INNER]
    in_queues = {one.extension: one.queue for one in members if one.extension in alone and one.extension not in long}
    others = [extension for extension in alone if extension not in long and extension not in in_queues]
    if long:
        yield warning(
            "extensions",
            f"longer than the {LONGEST_INNER} digits that Bitrix24 takes: {listed(long)}; their calls are the default"
            " person's",
            f'Say whose they are under people in {path}, as  "{long[0]}": user:12',
        )
    if in_queues:
        said = [f"{extension} (queue {queue})" for extension, queue in sorted(in_queues.items())]
        yield warning(
            "queues",
            f"answer a queue's calls and are nobody in Bitrix24: {listed(said)}; such calls are the default person's",
            "In Bitrix24: Telephony, Telephony users: give the employee this internal number,"
            f" or name the person under people in {path}.",
        )
    if others:
        yield warning(
            "extensions",
            f"nobody in Bitrix24: {listed(others)}; their calls are the default person's",
            "In Bitrix24: Telephony, Telephony users: give the employee this internal number; or name the person under"
            f" people, or a fax or door phone under skip.extensions, in {path}.",
        )
    if not alone:
        yield ok("extensions", f"all {len(here)} of this PBX are somebody in Bitrix24, or are left out")
    away = sorted(set(directory.internal_numbers()) - set(here))
    if away:
        yield ok("extensions", f"internal numbers of Bitrix24 that are no extension of this PBX: {listed(away)}")


def _is_known(extension: str, directory: Directory, rules: Rules) -> bool:
    if extension in rules.people or directory.user_id(Person(extension=extension)):
        return True
    skipped = rules.skip_extensions
    return any(numbers.matches(pattern, extension, rules.country, rules.area_code) for pattern in skipped)
