"""A manager interface of which a test tells what it shows: one inbound call, one telephone, and whatever else."""

from __future__ import annotations

import socket
from contextlib import suppress

from .ami_server import Action, AmiServer, Peer
from .running_service import RunningService, wait_until

UNIQUEID = "1790000120.77"
CALL = ["Channel: PJSIP/trunka-00000000", f"Uniqueid: {UNIQUEID}", f"Linkedid: {UNIQUEID}"]
BRIDGE = ["BridgeUniqueid: B1", "BridgeType: basic", "BridgeTechnology: simple_bridge"]
# A call to the outside: who dials, the number, and the trunk's channel.
OUTSIDE = "89161234567"
AGENT = ["Channel: PJSIP/101-00000000", f"Uniqueid: {UNIQUEID}", f"Linkedid: {UNIQUEID}"]
TRUNK = ["Channel: PJSIP/city-00000001", "Uniqueid: 9.2", f"Linkedid: {UNIQUEID}"]


def telephone(device: str) -> list[str]:
    """The channel of a telephone that is rung for the call."""
    return [f"Channel: PJSIP/{device}-00000001", f"Uniqueid: {_uniqueid(device)}", f"Linkedid: {UNIQUEID}"]


def rings(device: str) -> list[str]:
    """The call's dial of a telephone."""
    return [
        *CALL,
        f"DestChannel: PJSIP/{device}-00000001",
        f"DestUniqueid: {_uniqueid(device)}",
        f"DestLinkedid: {UNIQUEID}",
    ]


def _uniqueid(device: str) -> str:
    return "9.1" if device == "103" else f"9.1{device}"


PHONE, RINGS = telephone("103"), rings("103")


class Asterisk:
    """A manager interface of which a test tells what it shows: its channels at each login, then its events."""

    def __init__(self) -> None:
        self.channels: list[list[str]] = []
        self.logins = 0
        self.database: dict[str, str] = {}  # AstDB: `DEVICE/991001/user`
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
        while True:
            asked = peer.read()
            if asked is None:
                return
            if asked["Action"] == "DBGet":
                self._look_up(peer, asked)
            else:
                peer.answer(asked, "Ping: Pong")

    def _look_up(self, peer: Peer, asked: Action) -> None:
        """As Asterisk 16 and 22 answer: with a list of one, or an error."""
        value = self.database.get(f"{asked['Family']}/{asked['Key']}")
        identifier = f"ActionID: {asked['ActionID']}"
        if value is None:
            peer.say("Response: Error", identifier, "Message: Database entry not found")
            return
        peer.answer(asked, "EventList: start", "Message: Result will follow")
        names = (f"Family: {asked['Family']}", f"Key: {asked['Key']}", f"Val: {value}")
        peer.say("Event: DBGetResponse", identifier, *names)
        peer.say("Event: DBGetComplete", identifier, "EventList: Complete", "ListItems: 1")

    def shows(self, event: str, *headers: str) -> None:
        self.peer.say(f"Event: {event}", *headers)

    def dies(self) -> None:
        with suppress(OSError):  # it may be dead already
            self.peer.connection.shutdown(socket.SHUT_RDWR)

    def rings(self, *devices: str) -> None:
        """These telephones ring, 103 where none is named."""
        for device in devices or ("103",):
            self.shows("DialBegin", *rings(device), f"DialString: {device}/sip:{device}@10.0.0.1:5060")

    def stops(self, *devices: str, status: str = "CANCEL") -> None:
        """These telephones ring no more."""
        for device in devices:
            self.shows("DialEnd", *rings(device), f"DialStatus: {status}")
            self.shows("Hangup", *telephone(device), "Cause: 26")

    def answers(self, device: str = "103", *others: str) -> None:
        """One telephone is answered, so that the others stop to ring."""
        self.shows("DialEnd", *rings(device), "DialStatus: ANSWER")
        self.stops(*others)
        self.shows("BridgeEnter", *telephone(device), *BRIDGE)
        self.shows("BridgeEnter", *CALL, *BRIDGE)

    def hangs_up(self, device: str = "103") -> None:
        self.shows("BridgeLeave", *CALL, "BridgeUniqueid: B1")
        self.shows("BridgeLeave", *telephone(device), "BridgeUniqueid: B1")
        self.shows("Hangup", *telephone(device), "Cause: 16")
        self.shows("Hangup", *CALL, "Cause: 16")


def watched(service: RunningService, asterisk: Asterisk) -> None:
    """Start the service and wait until it watches Asterisk's calls and knows the employees."""
    logins = asterisk.logins
    service.start()
    wait_until(lambda: asterisk.logins == logins + 1, 10, service.log)
    wait_until(lambda: service.log().count("Asterisk's calls are watched") == asterisk.logins, 10, service.log)
    wait_until((service.directory / "state" / "directory.json").exists, 10, service.log)


def dest(channel: list[str]) -> list[str]:
    """A channel's headers as those of whom a dial is for."""
    return [f"Dest{header}" for header in channel]


def phoned_out(service: RunningService, asterisk: Asterisk, extension: str = "101", agent: list[str] = AGENT) -> None:
    """Somebody phones a client, who answers."""
    asterisk.shows("Newchannel", *agent)
    run = service.register(arguments=("out", OUTSIDE), variables={"AMPUSER": extension})
    assert run.variables["BX24_STATUS"] == "REGISTERED"
    asterisk.shows("DialBegin", *agent, *dest(TRUNK), f"DialString: {OUTSIDE}@city")
    asterisk.shows("DialEnd", *agent, *dest(TRUNK), "DialStatus: ANSWER")
    for channel in (TRUNK, agent):
        asterisk.shows("BridgeEnter", *channel, *BRIDGE)
