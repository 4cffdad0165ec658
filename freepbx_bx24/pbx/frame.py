"""Reads the guard's frame: what one AGI script knew of its channel, as a call's beginning or ending."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Mapping

from ..call import INBOUND, OUTBOUND, Beginning, Ending
from ..errors import ChannelError
from .channels import device_of

REGISTER = "register"
FINISH = "finish"
PING = b"kind=ping\0\0"  # whether somebody answers
LONGEST = 200_000  # bytes; the guard sends some 45 fields of at most 1000
LATEST_START = 253_370_000_000  # seconds: the year 9999, the last that a date can be made of

_UNIQUEID = re.compile(r"[0-9A-Za-z._-]{1,64}")
_TRUNK = re.compile(r"^[A-Za-z0-9]+/(?P<name>[^@/]+?)-[0-9a-f]+(;[12])?$")
_UNSET = "unknown"  # Asterisk writes this word where an AGI environment value is not known


@dataclass(frozen=True)
class Frame:
    """One AGI script's request. `deadline` is on the monotonic clock of this machine, `started` wall clock seconds."""

    kind: str
    direction: str
    argument: str
    uniqueid: str
    deadline: float
    started: float
    fields: Mapping[str, str]

    def fact(self, name: str) -> str:
        """A channel variable as the guard read it; empty where it was not set."""
        return self.fields.get("fact_" + name, "")

    @property
    def fresh(self) -> bool:
        """Whether the channel has no output of a register yet, neither its own nor one that it has inherited."""
        return self.fields.get("fact_outputs") == ""

    def environment(self, name: str) -> str:
        """A value of the AGI environment; empty where Asterisk does not know it."""
        value = self.fields.get("agi_" + name, "")
        return "" if value == _UNSET else value


def parse(data: bytes) -> Frame:
    """Read a frame.

    :raises ChannelError: where it is cut, too long, or names no channel.
    """
    if len(data) > LONGEST or not data.endswith(b"\0\0"):
        raise ChannelError(f"a frame of {len(data)} bytes is cut or too long")
    fields: dict[str, str] = {}
    for field in data[:-2].split(b"\0"):
        name, _, value = field.partition(b"=")
        # The first of a name wins: the guard writes its own fields before anything that comes from outside.
        fields.setdefault(name.decode("ascii", "replace"), value.decode("utf-8", "replace"))
    uniqueid = fields.get("agi_uniqueid", "")
    try:
        deadline, started = float(fields["deadline"]), float(fields["started"])
        if not (math.isfinite(deadline) and 0 <= started < LATEST_START):
            raise ValueError
        kind = {"register": REGISTER, "finish": FINISH}[fields["kind"]]
    except (KeyError, ValueError):
        raise ChannelError("a frame without kind, deadline or start") from None
    if not _UNIQUEID.fullmatch(uniqueid):
        raise ChannelError("a frame that names no channel: Asterisk ended the AGI before it had begun")
    direction = OUTBOUND if fields.get("direction") == OUTBOUND else INBOUND
    return Frame(kind, direction, fields.get("argument", ""), uniqueid, deadline, started, fields)


def trunk_of(frame: Frame) -> str:
    """The trunk's name: from the channel of an inbound call, from FreePBX's OUT_n of an outbound one."""
    if frame.direction == OUTBOUND:
        # PJSIP + @mts, or SIP/mts, or PJSIP/$OUTNUM$@mts
        dial_string = frame.fact("trunk") + frame.fact("trunk_suffix")
        return re.split(r"[@/]", dial_string)[-1] if re.search(r"[@/]", dial_string) else ""
    match = _TRUNK.match(frame.environment("channel"))
    return match["name"] if match else ""


def beginning(frame: Frame) -> Beginning:
    """What a register frame says of its call. The client is the caller inbound, the dialled number outbound."""
    caller = frame.environment("callerid")
    inbound = frame.direction == INBOUND
    return Beginning(
        uniqueid=frame.uniqueid,
        linkedid=frame.fact("linkedid") or frame.uniqueid,
        channel=frame.environment("channel"),
        direction=frame.direction,
        number=caller if inbound else frame.argument or frame.environment("extension"),
        did=(frame.argument or frame.environment("extension")) if inbound else caller,
        started=datetime.fromtimestamp(frame.started).astimezone(),
        caller_name=frame.environment("calleridname"),
        extension=frame.fact("extension") or ("" if inbound else device_of(frame.environment("channel"))),
        trunk=trunk_of(frame),
        skip=frame.fact("skip"),
        line=frame.fact("line"),
        client_number=frame.fact("client_number"),
        user=frame.fact("user"),
        source=frame.fact("source"),
        create=frame.fact("create"),
        entity_type=frame.fact("entity_type"),
        entity_id=frame.fact("entity_id"),
        blacklisted=frame.fact("blacklisted"),
        lines_off=frame.fact("lines_off"),
    )


def whole(text: str) -> int:
    """A whole number of seconds or a cause code as a channel variable holds it; 0 where it is not one."""
    return int(text) if re.fullmatch(r"[0-9]{1,7}", text) else 0


def recorded(frame: Frame) -> tuple[str, ...]:
    """The names that the call's recordings may have, the surest first: whole paths, paths below a folder, bare names.

    MixMonitor says what it writes on the recording channel alone; FreePBX's parts of the name are inherited by others.
    """
    ending_of = {"": "wav", "wav49": "WAV"}  # FreePBX's choice of a format, and what Asterisk names such a file
    file_format = frame.fact("recorded_format")
    built = frame.fact("recorded_name")
    if built:
        day = [frame.fact(f"recorded_{part}") for part in ("year", "month", "day")]
        folder = frame.fact("recorded_folder")
        below = "/".join(day) + "/" if all(day) else ""
        prefix = folder.rstrip("/") + "/" if folder else ""
        built = f"{prefix}{below}{built}.{ending_of.get(file_format, file_format)}"
    said = (frame.fact("recorded"), built, frame.fact("recorded_on_demand"), frame.fact("recorded_cdr"))
    return tuple(dict.fromkeys(filter(None, said)))


def ending(frame: Frame) -> Ending:
    """What a finish frame says of its call."""
    return Ending(
        uniqueid=frame.uniqueid,
        direction=frame.direction,
        ended=datetime.fromtimestamp(frame.started).astimezone(),
        dial_status=frame.fact("dial_status"),
        hangup_cause=whole(frame.fact("hangup_cause")),
        answered_seconds=whole(frame.fact("answered_seconds")),
        dialled_peer_number=frame.fact("dialled_peer_number"),
        dialled_peer_name=frame.fact("dialled_peer_name"),
        member_interface=frame.fact("member_interface"),
        note=frame.fact("note"),
        recording=frame.fact("recording"),
        user=frame.fact("user"),
        queue=frame.fact("queue") or frame.fact("queue_name"),
        menu=frame.fact("menu"),
        voicemail=frame.fact("voicemail"),
        left=bool(frame.environment("channel")) and frame.fact("hangup_source") == frame.environment("channel"),
        files=recorded(frame),
        voicemail_file=frame.fact("voicemail_file"),
    )
