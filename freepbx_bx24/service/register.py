"""Answers a register frame: decides, asks the portal within the caller's budget, sets the variables."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from typing import Collection, Mapping

from ..bitrix24 import telephony
from ..bitrix24.clients import Client
from ..bitrix24.replies import Result
from ..call import INBOUND, Beginning, Entity, Registration
from ..cards import opened_by_register
from ..errors import GIVE_UP, PORTAL, ChannelError, PortalError
from ..journal.records import REGISTER, Entry, LeftOut, Registered
from ..pbx import frame as frames
from ..pbx.agi import Conversation, harmless
from ..policy import Skip, client_number
from . import clients, leads, outputs, portal_calls, story
from .outputs import NOBODY, About
from .people import decided, resolved
from .runtime import Runtime
from .wishes import Wishes, about, wishes

LOG = logging.getLogger("bx24.register")
LEAVE_SECONDS = 0.03  # kept of the budget for setting the variables before the guard leaves
RETRY_SECONDS = 2.0
TELL_SECONDS = 0.05  # the longest that an answer waits for being written down: the channel has it by then


def handle(runtime: Runtime, frame: frames.Frame, conversation: Conversation) -> None:
    """Register the call of a frame. Whatever the portal does, the dialplan hears of it before the deadline."""
    beginning = frames.beginning(frame)
    decision = decided(runtime.settings.rules, runtime.directory, beginning)
    if isinstance(decision, Skip):
        LOG.info("%s: left out: %s", frame.uniqueid, decision.why)
        _tell(runtime, conversation, frame, outputs.SKIPPED, decision.why)
        leave_out(runtime, beginning, decision)
        return
    decision = resolved(decision, runtime.directory)
    runtime.presence.begin(decision.uniqueid, decision.direction)
    now = time.time()
    # Not due before the live attempt has had its time: the delivery must not do the same beside it.
    due, user_id = now + runtime.request_seconds + 5, decision.people[0].user_id
    runtime.tell(decision.uniqueid, story.CAME, story.came(beginning))
    runtime.write(lambda journal: journal.begin(decision, due, user_id, decision.rule)).add_done_callback(
        lambda future: _keep_unwritten(runtime, Entry(decision), future)
    )
    remaining = frame.deadline - LEAVE_SECONDS - time.monotonic()
    wanted, number = wishes(runtime.settings.rules, beginning), decision.number
    made: set[Entity] = set()
    if runtime.breaker.open or remaining <= 0:
        retry_later(runtime, decision.uniqueid, "the portal is not answering")
        why = "the portal is not answering: registered later"
        _tell(runtime, conversation, frame, outputs.PENDING, why, None, _about(runtime, wanted, number, made))
        return
    search = None
    if not leads.wants_search(runtime, decision):  # else the attempt itself begins with it
        # Beside the register, in threads of its own: a slow search costs nothing but what it would have told.
        ask = portal_calls.asking_with_others(runtime.client, remaining)
        search = clients.begin(runtime.clients, wanted, ask, number)
    answer: Future[Registered] = Future()
    told = threading.Event()
    attempt = runtime.in_background(_attempt, runtime, decision, remaining, made, answer, told)
    try:
        registered = answer.result(timeout=remaining)
    except FutureTimeout:
        cancelled = attempt.cancel()
        if cancelled:
            retry_later(runtime, decision.uniqueid, "every connection to the portal was busy")
        _count_failure(runtime)
        why = "the portal did not answer in time: registered later"
        _tell(runtime, conversation, frame, outputs.PENDING, why, None, _about(runtime, wanted, number, made))
    except PortalError as error:
        if error.retryable and error.blame == PORTAL:  # a portal that refuses one call at once costs nobody time
            _count_failure(runtime)
        # What waits for the portal, or for a person who lets us in, is registered later; what it refuses is not.
        status = outputs.FAILED if error.remedy == GIVE_UP else outputs.PENDING
        _tell(
            runtime, conversation, frame, status, harmless(error.message), None, _about(runtime, wanted, number, made)
        )
    else:
        if runtime.breaker.answered():
            LOG.info("the portal answers in time again")
        left = frame.deadline - LEAVE_SECONDS - time.monotonic()
        clients.wait(runtime.clients, wanted, search, number, left)
        _tell(runtime, conversation, frame, outputs.REGISTERED, "", registered, _about(runtime, wanted, number, made))
    finally:
        told.set()


def _about(runtime: Runtime, wanted: Wishes, number: str, made: Collection[Entity]) -> About:
    """What is known of the client at this moment."""
    return about(runtime.clients.known(number), wanted, runtime.settings.rules, runtime.directory, made)


def retry_later(runtime: Runtime, uniqueid: str, why: str, refused: bool = False) -> None:
    """Leave a registration to the delivery, now that no live attempt is under way."""
    due = time.time() + RETRY_SECONDS * runtime.scale
    runtime.tell(uniqueid, story.PUT_OFF, story.put_off(REGISTER, due, why))
    runtime.write(lambda journal: journal.postpone((uniqueid, REGISTER), due, why, refused))
    runtime.wake.set()


def _attempt(
    runtime: Runtime,
    registration: Registration,
    patience: float,
    made: set[Entity],
    answer: Future[Registered],
    told: threading.Event,
) -> None:
    """One live request, which a caller waits for so many seconds; its answer is kept in any case.

    :param made: gets the CRM records that it makes. :param answer: gets what the portal says, or a PortalError.
    :param told: the dialplan has it. Only then is it written down: that would work beside what the caller waits for.
    """
    uniqueid, origin, began = registration.uniqueid, runtime.client.origin, time.monotonic()
    try:
        registered, together = _registered(runtime, registration, patience, made)
    except PortalError as error:
        LOG.warning("%s: register failed: %s", uniqueid, error)
        runtime.tell(uniqueid, REGISTER, story.live(1, time.monotonic() - began, error.message))
        retry_later(runtime, uniqueid, error.message, error.remedy == GIVE_UP)
        answer.set_exception(error)
        return
    except Exception as error:  # nobody may wait for this any more: it must not die in silence
        LOG.exception("%s: register failed in an unforeseen way", uniqueid)
        retry_later(runtime, uniqueid, "unforeseen: see the log")
        answer.set_exception(error)
        return
    seconds = time.monotonic() - began
    runtime.tell(uniqueid, REGISTER, story.live(together, seconds, story.registered(registered)))
    runtime.portal_down = False
    answer.set_result(registered)
    told.wait(TELL_SECONDS)
    LOG.info("%s: registered as %s", uniqueid, registered.call_id)
    # The delivery is not woken: it owes nothing yet.
    written = runtime.write(lambda journal: journal.registered(uniqueid, registered, origin))
    written.add_done_callback(lambda future: _keep_unwritten(runtime, Entry(registration, registered), future))
    written.add_done_callback(lambda _: runtime.cards.look_at(uniqueid, at_once=True))


def leave_out(runtime: Runtime, beginning: Beginning, skip: Skip) -> None:
    """Remember a call of which the CRM is told nothing, for whoever looks for it."""
    number = client_number(runtime.settings.rules, beginning)
    at = beginning.started.timestamp()
    runtime.left_out(LeftOut(beginning.uniqueid, at, beginning.direction, number, skip.why))


def turn_of(registration: Registration) -> str:
    """Whose turn a registration needs: its client's where it may make a lead, else nobody's."""
    return registration.number if registration.create else registration.uniqueid


def _registered(
    runtime: Runtime, registration: Registration, patience: float, made: set[Entity]
) -> tuple[Registered, int]:
    """Ask the portal, after whoever registers another call of this client now: it may be making the lead.

    Returns its answer, and how many registers went in that request.
    """
    together = 1

    def ask(method: str, parameters: Mapping[str, object], seconds: float) -> Result:
        nonlocal together
        result = ask_portal(method, parameters, seconds)
        if method == telephony.REGISTER:
            answer = telephony.parse_registered(result.result)
            made.update(answer.made)
            together = result.together
            leads.learn(runtime, registration, answer)
        return result

    def find(number: str) -> Client | None:
        return runtime.clients.find(ask, number, runtime.request_seconds / 2)

    began = time.monotonic()
    opens = opened_by_register(registration, runtime.presence.is_whole(registration.uniqueid))
    registration = replace(registration, show=opens)
    with runtime.turns.turn(turn_of(registration), runtime.request_seconds / 2):
        ask_portal = portal_calls.asking_with_others(runtime.client, patience - (time.monotonic() - began))
        settled = leads.decided(runtime, registration, find)
        seconds = runtime.request_seconds - (time.monotonic() - began)
        return portal_calls.register(ask, runtime.directory, settled, seconds), together


def _keep_unwritten(runtime: Runtime, entry: Entry, future: Future[bool]) -> None:
    """The journal can't be written (disk full): remember the call, so that its finish can be tried directly."""
    known_already = entry.registered is None  # what begin's False means; after it, False means that begin failed
    if future.exception() is not None or not (known_already or future.result()):
        runtime.unwritten[entry.uniqueid] = entry


def _count_failure(runtime: Runtime) -> None:
    if runtime.breaker.failed():
        LOG.warning("the portal failed three callers in a row: callers no longer wait until it answers in time")


def _tell(
    runtime: Runtime,
    conversation: Conversation,
    frame: frames.Frame,
    status: str,
    reason: str,
    registered: Registered | None = None,
    about: About = NOBODY,
) -> None:
    """Set the variables; a channel that is gone is no trouble, the hangup handler finishes the call."""
    try:
        outputs.tell(conversation, status, reason, registered, about)
    except ChannelError as error:
        LOG.info("%s: %s", frame.uniqueid, error)
        runtime.tell(frame.uniqueid, story.DIALPLAN, f"could not be told {status}: {error}")
    else:
        allowed = runtime.settings.wait_in if frame.direction == INBOUND else runtime.settings.wait_out
        waited = max(allowed - (frame.deadline - time.monotonic()), 0.0)  # counted from the guard's own start
        if status != outputs.SKIPPED:
            runtime.figures.note(status, waited)
        runtime.tell(frame.uniqueid, story.DIALPLAN, story.told(status, reason, registered, waited, about))
