"""Which call an Asterisk's channels belong to: dials, parties and conversations, concluded from what is up now."""

from __future__ import annotations

import math
from collections import deque
from typing import Deque, Iterable, Mapping

from ..call import INBOUND
from .bridges import MOST_CHANNELS, Bridges, Channel, Dial, is_telephone
from .call_legs import CLIENT, OURS, At, Change
from .channels import DEVICE, TRUNK, Dialled, device_of, dialled
from .watched import Watched, WatchedLeg, distinct

Event = Mapping[str, str]

MOST_CHANGES = 10_000
MOST_TRUNKS = 1_000
# CoreShowChannels' ChannelState: Asterisk's AST_STATE_RINGING and AST_STATE_UP.
_RINGING_STATE, _UP_STATE = "5", "6"


class Following:
    """All channels and bridges, and the watched calls that they are part of; `legs` drives it, and has the rules."""

    def __init__(self) -> None:
        self.net = Bridges()
        self.calls: dict[str, Watched] = {}
        self.in_legs: dict[str, list[Watched]] = {}  # by each channel that is a leg
        self.changes: Deque[Change] = deque()
        self._parties: dict[str, Watched] = {}  # by the external party's channel and by the one that ran register
        self._trunks: dict[str, None] = {}  # endpoints that proved to be trunks
        self._settling: dict[str, Watched] = {}  # calls whose news wait for a second to pass
        self._soonest = math.inf  # no second passes before that

    def begin(self, call: Watched, at: At, external: str = "") -> None:
        """Follow one more call, which may have gone on for a while, or be over already.

        :param external: the external party's channel, where it is known from before; it may be there without the one
            that ran register.
        """
        self.calls[call.uniqueid] = call
        known = call.uniqueid if call.direction == INBOUND else external
        gone = self.net.gone.get(known or call.uniqueid)
        if gone is not None:
            call.unbroken = False
            call.end(gone)
        else:
            self._parties[call.uniqueid] = call
            if known:
                call.external = known
                self._parties[known] = call
                self._learn_trunk(self.net.channels.get(known))
            for channel in list(self.net.channels.values()):
                self.dialled_for(channel, at, call)
        self.refresh(call, at)

    def forget(self, uniqueid: str) -> None:
        """Follow a call no more."""
        call = self.calls.pop(uniqueid, None)
        if call is None:
            return
        self._settling.pop(uniqueid, None)
        self._unparty(call)
        self._not_in(call, call.legs)

    def doubt(self) -> None:
        """Something may have been missed of every call that is up."""
        for call in self.calls.values():
            if call.gone is None:
                call.unbroken = False

    def seen(self, event: Event, at: At, prefix: str = "") -> Channel | None:
        """The channel that an event names in the headers that begin so."""
        uniqueid, name = event.get(f"{prefix}Uniqueid", ""), event.get(f"{prefix}Channel", "")
        known = uniqueid in self.net.channels
        if not known and len(self.net.channels) >= MOST_CHANNELS:
            self._make_room(at)
        channel = self.net.seen(uniqueid, name, event.get(f"{prefix}Linkedid", ""))
        if channel is not None and not known:
            call = self._parties.get(uniqueid)
            if call is not None and call.direction == INBOUND:
                self._learn_trunk(channel)
        return channel

    def dial(self, event: Event, channel: Channel, since: At | None, at: At) -> Dial:
        """How an event says that a channel was dialled; `since` is None where only the end of it was seen."""
        callers, wires = self.net.callers(self.seen(event, at))
        what = dialled(event.get("DialString", ""), channel.name)
        if what.kind == TRUNK and is_telephone(channel):
            self._learn_trunk(channel)
        return Dial(callers, wires, event.get("Linkedid", "") or channel.linkedid, what, since)

    def dial_of_row(self, channel: Channel, row: Event, at: At) -> None:
        """What a channel's state in a snapshot says of its dial."""
        state = row.get("ChannelState", "")
        if channel.dial is None and state == _RINGING_STATE:
            channel.dial = Dial((), (), channel.linkedid, self._what(channel), at)
        elif channel.dial is not None and channel.dial.until is None and state == _UP_STATE:
            channel.dial.until, channel.dial.status = at, "ANSWER"
        self.dialled_for(channel, at)

    def dialled_for(self, channel: Channel, at: At, wanted: Watched | None = None) -> None:
        """Make a dialled telephone a leg of the call that it was dialled for (where that is the wanted one)."""
        dial = channel.dial
        if dial is None or not is_telephone(channel) or (dial.since is None and dial.status != "ANSWER"):
            return
        call = self._owner(dial)
        if call is None or call.gone is not None or channel.uniqueid == call.external or wanted not in (None, call):
            return
        outward = call.direction != INBOUND and not call.external and call.uniqueid in dial.callers
        leg = self._leg(call, channel, CLIENT if outward else OURS)
        if leg.rang_since is None and not leg.talks:
            leg.rang_since = dial.since
        if dial.until is not None:
            leg.stop_ringing(dial.until)
            leg.ended, leg.sure = leg.ended or dial.status, True
        if outward and dial.status == "ANSWER":
            call.becomes_external(channel, dial.until or at)
            self._parties[channel.uniqueid] = call
            self._learn_trunk(channel)
            self.refresh(call, at)
        self.tell(call, at)

    def _owner(self, dial: Dial) -> Watched | None:
        """The call that a dial is for: the nearest that stands behind it, else the one whose linkedid it has."""
        for uniqueid in (*dial.callers, *dial.wires):
            call = self._parties.get(uniqueid)
            if call is not None:
                return call
        if not dial.linkedid:
            return None
        return self.party(dial.linkedid) or next(
            (
                call
                for uniqueid, call in self._parties.items()
                if uniqueid in self.net.channels and self.net.channels[uniqueid].linkedid == dial.linkedid
            ),
            None,
        )

    def _leg(self, call: Watched, channel: Channel, party: str) -> WatchedLeg:
        if channel.uniqueid not in call.legs:
            self._not_in(call, call.make_room())
            self.in_legs.setdefault(channel.uniqueid, []).append(call)
        return call.leg(channel, self._what(channel), party)

    def _not_in(self, call: Watched, channels: Iterable[str]) -> None:
        """These are no legs of the call any more."""
        for channel in channels:
            calls = [other for other in self.in_legs.pop(channel, []) if other is not call]
            if calls:
                self.in_legs[channel] = calls

    def _what(self, channel: Channel) -> Dialled:
        what = channel.dial.what if channel.dial else Dialled(DEVICE)
        return Dialled(TRUNK, what.number) if device_of(channel.name) in self._trunks else what

    def _learn_trunk(self, channel: Channel | None) -> None:
        """The endpoint of a channel is a trunk, also when it calls in."""
        if channel is not None and is_telephone(channel) and len(self._trunks) < MOST_TRUNKS:
            self._trunks[device_of(channel.name)] = None

    def party(self, uniqueid: str) -> Watched | None:
        """The open call whose external party's channel it is."""
        call = self._parties.get(uniqueid)
        return call if call is not None and call.external == uniqueid else None

    def around(self, uniqueid: str) -> list[Watched]:
        """The calls whose parties are connected with a channel now, or are it."""
        if not self._parties:
            return []
        ids = [uniqueid, *(channel.uniqueid for channel, _ in self.net.reached(uniqueid))]
        return [self._parties[one] for one in ids if one in self._parties]

    def refresh_all(self, calls: Iterable[Watched], at: At) -> None:
        """Look again at several calls, at each once."""
        for call in distinct(calls):
            self.refresh(call, at)

    def refresh(self, call: Watched, at: At) -> None:
        """Look again who is connected with the external party."""
        if call.gone is None:
            people = self.net.people(call.external or call.uniqueid)
            if not call.external:
                self._find_external(call, people, at)
                people = self.net.people(call.external) if call.external else {}
            for uniqueid in people:
                self._leg(call, self.net.channels[uniqueid], CLIENT if self.party(uniqueid) else OURS)
            call.connected(people, at)
            channel = self.net.channels.get(call.external)
            call.stands_in(self.net.bridge_of(call.external), channel.entered if channel else None, at)
        self.tell(call, at)

    def _find_external(self, call: Watched, people: Mapping[str, At], at: At) -> None:
        """Whom the channel that ran register is connected with, where the answer to its dial was not seen."""
        for uniqueid, since in people.items():
            channel = self.net.channels[uniqueid]
            dialled_by_it = channel.dial is not None and call.uniqueid in channel.dial.callers
            if (dialled_by_it or self._what(channel).kind == TRUNK) and self.party(uniqueid) is None:
                call.becomes_external(channel, since)
                self._parties[uniqueid] = call
                return

    def hang_up(self, uniqueid: str, at: At, seen: bool, cause: int = 0) -> None:
        """A channel is gone: by its Hangup (`seen`), or because a snapshot has it no more."""
        affected = self.around(uniqueid) if uniqueid in self.net.channels else []
        self.net.forget(uniqueid, at)
        for call in self.in_legs.get(uniqueid, []):
            call.hung(uniqueid, at, seen, cause)
            affected.append(call)
        ended = self._parties.get(uniqueid)
        if ended is not None and uniqueid == (ended.external or ended.uniqueid):
            ended.end(at, seen)
            self._unparty(ended)
            affected.append(ended)  # its channel may never have been seen before
        self.refresh_all(affected, at)

    def _unparty(self, call: Watched) -> None:
        for uniqueid in (call.uniqueid, call.external):
            if self._parties.get(uniqueid) is call:
                del self._parties[uniqueid]

    def _make_room(self, at: At) -> None:
        """More channels than any Asterisk has: the oldest that is no party of a call goes, and all is doubtful."""
        oldest = next((key for key in self.net.channels if key not in self._parties), next(iter(self.net.channels)))
        self.hang_up(oldest, at, seen=False)
        self.doubt()

    def transferred(self, transferee: str, bridge_id: str) -> list[Watched]:
        """The calls whose external party is transferred; a conversation of more than two names no transferee."""
        if transferee:
            return distinct([self.party(transferee)])
        bridge = self.net.bridges.get(bridge_id)
        return distinct(self.party(uniqueid) for uniqueid in (bridge.members if bridge else ()))

    def device_behind(self, uniqueid: str, name: str) -> str:
        """The device of a channel; of a wire, that of who is at its other end."""
        channel = self.net.channels.get(uniqueid)
        end = self.net.beyond(channel) if channel else None
        bridge = self.net.bridges.get(end.bridge) if end else None
        for other in bridge.members if bridge else ():
            if is_telephone(self.net.channels[other]):
                return device_of(self.net.channels[other].name)
        return device_of(name)

    def settle(self, at: At) -> None:
        """Time has passed: who has not come back by now has left."""
        if at.monotonic >= self._soonest:
            waiting, self._settling, self._soonest = self._settling, {}, math.inf
            for call in waiting.values():
                self.tell(call, at)  # which puts it back where it has to wait on

    def tell(self, call: Watched, at: At) -> None:
        """Something of a call may be news."""
        self.changes += call.news(at)
        while len(self.changes) > MOST_CHANGES:  # nobody looks: the state is right, the oldest news are lost
            self.changes.popleft()
        if call.settles is not None:
            self._settling[call.uniqueid] = call
            self._soonest = min(self._soonest, call.settles)
