"""What the journal says of cards: it is asked who has one, owes what differs from who should, and gives what is due."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Callable, Iterable, Mapping

from .. import cards
from ..bitrix24 import batch
from ..bitrix24.directory import Directory
from ..bitrix24.replies import Result
from ..call import SeenLeg
from ..errors import PortalError
from ..journal.records import HIDE, SHOW, Delivery, Entry
from ..journal.store import Journal
from ..pbx.call_legs import Leg
from ..pbx.channels import DEVICE
from ..policy import Rules
from .errands import (
    CARDS,
    MOST_PEOPLE,
    RINGING_SECONDS,
    Card,
    Circumstances,
    Errand,
    Nothing,
    errand_for,
    screens,
)
from .people import person_of

HIDE_SECONDS = 60.0  # an order to hide is of use for so long; what is left then the finish hides


@dataclass(frozen=True)
class Faces:
    """Whose telephones ring and who talks at this moment, by user id; of one that the portal does not know nothing.

    `answered` is whether the client of an outbound call has, `over` whether he has gone.
    """

    ringing: frozenset[int] = frozenset()
    talking: frozenset[int] = frozenset()
    over: bool = False
    answered: bool = False


@dataclass(frozen=True)
class Due:
    """What is to be sent now, and what is of no use any more, with why."""

    errands: tuple[Errand, ...] = ()
    struck: tuple[tuple[Delivery, str], ...] = ()


def users_of(legs: Iterable[Leg], users: Mapping[str, str], rules: Rules, directory: Directory) -> frozenset[int]:
    """The user ids of whose legs these are. :param users: extension by channel, as Asterisk has it for its device."""
    seen = (
        SeenLeg(device=leg.device, number=leg.number, user=users.get(leg.channel, ""))
        for leg in legs
        if leg.kind == DEVICE or leg.number
    )
    people = (person_of(leg, rules, directory) for leg in seen)
    return frozenset(directory.user_id(person) for person in people if person) - {0}


def owe_and_take(journal: Journal, looks: Mapping[str, Faces | None], directory: Directory, now: float) -> Due:
    """Owe what has to change on the screens of these calls, in one write, and return all cards that are due.

    :param looks: who rings and talks by call; None where Asterisk does not show it: then nothing is changed, but for
        a call whose end is written down. :param now: wall clock seconds.
    """
    steps = [step for uniqueid, faces in looks.items() for step in _changes(journal, uniqueid, faces, now)]
    if steps:
        journal.as_one(steps)
    items = journal.deliverable(now, batch.MOST, tuple(CARDS))
    entries = {uniqueid: journal.entry(uniqueid) for uniqueid in dict.fromkeys(item.uniqueid for item in items)}
    errands, struck = [], []
    for item in items:
        entry = entries[item.uniqueid]
        if entry is None:
            continue  # its row makes no sense: it is parked
        errand = errand_for(item, entry, directory, Circumstances(now))
        if isinstance(errand, Nothing):
            struck.append((item, errand.why))
        else:
            errands.append(errand)
    return Due(tuple(errands), tuple(struck))


def _changes(journal: Journal, uniqueid: str, faces: Faces | None, now: float) -> list[Callable[[Journal], object]]:
    entry = journal.entry(uniqueid)
    if entry is None or entry.registered is None or entry.finished:
        return []  # it is looked at again when it is registered
    over = entry.outcome is not None or (faces is not None and faces.over)
    if faces is None and not over:
        return []
    shown = screens(entry, journal.cards(uniqueid))
    wanted = frozenset() if over or faces is None else _wanted(entry, faces, shown)
    hide, show = cards.orders(shown, wanted)
    orders = ((HIDE, hide, HIDE_SECONDS), (SHOW, show, RINGING_SECONDS))
    return [
        partial(_owe, uniqueid, kind, Card(users[:MOST_PEOPLE], now + seconds).to_text(), now)
        for kind, users, seconds in orders
        if users
    ]


def _wanted(entry: Entry, faces: Faces, shown: cards.Screens) -> frozenset[int]:
    assert entry.registered
    owner = entry.registered.user_id
    return cards.wanted(entry.registration, owner, faces.ringing, faces.talking, shown, faces.answered)


def _owe(uniqueid: str, kind: str, payload: str, now: float, journal: Journal) -> None:
    journal.owe(uniqueid, kind, payload, now)


def settled(
    answers: Iterable[tuple[Delivery, Result | PortalError]], struck: Iterable[Delivery], earlier: int
) -> list[Callable[[Journal], object]]:
    """What the journal is to keep of the answers. Nothing is sent twice: who should have a card is looked at anew.

    What may be on a screen counts as shown, so that it is hidden in the end.

    :param earlier: items up to this id may have been sent by a process that has died since.
    """
    steps: list[Callable[[Journal], object]] = []
    for item, answer in answers:
        failed = isinstance(answer, PortalError)
        perhaps = item.kind == SHOW and isinstance(answer, PortalError) and answer.ambiguous
        steps.append(partial(_settle, item.id, not failed or perhaps))
    steps += [partial(_settle, item.id, item.kind == SHOW and item.id <= earlier) for item in struck]
    return steps


def _settle(delivery_id: int, done: bool, journal: Journal) -> None:
    if done:
        journal.done(delivery_id)
    else:
        journal.drop(delivery_id)
