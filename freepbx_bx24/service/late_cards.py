"""Cards of a call that was registered late: for whoever rings or talks at that moment."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future

from .. import numbers
from ..call import Registration
from ..errors import JournalError
from ..journal.records import SHOW, Entry, Registered
from ..pbx.call_legs import Leg
from ..pbx.channels import DEVICE
from ..policy import person_named
from .errands import RINGING_SECONDS, Card, read_card
from .runtime import Runtime

LOG = logging.getLogger("bx24.presence")


def owe_late_card(runtime: Runtime, entry: Entry) -> None:
    """Owe the portal a card for those who ring or talk now, as far as Asterisk shows it and the portal knows them."""
    legs = runtime.presence.now(entry.uniqueid) or ()
    users = tuple(dict.fromkeys(user for user in (user_of(runtime, leg) for leg in legs) if user))
    if users and entry.registration.show and entry.outcome is None:
        now = time.time()
        card = Card(users, now + RINGING_SECONDS)
        runtime.write(lambda journal: journal.owe(entry.uniqueid, SHOW, card.to_text(), now)).result()


def owe_when_registered(runtime: Runtime, registration: Registration, attempt: Future[Registered]) -> None:
    """Owe that card once the portal has answered a request that its caller waits for no more."""

    def answered(attempt: Future[Registered]) -> None:
        if attempt.exception() is not None:
            return  # the delivery registers the call, and looks then who rings or talks
        try:
            owe_late_card(runtime, Entry(registration, attempt.result()))
            runtime.wake.set()
        except JournalError as error:  # its thread has said so in the log
            LOG.info("%s: no late card: %s", registration.uniqueid, error.message)

    attempt.add_done_callback(answered)


def user_of(runtime: Runtime, leg: Leg) -> int:
    """The portal's user whose telephone a leg is: by extension, or by a mobile of his own behind a trunk; 0: nobody."""
    rules, directory = runtime.settings.rules, runtime.directory
    if leg.kind != DEVICE:
        return directory.employee_with_phone(numbers.canonical(leg.number, rules.country, rules.area_code))
    person = person_named(rules, leg.device)
    return directory.user_id(person) if person else 0


def shown(payloads: list[str]) -> tuple[int, ...]:
    """Everybody who has had a card, by the payloads of the call's cards."""
    return tuple(dict.fromkeys(user for payload in payloads for user in read_card(payload).users))
