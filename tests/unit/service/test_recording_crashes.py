"""The service is killed at each step of a recording's way: the next one sends it, and the call has it in the end."""

from __future__ import annotations

import hashlib
import sys

import pytest

from freepbx_bx24.sandbox.portal import Portal
from tests.support import crash_points
from tests.support.recorded_calls import configure, leave_call, recording, wav
from tests.support.running_service import RunningService, wait_until

pytestmark = pytest.mark.endurance

CALL = "1790000120.77"
ATTACH = "telephony.externalcall.attachrecord"
COUNTED = "from tests.support import crash_points; crash_points.main()"


@pytest.mark.parametrize(
    ("size", "die_at", "stored"),
    [
        (0, f"before {ATTACH} #1", 1),
        (0, f"after {ATTACH} #1", 1),  # an address was given
        (0, "before upload #1", 1),
        (0, "after upload #1", 2),  # stored, and the journal does not know: the second one replaces the first
        (5, f"before {ATTACH} #1", 1),
        (5, f"after {ATTACH} #1", 2),
    ],
)
def test_a_kill_at_each_step_loses_no_recording_and_refuses_none(
    service: RunningService, size: int, die_at: str, stored: int
) -> None:
    file = recording(configure(service, f"base64_up_to: {size}"), content=wav(50_000))
    points = service.directory / "points"
    service.launch(sys.executable, "-c", COUNTED, **{crash_points.LOG: str(points), crash_points.AT: die_at})
    wait_until(service.answers, 20, service.log)
    leave_call(service, CALL, file)
    wait_until(lambda: service.dead, 30, service.log)
    assert die_at in points.read_text().splitlines()
    service.start()
    service.wait_until_all_is_told()
    (call,) = service.calls()
    assert call["state"] == "finished"
    records = call["records"]
    assert len(records) == stored
    assert len({record["FILENAME"] for record in records}) == stored
    assert records[-1]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("die_at", "stored"),
    [
        ("before batch #3", 1),  # the registers went in the first, the finishes in the second
        ("after batch #3", 2),  # stored, and the journal knows of none: the second ones replace the first
    ],
)
def test_a_kill_around_a_request_of_several_loses_no_recording_and_refuses_none(
    service: RunningService, portal: Portal, die_at: str, stored: int
) -> None:
    service.write_yaml(portal.webhook_url, plan="ordinary")
    service.yaml.write_text(service.yaml.read_text().partition("lines:")[0])  # or a batch would make its lines
    folder = configure(service)
    files = {f"17900001{number}.77": recording(folder, f"{number}.wav", wav(50_000 + number)) for number in (20, 21)}
    for uniqueid, file in files.items():
        leave_call(service, uniqueid, file)
    points = service.directory / "points"
    service.launch(sys.executable, "-c", COUNTED, **{crash_points.LOG: str(points), crash_points.AT: die_at})
    wait_until(lambda: service.dead, 30, service.log)
    assert die_at in points.read_text().splitlines()
    service.start()
    service.wait_until_all_is_told()
    assert [call["state"] for call in service.calls()] == ["finished", "finished"]
    for call in service.calls():
        kept = call["records"]
        assert len(kept) == len({record["FILENAME"] for record in kept}) == stored
        file = files[call["EXTERNAL_CALL_ID"].rpartition("-")[2]]
        assert kept[-1]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
