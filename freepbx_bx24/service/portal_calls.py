"""What one call needs of the portal at once, as whole steps: register for the first person it knows, finish, settle."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Callable, Mapping, TypeVar

from ..bitrix24 import clients, statistic, telephony
from ..bitrix24.client import Client, Result, Urgency
from ..bitrix24.directory import Directory
from ..call import Entity, Outcome, Person, Registration
from ..errors import CallNotFound, PersonUnknown, PortalError
from ..journal.records import Registered
from .people import candidates

LOG = logging.getLogger("bx24.portal")
Answer = TypeVar("Answer")
Ask = Callable[[str, Mapping[str, object], float], Result]  # method, parameters, seconds


def asking(client: Client, urgency: Urgency) -> Ask:
    """Ask a portal's client at one urgency."""
    return lambda method, parameters, seconds: client.call(method, parameters, total_seconds=seconds, urgency=urgency)


def asking_with_others(client: Client, patience: float) -> Ask:
    """Ask for somebody who waits so many seconds; where the limits leave no room for each, all who wait go together."""
    return lambda method, parameters, seconds: client.ask(
        method, parameters, total_seconds=seconds, patience_seconds=patience
    )


def noting_made(ask_portal: Ask, made: set[Entity]) -> Ask:
    """Ask as before, and note in `made` the CRM records that a register makes: nobody knew this client before."""

    def ask(method: str, parameters: Mapping[str, object], seconds: float) -> Result:
        result = ask_portal(method, parameters, seconds)
        if method == telephony.REGISTER:
            made.update(telephony.parse_registered(result.result).made)
        return result

    return ask


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


def register(ask_portal: Ask, directory: Directory, registration: Registration, total_seconds: float) -> Registered:
    """Register a call; a repeat with the same registration gives the same CALL_ID while the call is open.

    Where only unknown clients may become leads and that is not decided yet, the CRM is searched first.

    :raises PortalError: where the portal can't be asked or refuses.
    """
    ends = time.monotonic() + total_seconds
    registration = searched(ask_portal, registration, total_seconds / 2)

    def ask(user_id: int, inner: str, seconds: float) -> Registered:
        parameters = telephony.register_parameters(registration, user_id, inner)
        reply = ask_portal(telephony.REGISTER, parameters, seconds)
        answer = telephony.parse_registered(reply.result)
        if answer.lead_error:
            LOG.info("%s: registered, but no lead was made: %s", registration.uniqueid, answer.lead_error)
        made = answer.entity in answer.made
        return Registered(answer.call_id, user_id, answer.entity, answer.created_lead or 0, registration.show, made)

    return for_someone(registration.people, directory, ends - time.monotonic(), ask)


def searched(ask_portal: Ask, registration: Registration, total_seconds: float) -> Registration:
    """The registration with what a search says of `only_unknown`: a lead is made for a client alone who is not found.

    Where the search fails the portal decides: a lead too many is worth less than a client of whom nothing is left.
    """
    if not (registration.only_unknown and registration.create):
        return registration
    try:
        reply = ask_portal(clients.METHOD, clients.parameters(registration.number), total_seconds)
        create = registration.entity is None and clients.found(reply.result) is None
    except PortalError as error:
        LOG.info("%s: whether it is a client is not known: %s", registration.uniqueid, error)
        create = True
    return replace(registration, create=create, only_unknown=False)


def finish(
    ask_portal: Ask, directory: Directory, registered: Registered, outcome: Outcome, total_seconds: float
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
                ask_portal(telephony.HIDE, hide, seconds / 2)
            except PortalError as error:
                LOG.info("a card could not be closed: %s", error)
            seconds -= time.monotonic() - began
        parameters = telephony.finish_parameters(registered.call_id, user_id, inner, outcome)
        answer = telephony.parse_finished(ask_portal(telephony.FINISH, parameters, seconds).result)
        if answer.problem:  # such as: no CRM record, so no activity; the call is finished all the same
            LOG.info("%s: finished, but: %s", outcome.uniqueid, answer.problem)

    for_someone(outcome.people, directory, total_seconds, ask)


def finish_and_settle(
    ask_portal: Ask, directory: Directory, registered: Registered, outcome: Outcome, total_seconds: float
) -> bool:
    """Finish a call; True where the portal knows its end, False where it lost the call and wants it registered anew.

    :raises PortalError: where the portal can't be asked or refuses.
    """
    try:
        finish(ask_portal, directory, registered, outcome, total_seconds)
    except CallNotFound:  # the answer of an earlier finish may have been lost on its way
        call_ids = [registered.call_id]
        reply = ask_portal(statistic.METHOD, statistic.by_call_id(call_ids), total_seconds)
        return bool(statistic.finished_calls(reply.result, call_ids))
    return True
