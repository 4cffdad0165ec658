"""Traces of manager events as text: read, written, replayed through Legs, and the story told back in lines.

0.41 BridgeEnter Channel=PJSIP/101-00000001 Uniqueid=u2 Linkedid=u1 BridgeUniqueid=B1
0.00 watch uniqueid=u1 direction=in          what the service does; `broken` and `snapshot` (of the rows before it) too
= u1 leg 101 rang 0.01-0.41 ANSWER talked 0.41-1.41          what is to come out
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Iterable, Mapping, NamedTuple, Sequence

from freepbx_bx24.pbx.call_legs import CLIENT, At, CallLegs, Change, Leg, Span
from freepbx_bx24.pbx.channels import TRUNK
from freepbx_bx24.pbx.legs import Legs

TRACES = Path(__file__).parents[1] / "unit" / "pbx" / "traces"
WALL = 1_700_000_000.0
ROW, ROWS_END = "CoreShowChannel", "CoreShowChannelsComplete"
# What of real events is written down: Legs' own headers, and names, which are hostile.
HEADERS = (
    *("Channel", "Uniqueid", "Linkedid", "CallerIDName", "DestChannel", "DestUniqueid", "DestLinkedid", "DialString"),
    *("DialStatus", "BridgeUniqueid", "BridgeType", "BridgeTechnology", "BridgeCreator", "BridgeName", "BridgeId"),
    *("ChannelState", "Application", "Cause", "Newname", "TargetChannel", "TargetUniqueid", "TransfererChannel"),
    *("TransfererUniqueid", "TransfereeChannel", "TransfereeUniqueid", "Extension", "OrigTransfererChannel"),
    *("OrigTransfererUniqueid", "SecondTransfererUniqueid", "TransferTargetChannel", "TransferTargetUniqueid"),
    *("LocalOneUniqueid", "LocalTwoUniqueid", "ParkeeUniqueid", "RetrieverUniqueid", "Conference", "Result"),
    *("Response", "Reason"),
)
ONLY_IN = {"CallerIDName": ("Newchannel", "NewCallerid"), "ChannelState": (ROW,), "Application": (ROW,)}
NOISE = frozenset(("Newstate", "NewConnectedLine", "NewAccountCode", "DialState", "HangupRequest", "SoftHangupRequest"))


class Step(NamedTuple):
    """One line: seconds from the beginning, the event (or what the service does), its headers."""

    seconds: float
    event: str
    headers: Mapping[str, str]


class Trace(NamedTuple):
    """The steps, and the lines that are to come out."""

    steps: Sequence[Step]
    expected: Sequence[str]


def at(seconds: float) -> At:
    return At(1000.0 + seconds, WALL + seconds)


def read(path: Path) -> Trace:
    steps, expected = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("= "):
            expected.append(" ".join(line[2:].split()))
        elif line.strip() and not line.startswith("#"):
            seconds, event, *pairs = shlex.split(line)
            steps.append(Step(float(seconds), event, dict(pair.split("=", 1) for pair in pairs)))
    return Trace(steps, expected)


def written(events: Iterable[tuple[float, Mapping[str, str]]], directions: str) -> str:
    """Real events as lines: noise left out, ids shortened, and the service's watch() where the dialplan runs register.

    :param directions: of the calls that ran register, in order: inbound, at their first event; outbound, before the
        first dial of a trunk.
    """
    short: dict[str, str] = {}
    lines: list[str] = []
    inbound, outbound = directions.split().count("in"), directions.split().count("out")
    for seconds, event in events:
        kind = event.get("Event", "")
        if kind in NOISE:
            continue
        watched = ""
        trunk = event.get("DialString", "").rpartition("@")[2]
        if kind == "DialBegin" and trunk in ("city", "reserve") and outbound and "Channel" in event:
            outbound -= 1
            lines.append(f"{seconds:.2f} watch uniqueid={_short(event['Uniqueid'], short)} direction=out")
        if kind == "Newchannel" and inbound and event.get("Context") == "from-pstn" and event.get("Exten", "s") != "s":
            inbound -= 1
            watched = f"{seconds:.2f} watch uniqueid={_short(event['Uniqueid'], short)} direction=in"
        pairs = []
        for name in HEADERS:
            value = event.get(name, "")
            if value in ("", "<unknown>") or kind not in ONLY_IN.get(name, (kind,)):
                continue
            if name in ("Linkedid", "BridgeId") or name.endswith(("niqueid", "Linkedid")):
                value = _short(value, short)
            pairs.append(shlex.quote(f"{name}={value}"))
        lines += [" ".join([f"{seconds:.2f}", kind, *pairs]), *([watched] if watched else [])]
    return "\n".join(lines) + "\n"


def _short(value: str, short: dict[str, str]) -> str:
    kind = "B" if "-" in value else "u"
    if value not in short:
        short[value] = f"{kind}{sum(known.startswith(kind) for known in short.values()) + 1}"
    return short[value]


class Replay:
    """Legs, fed with steps; `changes` collects its news after each."""

    def __init__(self) -> None:
        self.legs = Legs()
        self.legs.snapshot([], at(0.0))
        self.changes: list[Change] = []
        self.watched: list[str] = []
        self._rows: list[Mapping[str, str]] = []

    def feed(self, steps: Iterable[Step]) -> Replay:
        for step in steps:
            self.step(step)
        return self

    def step(self, step: Step) -> None:
        if step.event == "watch":
            self.legs.watch(step.headers["uniqueid"], step.headers["direction"])
            self.watched.append(step.headers["uniqueid"])
        elif step.event == "forget":
            self.legs.forget(step.headers["uniqueid"])
        elif step.event == "broken":
            self.legs.broken()
        elif step.event == ROW:
            self._rows.append(step.headers)
        elif step.event == "snapshot":
            self.legs.snapshot(self._rows, at(step.seconds))
        elif step.event == ROWS_END:
            self._rows = []
        else:
            self.legs.take({"Event": step.event, **step.headers}, at(step.seconds))
        self.changes += self.legs.changes()

    def told(self) -> list[str]:
        """The stories of all watched calls, and the changes, in the form of a trace's `=` lines."""
        lines = []
        for uniqueid in self.watched:
            story = self.legs.story(uniqueid)
            assert story is not None
            lines += story_lines(story)
        return lines + [change_line(change) for change in self.changes]


def story_lines(story: CallLegs) -> list[str]:
    what = [story.uniqueid, story.direction, f"external {story.external or '-'}"]
    if story.answered:
        what.append(f"answered {moment(story.answered)}")
    what.append(f"gone {moment(story.gone)}" if story.gone else "up")
    lines = [" ".join([*what, *([] if story.unbroken else ["broken"])])]
    lines += [f"{story.uniqueid} leg {leg_line(leg)}" for leg in story.legs]
    lines += [
        f"{story.uniqueid} {one.kind} transfer {moment(one.at)} {one.giver or '-'} to {one.receiver or '-'}"
        for one in story.handovers
    ]
    return lines + [f"{story.uniqueid} {stay.kind} {stay.name} {span(stay.span)}" for stay in story.stays]


def leg_line(leg: Leg) -> str:
    words = [who(leg)]
    if leg.party == CLIENT:
        words.append("client")
    if leg.rang:
        words.append(f"rang {span(leg.rang)}")
    words += [leg.ended] if leg.ended else []
    words += [f"talked {span(one)}" for one in leg.talks]
    words += [f"took {leg.took}"] if leg.took else []
    words += [f"taken by {leg.taken_by}"] if leg.taken_by else []
    return " ".join(words)


def change_line(change: Change) -> str:
    return " ".join([change.uniqueid, change.kind, *([who(change.leg)] if change.leg else []), moment(change.at)])


def who(leg: Leg) -> str:
    return f"{leg.device}:{leg.number}" if leg.kind == TRUNK else leg.device


def span(one: Span) -> str:
    return f"{moment(one.since)}-{moment(one.until) if one.until else ''}"


def moment(when: At) -> str:
    return f"{when.monotonic - 1000.0:.2f}"
