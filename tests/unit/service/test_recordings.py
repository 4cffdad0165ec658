"""Recordings through the real service with real files: complete, once, and never in anybody's way."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from freepbx_bx24.sandbox.portal import Portal, Reply
from tests.support.recorded_calls import configure, leave_call, recording, wav
from tests.support.running_service import RunningService, asked, wait_until

ATTACH = "telephony.externalcall.attachrecord"
CALL = "1790000120.77"
CLIENT = "+79160000120"  # of that call


def stored(service: RunningService) -> list[dict[str, Any]]:
    return [record for call in service.calls() for record in call["records"]]


def wait_for_records(service: RunningService, number: int = 1, seconds: float = 30.0) -> list[dict[str, Any]]:
    wait_until(lambda: len(stored(service)) >= number, seconds, service.log)
    service.wait_until_all_is_told(seconds)
    return stored(service)


def wait_until_parked(service: RunningService, seconds: float = 30.0) -> None:
    wait_until(lambda: any(state == "parked" for _, _, state in service.owed()), seconds, service.log)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def message(name: Path, at: float, caller: str = CLIENT) -> Path:
    """A message in a mailbox as app_voicemail leaves it, with what it writes beside."""
    file = recording(name.parent, f"{name.name}.wav", wav(8000 + int(at) % 1000))
    said = f'[message]\norigmailbox=101\ncallerid="A client" <{caller}>\norigtime={int(at)}\nduration=1\n'
    name.with_suffix(".txt").write_text(f";\n; Message Information file\n;\n{said}")
    return file


def expect_finished(service: RunningService) -> None:
    """Whatever becomes of the recording, the CRM knows the call."""
    (call,) = service.calls()
    assert call["state"] == "finished"


def test_a_small_recording_goes_within_the_request_and_the_file_stays_as_it_was(service: RunningService) -> None:
    file = recording(configure(service))
    before = (digest(file), file.stat().st_mtime_ns)
    service.start()
    leave_call(service, CALL, file)
    (record,) = wait_for_records(service)
    assert (record["mode"], record["sha256"]) == ("content", before[0])
    assert record["FILENAME"].endswith(".wav")
    assert "_in_102_7916000" in record["FILENAME"]
    assert (digest(file), file.stat().st_mtime_ns) == before
    wait_until(lambda: not list((service.directory / "state" / "recordings").glob("*")), 5, service.log)


def test_a_recording_above_the_size_goes_to_an_upload_address_that_nobody_ever_sees(service: RunningService) -> None:
    file = recording(configure(service, "base64_up_to: 1"), content=wav(600_000))
    service.start()
    leave_call(service, CALL, file)
    (record,) = wait_for_records(service)
    assert (record["mode"], record["sha256"]) == ("upload", digest(file))
    assert "token=" not in service.log()
    assert "telephony%7C" not in service.log()


def test_what_is_too_large_for_a_request_goes_by_an_upload_address_at_once_and_so_does_the_next(
    service: RunningService, portal: Portal
) -> None:
    portal.switches.largest_body = 500_000
    folder = configure(service)
    files = [recording(folder, f"{number}.wav", wav(400_000)) for number in range(2)]
    service.start()
    leave_call(service, CALL, files[0])
    wait_for_records(service)
    leave_call(service, "1790000121.77", files[1])
    assert {record["mode"] for record in wait_for_records(service, 2)} == {"upload"}
    contents = [one for one in portal.ledger()["requests"] if "FILE_CONTENT" in one["parameters"]]
    assert len(contents) <= 1


def test_a_name_that_the_portal_refuses_is_followed_by_another_name(service: RunningService, portal: Portal) -> None:
    portal.scripted_replies.add(ATTACH, Reply(400, {"error": "", "error_description": "Файл с таким именем уже есть"}))
    file = recording(configure(service))
    service.start()
    leave_call(service, CALL, file)
    (record,) = wait_for_records(service)
    names = [one["parameters"]["FILENAME"] for one in portal.ledger()["requests"] if one["method"].lower() == ATTACH]
    assert len(set(names)) == 2
    assert record["FILENAME"] == names[-1]


def test_a_full_disk_of_the_portal_is_left_to_a_person_with_the_portals_words(
    service: RunningService, portal: Portal
) -> None:
    portal.switches.disk_full = True
    file = recording(configure(service))
    service.start()
    leave_call(service, CALL, file)
    wait_until_parked(service)
    assert service.owed() == [(CALL, "attach", "parked")]
    assert "The disk space quota is exceeded" in service.log()
    assert asked(portal).count(ATTACH) == 2
    expect_finished(service)


def test_a_portal_that_is_down_at_the_hangup_gets_the_recording_when_it_is_back(
    service: RunningService, portal: Portal
) -> None:
    file = recording(configure(service))
    service.start()
    portal.stop()
    leave_call(service, CALL, file)
    time.sleep(2)
    portal.start()
    (record,) = wait_for_records(service, seconds=40)
    assert record["sha256"] == digest(file)


def test_a_service_killed_in_mid_upload_sends_it_again_under_another_name_and_it_is_there_once(
    service: RunningService, portal: Portal
) -> None:
    file = recording(configure(service, "base64_up_to: 0"), content=wav(200_000))
    reached, go_on = threading.Event(), threading.Event()

    def after_it_was_stored(reply: Reply) -> Reply:
        reached.set()
        go_on.wait(20)
        raise ConnectionResetError

    portal.scripted_replies.add("upload", after_it_was_stored)
    service.start()
    leave_call(service, CALL, file)
    assert reached.wait(30), service.log()
    service.stop(signal.SIGKILL)
    go_on.set()
    service.start()
    records = wait_for_records(service, 2)
    assert len({record["FILENAME"] for record in records}) == 2
    assert len(service.calls()) == 1
    assert records[-1]["sha256"] == digest(file)


def test_a_recording_that_never_becomes_whole_is_given_up_with_a_reason(service: RunningService) -> None:
    file = recording(configure(service), content=wav(8000, length=0))
    service.start()
    leave_call(service, CALL, file)
    wait_until_parked(service)
    assert "in-a.wav was given up: its length was never written" in service.log()
    assert stored(service) == []
    expect_finished(service)


def test_a_recording_that_is_closed_after_the_hangup_is_waited_for(service: RunningService) -> None:
    file = recording(configure(service), content=wav(8000, length=0))
    service.start()
    leave_call(service, CALL, file)
    service.wait_for_calls()
    time.sleep(1)
    assert stored(service) == []
    file.write_bytes(wav(8000))
    assert wait_for_records(service)[0]["sha256"] == digest(file)


@pytest.mark.parametrize("way", ["link", "dots", "elsewhere"])
def test_a_name_that_leads_out_of_the_folders_is_refused_and_logged(
    service: RunningService, tmp_path: Path, way: str
) -> None:
    folder = configure(service)
    outside = recording(tmp_path, "secret.wav")
    (folder / "link.wav").symlink_to(outside)
    relative = os.path.relpath(outside, folder)
    name = {"link": f"{folder}/link.wav", "dots": f"{folder}/{relative}", "elsewhere": str(outside)}[way]
    service.start()
    leave_call(service, CALL, name)
    wait_until_parked(service)
    assert f"a recording is refused: {name}" in service.log()
    assert stored(service) == []
    expect_finished(service)


@pytest.mark.parametrize(
    ("files", "ending", "why"),
    [
        (True, {"recording": "no"}, "BX24_RECORDING says no"),
        (False, {}, "there is no such file: the call was not recorded"),
        (True, {"recordings": "never"}, "recordings of this line never go to the CRM"),
        (True, {"answered": False}, ""),
    ],
)
def test_what_is_not_wanted_or_not_there_is_not_sent(
    service: RunningService, portal: Portal, files: bool, ending: dict[str, Any], why: str
) -> None:
    folder = configure(service)
    file = recording(folder) if files else folder / "nothing.wav"
    service.start()
    leave_call(service, CALL, file, **ending)
    service.wait_for_calls()
    service.wait_until_all_is_told()
    assert ATTACH not in asked(portal)


@pytest.mark.parametrize("now", ["INBOX/msg0000", "INBOX/msg0003", "Old/msg0000"])
def test_a_message_left_is_the_missed_calls_recording_whatever_its_number_is_by_now(
    service: RunningService, now: str
) -> None:
    mailbox = configure(service) / "voicemail/default/101"
    message(mailbox / "INBOX/msg0000", time.time() - 3600)
    mine = message(mailbox / now, time.time())
    service.start()
    leave_call(service, CALL, answered=False, voicemail="SUCCESS", voicemail_file=str(mailbox / "INBOX/msg0000"))
    assert wait_for_records(service)[0]["sha256"] == digest(mine)


def test_another_callers_message_in_its_place_is_not_sent(service: RunningService) -> None:
    mailbox = configure(service) / "voicemail/default/101"
    message(mailbox / "INBOX/msg0000", time.time(), caller="+79167654321")
    service.start()
    name = str(mailbox / "INBOX/msg0000")
    leave_call(service, CALL, answered=False, voicemail="SUCCESS", voicemail_file=name)
    service.wait_for_calls()
    service.wait_until_all_is_told()
    assert stored(service) == []
    assert "this call's message is in its mailbox no more" in service.log()


def test_forty_megabytes_go_by_an_upload_address_beside_live_registers_that_do_not_wait_longer(
    service: RunningService, portal: Portal
) -> None:
    file = recording(configure(service), content=wav(20_000_000))
    service.start()
    alone = max(service.register(f"179000030{number}.77").seconds for number in range(3))
    gate = threading.Event()

    def slowly(reply: Reply) -> Reply:
        gate.wait(20)
        return reply

    portal.scripted_replies.add("upload", slowly)
    leave_call(service, CALL, file)
    wait_until(lambda: "attach" in {kind for _, kind, _ in service.owed()}, 20, service.log)
    beside = max(service.register(f"179000040{number}.77").seconds for number in range(6))
    gate.set()
    (record,) = wait_for_records(service, seconds=60)
    assert (record["mode"], record["size"]) == ("upload", file.stat().st_size)
    assert beside < alone + 0.5


def test_two_hundred_megabytes_do_not_raise_the_services_memory_above_its_bound(service: RunningService) -> None:
    folder = configure(service)
    file = folder / "long.wav"
    with file.open("wb") as opened:
        opened.write(wav(0, length=200_000_000))
        opened.truncate(44 + 200_000_000)
    service.start()
    leave_call(service, CALL, file)
    (record,) = wait_for_records(service, seconds=90)
    assert record["size"] == file.stat().st_size
    assert service.process
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    assert peak < 150 * 1024, f"{peak} KiB"
