"""Whom a call belongs to in the portal: the first of its people that the portal knows, fixed when the call comes."""

from __future__ import annotations

from dataclasses import replace

from .. import numbers
from ..bitrix24.directory import Directory
from ..call import INBOUND, OUTBOUND, Beginning, Person, Registration, SeenLeg, View
from ..policy import Rules, Skip, decide_registration, person_named
from .wishes import Known


def decided(rules: Rules, directory: Directory, beginning: Beginning) -> Registration | Skip:
    """What the CRM is told when a call begins, or why nothing: the rules, and who is who in the portal.

    Left out are the calls of phones whose owner the CRM does not have, where `people_not_in_portal` says so, and calls
    out to an employee's own phone: by a colleague, a ring group of mobiles, or forwarded to a mobile.
    """
    decision = decide_registration(rules, beginning)
    if isinstance(decision, Skip):
        return decision
    person = decision.people[0]
    left_out = rules.people_not_in_portal == "skip" and directory.loaded and not person.user_id
    if left_out and not directory.user_id(person):
        return Skip(f"extension {person.extension} has nobody in the portal")
    if decision.direction == OUTBOUND and directory.employee_with_phone(decision.number):
        return Skip("the number belongs to a colleague")
    if decision.only_unknown and decision.entity:  # the dialplan knows the client
        return replace(decision, create=False, only_unknown=False)
    return decision


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


def responsible(known: Known | None, directory: Directory) -> Person | None:
    """The client's manager, by the CRM's last answer, as far as the portal has him as an employee."""
    client = known.client if known else None
    person = Person(user_id=client.responsible) if client and client.responsible else None
    return person if person and directory.user_id(person) else None
