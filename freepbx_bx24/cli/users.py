"""`bx24 users`: which extension is whom in Bitrix24, and who is nobody. Exit code 0; 1: nothing is known of them."""

from __future__ import annotations

import argparse
from typing import Any, Iterator, Mapping, Sequence

from ..bitrix24.directory import Directory
from ..call import Person
from ..errors import ServiceError
from ..numbers import matches
from ..pbx.console import console
from ..pbx.freepbx import Member, Shown
from ..policy import Rules
from ..service import directory_file
from ..service.surroundings import state_directory
from ..settings import load
from . import words
from .user import become_service_user

HEADER = ("extension", "user", "name", "by", "queues")
MOST = (12, 8, 32, 26)
NOBODY = "NOBODY: default_person's"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print them as JSON (docs/commands.md)")


def run(options: argparse.Namespace) -> int:
    """Print who is who, by the list that the service has read last."""
    become_service_user()
    rules = load().rules
    directory = directory_file.read(state_directory())
    if not directory.loaded:
        raise ServiceError("nobody has read the portal's employees yet", "Start the service, or see `bx24 check`.")
    try:
        shown = Shown(console)
        here, members = shown.extensions(), shown.queue_members()
    except ServiceError:
        here, members = [], []
    people = list(found(rules, directory, here, members))
    if options.json:
        print(words.as_json({"users": people, "asterisk": bool(here)}))
        return 0
    rows = [
        (one["extension"], str(one["user_id"] or "-"), one["name"] or "-", _by(one), _queues(one)) for one in people
    ]
    print("\n".join([*words.table(HEADER, rows, MOST), summary(people, bool(here))]))
    return 0


def found(
    rules: Rules, directory: Directory, here: Sequence[str], members: Sequence[Member]
) -> Iterator[dict[str, Any]]:
    """Everybody of this PBX, of the YAML's `people` and of the portal, by extension.

    :param here: the PBX's extensions; none where they are not known.
    """
    numbers: Mapping[str, int] = directory.internal_numbers()
    for extension in sorted({*here, *rules.people, *numbers}, key=lambda one: (len(one), one)):
        person = rules.people.get(extension)
        user_id = directory.user_id(person or Person(extension=extension))
        skipped = any(matches(pattern, extension, rules.country, rules.area_code) for pattern in rules.skip_extensions)
        by = "people" if person else "skip.extensions" if skipped else "internal number" if user_id else None
        yield {
            "extension": extension,
            "user_id": user_id or None,
            "name": directory.name(user_id),
            "by": by,
            "here": extension in here if here else None,
            "queues": sorted({one.queue for one in members if one.extension == extension}),
        }


def _by(one: Mapping[str, Any]) -> str:
    if one["by"] is None or (one["by"] == "people" and not one["user_id"]):
        return NOBODY
    return str(one["by"]) + (", not on this PBX" if one["here"] is False and one["by"] == "internal number" else "")


def _queues(one: Mapping[str, Any]) -> str:
    return ", ".join(one["queues"]) or "-"


def summary(people: Sequence[Mapping[str, Any]], known: bool) -> str:
    """The last line."""
    nobody = sum(_by(one) == NOBODY for one in people)
    here = sum(bool(one["here"]) for one in people)
    said = f"{here} extensions of this PBX" if known else "what this PBX has is not known: it is no FreePBX, or is off"
    return f"{len(people)} in all; {said}; {nobody} nobody in Bitrix24."
