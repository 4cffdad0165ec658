"""Who should have a call's card on the screen now, and what has to be said for that: by levels, not by events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

from .call import ANSWER, NEVER, OUTBOUND, RING, Registration


@dataclass(frozen=True)
class Screens:
    """What the portal was told to show: user ids. `open` have the card, `ever` have had it at some time."""

    open: frozenset[int] = frozenset()
    ever: frozenset[int] = frozenset()

    def after(self, opens: bool, users: Iterable[int]) -> Screens:
        """The same after one more order: show (`opens`) or hide."""
        named = frozenset(users) - {0}
        return Screens(self.open | named, self.ever | named) if opens else Screens(self.open - named, self.ever)


def after_all(orders: Iterable[tuple[bool, Iterable[int]]]) -> Screens:
    """What stands on the screens after these orders, each (whether it opens, whose)."""
    screens = Screens()
    for opens, users in orders:
        screens = screens.after(opens, users)
    return screens


def opened_by_register(registration: Registration, watched: bool) -> bool:
    """Whether register itself opens the owner's card.

    :param watched: Asterisk shows who rings and talks, unbroken: then an inbound call's cards go to whose telephones
        ring. Who dials out needs no telling apart: it is one request less.
    """
    return registration.show and (registration.direction == OUTBOUND or not watched)


def wanted(
    registration: Registration,
    owner: int,
    ringing: Iterable[int],
    talking: Iterable[int],
    screens: Screens,
    answered: bool = False,
) -> frozenset[int]:
    """User ids of those who should have the call's card now; zeros in what is given stand for nobody.

    :param owner: whom the portal has the call registered for. :param ringing: and :param talking: whose telephones do.
    :param answered: the client of an outbound call has answered.
    """
    if registration.cards == NEVER:
        return frozenset()
    talkers = frozenset(talking) - {0}
    if talkers or registration.cards == ANSWER:
        return talkers
    ringers = frozenset(ringing) - {0}
    if not answered and _keeps(registration, owner, screens):
        return ringers | {owner}
    return ringers


def _keeps(registration: Registration, owner: int, screens: Screens) -> bool:
    """Whether an outbound call's owner has a card though nobody talks yet: while the client's telephone rings.

    `show` is False where the owner is not the one who dialled.
    """
    mine = registration.direction == OUTBOUND and registration.cards == RING and registration.show
    return mine and owner != 0 and (owner in screens.open or owner not in screens.ever)


def orders(screens: Screens, wanted_now: frozenset[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(whose card is to be hidden, to whom it is to be shown), each once."""
    return tuple(sorted(screens.open - wanted_now)), tuple(sorted(wanted_now - screens.open))
