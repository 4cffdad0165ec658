"""A manager interface of which a test tells what it shows: one inbound call, one telephone, and whatever else."""

from __future__ import annotations

import socket

from .ami_server import AmiServer, Peer

UNIQUEID = "1790000120.77"
CALL = ["Channel: PJSIP/trunka-00000000", f"Uniqueid: {UNIQUEID}", f"Linkedid: {UNIQUEID}"]
RINGS = [*CALL, "DestChannel: PJSIP/103-00000001", "DestUniqueid: 9.1", f"DestLinkedid: {UNIQUEID}"]
PHONE = ["Channel: PJSIP/103-00000001", "Uniqueid: 9.1", f"Linkedid: {UNIQUEID}"]
BRIDGE = ["BridgeUniqueid: B1", "BridgeType: basic", "BridgeTechnology: simple_bridge"]


class Asterisk:
    """A manager interface of which a test tells what it shows: its channels at each login, then its events."""

    def __init__(self) -> None:
        self.channels: list[list[str]] = []
        self.logins = 0
        self.server = AmiServer(self._play)

    def _play(self, peer: Peer) -> None:
        peer.log_in()
        action = peer.expect("CoreShowChannels")
        identifier = f"ActionID: {action['ActionID']}"
        peer.answer(action, "EventList: start")
        for channel in self.channels:
            peer.say("Event: CoreShowChannel", identifier, *channel)
        items = f"ListItems: {len(self.channels)}"
        peer.say("Event: CoreShowChannelsComplete", identifier, "EventList: Complete", items)
        self.logins += 1
        self.peer = peer
        peer.serve()

    def shows(self, event: str, *headers: str) -> None:
        self.peer.say(f"Event: {event}", *headers)

    def dies(self) -> None:
        self.peer.connection.shutdown(socket.SHUT_RDWR)

    def rings(self) -> None:
        self.shows("DialBegin", *RINGS, "DialString: 103/sip:103@10.0.0.1:5060")

    def answers(self) -> None:
        self.shows("DialEnd", *RINGS, "DialStatus: ANSWER")
        self.shows("BridgeEnter", *PHONE, *BRIDGE)
        self.shows("BridgeEnter", *CALL, *BRIDGE)

    def hangs_up(self) -> None:
        self.shows("BridgeLeave", *CALL, "BridgeUniqueid: B1")
        self.shows("BridgeLeave", *PHONE, "BridgeUniqueid: B1")
        self.shows("Hangup", *PHONE, "Cause: 16")
        self.shows("Hangup", *CALL, "Cause: 16")
