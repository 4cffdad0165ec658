"""Whom a call belongs to in the portal: the first of its people that the portal knows, fixed when the call comes."""

from __future__ import annotations

from dataclasses import replace

from .. import numbers
from ..bitrix24.directory import Directory
from ..call import INBOUND, Person, Registration, SeenLeg, View
from ..policy import Rules, person_named


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
    if not known:
        return registration
    # An outbound call's card is for who dialled, and for nobody in his place.
    first = registration.people[0]
    shows = registration.show and (registration.direction == INBOUND or bool(first.user_id or directory.user_id(first)))
    return replace(registration, people=known, show=shows)


def named(view: View, rules: Rules, directory: Directory) -> View:
    """The view with whose telephone, or own mobile behind a trunk, each leg is."""
    return replace(view, legs=tuple(replace(leg, person=person_of(leg, rules, directory)) for leg in view.legs))


def person_of(leg: SeenLeg, rules: Rules, directory: Directory) -> Person | None:
    """Whose leg it is; None for clients and for whoever the portal does not know."""
    if leg.client:
        return None
    if leg.number:
        user_id = directory.employee_with_phone(numbers.canonical(leg.number, rules.country, rules.area_code))
        return Person(user_id=user_id) if user_id else None
    person = person_named(rules, leg.device if leg.device in rules.people else leg.user or leg.device)
    return person if person and (directory.user_id(person) or not directory.loaded) else None
