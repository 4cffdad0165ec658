"""The telephony methods' parameters and results: plain data in, the portal's names and limits out, and back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from ..call import INBOUND, OUTBOUND, Entity, Outcome, Registration
from ..errors import PortalBroken
from .replies import harmless, whole_number

REGISTER = "telephony.externalCall.register"
FINISH = "telephony.externalCall.finish"
SHOW = "telephony.externalCall.show"
HIDE = "telephony.externalCall.hide"

# TYPE 1 is outgoing, 2 incoming. 3 (incoming, redirected) would weaken the marks of missed calls.
_TYPES = {OUTBOUND: 1, INBOUND: 2}
_CALLBACK = 4

# The widths of the portal's columns. A longer value makes finish fail after it has made the activity ("Unexpected
# database error"), and each new attempt makes one more: so nothing longer may be sent.
LONGEST_NUMBER = 20
LONGEST_EXTERNAL_ID = 64
LONGEST_LINE = 50
LONGEST_REASON = 255
LONGEST_CALL_ID = 255

# register keeps these characters of PHONE_NUMBER and drops all others before it measures and compares.
_NOT_IN_NUMBERS = re.compile(r"[^0-9#*+,;]")
_NOT_IN_CALL_IDS = frozenset("\"'`${},;\\")
_ENTITY_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,29}")
# Internal numbers of the portal have one to four digits; a longer extension would match nobody, so it is not sent.
_MOST_MADE = 10
_INNER = re.compile(r"[0-9]{1,4}", re.ASCII)


@dataclass(frozen=True)
class Registered:
    """The portal's answer to register.

    :ivar call_id: CALL_ID: opaque text of 1 to 255 printable characters, none of them special to the dialplan.
    :ivar entity: the CRM record that the call is bound to, or None.
    :ivar created_lead: id of the lead that was created, or None.
    :ivar lead_error: why no lead could be created, harmless; the call is registered all the same.
    :ivar made: the records that were created, the lead too; without leads a contact and a deal. A client who was known
        is bound to a record that is none of them.
    """

    call_id: str
    entity: Entity | None = None
    created_lead: int | None = None
    lead_error: str = ""
    made: tuple[Entity, ...] = ()


@dataclass(frozen=True)
class Finished:
    """The portal's answer to finish.

    :ivar activity_id: id of the CRM activity, or None where no CRM record is bound.
    :ivar entity: the CRM record, or None. :ivar problem: what went wrong beside the finish itself, harmless.
    """

    activity_id: int | None = None
    entity: Entity | None = None
    problem: str = ""


def register_parameters(registration: Registration, user_id: int, inner: str) -> dict[str, Any]:
    """Return the parameters of `telephony.externalCall.register`.

    :param user_id: the owner's id in the portal, 0 where unknown. :param inner: the internal number, used only then.
    :raises ValueError: `started` has no offset: the portal would read it in its own zone.
    """
    if registration.started.tzinfo is None:
        raise ValueError("the start of a call needs its offset")
    parameters: dict[str, Any] = {
        **_person(user_id, inner),
        "PHONE_NUMBER": phone_number(registration.number),
        "TYPE": _CALLBACK if registration.callback else _TYPES[registration.direction],
        "CALL_START_DATE": registration.started.isoformat(timespec="seconds"),
        # The portal takes these by PHP's truth: "N" and "false" would be true.
        "CRM_CREATE": int(registration.create),
        "SHOW": int(registration.show),
        # The end of it tells calls apart.
        "EXTERNAL_CALL_ID": harmless(registration.external_id)[-LONGEST_EXTERNAL_ID:],
    }
    optional = {
        "CRM_SOURCE": harmless(registration.source, LONGEST_LINE),
        "LINE_NUMBER": harmless(registration.line, LONGEST_LINE),
    }
    parameters.update({name: value for name, value in optional.items() if value})
    if registration.entity:
        parameters["CRM_ENTITY_TYPE"] = registration.entity.type
        parameters["CRM_ENTITY_ID"] = registration.entity.id
    return parameters


def parse_registered(result: object) -> Registered:
    """Return what register's `result` says.

    :raises PortalBroken: without a CALL_ID that can be used; everything else that is odd is taken as absent.
    """
    if not isinstance(result, dict) or not is_call_id(result.get("CALL_ID")):
        raise PortalBroken("the portal registered a call without a CALL_ID that can be used")
    lead = whole_number(result.get("CRM_CREATED_LEAD"))
    return Registered(
        call_id=result["CALL_ID"],
        entity=entity_of(result),
        created_lead=lead,
        lead_error=harmless(result.get("LEAD_CREATION_ERROR")),
        made=_made(result.get("CRM_CREATED_ENTITIES"), lead),
    )


def _made(rows: object, lead: int | None) -> tuple[Entity, ...]:
    found = [Entity("LEAD", lead)] if lead else []
    for row in rows[:_MOST_MADE] if isinstance(rows, list) else ():
        if isinstance(row, dict):
            entity = _entity(row.get("ENTITY_TYPE"), row.get("ENTITY_ID"))
            found += [entity] if entity else []
    return tuple(dict.fromkeys(found))


def finish_parameters(call_id: str, user_id: int, inner: str, outcome: Outcome) -> dict[str, Any]:
    """Return the parameters of `telephony.externalCall.finish`; `user_id` and `inner` as in `register_parameters`."""
    return {
        "CALL_ID": call_id,
        **_person(user_id, inner),
        # Talk seconds: anything above 0 makes the call a successful one, whatever STATUS_CODE says.
        "DURATION": max(0, outcome.talk_seconds),
        "STATUS_CODE": harmless(outcome.status_code, LONGEST_REASON),
        "FAILED_REASON": harmless(outcome.reason, LONGEST_REASON),
        # Its default is 1 in the documentation and 0 on the wire.
        "ADD_TO_CHAT": 0,
    }


def parse_finished(result: object) -> Finished:
    """Return what finish's `result` says. :raises PortalBroken: it is no object."""
    if not isinstance(result, dict):
        raise PortalBroken("the portal finished a call with an answer of the wrong type")
    errors = result.get("ERRORS")
    texts = errors.values() if isinstance(errors, dict) else errors if isinstance(errors, list) else ()
    return Finished(
        activity_id=whole_number(result.get("CRM_ACTIVITY_ID")),
        entity=entity_of(result),
        problem=harmless("; ".join(text for text in texts if isinstance(text, str))),
    )


def card_parameters(call_id: str, user_ids: Sequence[int]) -> dict[str, Any]:
    """Return the parameters of `telephony.externalCall.show` and `.hide`: always a list of ids.

    :raises ValueError: for nobody: the portal would take the person of the registration instead.
    """
    if not user_ids:
        raise ValueError("a card needs somebody who sees it")
    return {"CALL_ID": call_id, "USER_ID": list(user_ids)}


def phone_number(number: str) -> str:
    """Return a number as the portal takes it: what it would drop is left out, what is too long is cut."""
    return _NOT_IN_NUMBERS.sub("", number)[:LONGEST_NUMBER]


def entity_of(row: Mapping[str, Any]) -> Entity | None:
    """Return the CRM record that an answer names by CRM_ENTITY_TYPE and CRM_ENTITY_ID, None for none."""
    return _entity(row.get("CRM_ENTITY_TYPE"), row.get("CRM_ENTITY_ID"))


def _entity(kind: object, number: object) -> Entity | None:
    whole = whole_number(number)
    # Nothing found is "", and false for a call that was registered before.
    if whole is None or not isinstance(kind, str) or not _ENTITY_TYPE.fullmatch(kind):
        return None
    return Entity(kind, whole)


def _person(user_id: int, inner: str) -> dict[str, Any]:
    """Return who owns the call. With neither the portal refuses, and that is a PersonUnknown like any other."""
    if user_id:
        return {"USER_ID": user_id}
    return {"USER_PHONE_INNER": inner} if _INNER.fullmatch(inner) else {}


def is_call_id(value: object) -> bool:
    """Whether it can be a CALL_ID: 1 to 255 printable characters, none of them special to the dialplan."""
    return (
        isinstance(value, str)
        and 1 <= len(value) <= LONGEST_CALL_ID
        and value.isprintable()
        and not _NOT_IN_CALL_IDS.intersection(value)
    )
