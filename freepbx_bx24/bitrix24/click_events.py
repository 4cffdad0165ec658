"""What the portal's events say of a click or a callback form: plain data out, whatever comes in."""

from __future__ import annotations

import re
from typing import Mapping

from ..call import Entity
from ..clicks import Callback, Click
from .events import CALLBACK, CLICK
from .replies import harmless, whole_number
from .telephony import is_call_id

NOTIFY = "im.notify.system.add"

LONGEST_NUMBER = 60  # characters: more is no number, however it is written
LONGEST_LINE = 50
_TRUE = frozenset({"1", "y", "true"})
_TYPE = re.compile("[A-Z][A-Z0-9_]{0,29}")


def read(name: str, data: Mapping[str, str], at: float) -> Click | Callback | None:
    """Return the click or callback of an event, None for another event and for what can't be one.

    Offline events bring JSON's own types, online ones text (bitrix24-telephony, 15.3 and 16.2): all is text here.

    :param at: wall clock seconds of the event.
    """
    number = harmless(data.get("PHONE_NUMBER", ""), LONGEST_NUMBER)
    line = harmless(data.get("LINE_NUMBER", ""), LONGEST_LINE)
    entity = _entity(data)
    if name.upper() == CALLBACK and number:
        return Callback(number, at, harmless(data.get("TEXT", "")), line, entity)
    user_id = whole_number(data.get("USER_ID", ""))
    if name.upper() != CLICK or not user_id or not is_call_id(data.get("CALL_ID")):
        return None
    return Click(
        call_id=data["CALL_ID"],
        user_id=user_id,
        number=number,
        at=at,
        international=harmless(data.get("PHONE_NUMBER_INTERNATIONAL", ""), LONGEST_NUMBER),
        line=line,
        entity=entity,
        mobile=data.get("IS_MOBILE", "").strip().lower() in _TRUE,
    )


def _entity(data: Mapping[str, str]) -> Entity | None:
    kind, number = data.get("CRM_ENTITY_TYPE", ""), whole_number(data.get("CRM_ENTITY_ID", ""))
    return Entity(kind, number) if number and _TYPE.fullmatch(kind) else None
