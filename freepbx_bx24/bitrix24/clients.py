"""Who a number belongs to in the CRM: the question searchCrmEntities, and its answer taken with distrust."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..call import Entity
from ..errors import PortalBroken
from .employees import extension_of
from .replies import harmless, whole_number
from .telephony import entity_of, phone_number

METHOD = "telephony.externalCall.searchCrmEntities"

LONGEST_NAME = 100
MOST_ROWS = 200  # the portal lists 50 of each of three types
# TIMEMAN_STATUS of people who are not there. Who does not use the portal's time keeping counts as at work: OPENED,
# UNAVAILABLE (not used for this person), NOT_INSTALLED, and no word at all.
_AWAY = frozenset({"CLOSED", "PAUSED", "EXPIRED"})


@dataclass(frozen=True)
class Client:
    """Somebody whom the CRM knows.

    :ivar entity: the CRM record, the main one where there are several. :ivar name: harmless, may be empty.
    :ivar responsible: the user id of the person who looks after the client, 0 where nobody is named.
    :ivar extension: that person's internal number, empty where the answer has none.
    :ivar at_work: whether that person is at work by the portal's time keeping.
    """

    entity: Entity
    name: str = ""
    responsible: int = 0
    extension: str = ""
    at_work: bool = False


def parameters(number: str) -> dict[str, Any]:
    """Return the parameters of the search for a client's number."""
    return {"PHONE_NUMBER": phone_number(number)}


def found(result: object) -> Client | None:
    """Return who the search's `result` says it is: the first record is the main one; None: nobody.

    :raises PortalBroken: it is no list, or one of nothing that can be read: somebody was found, but not who.
    """
    if not isinstance(result, list):
        raise PortalBroken("the portal's list of clients is no list")
    for row in result[:MOST_ROWS]:
        entity = entity_of(row) if isinstance(row, dict) else None
        if entity:
            return _client(entity, row)
    if result:
        raise PortalBroken("the portal's list of clients names nobody that can be read")
    return None


def _client(entity: Entity, row: Mapping[str, Any]) -> Client:
    person = row.get("ASSIGNED_BY")
    person = person if isinstance(person, dict) else {}
    status = person.get("TIMEMAN_STATUS")
    responsible = whole_number(person.get("ID")) or whole_number(row.get("ASSIGNED_BY_ID")) or 0
    return Client(
        entity=entity,
        name=harmless(row.get("NAME"), LONGEST_NAME),
        responsible=responsible,
        extension=extension_of(person.get("USER_PHONE_INNER")) if responsible else "",
        at_work=bool(responsible) and not (isinstance(status, str) and status.upper() in _AWAY),
    )
