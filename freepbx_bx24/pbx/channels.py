"""Names of Asterisk's channels and dial strings, taken apart: which device, which half of which wire, which trunk."""

from __future__ import annotations

import re
from typing import NamedTuple

DEVICE = "device"  # a telephone of ours: its endpoint's name is the device
TRUNK = "trunk"  # the way outside: a client, or somebody's mobile

# Asterisk's own helpers that stand in bridges beside people (ConfBridge's announcer and recorder, the parking prompt).
_MACHINES = frozenset(("Announcer", "Bridge", "CBAnn", "CBRec", "Message", "Recorder", "Surrogate"))
_HALVES = {";1": ";2", ";2": ";1"}
# What somebody dials through a trunk; a trunk's endpoint may be dialled with a word as well, a device never is.
_NUMBER = re.compile(r"\+?[0-9*#]+")
_LONG_NUMBER = re.compile(r"\+?[0-9]{5,}")
LONGEST_NAME = 80  # AST_CHANNEL_NAME; whatever is longer is none of Asterisk's


class Dialled(NamedTuple):
    """What a dial string says of the channel made for it: DEVICE or TRUNK, and the number sent to a trunk."""

    kind: str
    number: str = ""


def technology(name: str) -> str:
    """`PJSIP` of `PJSIP/1001-0000002f`; empty for what is no channel's name."""
    head, slash, _ = name.partition("/")
    return head if slash else ""


def is_wire(name: str) -> bool:
    """Whether it is one half of a Local channel: a wire between two bridges or dialplans, and nobody's telephone."""
    return technology(name) == "Local"


def is_machine(name: str) -> bool:
    """Whether Asterisk itself is behind it, so that nobody talks there."""
    return technology(name) in _MACHINES


def other_half(name: str) -> str:
    """The name of the other end of a wire, `...;2` of `...;1`; empty where the channel is no wire."""
    return name[:-2] + _HALVES[name[-2:]] if is_wire(name) and name[-2:] in _HALVES else ""


def device_of(name: str) -> str:
    """`1001` of `PJSIP/1001-0000002f`, `i1/79161234567` of `DAHDI/i1/79161234567-3`; empty for wires and no names.

    What follows the last dash is Asterisk's count of channels: hexadecimal, decimal for IAX2 and DAHDI. `<ZOMBIE>` and
    the like are marks that Asterisk puts on names in passing.
    """
    if is_wire(name):
        return ""
    plain = name.partition("<")[0]
    return plain.partition("/")[2].rpartition("-")[0][:LONGEST_NAME]


def dialled(dial_string: str, name: str) -> Dialled:
    """What a dial string (DialBegin's DialString, with or without the technology in front) says of its channel.

    `1001` and `1001/sip:1001@10.0.0.5:5060` are devices: the second is what PJSIP_DIAL_CONTACTS() makes, and a web
    phone's contact has any word for a user. `89161234567@trunk` (PJSIP) and `trunk/89161234567` (chan_sip, IAX2, DAHDI)
    are numbers sent to a trunk; so is `trunk/sip:89161234567@host`, unless the endpoint has a device's name.
    """
    text, device = dial_string, device_of(name)
    prefix = technology(name) + "/"
    if len(prefix) > 1 and text.startswith(prefix):
        text = text[len(prefix) :]
    number, at, endpoint = text.rpartition("@")
    if at and endpoint == device and "/" not in number:
        return Dialled(TRUNK, number[:LONGEST_NAME])
    _, slash, rest = text.partition("/")
    if slash and _NUMBER.fullmatch(rest):
        return Dialled(TRUNK, rest[:LONGEST_NAME])
    user = rest.partition(":")[2].partition("@")[0].partition(";")[0]
    if user != device and _LONG_NUMBER.fullmatch(user) and not device.isdigit():
        return Dialled(TRUNK, user[:LONGEST_NAME])
    return Dialled(DEVICE)
