"""All channels and bridges of an Asterisk as its events tell them: who is connected with whom, through which wires."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Deque, Iterator, Mapping

from .call_legs import CONFERENCE, PARKING, At
from .channels import Dialled, device_of, is_machine, is_wire, other_half

# A busy FreePBX has some hundred channels up. What has hung up is remembered for a while, since events about it follow.
MOST_CHANNELS = 20_000
MOST_GONE = 5_000
MOST_STEPS = 16  # wires behind wires; FreePBX makes three at most


@dataclass
class Dial:
    """How a channel was dialled.

    :param callers: who dialled: the channel, then the one that dialled that, and so on, through wires.
    :param wires: what was passed through on that way without having dialled.
    """

    callers: tuple[str, ...]
    wires: tuple[str, ...]
    linkedid: str
    what: Dialled
    since: At | None  # None where only the answer was seen
    until: At | None = None
    status: str = ""


@dataclass
class Channel:
    """One channel that is up."""

    uniqueid: str
    name: str
    linkedid: str = ""
    bridge: str = ""
    entered: At | None = None
    dial: Dial | None = None
    took: str = ""  # the device whose ringing it picked up


@dataclass
class Bridge:
    """One bridge and who is in it. `stay` is PARKING or CONFERENCE where it is such a one; `holds` where its members
    hear music and not each other."""

    members: dict[str, None]
    name: str = ""
    stay: str = ""
    holds: bool = False


class Bridges:
    """The channels by uniqueid, the bridges by theirs. Nothing raises; what was never seen is made when it is named."""

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}
        self.bridges: dict[str, Bridge] = {}
        self._names: dict[str, str] = {}
        self.gone: dict[str, At] = {}  # what hung up not long ago, and when

    def seen(self, uniqueid: str, name: str, linkedid: str) -> Channel | None:
        """A channel that an event names, made where it is new; None where it has hung up before, or is not named."""
        if not uniqueid or uniqueid in self.gone:
            return None
        channel = self.channels.get(uniqueid)
        if channel is None:
            if not name:
                return None
            channel = self.channels[uniqueid] = Channel(uniqueid, name)
            self._names[name] = uniqueid
        if linkedid:
            channel.linkedid = linkedid
        return channel

    def rename(self, uniqueid: str, name: str) -> None:
        """Asterisk gave a channel another name."""
        channel = self.channels.get(uniqueid)
        if channel is not None and name:
            self._unname(channel)
            channel.name = name
            self._names[name] = uniqueid

    def forget(self, uniqueid: str, at: At) -> None:
        """A channel has hung up, and stays so: Asterisk sends events about it afterwards (measured: NewCallerid)."""
        if not uniqueid or uniqueid in self.gone:
            return
        self.gone[uniqueid] = at
        if len(self.gone) > MOST_GONE:
            del self.gone[next(iter(self.gone))]
        channel = self.channels.pop(uniqueid, None)
        if channel is not None:
            self._leave(channel)
            self._unname(channel)

    def enter(self, channel: Channel, bridge_id: str, event: Mapping[str, str], at: At) -> None:
        """A channel is in a bridge from now on, and in no other."""
        if not bridge_id or channel.bridge == bridge_id:
            return
        self._leave(channel)
        bridge = self.bridges.setdefault(bridge_id, Bridge({}))
        if "BridgeTechnology" in event:
            bridge.name = event.get("BridgeName", "")
            bridge.holds = event["BridgeTechnology"] == "holding_bridge"
            bridge.stay = PARKING if event.get("BridgeType") == "parking" else ""
            if event.get("BridgeCreator") == "ConfBridge":
                bridge.stay = CONFERENCE
        bridge.members[channel.uniqueid] = None
        channel.bridge, channel.entered = bridge_id, at

    def leave(self, channel: Channel, bridge_id: str) -> None:
        """A channel is not in that bridge any more; late news of a bridge that it has left already changes nothing."""
        if channel.bridge == bridge_id or not bridge_id:
            self._leave(channel)

    def destroy(self, bridge_id: str) -> None:
        """A bridge is gone, and nobody is in it."""
        bridge = self.bridges.get(bridge_id)
        for uniqueid in list(bridge.members) if bridge else ():
            self._leave(self.channels[uniqueid])

    def bridge_of(self, uniqueid: str) -> Bridge | None:
        """The bridge that a channel is in now."""
        channel = self.channels.get(uniqueid)
        return self.bridges.get(channel.bridge) if channel else None

    def beyond(self, channel: Channel) -> Channel | None:
        """The other end of a wire; None for telephones, and where it is gone."""
        return self.channels.get(self._names.get(other_half(channel.name), ""))

    def people(self, uniqueid: str) -> dict[str, At]:
        """The telephones and trunks that a channel is connected with, through wires, and since when each of them."""
        return {other.uniqueid: since for other, since in self.reached(uniqueid) if is_telephone(other)}

    def reached(self, uniqueid: str) -> Iterator[tuple[Channel, At]]:
        """Every channel that hears a channel, the wires among them, nearest first, with the time when it began to."""
        start = self.channels.get(uniqueid)
        if start is None:
            return
        seen = {uniqueid}
        waiting: Deque[tuple[Channel, At]] = deque()
        if start.entered is not None:
            waiting.append((start, start.entered))
        end = self.beyond(start)
        if end is not None and end.entered is not None:  # one hears through a wire that one is
            seen.add(end.uniqueid)
            waiting.append((end, end.entered))
            yield end, end.entered
        while waiting:
            channel, since = waiting.popleft()
            bridge = self.bridges.get(channel.bridge)
            for other_id in list(bridge.members) if bridge and not bridge.holds else ():
                other = self.channels[other_id]
                if other_id in seen or other.entered is None:
                    continue
                seen.add(other_id)
                joined = max(since, other.entered)
                yield other, joined
                end = self.beyond(other)
                if end is not None and end.entered is not None and end.uniqueid not in seen:
                    seen.add(end.uniqueid)
                    joined = max(joined, end.entered)
                    yield end, joined
                    waiting.append((end, joined))

    def callers(self, caller: Channel | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Who stands behind a channel that dials: those that dialled, and the wires' ends passed on the way."""
        dialled_by: list[str] = []
        passed: list[str] = []
        while caller is not None and len(dialled_by) < MOST_STEPS and caller.uniqueid not in dialled_by:
            dialled_by.append(caller.uniqueid)
            end = self.beyond(caller)
            if end is not None:
                passed.append(end.uniqueid)
            dial = (end or caller).dial
            caller = self.channels.get(dial.callers[0]) if dial and dial.callers else None
        return tuple(dialled_by), tuple(passed)

    def _leave(self, channel: Channel) -> None:
        bridge = self.bridges.get(channel.bridge)
        if bridge is not None:
            bridge.members.pop(channel.uniqueid, None)
            if not bridge.members:
                del self.bridges[channel.bridge]
        channel.bridge, channel.entered = "", None

    def _unname(self, channel: Channel) -> None:
        if self._names.get(channel.name) == channel.uniqueid:
            del self._names[channel.name]


def is_telephone(channel: Channel) -> bool:
    """Whether a person may be at it: no wire, no machine."""
    return not is_wire(channel.name) and not is_machine(channel.name) and bool(device_of(channel.name))
