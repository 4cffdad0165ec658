"""What a delivery asks of the portal, and what the portal's answer means for it: no I/O and no clock."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import Enum
from typing import Iterable, Mapping

from ..bitrix24 import telephony
from ..bitrix24.directory import Directory
from ..bitrix24.replies import Result
from ..cards import Screens, after_all, opened_by_register
from ..errors import AGAIN, DONE, GIVE_UP, ITEM, SETTLE, DatabaseRefused, PersonUnknown, PortalError
from ..journal.records import FINISH, HIDE, REGISTER, SHOW, Delivery, Entry
from .people import candidates

CARDS = {SHOW: telephony.SHOW, HIDE: telephony.HIDE}
RINGING_SECONDS = 20.0  # a late register's card is worth showing while the phone may still ring
MOST_PEOPLE = 200  # of one card; more are nobody's ring group


@dataclass(frozen=True)
class Errand:
    """One item on its way to the portal.

    :ivar method: and :ivar parameters: what is asked. :ivar before: commands that go ahead of it and whose failure is
        no trouble: (method, parameters). :ivar user_id: whom it names, 0 where by extension.
    :ivar more_people: there is somebody else to name where the portal does not know this one.
    :ivar opens: whether it opens that person's card.
    """

    item: Delivery
    entry: Entry
    method: str
    parameters: Mapping[str, object]
    before: tuple[tuple[str, Mapping[str, object]], ...] = ()
    user_id: int = 0
    more_people: bool = False
    opens: bool = False

    @property
    def commands(self) -> tuple[tuple[str, Mapping[str, object]], ...]:
        """All that goes out for it, in order; the last one's answer counts."""
        return (*self.before, (self.method, self.parameters))


@dataclass(frozen=True)
class Nothing:
    """An item for which nothing needs to be asked any more; `why` is for the log and the call's story."""

    why: str


class Fate(Enum):
    """What becomes of an item after an answer."""

    DELIVERED = "delivered"
    NEXT_PERSON = "the next person is tried"
    LOOK_UP = "looked up"  # an earlier attempt may have done it
    LATER = "later"  # nobody's fault
    REFUSED = "refused"  # by the portal, and for itself: tried again with a back-off of its own, in the end parked
    HOPELESS = "parked at once"  # a repeat would do harm


_FATES = {DONE: Fate.DELIVERED, SETTLE: Fate.LOOK_UP, GIVE_UP: Fate.REFUSED}


def fate(errand: Errand, answer: Result | PortalError) -> Fate:
    """What an answer means for its item. What else has to wait is the error's `blame`."""
    if isinstance(answer, Result):
        return Fate.DELIVERED
    if isinstance(answer, PersonUnknown) and errand.more_people:
        return Fate.NEXT_PERSON
    if isinstance(answer, DatabaseRefused):
        return Fate.HOPELESS
    if answer.remedy == SETTLE and errand.item.kind != FINISH:
        return Fate.REFUSED
    if answer.remedy == AGAIN and answer.blame == ITEM:
        return Fate.REFUSED  # patience, but with an end
    return _FATES.get(answer.remedy, Fate.LATER)


@dataclass(frozen=True)
class Circumstances:
    """What counts for an item beside its call. :ivar now: wall clock seconds.

    :ivar person: how many of the call's people the portal has said not to know. :ivar watched: Asterisk shows who rings
        and talks, so cards are shown to them. :ivar shown: user ids of those who may have a card.
    """

    now: float
    person: int = 0
    watched: bool = False
    shown: tuple[int, ...] = ()


def errand_for(item: Delivery, entry: Entry, directory: Directory, circumstances: Circumstances) -> Errand | Nothing:
    """What is asked of the portal for an item."""
    if item.kind == REGISTER:
        return _register(item, entry, directory, circumstances)
    registered = entry.registered
    if registered is None:
        return Nothing("the call is not registered")
    if item.kind in CARDS:
        return _card(item, entry, registered.call_id, circumstances.now)
    if item.kind == FINISH and entry.outcome:
        return _finish(item, entry, directory, circumstances)
    return Nothing("there is nothing to tell")


def _register(item: Delivery, entry: Entry, directory: Directory, circumstances: Circumstances) -> Errand | Nothing:
    if entry.registered is not None:
        return Nothing("the call is registered")
    registration = entry.registration
    age = circumstances.now - registration.started.timestamp()
    may_ring = entry.outcome is None and age < RINGING_SECONDS
    opens = may_ring and opened_by_register(registration, circumstances.watched)
    people = candidates(registration.people, directory)
    number = min(circumstances.person, len(people) - 1)
    user_id, inner = people[number]
    parameters = telephony.register_parameters(replace(registration, show=opens), user_id, inner)
    return Errand(item, entry, telephony.REGISTER, parameters, (), user_id, number + 1 < len(people), opens)


def _finish(item: Delivery, entry: Entry, directory: Directory, circumstances: Circumstances) -> Errand:
    registered, outcome = entry.registered, entry.outcome
    assert registered and outcome
    people = candidates(outcome.people, directory)
    number = min(circumstances.person, len(people) - 1)
    user_id, inner = people[number]
    before: tuple[tuple[str, Mapping[str, object]], ...] = ()
    # 0 where it was registered by extension, before the list of employees was there.
    owner = registered.user_id or candidates(entry.registration.people, directory)[0][0]
    # finish closes the card of its own USER_ID only
    others = [one for one in dict.fromkeys((owner, *circumstances.shown)) if one not in (0, user_id)]
    if others and user_id:
        before = ((telephony.HIDE, telephony.card_parameters(registered.call_id, others)),)
    parameters = telephony.finish_parameters(registered.call_id, user_id, inner, outcome)
    return Errand(item, entry, telephony.FINISH, parameters, before, user_id, number + 1 < len(people))


def _card(item: Delivery, entry: Entry, call_id: str, now: float) -> Errand | Nothing:
    card = read_card(item.payload)
    if item.kind == SHOW and entry.outcome is not None:
        return Nothing("the call has ended")
    if now > card.until:
        return Nothing("too late for a card")
    if not card.users:
        return Nothing("a card for nobody")
    return Errand(item, entry, CARDS[item.kind], telephony.card_parameters(call_id, card.users))


@dataclass(frozen=True)
class Card:
    """The payload of show and hide: whose card, and until when (wall clock seconds) the order is of any use."""

    users: tuple[int, ...]
    until: float

    def to_text(self) -> str:
        """The payload as JSON."""
        return json.dumps({"users": self.users, "until": self.until})


def read_card(payload: str) -> Card:
    """The card of a payload; one for nobody where it is none."""
    try:
        data = json.loads(payload)
        users = [user for user in data["users"] if isinstance(user, int) and user > 0]
        return Card(tuple(users[:MOST_PEOPLE]), float(data["until"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Card((), 0.0)


def screens(entry: Entry, cards: Iterable[tuple[str, str]]) -> Screens:
    """Who has a call's card, and who has had it, as far as we may have said so.

    :param cards: (kind, payload) of the call's cards that are owed or delivered, in their order.
    """
    registered = entry.registered
    first = [(True, (registered.user_id,))] if registered and registered.shown else []
    return after_all([*first, *((kind == SHOW, read_card(payload).users) for kind, payload in cards)])
