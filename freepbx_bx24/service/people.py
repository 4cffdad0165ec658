"""Whom a call belongs to in the portal: the first of its people that the portal knows, fixed when the call comes."""

from __future__ import annotations

from dataclasses import replace

from ..bitrix24.directory import Directory
from ..call import Person, Registration


def candidates(people: tuple[Person, ...], directory: Directory) -> list[tuple[int, str]]:
    """(user id, internal number) pairs to try in order; with a loaded directory only people it knows.

    Without one (it was never read) the portal is asked by internal number.
    """
    found = []
    for person in people:
        user_id = person.user_id or directory.user_id(person)
        if user_id or not directory.loaded:
            found.append((user_id, "" if user_id else person.extension))
    if not found:
        found = [(person.user_id, "" if person.user_id else person.extension) for person in people]
    return found


def resolved(registration: Registration, directory: Directory) -> Registration:
    """The registration with its people as the portal knows them now.

    The owner is a part of the portal's dedupe key: a repeat that named another one, because a list of employees was
    read in between, would be another call.
    """
    known = tuple(
        replace(person, user_id=user_id)
        for person in registration.people
        for user_id in [person.user_id or directory.user_id(person)]
        if user_id
    )
    return replace(registration, people=known) if known else registration
