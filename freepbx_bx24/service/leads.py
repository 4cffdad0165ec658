"""Whether the CRM may make a lead for a call, decided at the last moment: by a search, and not in a flood."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Callable, Mapping, Sequence

from ..bitrix24 import batch, clients, telephony
from ..bitrix24.client import Urgency
from ..bitrix24.clients import Client
from ..bitrix24.replies import Result
from ..call import INBOUND, Registration
from ..errors import PORTAL, PortalError, PortalWaits
from ..journal.records import REGISTER
from .errands import Errand
from .flood import MOST
from .runtime import Runtime
from .wishes import FRESH_SECONDS

LOG = logging.getLogger("bx24.leads")

LEAD = "lead"  # the line of the call's story
TOO_MANY = f"no lead: more than {MOST} unknown callers within a minute"
WAIT_SECONDS = 1.0  # for the portal's limits, as the delivery itself

Find = Callable[[str], "Client | None"]


def decided(runtime: Runtime, registration: Registration, find: Find) -> Registration:
    """The registration as it goes out, for whoever has the turn of its client.

    Where the search fails the portal decides: a lead too many is worth less than a client of whom nothing is left.

    :param find: searches for a number; raises PortalError.
    """
    note(runtime, registration)
    if not wants_search(runtime, registration):
        return replace(registration, only_unknown=False)
    try:
        known = runtime.clients.known(registration.number)
        # "Nobody" is asked again: another call of the same client may have made the lead in between.
        fresh = known is not None and known.client is not None and known.age <= FRESH_SECONDS
        client = known.client if known and fresh else find(registration.number)
    except PortalError as error:
        LOG.info("%s: whether it is a client is not known: %s", registration.uniqueid, error)
        return _unknown(runtime, registration, f"as the portal decides: the search failed: {error.message}")
    return _searched(runtime, registration, client)


def decided_late(runtime: Runtime, chosen: Sequence[Errand], urgency: Urgency) -> list[Errand]:
    """The errands as they go out, for whoever has the turns of their clients: one batch searches for all of them.

    :raises PortalError: the portal is away, or leaves no room for the search now: all of it is to be tried again.
    """
    registers = [one for one in chosen if one.item.kind == REGISTER]
    for one in registers:
        note(runtime, one.entry.registration)
    doubtful = [one for one in registers if wants_search(runtime, one.entry.registration)]
    if not doubtful:
        return list(chosen)
    if any(not one.entry.registration.only_unknown for one in doubtful):
        # A flood is suspected: of the others in this request it is not known either who they are.
        doubtful = [one for one in registers if _may_make_a_lead(one.entry.registration)]
    doubtful.sort(key=lambda one: one.entry.registration.started.timestamp())
    found: Mapping[str, Client | None | PortalError] = {}
    try:
        found = _search(runtime, {one.entry.registration.number for one in doubtful}, urgency)
    except PortalWaits:
        raise
    except PortalError as error:
        # Where this fails again and again a lead too many is better than a call that is never told.
        if error.blame == PORTAL and not any(one.item.attempts for one in doubtful):
            raise
        LOG.warning("late calls can't be searched for: %s", error)
    decided_by_id = {one.item.id: _decided_late(runtime, one.entry.registration, found) for one in doubtful}
    return [_as_decided(one, decided_by_id.get(one.item.id)) for one in chosen]


def note(runtime: Runtime, registration: Registration) -> None:
    """Count an inbound call for which a lead may be made."""
    if _counts(registration):
        start = registration.started.timestamp()
        runtime.flood.note(registration.number, start)
        if runtime.flood.is_over(start):
            LOG.info("no more than %d unknown callers within a minute any more: leads are made again", MOST)


def wants_search(runtime: Runtime, registration: Registration) -> bool:
    """Whether the CRM must be searched before this call is registered."""
    if not _may_make_a_lead(registration):
        return False
    suspected = _counts(registration) and runtime.flood.suspected(registration.number, registration.started.timestamp())
    return registration.only_unknown or suspected


def learn(runtime: Runtime, registration: Registration, answer: telephony.Registered) -> None:
    """What register's answer says of the caller: a client, where it is bound to a record not made for this call."""
    if answer.made:
        runtime.clients.forget_nobody(registration.number)
    if _counts(registration):
        is_client = answer.entity is not None and answer.entity not in answer.made
        runtime.flood.learn(registration.number, registration.started.timestamp(), is_client)


def learn_late(runtime: Runtime, chosen: Sequence[Errand], answers: Mapping[int, Result | PortalError]) -> None:
    """As `learn`, for what the delivery has registered."""
    for one in chosen:
        answer = answers.get(one.item.id)
        if one.item.kind == REGISTER and isinstance(answer, Result):
            try:
                learn(runtime, one.entry.registration, telephony.parse_registered(answer.result))
            except PortalError:
                continue  # no answer that can be used: whoever takes it in says so


def _may_make_a_lead(registration: Registration) -> bool:
    return registration.create and registration.entity is None


def _counts(registration: Registration) -> bool:
    return registration.direction == INBOUND and _may_make_a_lead(registration)


def _searched(runtime: Runtime, registration: Registration, client: Client | None) -> Registration:
    if client is None:
        return _unknown(runtime, registration, "may be made: a search found nobody")
    if _counts(registration):
        runtime.flood.learn(registration.number, registration.started.timestamp(), True)
    if registration.only_unknown:
        runtime.tell(registration.uniqueid, LEAD, f"none: the client is {client.entity.type} {client.entity.id}")
    return replace(registration, create=registration.create and not registration.only_unknown, only_unknown=False)


def _unknown(runtime: Runtime, registration: Registration, otherwise: str) -> Registration:
    """The registration of a caller whom nobody knows: without a lead in a flood, else with one."""
    if _counts(registration):
        start = registration.started.timestamp()
        runtime.flood.learn(registration.number, start, False)
        if runtime.flood.flooded(registration.number, start):
            if runtime.flood.begins(start):
                LOG.warning("more than %d unknown callers within a minute: no leads are made until it is over", MOST)
            runtime.tell(registration.uniqueid, LEAD, TOO_MANY)
            runtime.write(lambda journal: journal.explain(registration.uniqueid, TOO_MANY))
            return replace(registration, create=False, only_unknown=False)
    runtime.tell(registration.uniqueid, LEAD, otherwise)
    return replace(registration, only_unknown=False)


def _decided_late(
    runtime: Runtime, registration: Registration, found: Mapping[str, Client | None | PortalError]
) -> Registration:
    answer = found.get(registration.number)
    if registration.number not in found or isinstance(answer, PortalError):
        return _unknown(runtime, registration, "as the portal decides: the search failed")
    return _searched(runtime, registration, answer)


def _as_decided(errand: Errand, registration: Registration | None) -> Errand:
    if registration is None:
        return errand
    return replace(errand, parameters={**errand.parameters, "CRM_CREATE": int(registration.create)})


def _search(runtime: Runtime, wanted: set[str], urgency: Urgency) -> dict[str, Client | None | PortalError]:
    """Search for all numbers in one request."""
    commands = {
        f"n{at}": batch.command(clients.METHOD, clients.parameters(number)) for at, number in enumerate(sorted(wanted))
    }
    began = time.monotonic()
    answers = runtime.client.batch(
        commands, total_seconds=runtime.request_seconds * 2, urgency=urgency, wait_seconds=WAIT_SECONDS
    )
    LOG.debug("%d clients were searched for in %.1f s", len(wanted), time.monotonic() - began)
    return {number: _read(answers[f"n{at}"]) for at, number in enumerate(sorted(wanted))}


def _read(answer: Result | PortalError) -> Client | None | PortalError:
    if isinstance(answer, PortalError):
        return answer
    try:
        return clients.found(answer.result)
    except PortalError as error:
        return error
