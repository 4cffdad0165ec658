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
from tests.live.world import World
from tests.support.running_service import wait_until
from tests.support.sounds import samples_of, wav

from .recorded import SPOKEN, call, dialplan, recording, same_samples, stored

ATTACH = "telephony.externalcall.attachrecord"
AWAY_SECONDS = 30.0
SHORT = 1.0  # seconds of talk
# What a DID's calls are recorded as, by the admin's dialplan: a file, and whether the PBX has made it.
NAMED = {
    "a link out of the folder": f"{MONITOR}/link.wav",
    "dots out of the folder": f"{MONITOR}/../../../../etc/shadow.wav",
    "a header that is never closed": f"{MONITOR}/never.wav",
    "forty megabytes": f"{MONITOR}/long.wav",
}
DIDS = {what: f"7495777090{number}" for number, what in enumerate(NAMED)}


@pytest.fixture(scope="module")
def recorded(world: World) -> Iterator[World]:
    with recording(world, "{format: wav, min_seconds: 0}", scale="0.2") as one:
        yield one


@pytest.fixture(autouse=True)
def a_portal_that_is_well(recorded: World) -> Iterator[None]:
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


# -- by what its name leads to ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def named(recorded: World) -> Iterator[dict[str, tuple[str, int]]]:
    """A call of each name, all at once: its client's number; and where the log was before."""
    outside = recorded.pbx.root.outside
    folder = outside(MONITOR)
    outside("/etc/shadow.wav").write_bytes(wav(bytes(32000)))
    (folder / "link.wav").symlink_to("/etc/shadow.wav")
    (folder / "never.wav").write_bytes(wav(bytes(32000), length=0))
    (folder / "long.wav").write_bytes(wav(os.urandom(40_000_000)))
    lines = ["[ext-did-custom]"]
    for extension, (what, did) in enumerate(DIDS.items(), 141):
        recorded.pbx.phone(extension).behaviour = SPOKEN
        lines += [f"exten => {did},1,Set(MIXMONITOR_FILENAME={NAMED[what]})"]
        lines += [f" same => n,Dial(PJSIP/{extension},20)", " same => n,Hangup()"]
    mark = recorded.log_mark()
    with dialplan(recorded, "\n".join(lines) + "\n"):
        numbers = {what: recorded.new_number() for what in DIDS}
        calls = [recorded.pbx.trunk.call(DIDS[what], number, talk=SHORT) for what, number in numbers.items()]
        for one in calls:
            one.wait(40)
    yield {what: (number, mark) for what, number in numbers.items()}
    for name in ("link.wav", "never.wav", "long.wav"):
        (folder / name).unlink()
    outside("/etc/shadow.wav").unlink()


@pytest.mark.parametrize("what", ["a link out of the folder", "dots out of the folder"])
def test_a_name_that_leads_out_of_the_folders_is_refused_and_logged(
    recorded: World, named: dict[str, tuple[str, int]], what: str
) -> None:
    number, mark = named[what]
    recorded.finished(number)
    wait_until(lambda: f"a recording is refused: {NAMED[what]}" in recorded.log_since(mark), 20, recorded.explain)
    wait_until(lambda: owed(recorded, number) == ["parked"], 20, recorded.explain)
    assert recorded.finished(number)["records"] == []


def test_one_that_is_never_completed_is_given_up_with_its_reason_and_the_call_stays_finished(
    recorded: World, named: dict[str, tuple[str, int]]
) -> None:
    number, mark = named["a header that is never closed"]
    wait_until(lambda: owed(recorded, number) == ["parked"], 40, recorded.explain)
    assert "never.wav was given up: its length was never written" in recorded.log_since(mark)
    told = recorded.finished(number)
    assert (told["STATUS_CODE"], told["records"]) == ("200", [])


def test_forty_megabytes_go_to_an_upload_address(recorded: World, named: dict[str, tuple[str, int]]) -> None:
    number, _ = named["forty megabytes"]
    _, record = stored(recorded, number, set(), seconds=60)
    content = recorded.pbx.root.outside(NAMED["forty megabytes"]).read_bytes()
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
