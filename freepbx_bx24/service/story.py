"""The lines of a call's story in plain words, made from what happened: no I/O and no clock."""

from __future__ import annotations

from datetime import datetime
from typing import Sequence

from ..bitrix24 import telephony
from ..bitrix24.replies import Result
from ..call import INBOUND, Beginning, Outcome
from ..errors import PortalError
from ..journal.records import FINISH, REGISTER, Entry, Registered
from ..outcome import ANSWERED, who_answered
from .errands import Errand
from .outputs import NOBODY, About

CAME = "came"
DIALPLAN = "dialplan"
PUT_OFF = "put off"
PHONES = "phones"


def came(beginning: Beginning) -> str:
    """From whom, to whom, through which trunk. The channel is named for whoever reads Asterisk's own log."""
    inbound = beginning.direction == INBOUND
    way = f"inbound from {beginning.number or 'nobody'} to {beginning.did or 'no DID'}"
    if not inbound:
        way = f"outbound to {beginning.number}, dialled by {beginning.extension or 'nobody known'}"
    trunk = f" through trunk {beginning.trunk}" if beginning.trunk else ""
    return f"{way}{trunk}; channel {beginning.channel or 'not told'}"


def registered(answer: Registered) -> str:
    """The portal's answer to register."""
    bound = f", bound to {answer.entity.type} {answer.entity.id}" if answer.entity else ", bound to nobody"
    lead = f", lead {answer.created_lead} was made" if answer.created_lead else ""
    owner = f" for user {answer.user_id}" if answer.user_id else ""
    return f"registered as {answer.call_id}{owner}{bound}{lead}"


def live(together: int, seconds: float, said: str) -> str:
    """A request that a caller waited for, and how many went in it."""
    return f"live, {_way(together)}, {_milliseconds(seconds)}: {said}"


def late(errand: Errand, answer: Result | PortalError, together: int, seconds: float) -> tuple[str, str]:
    """A request of the delivery: what it was, and how the portal answered it."""
    return errand.item.kind, f"late, {_way(together)}, {_milliseconds(seconds)}: {_said(errand, answer)}"


def card(errand: Errand, users: Sequence[int], answer: Result | PortalError, together: int, seconds: float) -> str:
    """A card that was shown or hidden: whose, and how the portal answered that."""
    return f"user {', '.join(map(str, users))}: {_way(together)}, {_milliseconds(seconds)}: {_said(errand, answer)}"


def told(status: str, reason: str, answer: Registered | None, seconds: float, about: About = NOBODY) -> str:
    """What the dialplan was told, and how long the caller had waited for that."""
    call_id = f", BX24_CALL_ID={answer.call_id}" if answer else ""
    because = f" ({reason})" if reason else ""
    name = f", BX24_CRM_NAME={about.name}" if about.name else ""
    person = f", BX24_RESPONSIBLE={about.responsible}" if about.responsible else ""
    rings = f" for {about.seconds} s" if about.seconds else ""
    return f"BX24_STATUS={status}{because}{call_id}{name}{person}{rings}; the caller waited {_milliseconds(seconds)}"


def hung_up(entry: Entry, outcome: Outcome, seen: bool, whole: bool, how: str) -> str:
    """How a call ended, and by what that is known. :param how: what went wrong with its end, empty for nothing."""
    ending = entry.ending
    dialled = f"DIALSTATUS={ending.dial_status or 'not set'}, " if ending else ""
    known = f"({dialled}code {outcome.status_code}; told by {_told_by(ending is not None, seen, whole)})"
    said = f"{how}: " if how else ""
    if outcome.status_code != ANSWERED:
        return f"{said}nobody talked {known}; reason for the CRM: {outcome.reason or 'none'}"
    who, source = who_answered(ending) if ending and not seen and ending.direction == INBOUND else ("", "")
    by = f" by {who} ({source})" if who else ""
    note = f", {outcome.reason}" if outcome.reason else ""
    owner = f", for {outcome.people[0]}" if outcome.people else ""
    return f"{said}answered{by}{owner}, {outcome.talk_seconds} s {known}{note}"


def _told_by(variables: bool, seen: bool, whole: bool) -> str:
    if whole:
        return "what Asterisk showed"
    if not variables:
        return "what Asterisk showed until it was interrupted" if seen else "nothing: its end was not seen"
    return "the channel's variables and what Asterisk showed, not all of it" if seen else "the channel's variables"


def put_off(kind: str, due: float, why: str) -> str:
    """When an item is tried next, and why not now."""
    return f"{kind} until {datetime.fromtimestamp(due).strftime('%Y-%m-%d %H:%M:%S')}: {why}"


def _said(errand: Errand, answer: Result | PortalError) -> str:
    if isinstance(answer, PortalError):
        return answer.message
    try:
        return _ANSWERS.get(errand.item.kind, _taken)(errand, answer)
    except PortalError as error:  # an answer that can't be used is told as what it is
        return error.message


def _taken(errand: Errand, answer: Result) -> str:
    return "taken"


def _registered(errand: Errand, answer: Result) -> str:
    said = telephony.parse_registered(answer.result)
    failed = f"; no lead was made: {said.lead_error}" if said.lead_error else ""
    return registered(Registered(said.call_id, errand.user_id, said.entity, said.created_lead or 0)) + failed


def _finished(errand: Errand, answer: Result) -> str:
    problem = telephony.parse_finished(answer.result).problem
    return f"finished, but: {problem}" if problem else "finished"


def _way(together: int) -> str:
    return f"in a batch of {together}" if together > 1 else "alone"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


_ANSWERS = {REGISTER: _registered, FINISH: _finished}
