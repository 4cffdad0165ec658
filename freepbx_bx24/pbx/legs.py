"""Who rings and who talks: a state machine that takes the manager interface's events and tells each call's legs.

It does no I/O and has no clock. The connection's owner feeds it: `snapshot()` where a connection is up, `take()` for
each event, `broken()` where it is gone; `watch()` and `forget()` come from whoever registers and finishes calls. They
must not overlap: one lock around them, or one thread.

The rule, right in every hard case recorded on Asterisk 16 and 22 (tests/unit/pbx/traces): the people on a call are the
channels in the bridge that the external party's channel is in, seen through both halves of Local channels. The external
party's channel is the one that ran register (inbound), or the one that answered a dial of it (outbound). Its hangup
ends the call. A dial is for a call where the external party or the channel that ran register stands behind it, through
any depth of wires; where nobody is known to stand behind it (the feature code for an attended transfer dials without a
dialler), where it has the call's linkedid. Channels and bridges that belong to no watched call are followed as well,
until they hang up: a consultation or a pickup becomes part of a call later.

Headers are data: whatever is missing, malformed or hostile in them raises nothing.
"""

from __future__ import annotations

from typing import Callable, Mapping, Sequence

from .call_legs import ATTENDED, BLIND, RINGING, TALKING, At, CallLegs, Change, Handover, Leg
from .channels import device_of
from .following import Event, Following
from .watched import Watched

MOST_CALLS = 10_000  # watched and never forgotten: their owner is not well


class Legs:
    """The legs of all watched calls. A call that is watched before the first snapshot() is not `unbroken`."""

    def __init__(self) -> None:
        self._all = Following()
        self._connected = False
        self._now = At(0.0, 0.0)  # of the latest event
        self._handlers: Mapping[str, Callable[[Event, At], None]] = {
            "Newchannel": self._named,
            "Rename": self._rename,
            "DialBegin": self._dial_begin,
            "DialEnd": self._dial_end,
            "BridgeEnter": self._bridge_enter,
            "BridgeLeave": self._bridge_leave,
            "BridgeDestroy": self._bridge_destroy,
            "Hangup": self._hangup,
            "Pickup": self._pickup,
            "BlindTransfer": self._blind_transfer,
            "AttendedTransfer": self._attended_transfer,
        }

    # -- what the connection says -------------------------------------------------------------------------------------

    def take(self, event: Event, at: At) -> None:
        """One event, in the order of the wire; those of no interest change nothing."""
        self._now = at
        self._all.settle(at)
        handler = self._handlers.get(event.get("Event", ""))
        if handler is not None:
            handler(event, at)

    def snapshot(self, channels: Sequence[Event], at: At, gone: At | None = None) -> None:
        """The rows of CoreShowChannels, after a connection is up: what is not among them has hung up meanwhile.

        :param gone: when that is taken to have been, where it is not now: when the former connection ended.
        """
        self._connected, self._now = True, at
        rows = {row["Uniqueid"]: row for row in channels if row.get("Uniqueid") and row.get("Channel")}
        for uniqueid in [known for known in self._all.net.channels if known not in rows]:
            self._all.hang_up(uniqueid, gone or at, seen=False)
        for uniqueid, row in rows.items():
            channel = self._all.seen(row, at)
            if channel is None:
                continue
            self._all.net.rename(uniqueid, row["Channel"])
            if row.get("BridgeId"):
                self._all.net.enter(channel, row["BridgeId"], row, at)
            else:
                self._all.net.leave(channel, "")
            self._all.dial_of_row(channel, row, at)
        self._all.refresh_all(self._all.calls.values(), at)

    def broken(self) -> None:
        """The connection is gone: of every call that is up, something may be missed now."""
        self._connected = False
        self._all.doubt()

    # -- what the owner of the calls says -----------------------------------------------------------------------------

    def watch(self, uniqueid: str, direction: str, external: str = "", *, late: bool = False) -> None:
        """Register the call whose channel ran register, `direction` `in` or `out`; a second time changes nothing.

        Late is better than never: what its channels did before is told where they are still up.

        :param external: the external party's channel of an outbound call, where an earlier view knew it.
        :param late: the call has gone on for a while unseen: its view is not unbroken.
        """
        calls = self._all.calls
        if uniqueid in calls:
            return
        if len(calls) >= MOST_CALLS:
            self.forget(next((key for key, call in calls.items() if call.gone), next(iter(calls))))
        self._all.begin(Watched(uniqueid, direction, self._connected and not late), self._now, external)

    def forget(self, uniqueid: str) -> None:
        """The call is of no interest any more."""
        self._all.forget(uniqueid)

    def ringing(self, uniqueid: str) -> tuple[Leg, ...]:
        """Whose telephones, and mobiles behind trunks, ring for a call now; empty for calls that nobody watches."""
        return self._all.calls[uniqueid].now(RINGING) if uniqueid in self._all.calls else ()

    def talking(self, uniqueid: str) -> tuple[Leg, ...]:
        """Who of ours is connected with the external party now; nobody while a machine is."""
        return self._all.calls[uniqueid].now(TALKING) if uniqueid in self._all.calls else ()

    def on_cards(self, uniqueid: str, state: str) -> tuple[Leg, ...]:
        """One leg of each of our people who ring (RINGING) or talk (TALKING), as `changes` has told it so far."""
        return self._all.calls[uniqueid].on_cards(state) if uniqueid in self._all.calls else ()

    def story(self, uniqueid: str) -> CallLegs | None:
        """All that is known of a call from watch() to now; None for calls that nobody watches."""
        return self._all.calls[uniqueid].story() if uniqueid in self._all.calls else None

    def changes(self, at: At | None = None) -> list[Change]:
        """What has changed since the last look, in order.

        :param at: the time now. Who leaves without hanging up (to consult, say) is told as LEFT a second later, at the
            next event or at the next look that says what time it is: until then he may be back, because
            Asterisk has only taken wires out of the way.
        """
        if at is not None:
            self._all.settle(at)
        changes = list(self._all.changes)
        self._all.changes.clear()
        return changes

    # -- events -------------------------------------------------------------------------------------------------------

    def _named(self, event: Event, at: At) -> None:
        self._all.seen(event, at)

    def _rename(self, event: Event, at: At) -> None:
        self._all.net.rename(event.get("Uniqueid", ""), event.get("Newname", ""))

    def _dial_begin(self, event: Event, at: At) -> None:
        channel = self._all.seen(event, at, "Dest")
        if channel is not None:
            channel.dial = self._all.dial(event, channel, at, at)
            self._all.dialled_for(channel, at)

    def _dial_end(self, event: Event, at: At) -> None:
        channel = self._all.seen(event, at, "Dest")
        status = event.get("DialStatus", "")
        if channel is not None:
            if channel.dial is None:  # a pickup, or its beginning was missed
                channel.dial = self._all.dial(event, channel, None, at)
            if channel.dial.until is None:
                channel.dial.until, channel.dial.status = at, status
            self._all.dialled_for(channel, at)
        for call in self._all.in_legs.get(event.get("DestUniqueid", ""), []):
            leg = call.legs[event["DestUniqueid"]]
            if not leg.sure:
                leg.ended, leg.sure = status, True
            leg.stop_ringing(at)
            self._all.tell(call, at)

    def _bridge_enter(self, event: Event, at: At) -> None:
        channel = self._all.seen(event, at)
        if channel is not None:
            affected = self._all.around(channel.uniqueid)
            self._all.net.enter(channel, event.get("BridgeUniqueid", ""), event, at)
            self._all.refresh_all(affected + self._all.around(channel.uniqueid), at)

    def _bridge_leave(self, event: Event, at: At) -> None:
        channel = self._all.seen(event, at)
        if channel is not None:
            affected = self._all.around(channel.uniqueid)
            self._all.net.leave(channel, event.get("BridgeUniqueid", ""))
            self._all.refresh_all(affected, at)

    def _bridge_destroy(self, event: Event, at: At) -> None:
        bridge_id = event.get("BridgeUniqueid", "")
        bridge = self._all.net.bridges.get(bridge_id)
        affected = [call for uniqueid in (bridge.members if bridge else ()) for call in self._all.around(uniqueid)]
        self._all.net.destroy(bridge_id)
        self._all.refresh_all(affected, at)

    def _hangup(self, event: Event, at: At) -> None:
        said = event.get("Cause", "")
        cause = int(said) if said.isascii() and said.isdigit() and len(said) <= 3 else 0
        self._all.hang_up(event.get("Uniqueid", ""), at, True, cause)

    def _pickup(self, event: Event, at: At) -> None:
        picker, taken = self._all.seen(event, at), event.get("TargetChannel", "")
        if picker is None:
            return
        picker.took = device_of(taken)
        for call in self._all.in_legs.get(picker.uniqueid, []):
            call.legs[picker.uniqueid].took = picker.took
        target = event.get("TargetUniqueid", "")
        for call in self._all.in_legs.get(target, []):
            call.legs[target].taken_by = device_of(picker.name)

    def _blind_transfer(self, event: Event, at: At) -> None:
        if event.get("Result", "Success") != "Success":
            return
        giver = device_of(event.get("TransfererChannel", ""))
        for call in self._all.transferred(event.get("TransfereeUniqueid", ""), event.get("BridgeUniqueid", "")):
            call.hand_over(Handover(BLIND, at, giver, event.get("Extension", "")))

    def _attended_transfer(self, event: Event, at: At) -> None:
        if event.get("Result", "Success") != "Success":
            return
        giver = device_of(event.get("OrigTransfererChannel", ""))
        ends = ("Transferee", "TransferTarget")
        for mine, other in (ends, ends[::-1]):
            call = self._all.party(event.get(f"{mine}Uniqueid", ""))
            if call is not None:
                receiver = self._all.device_behind(event.get(f"{other}Uniqueid", ""), event.get(f"{other}Channel", ""))
                call.hand_over(Handover(ATTENDED, at, giver, receiver))
                self._all.refresh(call, at)
