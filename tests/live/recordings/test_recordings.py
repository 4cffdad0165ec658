"""What MixMonitor recorded of real calls is what the CRM gets, on both releases and in both formats: whole, and once.

All calls of a format are made side by side, each on telephones of its own. Those that go as mp3 meet all that can go
wrong at once: the portal is down when they end, and the service is killed in mid-upload.
"""

from __future__ import annotations

import signal
import subprocess
import time
from array import array
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from freepbx_bx24.sandbox.pbx.configs import MONITOR
from freepbx_bx24.sandbox.pbx.placed import PlacedCall
from freepbx_bx24.sandbox.pbx.record import answer, busy
from freepbx_bx24.sandbox.product import YAML
from tests.live.world import World, hang_up_all
from tests.support.running_service import wait_until
from tests.support.sounds import correlation, samples_of, wav

TALK = 3.0  # seconds
SCALE = "0.1"
OUTAGE = 3.0  # half a minute of the service's time
# Each on a track of its own: 1n1 to 1n5 are its telephones.
DIDS = {
    "direct": "74957770101",
    "ring group": "74957771100",
    "queue": "74957771202",
    "queue and member": "74957771302",
    "member alone": "74957771402",
    "blind transfer": "74957770151",
    "voicemail": "74957770165",
}
REFUSED = {"link": "74957770171", "dots": "74957770172", "never whole": "74957770173"}
BUSY = ("132", "133", "142", "143", "165")  # so that it is the recorded member who answers
RECORDED = [name for name in DIDS if name != "voicemail"]
# An extension of its own goes before the pattern, which has the priorities that follow.
MEMBER = (
    f"exten => {{0}},1,MixMonitor({MONITOR}/${{{{STRFTIME(,,%Y/%m/%d)}}}}/external-{{0}}-${{{{CALLERID(num)}}}}-"
    "${{STRFTIME(,,%Y%m%d-%H%M%S)}}-${{UNIQUEID}}.wav,b)\n"
)
NAMED = """
exten => {did},1,Set(__RECORD_CALLS=no)
 same => n,Set(MIXMONITOR_FILENAME={file})
 same => n,Goto(ext-did,{did},1)
"""
FILES = {
    "link": f"{MONITOR}/link.wav",
    "dots": f"{MONITOR}/../../../../etc/outside.wav",
    "never whole": f"{MONITOR}/stuck.wav",
}
DIALPLAN = "\n".join(
    [
        "[from-queue-exten-only]",
        MEMBER.format(131) + MEMBER.format(141),
        "[from-pstn-custom]",
        # As in FreePBX a call that is not recorded has the name of a recording all the same.
        NAMED.format(did=DIDS["member alone"], file=""),
        *(NAMED.format(did=did, file=FILES[name]) for name, did in REFUSED.items()),
    ]
)


@dataclass(frozen=True)
class Sent:
    """A call that has ended. `crm`: what the CRM has of it. `files`: its recordings on the PBX, in order.
    `name`, `content`: of its recording in the CRM; empty for none."""

    crm: dict[str, Any]
    files: list[Path]
    name: str
    content: bytes


@contextmanager
def recording_world(world: World, options: str) -> Iterator[World]:
    """Every outside call is recorded, some as no PBX should have it; the service is not started yet."""
    hang_up_all(world)
    root, asterisk = world.pbx.root, world.pbx.asterisk
    extensions = root.outside("/etc/asterisk/extensions_custom.conf")
    kept = extensions.read_text()
    outside = root.outside("/etc/outside.wav")
    outside.write_bytes(wav(bytes(16000)))
    monitor = root.outside(MONITOR)
    link, stuck = monitor / "link.wav", monitor / "stuck.wav"
    link.unlink(missing_ok=True)
    link.symlink_to("/etc/outside.wav")
    stuck.write_bytes(wav(bytes(16000), length=0))
    text = root.outside(YAML).read_text(encoding="utf-8")
    text += f"\nrecordings: {{min_seconds: 0, {options}}}\n"
    text += "" if "\nline_defaults:" in text else "line_defaults: {recordings: answered}\n"
    try:
        extensions.write_text(f"{kept}\n{DIALPLAN}")
        asterisk.reload_dialplan()
        asterisk.rx("dialplan set global RECORD_CALLS yes")
        for phone in world.pbx.phones:
            phone.behaviour = busy() if phone.name in BUSY else answer(0.3, sound=True)
            phone.calls.clear()
        with world.yaml(text):
            yield world
    finally:
        hang_up_all(world)
        extensions.write_text(kept)
        asterisk.reload_dialplan()
        asterisk.rx("dialplan set global RECORD_CALLS no")
        for path in (outside, link, stuck):
            path.unlink(missing_ok=True)


def start(world: World) -> None:
    mark = world.log_mark()
    world.serve(SCALE)
    world.wait_watched(mark)


def make_calls(world: World, dids: dict[str, str], after_registers: Callable[[], object]) -> dict[str, str]:
    """Make all calls side by side and wait until they are over; returns their clients' numbers."""
    numbers = {name: world.new_number() for name in dids}
    placed: dict[str, PlacedCall] = {}
    for name, did in dids.items():
        talk = {"blind transfer": None, "voicemail": 8.0}.get(name, TALK)
        placed[name] = world.pbx.trunk.call(did, numbers[name], talk=talk, sound=True)
    wait_until(lambda: all(world.crm_calls(number) for number in numbers.values()), 20, world.explain)
    after_registers()
    first = world.pbx.phone(151).received()
    first.wait_answered()
    time.sleep(TALK)
    first.transfer("152")
    world.pbx.phone(152).received().wait_answered()
    time.sleep(TALK)
    placed["blind transfer"].hang_up()
    for call in placed.values():
        call.wait(40)
    return numbers


def sent(world: World, numbers: dict[str, str]) -> dict[str, Sent]:
    """Each call with its recordings, once the CRM has all that it is to have."""
    want = [number for name, number in numbers.items() if name not in REFUSED]
    wait_until(lambda: all(call["records"] for number in want for call in world.crm_calls(number)), 60, world.explain)
    found = {}
    for name, number in numbers.items():
        crm = world.finished(number)
        files = sorted(world.pbx.root.outside(MONITOR).rglob(f"*{number[1:]}*.wav"))
        found[name] = Sent(crm, files, *(world.portal.recording(crm["CALL_ID"]) or ("", b"")))
    return found


@pytest.fixture(scope="module")
def as_wav(world: World) -> dict[str, Sent]:
    """All calls, with nothing in the way."""
    with recording_world(world, "format: wav"):
        start(world)
        try:
            numbers = make_calls(world, {**DIDS, **REFUSED}, lambda: None)
            found = sent(world, numbers)
            wait_until(lambda: "stuck.wav was given up" in world.log(), 30, world.explain)
            return found
        finally:
            world.product.stop()


@pytest.fixture(scope="module")
def as_mp3(world: World) -> dict[str, Sent]:
    """All calls; the portal is down from their talks on until half a minute after their ends, and then the service is
    killed while it sends the first recording to an upload address."""
    with recording_world(world, "format: mp3, base64_up_to: 0"):
        start(world)
        try:
            numbers = make_calls(world, DIDS, world.portal.stop)
            time.sleep(OUTAGE)
            with world.portal.gate("upload") as gate:
                world.portal.start()
                gate.wait_for_arrival(timeout=60)
                world.product.stop(signal.SIGKILL)
                gate.abort()
            start(world)
            return sent(world, numbers)
        finally:
            world.portal.stop()  # wherever it ended: up is up once
            world.portal.start()
            world.product.stop()


def inbox(world: World) -> Path:
    return world.pbx.root.outside("/var/spool/asterisk/voicemail/default/165/INBOX")


def said(files: list[Path]) -> array[int]:
    return array("h", [sample for file in files for sample in samples_of(file)])


def heard(content: bytes, path: Path) -> array[int]:
    """The samples of an mp3 as a player has them."""
    path.write_bytes(content)
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-ac", "1", "-ar", "8000", "-f", "s16le", "-"]
    return array("h", subprocess.run(command, check=True, capture_output=True).stdout)


def expected(name: str, sent: Sent) -> list[array[int]]:
    """What the CRM may have of a call, as the PBX has it: a queue's recording and its member's own one hold the same
    talk, and the longest of them goes."""
    if name != "queue and member":
        return [said(sent.files)]
    each = [samples_of(file) for file in sent.files]
    return [one for one in each if len(one) == max(map(len, each))]


@pytest.mark.parametrize("name", RECORDED)
def test_the_samples_in_the_crm_are_those_of_the_pbxs_files(as_wav: dict[str, Sent], name: str) -> None:
    one = as_wav[name]
    choice = expected(name, one)
    seconds = TALK * (2 if name == "blind transfer" else 1)
    assert seconds - 1.0 <= len(choice[0]) / 8000 <= seconds + 3.0
    assert max(choice[0]) > 2000
    assert one.content in [wav(samples.tobytes()) for samples in choice]
    assert one.name.endswith(".wav")
    assert len(one.crm["records"]) == 1


@pytest.mark.parametrize("name", RECORDED)
def test_as_mp3_it_is_as_long_and_sounds_the_same_whatever_failed_on_the_way(
    as_mp3: dict[str, Sent], tmp_path: Path, name: str
) -> None:
    one = as_mp3[name]
    choice, played = expected(name, one), heard(one.content, tmp_path / "sent.mp3")
    assert abs(len(played) - len(choice[0])) <= 0.2 * 8000
    for part in (slice(0, 12000), slice(len(played) // 2, len(played) // 2 + 12000)):
        assert max(correlation(played[part], samples[part]) for samples in choice) > 0.9
    (record,) = one.crm["records"]
    assert (record["mode"], record["FILENAME"][-4:]) == ("upload", ".mp3")


def test_of_a_queues_recording_and_its_members_own_one_goes_once(as_wav: dict[str, Sent]) -> None:
    """A member's own setting starts MixMonitor on the channel that rings the member: the caller's knows nothing."""
    assert [file.name.partition("-")[0] for file in as_wav["queue and member"].files] == ["external", "in"]


def test_where_the_member_alone_is_recorded_that_goes(as_wav: dict[str, Sent]) -> None:
    (file,) = as_wav["member alone"].files
    assert file.name.startswith("external-141-")


def test_a_message_in_the_mailbox_is_the_missed_calls_recording(world: World, as_wav: dict[str, Sent]) -> None:
    one = as_wav["voicemail"]
    messages = [wav(samples_of(path).tobytes()) for path in inbox(world).glob("msg*.wav")]
    assert one.content in messages
    assert one.crm["CALL_DURATION"] == 0


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("link", f"a recording is refused: {FILES['link']}: it leads out of the folders of recordings"),
        ("dots", f"a recording is refused: {FILES['dots']}: it leads upwards by '..'"),
        ("never whole", "stuck.wav was given up: its length was never written"),
    ],
)
def test_what_may_not_or_cannot_be_sent_is_said_and_its_call_is_told(
    world: World, as_wav: dict[str, Sent], name: str, why: str
) -> None:
    one = as_wav[name]
    assert (one.crm["state"], one.crm["STATUS_CODE"], one.content) == ("finished", "200", b"")
    assert why in world.log()
