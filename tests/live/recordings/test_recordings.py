"""What MixMonitor recorded of a real call is what the CRM gets, on both releases: whole, and once."""

from __future__ import annotations

import hashlib
import subprocess
import time
from array import array
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import pytest

from freepbx_bx24.pbx import encoding, sound_file
from freepbx_bx24.sandbox.pbx.configs import MONITOR
from freepbx_bx24.sandbox.pbx.record import answer, busy
from freepbx_bx24.sandbox.pbx.sound import TONE_HERTZ
from freepbx_bx24.sandbox.product import YAML
from tests.live.world import World, wait_quiet
from tests.support.running_service import wait_until
from tests.support.sounds import correlation, samples_of, wav

TALK = 3.0  # seconds
WISHES = """
recordings: {format: wav, min_seconds: 0}
"""
SPOKEN = answer(0.5, sound=True)


@pytest.fixture(scope="module")
def recorded(world: World) -> Iterator[World]:
    """The world with every outside call recorded, and a service in real time that sends what is recorded."""
    wait_quiet(world)
    text = world.pbx.root.outside(YAML).read_text(encoding="utf-8") + WISHES
    text += "" if "\nline_defaults:" in text else "line_defaults: {recordings: answered}\n"
    world.pbx.asterisk.rx("dialplan set global RECORD_CALLS yes")
    mark = world.log_mark()
    try:
        with world.yaml(text), world.served("1"):
            world.wait_watched(mark)
            yield world
    finally:
        world.pbx.asterisk.rx("dialplan set global RECORD_CALLS no")
        wait_quiet(world)


@pytest.fixture(autouse=True)
def at_rest(recorded: World) -> Iterator[None]:
    """Everybody takes calls and speaks; what was seen of earlier calls is forgotten."""
    wait_quiet(recorded)
    for number in (101, 102, 103, 105):
        recorded.pbx.phone(number).behaviour = SPOKEN
        recorded.pbx.phone(number).calls.clear()
    yield
    recorded.pbx.asterisk.rx("channel request hangup all")
    wait_quiet(recorded)


def files_of(world: World, before: set[Path]) -> list[Path]:
    """What is in the monitor folder since."""
    return sorted(set(world.pbx.root.outside(MONITOR).rglob("*.wav")) - before)


def call(world: World, did: str, talk: float | None = TALK) -> tuple[str, list[Path], dict[str, Any]]:
    """A client's call with sound on both sides, from its beginning until the CRM has its recording: its number, the
    files on the PBX, the one recording in the CRM."""
    before = set(world.pbx.root.outside(MONITOR).rglob("*.wav"))
    number = world.new_number()
    world.pbx.trunk.call(did, number, talk=talk, sound=True).wait(40)
    return number, *stored(world, number, before)


def stored(world: World, number: str, before: set[Path]) -> tuple[list[Path], dict[str, Any]]:
    """The files on the PBX and the one recording in the CRM, once it is there."""
    world.finished(number)
    wait_until(lambda: bool(world.crm_calls(number)[0]["records"]), 30, world.explain)
    (record,) = world.finished(number)["records"]
    return files_of(world, before), record


def same_samples(record: dict[str, Any], samples: array[int]) -> None:
    """What the CRM has is a WAV file of just these samples."""
    content = wav(samples.tobytes())
    assert (record["size"], record["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert record["FILENAME"].endswith(".wav")


def has_the_tone(samples: array[int], seconds: float) -> None:
    """It is so long, and what the telephones sent is heard in it."""
    assert seconds - 1.0 <= len(samples) / 8000 <= seconds + 2.0
    middle = samples[len(samples) // 2 - 1200 : len(samples) // 2 + 1200]
    assert max(middle) > 2000
    crossings = sum(1 for one, other in zip(middle, middle[1:]) if one < 0 <= other)
    assert abs(crossings / (len(middle) / 8000) - TONE_HERTZ) < 40


@pytest.mark.parametrize("did", ["74957770101", "74957771000", "74957771002"], ids=["direct", "ring group", "queue"])
def test_the_samples_in_the_crm_are_those_of_the_pbxs_file(recorded: World, did: str) -> None:
    for number in (102, 103):
        recorded.pbx.phone(number).behaviour = busy()
    _, (file,), record = call(recorded, did)
    samples = samples_of(file)
    has_the_tone(samples, TALK)
    same_samples(record, samples)


def test_after_a_blind_transfer_the_whole_talk_is_there_once(recorded: World) -> None:
    before = set(recorded.pbx.root.outside(MONITOR).rglob("*.wav"))
    number = recorded.new_number()
    placed = recorded.pbx.trunk.call("74957770101", number, sound=True)
    first = recorded.pbx.phone(101).received()
    first.wait_answered()
    time.sleep(TALK)
    first.transfer("102")
    recorded.pbx.phone(102).received().wait_answered()
    time.sleep(TALK)
    placed.hang_up()
    files, record = stored(recorded, number, before)
    samples = array("h", [sample for file in files for sample in samples_of(file)])
    has_the_tone(samples, 2 * TALK)
    same_samples(record, samples)


@contextmanager
def dialplan(world: World, text: str) -> Iterator[None]:
    """More dialplan of the admin's for a while."""
    path = world.pbx.root.outside("/etc/asterisk/extensions_custom.conf")
    kept = path.read_text()
    try:
        for content in (f"{kept}\n{text}", kept):
            path.write_text(content)
            world.pbx.asterisk.reload_dialplan()
            world.pbx.asterisk.rx("dialplan set global RECORD_CALLS yes")  # a reload takes it back
            if content != kept:
                yield
    finally:
        path.write_text(kept)


MEMBERS = f"{MONITOR}/${{STRFTIME(,,%Y/%m/%d)}}/external-101-${{CALLERID(num)}}-${{STRFTIME(,,%Y%m%d-%H%M%S)}}"
# An extension of its own goes before the pattern, which has the priorities that follow.
RECORDED_MEMBER = f"[from-queue-exten-only]\nexten => 101,1,MixMonitor({MEMBERS}-${{UNIQUEID}}.wav,b)\n"


def test_of_a_queues_recording_and_its_members_own_one_goes_once(recorded: World) -> None:
    """A member's own setting starts MixMonitor on the channel that rings the member: the caller's knows nothing."""
    for number in (102, 103):
        recorded.pbx.phone(number).behaviour = busy()
    with dialplan(recorded, RECORDED_MEMBER):
        _, files, record = call(recorded, "74957771002")
    assert [file.name.partition("-")[0] for file in files] == ["external", "in"]
    has_the_tone(samples_of(files[0]), TALK)
    longest = max(len(samples_of(file)) for file in files)
    contents = [samples_of(file) for file in files if len(samples_of(file)) == longest]
    assert record["sha256"] in [hashlib.sha256(wav(one.tobytes())).hexdigest() for one in contents]


def test_where_the_member_alone_is_recorded_that_goes(recorded: World) -> None:
    for number in (102, 103):
        recorded.pbx.phone(number).behaviour = busy()
    with dialplan(recorded, RECORDED_MEMBER):
        # As in FreePBX a call that is not recorded has the name of a recording all the same.
        recorded.pbx.asterisk.rx("dialplan set global RECORD_CALLS no")
        _, (file,), record = call(recorded, "74957771002")
    assert file.name.startswith("external-101-")
    has_the_tone(samples_of(file), TALK)
    same_samples(record, samples_of(file))


def test_a_message_in_the_mailbox_is_the_missed_calls_recording(recorded: World) -> None:
    recorded.pbx.phone(105).behaviour = busy()
    inbox = recorded.pbx.root.outside("/var/spool/asterisk/voicemail/default/105/INBOX")
    had = set(inbox.glob("*.wav")) if inbox.exists() else set()
    number, _, record = call(recorded, "74957770105", talk=9.0)
    (message,) = set(inbox.glob("*.wav")) - had
    samples = samples_of(message)
    assert max(samples) > 2000
    same_samples(record, samples)
    assert recorded.finished(number)["CALL_DURATION"] == 0


@pytest.mark.parametrize("kbps", [16, 32, 64])
def test_as_mp3_it_is_as_long_and_sounds_the_same(recorded: World, tmp_path: Path, kbps: int) -> None:
    files = sorted(recorded.pbx.root.outside(MONITOR).rglob("in-*.wav"))
    if not files:
        _, files, _ = call(recorded, "74957770101")
    made = encoding.encode([files[-1]], "mp3", kbps, tmp_path, 60)
    assert sound_file.read(made) and made.suffix == ".mp3"
    command = ["ffmpeg", "-v", "error", "-i", str(made), "-ac", "1", "-ar", "8000", "-f", "s16le", "-"]
    heard = array("h", subprocess.run(command, check=True, capture_output=True).stdout)
    said = samples_of(files[-1])
    assert abs(len(heard) - len(said)) <= 0.2 * 8000
    assert correlation(heard[:24000], said[:24000]) > 0.9
