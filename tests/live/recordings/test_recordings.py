"""What MixMonitor recorded of a real call is what the CRM gets, on both releases: whole, and once."""

from __future__ import annotations

import hashlib
from array import array
from typing import Iterator

import pytest

from freepbx_bx24.sandbox.pbx.record import busy
from tests.live.world import World
from tests.support.sounds import samples_of, wav

from .recorded import RECORDED_MEMBER, TALK, call, dialplan, has_the_tone, recording, same_samples, transferred


@pytest.fixture(scope="module")
def recorded(world: World) -> Iterator[World]:
    with recording(world, "{format: wav, min_seconds: 0}") as one:
        yield one


@pytest.mark.parametrize("did", ["74957770101", "74957771000", "74957771002"], ids=["direct", "ring group", "queue"])
def test_the_samples_in_the_crm_are_those_of_the_pbxs_file(recorded: World, did: str) -> None:
    for number in (102, 103):
        recorded.pbx.phone(number).behaviour = busy()
    _, (file,), record = call(recorded, did)
    samples = samples_of(file)
    has_the_tone(samples, TALK)
    same_samples(record, samples)


def test_after_a_blind_transfer_the_whole_talk_is_there_once(recorded: World) -> None:
    _, files, record = transferred(recorded)
    samples = array("h", [sample for file in files for sample in samples_of(file)])
    has_the_tone(samples, 2 * TALK)
    same_samples(record, samples)


def test_of_a_queues_recording_and_its_members_own_one_goes_once(recorded: World) -> None:
    """Of the member's own recording the caller's channel knows nothing."""
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
