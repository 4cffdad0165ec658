"""What the manager interface's events told of a call, as frozen data: its legs, who talked when, who handed it over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .channels import DEVICE

OURS = "ours"  # somebody of the company, at a telephone or at a mobile behind a trunk
CLIENT = "client"  # an external party: of this call, or of another one that was joined to it

RINGING, STOPPED, TALKING, LEFT, ENDED = "ringing", "stopped", "talking", "left", "ended"

BLIND, ATTENDED = "blind", "attended"
PARKING, CONFERENCE = "parking", "conference"


class At(NamedTuple):
    """When an event was read: seconds of the monotonic clock, for durations, and of the wall clock, for dates."""

    monotonic: float
    wall: float


class Span(NamedTuple):
    """From when until when; `until` is None while it lasts."""

    since: At
    until: At | None = None

    @property
    def seconds(self) -> float:
        """How long it lasted; 0.0 while it still does."""
        return self.until.monotonic - self.since.monotonic if self.until else 0.0


@dataclass(frozen=True)
class Leg:
    """One channel that rang or talked for a call.

    :param channel: its uniqueid. :param name: Asterisk's name for it, `PJSIP/1001-0000002f`.
    :param device: its endpoint, `1001`: a device, which need not be the extension of the same name.
    :param kind: DEVICE or TRUNK. :param number: what was dialled through a trunk; empty for devices.
    :param party: OURS or CLIENT.
    :param rang: when it rang for this call; None where it was not dialled for it (who phones out, takes a call over by
        pickup or transfer, or joins a conference), or the view began later.
    :param ended: the last DialStatus: ANSWER, CANCEL, NOANSWER, BUSY, CONGESTION, CHANUNAVAIL; empty while it rings and
        where it was not dialled for this call. ANSWER may still be followed by no talk (a call not confirmed).
    :param cause: Asterisk's hangup cause, 0 until it has hung up.
    :param talks: when it was connected with the external party.
    :param took: the device whose ringing it took by pickup. :param taken_by: the device that took this one's.
    """

    channel: str
    name: str
    device: str
    kind: str = DEVICE
    number: str = ""
    party: str = OURS
    rang: Span | None = None
    ended: str = ""
    talks: tuple[Span, ...] = ()
    took: str = ""
    taken_by: str = ""
    cause: int = 0


@dataclass(frozen=True)
class Handover:
    """A transfer of the external party.

    :param kind: BLIND or ATTENDED. :param giver: the device that handed over.
    :param receiver: the extension dialled (BLIND), which need not answer; the device now connected (ATTENDED).
    """

    kind: str
    at: At
    giver: str
    receiver: str


@dataclass(frozen=True)
class Stay:
    """The external party in a parking lot (PARKING, the lot's name) or in a room (CONFERENCE, the room's name)."""

    kind: str
    name: str
    span: Span


@dataclass(frozen=True)
class CallLegs:
    """The story of one call so far.

    :param uniqueid: of the channel that ran register; :param direction: `in` or `out`.
    :param external: the uniqueid of the external party's channel; empty while nobody outside has answered.
    :param answered: when the external party of an outbound call answered; None for inbound calls.
    :param gone: when the external party's channel hung up (or, where it never answered, the channel that ran register):
        the end of the call. None while it is up.
    :param unbroken: whether every event was seen from watch() to now; False after a lost connection or a full memory,
        and then all of the above is the best that is known.
    """

    uniqueid: str
    direction: str
    legs: tuple[Leg, ...] = ()
    handovers: tuple[Handover, ...] = ()
    stays: tuple[Stay, ...] = ()
    external: str = ""
    answered: At | None = None
    gone: At | None = None
    unbroken: bool = True


@dataclass(frozen=True)
class Change:
    """Something new about one person of a call (or, ENDED, about the call: no leg then).

    Told per device, not per channel: where one of a person's two telephones stops to ring because the other was
    answered, nothing has changed for a card. RINGING comes first or not at all; it is followed by TALKING, or by
    STOPPED where there was no talk; TALKING by LEFT. ENDED is the last, and all others have got their STOPPED or LEFT.
    """

    uniqueid: str
    kind: str
    leg: Leg | None
    at: At
