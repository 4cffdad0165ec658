"""A disk that is full or holds rubbish: calls are told past the journal, and one bad file is one bad file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freepbx_bx24.sandbox.portal import Portal
from tests.support.in_time import in_time
from tests.support.running_service import RunningService, wait_until

REGISTER = "telephony.externalcall.register"
ANSWERED = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "35"}
ON_A_SMALL_DISK = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=300k tmpfs "$0" && exec "$@"')


@pytest.fixture
def small(service: RunningService) -> RunningService:
    """A service whose state folder is a disk of 300 kB of its own."""
    return service.start(*ON_A_SMALL_DISK, str(service.directory / "state"))


def ballast(service: RunningService) -> Path:
    assert service.process
    state = service.directory / "state"
    return Path(f"/proc/{service.process.pid}/root") / state.relative_to("/") / "ballast"


def fill(service: RunningService) -> None:
    with pytest.raises(OSError, match="No space left"), ballast(service).open("wb", buffering=0) as file:
        while file.write(b"x" * 512):
            pass


def test_with_a_full_disk_a_call_is_registered_and_finished_past_the_journal_and_the_log_says_it_once(
    small: RunningService,
) -> None:
    fill(small)
    run = small.register()
    assert run.variables["BX24_STATUS"] == "REGISTERED"
    in_time(run.seconds, 1)
    small.finish(variables=ANSWERED)
    (call,) = small.wait_for_calls()
    assert (call["CALL_DURATION"], call["CALL_ID"]) == (35, run.variables["BX24_CALL_ID"])
    small.finish("1790000121.77", variables=ANSWERED)  # its register was never heard of
    assert len(small.wait_for_calls(2)) == 2
    assert small.log().count("the journal can't be written: database or disk is full") == 1
    assert "Traceback" not in small.log()


def test_what_could_not_be_written_at_the_beginning_is_written_at_the_end_where_there_is_room_again(
    small: RunningService, portal: Portal
) -> None:
    fill(small)
    run = small.register()
    ballast(small).unlink()
    port = int(portal.url.rsplit(":", 1)[1])
    secret = portal.webhook_url.split("/")[-2]
    portal.stop()
    small.finish(variables=ANSWERED)
    wait_until(lambda: "the portal can't be told of calls" in small.log(), 10, small.log)
    portal.start()
    assert (portal.url.rsplit(":", 1)[1], portal.webhook_url.split("/")[-2]) == (str(port), secret)
    (call,) = small.wait_for_calls(seconds=30)
    assert (call["CALL_DURATION"], call["CALL_ID"]) == (35, run.variables["BX24_CALL_ID"])


def test_once_there_is_room_again_calls_go_through_the_journal_as_before(small: RunningService) -> None:
    fill(small)
    small.register("1790000100.1")
    small.finish("1790000100.1", variables=ANSWERED)
    small.wait_for_calls(1)
    ballast(small).unlink()
    assert small.register("1790000101.1").variables["BX24_STATUS"] == "REGISTERED"
    small.finish("1790000101.1", variables=ANSWERED)
    small.wait_for_calls(2)
    wait_until(lambda: "1790000101.1: finished\n" in small.log(), 5, small.log)


def test_rubbish_in_the_intake_folder_is_put_aside_and_what_comes_after_it_is_taken_in(service: RunningService) -> None:
    folder = service.directory / "state" / "intake"
    (folder / "1-register-a.frame").write_bytes(b"\x00\xffrubbish")
    (folder / "2-register-b.frame").mkdir()
    (folder / "3-register-c.result").write_text("[1, 2]")
    (folder / "4-register-d.result").write_text("not even JSON")
    (folder / "5-register-e.result").write_text(json.dumps({"registration": json.dumps({"people": 1})}))
    service.register()
    service.finish(variables=ANSWERED)
    service.wait_for_calls()
    service.start()
    wait_until(lambda: sum(path.suffix == ".refused" for path in folder.iterdir()) == 5, 10, service.log)
    wait_until(lambda: all(path.suffix == ".refused" for path in folder.iterdir()), 10, service.log)
    assert service.log().count("is put aside") == 5
    assert service.register("1790000130.1").variables["BX24_STATUS"] == "REGISTERED"


def test_a_call_that_can_not_be_told_at_all_holds_up_no_other(service: RunningService) -> None:
    registration = {
        "uniqueid": "1.1",
        "linkedid": "1.1",
        "external_id": "pbx-test-1.1",
        "direction": "in",
        "number": "+79161234567",
        "line": "",
        "people": [{"extension": "101", "user_id": 0}],
        "started": "2026-09-21T17:15:20",  # without its offset, which no portal could place
        "create": True,
        "source": "CALL",
        "show": True,
        "entity": None,
    }
    result = {"registration": json.dumps(registration), "registered": None, "outcome": None, "finished": False}
    (service.directory / "state" / "intake" / "1-register-1.1.result").write_text(json.dumps(result))
    service.start()
    wait_until(lambda: "1.1: register failed in an unforeseen way" in service.log(), 10, service.log)
    service.register("1790000130.1")
    service.finish("1790000130.1", variables=ANSWERED)
    service.wait_for_calls(1)
    assert [call["EXTERNAL_CALL_ID"] for call in service.calls()] == ["pbx-test-1790000130.1"]


def test_without_a_state_folder_that_can_be_written_the_script_alone_still_tells_the_call(
    service: RunningService,
) -> None:
    (service.directory / "state" / "intake").rmdir()
    run = service.register()
    assert run.variables["BX24_STATUS"] == "REGISTERED"
    service.finish(variables=ANSWERED)
    service.wait_for_calls()
    assert len([line for line in service.log().splitlines() if "register" in line and "written down" in line]) <= 1
