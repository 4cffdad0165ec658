"""Plays all scenarios on one PBX, eight at a time, each on a track of its own; then those that need the whole PBX."""

from __future__ import annotations

import contextlib
import importlib
import queue
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from freepbx_bx24.sandbox.product import YAML
from tests.support.running_service import wait_until

from ..world import World
from .expectation import Scenario, read
from .seen import Heard, Seen, open_cards
from .stage import CLIENTS, Stage
from .track import DEFAULT_PERSON, TRACKS, Track, lines, mobiles_given

HERE = Path(__file__).parent
SCENARIOS: Mapping[str, Scenario] = {path.parent.name: read(path.parent) for path in sorted(HERE.glob("*/play.py"))}
TOLD_SECONDS = 20.0
# What the sandbox's dialplan does not have: rooms for conferences (where nobody is told first that he is the only one,
# for as long as he hears that he is not in the room), and a route that leaves a note for the CRM.
DIALPLAN = """
[from-internal-custom]
exten => _68[0-7],1,Answer()
 same => n,Set(CONFBRIDGE(user,quiet)=yes)
 same => n,ConfBridge(${EXTEN})
 same => n,Hangup()
[from-pstn-custom]
exten => _74957771[0-7]13,1,Set(BX24_NOTE=after hours)
 same => n,Goto(ext-local,vmu1${EXTEN:8:1}5,1)
"""


@dataclass
class Played:
    """What is known of every scenario of a suite, after all of them.

    :ivar failed: scenarios that could not be played to their end, and why.
    :ivar strangers: numbers of calls in the CRM that no scenario expects. :ivar external_ids: of all calls there.
    :ivar open_cards: of all calls at the end: the client's number and a user id.
    """

    world: World
    seen: dict[str, Seen] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    external_ids: list[str] = field(default_factory=list)
    open_cards: list[tuple[str, int]] = field(default_factory=list)

    def why(self, name: str) -> str:
        """What `bx24 why` tells of a scenario's calls."""
        numbers = self.seen[name].numbers.values() if name in self.seen else ()
        told = [self.world.pbx.root.run(["bx24", "why", number], check=False).stdout for number in numbers]
        return "\n".join(text for text in told if not text.startswith("Nothing is known"))


def settings(text: str) -> str:
    """The installed YAML with a line for each track."""
    text = text.partition("\nlines:")[0].replace("default_person: 101", f"default_person: {DEFAULT_PERSON}")
    return f"{text}\n{lines()}"


def numbers_of(world: World) -> Mapping[str, str]:
    """The clients of one scenario."""
    return {client: world.new_number() for client in CLIENTS}


def play(world: World, scenario: Scenario, track: int, numbers: Mapping[str, str]) -> tuple[Stage, list[Heard], str]:
    """One scenario from its first INVITE to its last BYE: the stage, what was heard, and why it broke off."""
    stage, broke = Stage(world, Track(track), numbers), ""
    for client in scenario.known:
        stage.has_open_lead(client)
    try:
        importlib.import_module(f"{__package__}.{scenario.name}.play").play(stage)
    except Exception:
        broke = traceback.format_exc()
    try:
        stage.over()
    except Exception:
        broke = broke or traceback.format_exc()
    return stage, stage.heard(), broke


def play_all(world: World, scenarios: Sequence[Scenario]) -> Played:
    """Everything, side by side where that is possible; and then what the CRM has of it."""
    played, calls_before = Played(world), len(world.portal.ledger()["calls"])
    requests_before = len(world.portal.ledger()["requests"])
    waiting = [(scenario, numbers_of(world)) for scenario in scenarios if not scenario.alone]
    done: queue.SimpleQueue[tuple[Scenario, Stage, list[Heard], str]] = queue.SimpleQueue()
    changed = threading.Lock()

    def next_for(track: int) -> tuple[Scenario, Mapping[str, str]] | None:
        """What fits this track alone goes first there."""
        with changed:
            fitting = [one for one in waiting if track in one[0].tracks]
            chosen = min(fitting, key=lambda one: len(one[0].tracks), default=None)
            if chosen is not None:
                waiting.remove(chosen)
            return chosen

    def on_track(track: int) -> None:
        while True:
            chosen = next_for(track)
            if chosen is None:
                return
            done.put((chosen[0], *play(world, chosen[0], track, chosen[1])))

    with ThreadPoolExecutor(TRACKS) as pool:
        for future in [pool.submit(on_track, track) for track in range(TRACKS)]:
            future.result()
    _told(world, calls_before, [scenario for scenario in scenarios if not scenario.alone])
    for scenario in scenarios:
        if scenario.alone:
            done.put((scenario, *play(world, scenario, 0, numbers_of(world))))
    ended = [done.get() for _ in scenarios]
    ledger = _told(world, calls_before, scenarios)
    ledger["requests"] = ledger["requests"][requests_before:]
    known = set()
    for scenario, stage, heard, broke in ended:
        played.seen[scenario.name] = seen_of(stage, heard, ledger)
        known |= {stage.numbers[call.get("client", "client")] for call in scenario.calls}
        if broke:
            played.failed[scenario.name] = broke
    played.strangers = [call["PHONE_NUMBER"] for call in ledger["calls"] if call["PHONE_NUMBER"] not in known]
    played.open_cards = open_cards(ledger["calls"], ledger["cards"])
    played.external_ids = [call["EXTERNAL_CALL_ID"] for call in ledger["calls"]]
    return played


def seen_of(stage: Stage, heard: Sequence[Heard], ledger: Mapping[str, Any]) -> Seen:
    """All that is known of a scenario that was played on a stage."""
    mine = {call["CALL_ID"] for call in ledger["calls"] if call["PHONE_NUMBER"] in stage.numbers.values()}
    return Seen(
        stage.track,
        stage.numbers,
        heard,
        stage.whose,
        stage.apart,
        stage.complaints,
        [call for call in ledger["calls"] if call["CALL_ID"] in mine],
        [card for card in ledger["cards"] if card["CALL_ID"] in mine],
        ledger["requests"],
        [call["PHONE_NUMBER"] for call in ledger["calls"]],
    )


def _told(world: World, before: int, scenarios: Sequence[Scenario]) -> dict[str, Any]:
    """The ledger since, once as many calls are finished as the scenarios expect, or after a while."""
    expected = sum(len(scenario.calls) for scenario in scenarios)

    def finished() -> int:
        return sum(call["state"] == "finished" for call in world.portal.ledger()["calls"][before:])

    with contextlib.suppress(AssertionError):  # what is missing is said scenario by scenario
        wait_until(lambda: finished() >= expected, TOLD_SECONDS)
    time.sleep(0.5)  # what is too much comes at once, too
    ledger = world.portal.ledger()
    ledger["calls"] = ledger["calls"][before:]
    return ledger


@contextlib.contextmanager
def prepared(world: World) -> Iterator[World]:
    """The world with a line for each track, employees' mobiles and conference rooms, and the service at real speed."""
    root = world.pbx.root
    with root.outside("/etc/asterisk/extensions_custom.conf").open("a") as file:
        file.write(DIALPLAN)
    world.pbx.asterisk.reload_dialplan()
    with mobiles_given(world.portal.world), world.yaml(settings(root.outside(YAML).read_text())):
        root.run(["sh", "-c", f"chown root:asterisk {YAML} && chmod 0640 {YAML}"])
        mark = world.log_mark()
        with world.served(scale="1"):
            world.wait_watched(mark)
            yield world
