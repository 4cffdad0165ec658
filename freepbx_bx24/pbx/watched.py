"""One watched call as its events tell it: legs that ring, talk and end, and what of that is news for a card."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Iterable, Mapping

from .bridges import Bridge, Channel
from .call_legs import (
    CLIENT,
    ENDED,
    LEFT,
    OURS,
    RINGING,
    STOPPED,
    TALKING,
    At,
    CallLegs,
    Change,
    Handover,
    Leg,
    Span,
    Stay,
)
from .channels import TRUNK, Dialled, device_of

# Where wires go away, both sides leave their bridges and are in one again some milliseconds later: no new talk.
SAME_TALK_SECONDS = 1.0
# Legs kept of one call: a queue of three that rings again every 15 s makes some 700 in an hour.
MOST_LEGS = 2_000
MOST_HANDOVERS = 200  # of one call, and as many stays in parking lots and rooms


@dataclass
class WatchedLeg:
    """A leg while it may still change. `sure` is False where `ended` is concluded from a hangup, and no DialEnd yet."""

    channel: str
    name: str
    device: str
    what: Dialled
    party: str
    rang_since: At | None = None
    rang_until: At | None = None
    ended: str = ""
    sure: bool = False
    talks: list[Span] = field(default_factory=list)
    took: str = ""
    taken_by: str = ""
    hung: bool = False
    cause: int = 0

    @property
    def who(self) -> tuple[str, str, str]:
        """The person that it is, whichever of his channels."""
        return self.what.kind, self.device, self.what.number

    @property
    def rings(self) -> bool:
        """Whether it rings now."""
        return self.rang_since is not None and self.rang_until is None

    @property
    def talks_now(self) -> bool:
        """Whether it is connected with the external party now."""
        return bool(self.talks) and self.talks[-1].until is None

    def stop_ringing(self, at: At) -> None:
        """It rings no more, for whatever reason."""
        if self.rings:
            self.rang_until = at

    def stop_talking(self, at: At) -> None:
        """It is connected no more."""
        if self.talks_now:
            self.talks[-1] = Span(self.talks[-1].since, at)

    def talk(self, since: At) -> None:
        """It is connected; a pause as short as a wire's going away is none."""
        if self.talks_now:
            return
        last = self.talks[-1].until if self.talks else None
        if last is not None and since.monotonic - last.monotonic < SAME_TALK_SECONDS:
            self.talks[-1] = Span(self.talks[-1].since)
        else:
            self.talks.append(Span(since))

    def frozen(self) -> Leg:
        """It, as others see it."""
        rang = Span(self.rang_since, self.rang_until) if self.rang_since else None
        kind, device, number = self.who
        return Leg(
            channel=self.channel,
            name=self.name,
            device=device,
            kind=kind,
            number=number,
            party=self.party,
            rang=rang,
            ended=self.ended,
            talks=tuple(self.talks),
            took=self.took,
            taken_by=self.taken_by,
            cause=self.cause,
        )


class Watched:
    """A call from watch() to forget()."""

    def __init__(self, uniqueid: str, direction: str, unbroken: bool) -> None:
        self.uniqueid, self.direction, self.unbroken = uniqueid, direction, unbroken
        self.external = ""
        self.answered: At | None = None
        self.gone: At | None = None
        self.legs: dict[str, WatchedLeg] = {}
        self.handovers: list[Handover] = []
        # Monotonic seconds when one who left lately, and may be back, has left for good; None where there is none.
        self.settles: float | None = None
        self._live: dict[str, WatchedLeg] = {}  # those that may still be news
        self._stays: list[Stay] = []
        self._shown: dict[tuple[str, str, str], str] = {}  # RINGING or TALKING
        self._told_end = False

    def leg(self, channel: Channel, what: Dialled, party: str) -> WatchedLeg:
        """The leg that a channel is, made where it is new."""
        leg = self.legs.get(channel.uniqueid)
        if leg is None:
            leg = WatchedLeg(channel.uniqueid, channel.name, device_of(channel.name), what, party, took=channel.took)
            self.legs[channel.uniqueid] = self._live[channel.uniqueid] = leg
        return leg

    def make_room(self) -> list[str]:
        """Before one more leg: drop the oldest that only rang, where there are too many; returns what was dropped."""
        if len(self.legs) < MOST_LEGS:
            return []
        self.unbroken = False
        oldest = next((key for key, leg in self.legs.items() if leg.hung and not leg.talks), next(iter(self.legs)))
        del self.legs[oldest]
        self._live.pop(oldest, None)
        return [oldest]

    def hand_over(self, handover: Handover) -> None:
        """The external party was transferred. Where the receiver was at the end of a wire that has just gone away (seen
        with the feature code for attended transfers), it is whoever talks next."""
        if len(self.handovers) < MOST_HANDOVERS:
            self.handovers.append(handover)
        else:
            self.unbroken = False

    def becomes_external(self, channel: Channel, at: At) -> None:
        """The external party of an outbound call has answered, at this channel."""
        self.external, self.answered = channel.uniqueid, at
        leg = self.legs.get(channel.uniqueid)
        if leg is not None:
            leg.party, leg.what = CLIENT, Dialled(TRUNK, leg.what.number)

    def connected(self, legs: Mapping[str, At], at: At) -> None:
        """Who is connected with the external party now (all of them legs), and since when each is."""
        for uniqueid, leg in self._live.items():
            if uniqueid in legs:
                leg.stop_ringing(legs[uniqueid])
                leg.talk(legs[uniqueid])
            else:
                leg.stop_talking(at)
        last = self.handovers[-1] if self.handovers else None
        if last is not None and not last.receiver:
            found = [leg.device for leg in self._live.values() if leg.talks_now and leg.device != last.giver]
            self.handovers[-1] = replace(last, receiver=found[0] if found else "")

    def stands_in(self, bridge: Bridge | None, since: At | None, at: At) -> None:
        """The external party's bridge now: a parking lot, a room, or nothing to speak of."""
        here = (bridge.stay, bridge.name) if bridge is not None and bridge.stay else None
        last = self._stays[-1] if self._stays else None
        if last is not None and last.span.until is None:
            if here == (last.kind, last.name):
                return
            self._stays[-1] = Stay(last.kind, last.name, Span(last.span.since, at))
        if here is not None and len(self._stays) < MOST_HANDOVERS:
            self._stays.append(Stay(*here, Span(since or at)))

    def hung(self, uniqueid: str, at: At, seen: bool, cause: int = 0) -> None:
        """A leg's channel is gone; `seen` where its Hangup was, and it was not just missing in a snapshot."""
        leg = self.legs.get(uniqueid)
        if leg is None or leg.hung:
            return
        if leg.rings and seen and not leg.ended:
            leg.ended = "CANCEL"
        leg.stop_ringing(at)
        leg.stop_talking(at)
        leg.hung, leg.cause = True, cause

    def end(self, at: At, seen: bool = True) -> None:
        """The external party has gone: nobody rings or talks for this call any more."""
        if self.gone is not None:
            return
        self.gone = at
        for leg in self._live.values():
            if leg.rings and seen and not leg.ended:
                leg.ended = "CANCEL"
            leg.stop_ringing(at)
            leg.stop_talking(at)
        self.stands_in(None, None, at)

    def news(self, at: At) -> list[Change]:
        """What has changed for people since the last time, at this time."""
        now: dict[tuple[str, str, str], tuple[str, WatchedLeg]] = {}
        self.settles = None
        for leg in self._live.values():
            state = self._state(leg, at) if leg.party == OURS else ""
            if state and (leg.who not in now or state == TALKING):
                now[leg.who] = state, leg
        changes = [self._hidden(who, at) for who in [*self._shown] if who not in now]
        for who, (state, leg) in now.items():
            before = self._shown.get(who)
            if before == TALKING and state == RINGING:  # he left, and is rung again
                changes.append(self._hidden(who, at))
            if before != state:
                self._shown[who] = state
                since = leg.rang_since if state == RINGING else leg.talks[-1].since
                changes.append(Change(self.uniqueid, state, leg.frozen(), since or at))
        if self.gone is not None and not self._told_end:
            self._told_end = True
            changes.append(Change(self.uniqueid, ENDED, None, self.gone))
        for uniqueid in [key for key, leg in self._live.items() if leg.hung and not self._may_be_back(leg, at)]:
            del self._live[uniqueid]
        return changes

    def on_cards(self, state: str) -> tuple[Leg, ...]:
        """Our people who ring (RINGING) or talk (TALKING), as the news so far say: one leg each, his latest.

        Unlike `now`, a wire that goes away takes nobody along, and one who has answered and is not connected yet rings.
        """
        latest = {leg.who: leg for leg in self._live.values()}
        return tuple(latest[who].frozen() for who, shown in self._shown.items() if shown == state and who in latest)

    def now(self, state: str) -> tuple[Leg, ...]:
        """Our legs that ring (RINGING) or talk (TALKING) now."""
        return tuple(
            leg.frozen()
            for leg in self._live.values()
            if leg.party == OURS and (leg.rings if state == RINGING else leg.talks_now)
        )

    def story(self) -> CallLegs:
        """All that is known of it."""
        return CallLegs(
            uniqueid=self.uniqueid,
            direction=self.direction,
            legs=tuple(leg.frozen() for leg in self.legs.values()),
            handovers=tuple(self.handovers),
            stays=tuple(self._stays),
            external=self.external,
            answered=self.answered,
            gone=self.gone,
            unbroken=self.unbroken,
        )

    def _state(self, leg: WatchedLeg, at: At) -> str:
        """What a card shows of a leg. One that has answered, and is not connected yet, is shown as it was; so is one
        that left a moment ago."""
        if leg.talks_now:
            return TALKING
        if leg.rings:
            return RINGING
        before = self._shown.get(leg.who, "")
        if self._may_be_back(leg, at) and leg.talks[-1].until:
            moment = leg.talks[-1].until.monotonic + SAME_TALK_SECONDS
            self.settles = moment if self.settles is None else min(self.settles, moment)
            return TALKING if before == TALKING else ""
        waits = leg.ended == "ANSWER" and not leg.talks and not leg.hung and self.gone is None
        return RINGING if waits and before == RINGING else ""

    def _may_be_back(self, leg: WatchedLeg, at: At) -> bool:
        last = leg.talks[-1].until if leg.talks else None
        return (
            last is not None
            and not leg.hung
            and self.gone is None
            and at.monotonic - last.monotonic < SAME_TALK_SECONDS
        )

    def _hidden(self, who: tuple[str, str, str], at: At) -> Change:
        """The change of one who neither rings nor talks any more, told with the leg of his that did last."""
        before = self._shown.pop(who)
        mine = [leg for leg in self.legs.values() if leg.who == who and (before == RINGING or leg.talks)]
        ends = [(_end_of(leg, before) or at, leg) for leg in mine]
        if not ends:  # it was dropped for want of room
            return Change(self.uniqueid, STOPPED if before == RINGING else LEFT, None, at)
        when, last = max(ends, key=lambda end: end[0])
        return Change(self.uniqueid, STOPPED if before == RINGING else LEFT, last.frozen(), when)


def _end_of(leg: WatchedLeg, state: str) -> At | None:
    if state == RINGING or not leg.talks:
        return leg.rang_until
    return leg.talks[-1].until


def distinct(calls: Iterable[Watched | None]) -> list[Watched]:
    """Each call once, in order, Nones left out."""
    return list({id(call): call for call in calls if call is not None}.values())
