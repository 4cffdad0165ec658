"""What a call needs of the portal, as whole steps: register for the first person it knows, finish and settle."""

from __future__ import annotations

import logging
import time
from typing import Callable, TypeVar

from ..bitrix24 import telephony
from ..bitrix24.client import Client
from ..bitrix24.directory import Directory
from ..call import Outcome, Person, Registration
from ..errors import CallNotFound, PersonUnknown, PortalAuthorisation, PortalError, PortalRefused
from ..journal.records import Registered

LOG = logging.getLogger("bx24.portal")
Answer = TypeVar("Answer")


def refused_itself(error: Exception) -> bool:
    """Whether the portal refused this very item: it is to blame, not the portal, our rights or the way there."""
    return isinstance(error, PortalRefused) and not error.retryable and not isinstance(error, PortalAuthorisation)


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


def for_someone(
    people: tuple[Person, ...], directory: Directory, total_seconds: float, ask: Callable[[int, str, float], Answer]
) -> Answer:
    """Ask for the first person whom the portal accepts, in `total_seconds` for all of them together.

    :param ask: gets user id, internal number and the seconds that are left.
    :raises PortalError: what the portal said of the last one.
    """
    ends = time.monotonic() + total_seconds
    tries = candidates(people, directory)
    for user_id, inner in tries[:-1]:
        try:
            return ask(user_id, inner, ends - time.monotonic())
        except PersonUnknown:  # left the company, or never had that internal number
            LOG.warning("the portal does not know %s: trying the next person", inner or f"user {user_id}")
    return ask(*tries[-1], ends - time.monotonic())


def register(client: Client, directory: Directory, registration: Registration, total_seconds: float) -> Registered:
    """Register a call; a repeat with the same registration gives the same CALL_ID while the call is open.

    :raises PortalError: where the portal can't be asked or refuses.
    """

    def ask(user_id: int, inner: str, seconds: float) -> Registered:
        parameters = telephony.register_parameters(registration, user_id, inner)
        reply = client.call(telephony.REGISTER, parameters, total_seconds=seconds)
        answer = telephony.parse_registered(reply.result)
        if answer.lead_error:
            LOG.info("%s: registered, but no lead was made: %s", registration.uniqueid, answer.lead_error)
        return Registered(answer.call_id, user_id, answer.entity, answer.created_lead or 0)

    return for_someone(registration.people, directory, total_seconds, ask)


def finish(
    client: Client, directory: Directory, registered: Registered, outcome: Outcome, total_seconds: float
) -> None:
    """Finish a call, and take the card away from the person it was registered for where another one talked.

    :raises CallNotFound: where the portal has no such open call.
    :raises PortalError: where the portal can't be asked or refuses.
    """

    def ask(user_id: int, inner: str, seconds: float) -> None:
        if registered.user_id and user_id and user_id != registered.user_id:
            hide = telephony.card_parameters(registered.call_id, [registered.user_id])
            began = time.monotonic()
            try:  # finish closes the card of its own USER_ID only
                client.call(telephony.HIDE, hide, total_seconds=seconds / 2)
            except PortalError as error:
                LOG.info("a card could not be closed: %s", error)
            seconds -= time.monotonic() - began
        parameters = telephony.finish_parameters(registered.call_id, user_id, inner, outcome)
        answer = telephony.parse_finished(client.call(telephony.FINISH, parameters, total_seconds=seconds).result)
        if answer.problem:  # such as: no CRM record, so no activity; the call is finished all the same
            LOG.info("%s: finished, but: %s", outcome.uniqueid, answer.problem)

    for_someone(outcome.people, directory, total_seconds, ask)


def finished_already(client: Client, call_id: str, total_seconds: float) -> bool:
    """Whether the portal's statistics have the call: an answer of an earlier finish was lost on its way.

    :raises PortalError: where the portal can't be asked or refuses.
    """
    reply = client.call("voximplant.statistic.get", {"FILTER": {"CALL_ID": call_id}}, total_seconds=total_seconds)
    rows = reply.result if isinstance(reply.result, list) else []
    return any(isinstance(row, dict) and row.get("CALL_ID") == call_id for row in rows)


def finish_and_settle(
    client: Client, directory: Directory, registered: Registered, outcome: Outcome, total_seconds: float
) -> bool:
    """Finish a call; True where the portal knows its end, False where it lost the call and wants it registered anew.

    :raises PortalError: where the portal can't be asked or refuses.
    """
    try:
        finish(client, directory, registered, outcome, total_seconds)
    except CallNotFound:
        return finished_already(client, registered.call_id, total_seconds)
    return True
