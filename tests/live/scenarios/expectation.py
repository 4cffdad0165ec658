"""What `expected.yaml` says, and how it differs from what the telephones and the CRM say: pure, over plain data.

A scenario's calls stand in the order in which they began:

    client       whose call it is ("client", "other client")
    direction    in or out
    line         track or main
    code         STATUS_CODE
    person       whom finish names: "1" to "9", "line" for the line's person; or a list, of whom it must be one
    seconds      talk: `client` (how long the client was connected), `people` (how long the client was connected and one
                 of ours as well, mobiles included; not while the play says that the client waits), or a number
    missed       yes where the CRM must show it as missed
    reason       the whole FAILED_REASON; {1} is extension 1 of the track, {1 2} both in any order, {mobile 6} that
                 number in any form, {queue} the number of a group or queue, {rang} how long telephones rang in seconds
    lead         yes where the call made a lead, as an unknown client's inbound call does. Where none of a client's
                 inbound calls makes one, the CRM has an open lead of his, whose manager has left the company: many
                 unknown callers within a minute would be a flood, for which no leads are made
    cards        by person what was seen on the screen: show and hide, in order

`nothing: [client]` are those of whom the CRM must not have heard at all: clients, mobiles, "anonymous", or what was
dialled. `says` is the scenario in a sentence, `tracks` are those that it can be played on where not all of them will
do, `alone: yes` where it needs the whole PBX.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence
from urllib.parse import unquote

import yaml

from ..fire import tail
from .seen import Heard, Seen
from .track import GROUPS, MAIN_LINE, Track

SECOND = 1.0  # the CRM counts whole ones
AT_ONCE = 2.0  # within that a card is gone whose telephone is silent again; the product needs a tenth of it
SUBSCRIBER = 10  # digits of a number without +7 or 8
KEYS = frozenset({"client", "direction", "line", "code", "person", "seconds", "missed", "reason", "lead", "cards"})
DIRECTIONS = {"in": "incoming", "out": "outgoing"}


@dataclass(frozen=True)
class Scenario:
    """One folder, as its expected.yaml has it."""

    name: str
    says: str
    calls: Sequence[Mapping[str, Any]]
    nothing: Sequence[str]
    tracks: Sequence[int]
    alone: bool

    @property
    def known(self) -> Sequence[str]:
        """The clients whom the CRM knows before."""
        inbound = {call.get("client", "client") for call in self.calls if call["direction"] == "in"}
        return sorted(inbound - {call.get("client", "client") for call in self.calls if call.get("lead")})


def read(folder: Path) -> Scenario:
    """A folder's expected.yaml. :raises AssertionError: what is written there is not understood."""
    text: dict[str, Any] = yaml.safe_load((folder / "expected.yaml").read_text(encoding="utf-8"))
    unknown = set(text) - {"says", "calls", "nothing", "tracks", "alone"}
    calls = text.get("calls", [])
    for call in calls:
        unknown |= set(call) - KEYS
    assert not unknown, f"{folder.name}: {unknown}"
    assert calls or text.get("nothing"), f"{folder.name} expects nothing at all"
    return Scenario(
        folder.name,
        text["says"],
        calls,
        text.get("nothing", []),
        text.get("tracks", range(8)),
        text.get("alone", False),
    )


def differences(scenario: Scenario, seen: Seen) -> Iterator[str]:
    """A line for each thing that is not as it must be."""
    yield from seen.complaints
    for client in dict.fromkeys(call.get("client", "client") for call in scenario.calls):
        expected = [call for call in scenario.calls if call.get("client", "client") == client]
        told = [call for call in seen.calls if call["PHONE_NUMBER"] == seen.numbers[client]]
        if len(told) != len(expected):
            yield f"the CRM has {len(told)} calls of the {client}, not {len(expected)}"
        parties = _parties(seen, client)
        for index, (wanted, call, party) in enumerate(zip(expected, told, parties)):
            which = f"{client}'s call" + (f" {index + 1}" if len(expected) > 1 else "")
            for line in itertools.chain(_call(wanted, call, party, seen), _cards(wanted, call, seen)):
                yield f"{which}: {line}"
        if len(parties) < len(expected):
            yield f"the {client} saw {len(parties)} calls, not {len(expected)}"
    for who in scenario.nothing:
        yield from _nothing(who, seen)


def _parties(seen: Seen, client: str) -> Sequence[Heard]:
    """What a client saw, a call each: of a call that went through both trunks the one that was answered."""
    mine = [one for one in seen.heard if one.who == client]
    refused = [one for one in mine if not one.record.placed and one.record.final_status == 503]
    return [one for one in mine if one not in refused] or mine


def _call(wanted: Mapping[str, Any], call: Mapping[str, Any], party: Heard, seen: Seen) -> Iterator[str]:
    line = MAIN_LINE if wanted["line"] == "main" else seen.track.line
    people = wanted["person"] if isinstance(wanted["person"], list) else [wanted["person"]]
    users = [seen.track.user(str(person), line) for person in people]
    rows = [
        ("state", "finished", call["state"]),
        ("direction", DIRECTIONS[wanted["direction"]], call["direction"]),
        ("line", line, call["LINE_NUMBER"]),
        ("code", str(wanted["code"]), call["STATUS_CODE"]),
        ("missed", wanted.get("missed", False), call["missed"]),
        ("a lead was made", wanted.get("lead", False), call["CRM_CREATED_LEAD"] is not None),
    ]
    for what, expected, told in rows:
        if expected != told:
            yield f"{what}: {told!r} instead of {expected!r}"
    if call["finished_by"] not in users:
        yield f"person: {seen.track.person(call['finished_by'])} instead of {' or '.join(map(str, people))}"
    seconds = talk_seconds(wanted["seconds"], party, seen)
    if call["CALL_DURATION"] is None or abs(call["CALL_DURATION"] - seconds) > SECOND:
        yield f"seconds: {call['CALL_DURATION']} instead of {seconds:.2f} ({wanted['seconds']})"
    yield from _reason(wanted.get("reason", ""), call["FAILED_REASON"] or "", seen)
    yield from _start(call, seen, party)


def talk_seconds(measure: object, party: Heard, seen: Seen) -> float:
    """Seconds of talk as the telephones saw it, by the measure that expected.yaml names."""
    if isinstance(measure, (int, float)):
        return float(measure)
    assert measure in ("client", "people"), measure
    if measure == "client":
        return party.record.talk_seconds
    client = _span(party)
    ours = [_span(one) for one in seen.heard if one.who not in seen.numbers]
    with_us, apart = ([_within(span, client) for span in spans] for spans in (ours, seen.apart))
    return _together([*with_us, *apart]) - _together(apart)


def _within(span: Sequence[float], whole: tuple[float, float]) -> tuple[float, float]:
    return max(span[0], whole[0]), min(span[1], whole[1])


def _span(one: Heard) -> tuple[float, float]:
    """From when to when a call was up, on the monotonic clock; an empty span for a call that never was.

    Who has handed a call over is still up for a moment: who has parked one hears its number.
    """
    answered, ended = one.record.answered, one.record.at("refer") or one.record.ended
    return (answered.monotonic, ended.monotonic) if answered and ended else (0.0, 0.0)


def _together(spans: Sequence[tuple[float, float]]) -> float:
    """How long at least one of the spans lasts."""
    total, reached = 0.0, 0.0
    for since, until in sorted(spans):
        total += max(0.0, until - max(since, reached))
        reached = max(reached, until)
    return total


def _start(call: Mapping[str, Any], seen: Seen, party: Heard) -> Iterator[str]:
    """The beginning is when the first of the call's endpoints sent or got an INVITE."""
    began = party.record.started
    assert began
    told = datetime.fromisoformat(call["CALL_START_DATE"]).timestamp()
    first = min(one.record.started.wall for one in seen.heard if one.record.started)
    if not first - SECOND - 0.5 <= told <= began.wall + SECOND:
        yield f"start: {told:.1f}, while the endpoints saw it between {first:.1f} and {began.wall:.1f}"


# -- reasons -----------------------------------------------------------------------------------------------------------


def _reason(wanted: str, told: str, seen: Seen) -> Iterator[str]:
    pattern = re.sub(r"\\\{(.+?)\\\}", lambda found: _place(found[1].replace("\\", ""), seen.track), re.escape(wanted))
    found = re.fullmatch(pattern, told)
    if not found:
        yield f"reason: {told!r} instead of {wanted!r}"
    elif "rang" in found.groupdict() and abs(int(found["rang"]) - rang_seconds(seen)) > SECOND:
        yield f"reason: {told!r}, while the telephones rang for {rang_seconds(seen):.2f} s"


def _place(name: str, track: Track) -> str:
    """The pattern of a place in an expected reason."""
    if name == "rang":
        return "(?P<rang>[0-9]+)"
    if name in GROUPS:
        return track.dialled(name)
    if name.startswith("mobile "):
        return "[+0-9]*" + tail(track.mobile(name))
    orders = itertools.permutations(track.extension(person) for person in name.split())
    return "(?:" + "|".join(", ".join(order) for order in orders) + ")"


def rang_seconds(seen: Seen) -> float:
    """From when the first telephone of ours rang until the last one stopped."""
    rings = [one.record for one in seen.heard if one.who not in seen.numbers and one.record.at("180")]
    first = min((record.moments["180"].monotonic for record in rings if not record.placed), default=0.0)
    ends = [record.answered or record.ended for record in rings if not record.placed]
    return max((end.monotonic for end in ends if end), default=0.0) - first


# -- cards -------------------------------------------------------------------------------------------------------------


def _cards(wanted: Mapping[str, Any], call: Mapping[str, Any], seen: Seen) -> Iterator[str]:
    track, expected = seen.track, {str(person): cards for person, cards in wanted.get("cards", {}).items()}
    screens = _screens(call, seen)
    for person in sorted({*expected, *map(track.person, screens)}):
        user = next((one for one in screens if track.person(one) == person), 0)
        told = [card["action"] for card in screens.get(user, ())]
        if told != expected.get(person, []):
            yield f"person {person} saw {told} instead of {expected.get(person, [])}"
        elif told and told[-1] == "hide":
            yield from _late(person, screens[user][-1], seen)
        if told and told[-1] == "show":
            yield f"person {person} has an open card at the end"


def _screens(call: Mapping[str, Any], seen: Seen) -> Mapping[int, list[Mapping[str, Any]]]:
    """Cards of a call by user, without what the call's end hides by way of precaution: where no card is open, nobody
    sees anything of it."""
    screens: dict[int, list[Mapping[str, Any]]] = {}
    for card in seen.cards:
        if card["CALL_ID"] == call["CALL_ID"]:
            screen = screens.setdefault(card["USER_ID"], [])
            is_open = bool(screen) and screen[-1]["action"] == "show"
            if is_open or card["action"] == "show" or not _at_the_end(card, call):
                screen.append(card)
    return {user: screen for user, screen in screens.items() if screen}


def _at_the_end(card: Mapping[str, Any], call: Mapping[str, Any]) -> bool:
    """Whether a card is hidden by finish, or together with it."""
    return bool(card["cause"] == "finish" or (call["finished_at"] and card["time"] > call["finished_at"] - SECOND))


def _late(person: str, card: Mapping[str, Any], seen: Seen) -> Iterator[str]:
    """A card that is still there when its person's telephones, and mobiles, are silent."""
    legs = [one for one in seen.heard if seen.whose.get(one.who) == person]
    silent = max((one.record.ended.wall for one in legs if one.record.ended), default=0.0)
    if silent and card["time"] > silent + AT_ONCE:
        yield f"person {person} had a card {card['time'] - silent:.1f} s longer than a call"


# -- nothing -----------------------------------------------------------------------------------------------------------


def _nothing(who: str, seen: Seen) -> Iterator[str]:
    """The CRM has no call with a number, and no request named it, not even inside of a batch."""
    number = seen.numbers.get(who) or seen.track.dialled(who)
    wanted = tail(number) or number
    before = r"\+?[0-9]?" if len(wanted) == SUBSCRIBER else ""
    named = re.compile(rf'PHONE_NUMBER(": "|=){before}{re.escape(wanted)}\b')
    if any(named.search(unquote(json.dumps(one["parameters"]))) for one in seen.requests):
        yield f"the portal was asked about {who} ({number})"
    if any((tail(told) or told) == wanted for told in seen.all_numbers):
        yield f"the CRM has a call of {who} ({number})"
