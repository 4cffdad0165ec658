"""With an encoder on the PBX the CRM gets an mp3 that is as long and sounds the same, on both releases."""

from __future__ import annotations

import subprocess
from array import array
from pathlib import Path
from typing import Iterator

import pytest

from freepbx_bx24.sandbox.pbx.record import busy
from tests.live.world import World
from tests.support.sounds import RATE, correlation, samples_of

from .recorded import RECORDED_MEMBER, TALK, call, dialplan, has_the_tone, recording, transferred

COMPARED = RATE  # samples


@pytest.fixture(scope="module")
def recorded(world: World) -> Iterator[World]:
    with recording(world, "{min_seconds: 0}") as one:
        yield one


def decoded(world: World, number: str, folder: Path) -> array[int]:
    """The samples of what the CRM has of a call, by a program that is not the one that encoded them."""
    name, content = world.portal.recording(world.finished(number)["CALL_ID"]) or ("", b"")
    assert name.endswith(".mp3")
    path = folder / "stored.mp3"
    path.write_bytes(content)
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-ac", "1", "-ar", str(RATE), "-f", "s16le", "-"]
    return array("h", subprocess.run(command, check=True, capture_output=True).stdout)


def sounds_like(heard: array[int], said: array[int]) -> None:
    """The same length to 0.2 s, and the same sound at the beginning and at the end."""
    assert abs(len(heard) - len(said)) <= 0.2 * RATE
    assert correlation(heard[:COMPARED], said[:COMPARED]) > 0.9
    end = min(len(heard), len(said))
    assert correlation(heard[end - COMPARED : end], said[end - COMPARED : end]) > 0.9


@pytest.mark.parametrize("did", ["74957770101", "74957771000"], ids=["direct", "ring group"])
def test_of_a_call(recorded: World, tmp_path: Path, did: str) -> None:
    for number in (102, 103):
        recorded.pbx.phone(number).behaviour = busy()
    number, (file,), record = call(recorded, did)
    said = samples_of(file)
    has_the_tone(said, TALK)
    assert record["size"] < file.stat().st_size / 3
    sounds_like(decoded(recorded, number, tmp_path), said)


def test_of_a_call_through_a_queue_whose_member_is_recorded_as_well(recorded: World, tmp_path: Path) -> None:
    for number in (102, 103):
        recorded.pbx.phone(number).behaviour = busy()
    with dialplan(recorded, RECORDED_MEMBER):
        number, files, _ = call(recorded, "74957771002")
    sounds_like(decoded(recorded, number, tmp_path), max(map(samples_of, files), key=len))


def test_of_a_call_that_is_handed_over(recorded: World, tmp_path: Path) -> None:
    number, files, _ = transferred(recorded)
    said = array("h", [sample for file in files for sample in samples_of(file)])
    sounds_like(decoded(recorded, number, tmp_path), said)
