"""Real calls whose recordings meet trouble: what is sent in the end, what is not and why; the call is always told."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from typing import Any, Iterator

import pytest

from freepbx_bx24.sandbox.pbx.configs import MONITOR
from freepbx_bx24.sandbox.portal import Reply
from tests.live import fire
from tests.live.world import World, wait_quiet
from tests.support.running_service import wait_until
from tests.support.sounds import samples_of, wav

from .recorded import SPOKEN, call, dialplan, recording, same_samples, stored

ATTACH = "telephony.externalcall.attachrecord"
AWAY_SECONDS = 30.0
SHORT = 1.0  # seconds of talk
LONG = f"{MONITOR}/long.wav"  # what a call is recorded as, by the admin's dialplan
RINGS_101 = " same => n,Dial(PJSIP/101,20)\n same => n,Hangup()\n"


@pytest.fixture(scope="module")
def recorded(world: World) -> Iterator[World]:
    with recording(world, "{format: wav, min_seconds: 0}", scale="0.2") as one:
        yield one


@pytest.fixture(autouse=True)
def all_is_well(recorded: World) -> Iterator[None]:
    """Before: 101 takes calls and speaks. Afterwards the portal has its usual limits again."""
    wait_quiet(recorded)
    recorded.pbx.phone(101).behaviour = SPOKEN
    kept = recorded.portal.switches.largest_body
    yield
    recorded.portal.switches.largest_body = kept
    recorded.portal.switches.disk_full = False
    recorded.portal.scripted_replies.clear()


def owed(world: World, number: str) -> list[str]:
    """The states of what the CRM is still owed of a call, by its recording."""
    (one,) = world.crm_calls(number)
    uniqueid = one["EXTERNAL_CALL_ID"].rpartition("-")[2]
    return [state for owner, kind, state in fire.owed(world) if (owner, kind) == (uniqueid, "attach")]


def attempts(world: World, mark: int) -> list[dict[str, Any]]:
    """The parameters of every attempt to attach a recording since."""
    requests = world.portal.ledger()["requests"][mark:]
    return [one["parameters"] for one in requests if one["method"].lower() == ATTACH]


def asked(world: World) -> int:
    return len(world.portal.ledger()["requests"])


# -- by what it is ------------------------------------------------------------------------------------------------


def test_forty_megabytes_go_to_an_upload_address(recorded: World) -> None:
    content, number = wav(os.urandom(40_000_000)), recorded.new_number()
    file = recorded.pbx.root.outside(LONG)
    file.write_bytes(content)
    with dialplan(recorded, f"[ext-did-custom]\nexten => 74957770900,1,Set(MIXMONITOR_FILENAME={LONG})\n{RINGS_101}"):
        recorded.pbx.trunk.call("74957770900", number, talk=SHORT).wait(40)
    try:
        _, record = stored(recorded, number, set(), seconds=60)
    finally:
        file.unlink()
    assert (record["mode"], record["size"]) == ("upload", len(content))
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert "token=" not in recorded.log()


# -- by what the portal says --------------------------------------------------------------------------------------


def test_a_request_that_is_too_large_for_the_portal_is_followed_by_an_upload(recorded: World) -> None:
    recorded.portal.switches.largest_body = 20_000
    _, (file,), record = call(recorded, "74957770101", talk=SHORT)
    assert record["mode"] == "upload"
    same_samples(record, samples_of(file))


def test_a_name_that_the_portal_refuses_is_followed_by_another(recorded: World) -> None:
    refused = {"error": "", "error_description": "Файл с таким именем уже есть"}
    recorded.portal.scripted_replies.add(ATTACH, Reply(400, refused))
    mark = asked(recorded)
    _, (file,), record = call(recorded, "74957770101", talk=SHORT)
    names = [one["FILENAME"] for one in attempts(recorded, mark)]
    assert len(set(names)) == 2 and record["FILENAME"] == names[-1]
    same_samples(record, samples_of(file))


def test_what_the_portal_has_no_room_for_waits_for_a_person_and_goes_when_he_says_so(recorded: World) -> None:
    recorded.portal.switches.disk_full = True
    before = set(recorded.pbx.root.outside(MONITOR).rglob("*.wav"))
    number = recorded.new_number()
    recorded.pbx.trunk.call("74957770101", number, talk=SHORT, sound=True).wait(40)
    recorded.finished(number)
    wait_until(lambda: owed(recorded, number) == ["parked"], 40, recorded.explain)
    assert "The disk space quota is exceeded" in bx24(recorded, "recordings")
    recorded.portal.switches.disk_full = False
    bx24(recorded, "recordings", "--retry")
    (file,), record = stored(recorded, number, before)
    same_samples(record, samples_of(file))


def bx24(world: World, *words: str) -> str:
    """What the command says in the PBX."""
    return str(world.pbx.root.run(["/usr/local/bin/bx24", *words]).stdout)


# -- by what dies -------------------------------------------------------------------------------------------------


def test_a_service_killed_in_mid_upload_sends_it_once_more_and_the_call_has_one(recorded: World) -> None:
    recorded.portal.switches.largest_body = 20_000  # so that it is uploaded
    before = set(recorded.pbx.root.outside(MONITOR).rglob("*.wav"))
    number = recorded.new_number()
    with recorded.portal.gate("upload") as gate:
        recorded.pbx.trunk.call("74957770101", number, talk=SHORT, sound=True).wait(40)
        gate.wait_for_arrival(timeout=30)
        recorded.product.stop(signal.SIGKILL)
        gate.abort()
    recorded.serve("0.2")
    (file,), record = stored(recorded, number, before)
    same_samples(record, samples_of(file))
    wait_until(lambda: owed(recorded, number) == [], 10, recorded.explain)


def test_a_portal_that_is_away_at_the_hangup_has_it_when_it_is_back_half_a_minute_later(recorded: World) -> None:
    before = set(recorded.pbx.root.outside(MONITOR).rglob("*.wav"))
    number = recorded.new_number()
    placed = recorded.pbx.trunk.call("74957770101", number, sound=True)
    placed.wait_answered()
    time.sleep(SHORT)
    recorded.portal.down_for(AWAY_SECONDS)
    placed.hang_up()
    wait_until(lambda: recorded.portal.is_up, AWAY_SECONDS + 10)
    (file,), record = stored(recorded, number, before, seconds=60)
    same_samples(record, samples_of(file))
