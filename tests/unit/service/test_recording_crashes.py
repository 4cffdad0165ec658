"""The service is killed at each step of a recording's way: the next one sends it, and the call has it in the end."""

from __future__ import annotations

import hashlib
import sys

import pytest

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
