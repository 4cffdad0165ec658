"""user.get: the portal's employees, for the map of extensions to users."""

from __future__ import annotations

from typing import Any, Callable

from freepbx_bx24.sandbox.portal import php
from freepbx_bx24.sandbox.portal.state import Context, Listing, page_of
from freepbx_bx24.sandbox.portal.world import Employee

_YES, _NO = ("1", "Y", "TRUE"), ("0", "", "N", "FALSE")


# Field -> its value for a person; None where portals leave the key out (people who never had an internal number).
FIELDS: dict[str, Callable[[Employee], Any]] = {
    "ID": lambda person: str(person.user_id),
    "ACTIVE": lambda person: person.active,
    "NAME": lambda person: person.name,
    "LAST_NAME": lambda person: person.last_name,
    "WORK_PHONE": lambda person: person.work_phone,
    "PERSONAL_PHONE": lambda person: person.personal_phone,
    "PERSONAL_MOBILE": lambda person: person.personal_mobile,
    "USER_TYPE": lambda person: person.user_type,
    "UF_PHONE_INNER": lambda person: person.extension,
}


def _row(person: Employee) -> dict[str, Any]:
    row = {name: value(person) for name, value in FIELDS.items()}
    if row["UF_PHONE_INNER"] is None:
        del row["UF_PHONE_INNER"]
    return row


def _test(key: str, wanted: Any) -> Callable[[Employee], bool]:
    """Exact match; an array of wanted values means any of them."""
    values = {php.text(value) for value in php.as_list(wanted)}
    if key == "ACTIVE":
        active = {value.upper() for value in values}
        return lambda person: not active.isdisjoint(_YES if person.active else _NO)
    field = FIELDS[key]
    return lambda person: php.text(field(person)) in values


def users(context: Context, parameters: dict[str, Any]) -> Listing:
    """user.get; filter keys stand in FILTER or at the top level, unknown ones are ignored; 50 a page."""
    nested = parameters.get("FILTER")
    wanted = (
        {**parameters, **{key.upper(): value for key, value in nested.items()}}
        if isinstance(nested, dict)
        else parameters
    )
    tests = [_test(key, wanted[key]) for key in FIELDS if key in wanted]
    people = sorted(context.world.employees, key=lambda person: person.user_id)
    for test in tests:
        people = [person for person in people if test(person)]
    page = page_of(people, php.integer(parameters.get("START")))
    page.result = [_row(person) for person in page.result]
    return page
