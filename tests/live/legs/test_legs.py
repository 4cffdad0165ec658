"""The hard cases on real Asterisks, now: the same story as in the recorded traces, and as the telephones tell it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Iterator, Sequence

import pytest

from freepbx_bx24.sandbox.pbx.harness import SandboxPbx
from freepbx_bx24.sandbox.pbx.record import CallRecord
from freepbx_bx24.sandbox.pbx.roots import SUITES
from tests.support.ami_trace import TRACES, Replay, Trace, read, written

from .calls import CASES, prepare
from .listener import Listener
from .record import play

# Where a telephone talks with nobody but the client, its own clock must agree with ours. Elsewhere it talks with
# colleagues or a room as well, or waits: who picks up without sending sound is up for half a second before Asterisk
# connects him (ast_answer() waits for the first packet), and who clicked is up while the client rings.
NOT_ONLY_THE_CLIENT = (
    *("attended-transfer-in", "attended-transfer-out", "attended-transfer-by-keys", "blind-transfer-by-keys"),
    *("two-calls-joined", "internal", "conference", "click-to-call", "click-unanswered", "parked"),
    *("pickup", "pickup-from-queue"),
)
TOLERANCE = 0.35  # seconds; two cores, and other work beside


@pytest.fixture(scope="module", params=sorted(SUITES, reverse=True))
def listened(request: pytest.FixtureRequest) -> Iterator[tuple[SandboxPbx, Listener]]:
    with SandboxPbx(request.param) as pbx:
        prepare(pbx)
        ami = Listener(pbx.ami_port)
        yield pbx, ami
        ami.close()


def shape(lines: Sequence[str]) -> list[str]:
    """The story without its moments and ids, whose order is a matter of milliseconds."""
    return sorted(re.sub(r"\b[uB]\d+\b", "*", re.sub(r"\d+\.\d\d", "_", line)) for line in lines)


def talked(replay: Replay) -> Counter[str]:
    """Seconds with the client by device, over all calls of the case."""
    seconds: Counter[str] = Counter()
    for uniqueid in replay.watched:
        story = replay.legs.story(uniqueid)
        for leg in story.legs if story else ():
            if leg.kind == "device":
                seconds[leg.device] += sum(span.seconds for span in leg.talks)
    return +seconds


def heard(records: Sequence[CallRecord]) -> Counter[str]:
    """The same as the telephones saw it."""
    seconds: Counter[str] = Counter()
    for record in records:
        if record.endpoint.isdigit():
            seconds[record.endpoint] += record.talk_seconds
    return +seconds


@pytest.mark.parametrize("name", CASES)
def test_a_hard_case_is_told_as_it_was_recorded_and_as_the_telephones_saw_it(
    listened: tuple[SandboxPbx, Listener], name: str, tmp_path: Path
) -> None:
    pbx, ami = listened
    case, directions = CASES[name]
    records = play(pbx, ami, case)
    path = TRACES / f"real-{pbx.asterisk.settings.major}-{name}.trace"
    recorded: Trace = read(path)
    live = tmp_path / "live.trace"
    live.write_text(written(ami.events, directions), encoding="utf-8")
    replay = Replay().feed(read(live).steps)
    assert shape(replay.told()) == shape(recorded.expected)
    if name not in NOT_ONLY_THE_CLIENT:
        assert talked(replay).keys() == heard(records).keys()
        for device, seconds in heard(records).items():
            assert abs(talked(replay)[device] - seconds) < TOLERANCE, device
