"""user.get: the portal's employees, for the map of extensions to users."""

from __future__ import annotations

from typing import Any

from freepbx_bx24.sandbox.portal import php
from freepbx_bx24.sandbox.portal.state import Context, Listing, page_of
from freepbx_bx24.sandbox.portal.world import Employee

_YES, _NO = ("1", "Y", "TRUE"), ("0", "", "N", "FALSE")


def _row(person: Employee) -> dict[str, Any]:
    row: dict[str, Any] = {
        "ID": str(person.user_id),
        "ACTIVE": person.active,
        "NAME": person.name,
        "LAST_NAME": person.last_name,
        "WORK_PHONE": person.work_phone,
        "PERSONAL_PHONE": person.personal_phone,
        "PERSONAL_MOBILE": person.personal_mobile,
        "USER_TYPE": person.user_type,
    }
    if person.extension is not None:  # portals leave the key out for people who never had an internal number
        row["UF_PHONE_INNER"] = person.extension
    return row


def _matches(row: dict[str, Any], key: str, wanted: Any) -> bool:
    """Exact match; an array of wanted values means any of them."""
    values = [php.text(value) for value in php.as_list(wanted)]
    if key == "ACTIVE":
        words = _YES if row["ACTIVE"] else _NO
        return any(value.upper() in words for value in values)
    return (php.text(row.get(key))) in values


def users(context: Context, parameters: dict[str, Any]) -> Listing:
    """user.get; filter keys stand in FILTER or at the top level, unknown ones are ignored; 50 a page."""
    nested = parameters.get("FILTER")
    wanted = (
        {**parameters, **{key.upper(): value for key, value in nested.items()}}
        if isinstance(nested, dict)
        else parameters
    )
    fields = (
        "ID",
        "ACTIVE",
        "NAME",
        "LAST_NAME",
        "WORK_PHONE",
        "PERSONAL_PHONE",
        "PERSONAL_MOBILE",
        "USER_TYPE",
        "UF_PHONE_INNER",
    )
    people = sorted(context.world.employees, key=lambda person: person.user_id)
    rows = [row for row in map(_row, people) if all(_matches(row, key, wanted[key]) for key in fields if key in wanted)]
    return page_of(rows, php.integer(parameters.get("START")))
