"""Recordings that are due together share a request where the portal limits requests; each keeps a fate of its own."""

from __future__ import annotations

import hashlib
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Sequence

import pytest

from freepbx_bx24.bitrix24.budget import PLANS, Budget, Urgency
from freepbx_bx24.bitrix24.client import webhook_client
from freepbx_bx24.bitrix24.portal import BUDGET_FILE
from freepbx_bx24.bitrix24.replies import Result
from freepbx_bx24.errors import PortalWaits
from freepbx_bx24.sandbox.portal import Portal, Reply
from freepbx_bx24.service.recording_send import Attempt, send_together
from tests.support.recorded_calls import configure, leave_call, recording, wav
from tests.support.running_service import RunningService, wait_until

ATTACH = "telephony.externalcall.attachrecord"
CALLS = [f"17900001{number}.77" for number in range(20, 25)]
REFUSED = {"error": "", "error_description": "Файл с таким именем уже есть"}


@pytest.fixture
def folder(service: RunningService, portal: Portal) -> Path:
    """Of recordings; the service is one of the ordinary plan."""
    return limited(service, portal)


def limited(service: RunningService, portal: Portal, options: str = "") -> Path:
    service.write_yaml(portal.webhook_url, plan="ordinary")
    return configure(service, options)


def leave(service: RunningService, folder: Path, samples: Sequence[int]) -> dict[str, str]:
    """A call with a recording of each length; returns the digests by the call."""
    digests = {}
    for uniqueid, length in zip(CALLS, samples):
        file = recording(folder, f"{uniqueid}.wav", wav(length))
        digests[f"pbx-test-{uniqueid}"] = hashlib.sha256(file.read_bytes()).hexdigest()
        leave_call(service, uniqueid, file)
    return digests


def records(service: RunningService) -> dict[str, list[dict[str, Any]]]:
    return {call["EXTERNAL_CALL_ID"]: call["records"] for call in service.calls()}


def last_ones(service: RunningService) -> dict[str, str]:
    """What the CRM plays of each call that has a recording."""
    return {call: kept[-1]["sha256"] for call, kept in records(service).items() if kept}


def sent(portal: Portal) -> list[tuple[int, int]]:
    """(status, number of recordings) of each request that carried any; those to an upload address are not among them.

    One that was cut has no status.
    """
    found = []
    for one in portal.ledger()["requests"]:
        texts = list(one["parameters"]["cmd"].values()) if one["method"] == "batch" else [one["method"]]
        number = sum(text.lower().startswith(ATTACH) for text in texts)
        found += [(one["status"] or 0, number)] * (number > 0)
    return found


def names(portal: Portal, uniqueid: str) -> list[str]:
    """The names under which a call's recording was tried within a request of its own."""
    tried = (one["parameters"] for one in portal.ledger()["requests"] if one["method"].lower() == ATTACH)
    return [one["FILENAME"] for one in tried if uniqueid in one["FILENAME"]]


def test_what_is_due_together_goes_as_one_request(service: RunningService, portal: Portal, folder: Path) -> None:
    digests = leave(service, folder, [8000, 8001, 8002, 8003, 8004])
    service.start()
    service.wait_until_all_is_told()
    assert last_ones(service) == digests
    assert sent(portal) == [(200, 5)]
    kept = [one for of_call in records(service).values() for one in of_call]
    assert [one["mode"] for one in kept] == ["content"] * 5
    assert len({one["FILENAME"] for one in kept}) == 5
    assert "recording 0.0 MB sent as one of 5 within a request" in service.log()
    wait_until(lambda: not list((service.directory / "state" / "recordings").glob("*")), 5, service.log)


def test_where_nothing_is_limited_each_goes_by_itself(service: RunningService, portal: Portal) -> None:
    digests = leave(service, configure(service), [8000, 8001, 8002])
    service.start()
    service.wait_until_all_is_told()
    assert last_ones(service) == digests
    assert sent(portal) == [(200, 1)] * 3


def test_one_that_is_refused_goes_alone_under_another_name_and_the_others_are_there(
    service: RunningService, portal: Portal, folder: Path
) -> None:
    portal.scripted_replies.add(ATTACH, Reply(400, REFUSED))
    digests = leave(service, folder, [8000, 8001, 8002])
    service.start()
    service.wait_until_all_is_told()
    assert last_ones(service) == digests
    assert sent(portal) == [(200, 3), (200, 1)]
    (refused,) = [call for call in CALLS if names(portal, call)]
    assert service.log().count("recording not sent") == 1
    assert f"{refused}: recording not sent" in service.log()


def test_one_that_is_refused_for_good_is_tried_alone_and_then_left_to_a_person(
    service: RunningService, portal: Portal, folder: Path
) -> None:
    for_good = {"error": "", "error_description": "File content is not properly encoded. Base64 encoding is expected."}
    portal.scripted_replies.add(ATTACH, Reply(400, for_good), times=1)
    digests = leave(service, folder, [8000, 8001, 8002])
    service.start()
    service.wait_until_all_is_told()
    assert last_ones(service) == digests, "it was its company that the portal did not take"
    assert sent(portal) == [(200, 3), (200, 1)]


def test_where_the_answer_is_lost_each_goes_to_an_address_of_its_own_and_none_is_lost_or_there_twice(
    service: RunningService, portal: Portal, folder: Path, lost_once: Callable[[str], None]
) -> None:
    lost_once(ATTACH)  # the first one is stored by then, the others are not
    digests = leave(service, folder, [8000, 8001, 8002])
    service.start()
    service.wait_until_all_is_told()
    assert last_ones(service) == digests
    assert sent(portal)[0] == (0, 3)
    kept = list(records(service).values())
    assert sorted(len(of_call) for of_call in kept) == [1, 1, 2]
    assert {of_call[-1]["mode"] for of_call in kept} == {"upload"}
    assert len({one["FILENAME"] for of_call in kept for one in of_call}) == 4
    assert len(service.calls()) == 3


def test_a_request_that_is_too_large_for_the_portal_is_halved_until_it_is_not(
    service: RunningService, portal: Portal, folder: Path
) -> None:
    portal.switches.largest_body = 60_000  # two of them fit, in base64
    digests = leave(service, folder, [8000, 8001, 8002, 8003])
    service.start()
    service.wait_until_all_is_told()
    assert last_ones(service) == digests
    assert [number for _, number in sent(portal)] == [2, 2]
    assert {one["mode"] for of_call in records(service).values() for one in of_call} == {"content"}


def test_what_is_too_large_even_alone_goes_to_an_address(service: RunningService, portal: Portal, folder: Path) -> None:
    portal.switches.largest_body = 30_000
    digests = leave(service, folder, [4000, 40_000])
    service.start()
    service.wait_until_all_is_told()
    assert last_ones(service) == digests
    assert sorted(one["mode"] for of_call in records(service).values() for one in of_call) == ["content", "upload"]


def test_no_request_carries_more_than_two_megabytes_of_them(
    service: RunningService, portal: Portal, folder: Path
) -> None:
    digests = leave(service, folder, [450_000] * 5)
    service.start()
    service.wait_until_all_is_told()
    assert last_ones(service) == digests
    assert sorted(sent(portal)) == [(200, 1), (200, 2), (200, 2)]


def test_a_large_one_in_their_company_goes_to_an_address_and_the_small_ones_together(
    service: RunningService, portal: Portal
) -> None:
    folder = limited(service, portal, "base64_up_to: 1")
    digests = leave(service, folder, [8000, 600_000, 8002])
    service.start()
    service.wait_until_all_is_told()
    assert last_ones(service) == digests
    assert sorted(sent(portal)) == [(200, 1), (200, 2)], "one asked for the address"


def test_one_whose_file_never_becomes_whole_holds_no_other_up(
    service: RunningService, portal: Portal, folder: Path
) -> None:
    digests = leave(service, folder, [8000, 8001, 8002])
    half = f"pbx-test-{CALLS[1]}"
    (folder / f"{CALLS[1]}.wav").write_bytes(wav(8000, length=0))
    service.start()
    del digests[half]
    wait_until(lambda: last_ones(service) == digests, 30, service.log)
    wait_until(lambda: service.owed() == [(CALLS[1], "attach", "parked")], 30, service.log)


def test_a_service_killed_in_the_middle_of_a_request_sends_them_again_under_other_names(
    service: RunningService, portal: Portal, folder: Path
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def after_the_first_was_stored(reply: Reply) -> Reply:
        reached.set()
        go_on.wait(20)
        raise ConnectionResetError

    portal.scripted_replies.add(ATTACH, after_the_first_was_stored)
    digests = leave(service, folder, [8000, 8001, 8002])
    service.start()
    assert reached.wait(30), service.log()
    service.stop(signal.SIGKILL)
    go_on.set()
    service.start()
    service.wait_until_all_is_told()
    assert last_ones(service) == digests
    kept = [one["FILENAME"] for of_call in records(service).values() for one in of_call]
    assert len(kept) == len(set(kept)) == 4
    assert len(service.calls()) == 3


def test_a_file_that_has_gone_is_its_own_trouble(portal: Portal, tmp_path: Path) -> None:
    with webhook_client(portal.webhook_url) as client:
        attempts = []
        for number in range(3):
            asked = {"USER_ID": 1101, "PHONE_NUMBER": f"+7916000000{number}", "TYPE": 2}
            call_id = client.call("telephony.externalCall.register", asked, total_seconds=5).result["CALL_ID"]
            end = {"CALL_ID": call_id, "USER_ID": 1101}
            client.call("telephony.externalCall.finish", end, total_seconds=5)
            file = recording(tmp_path, f"{number}.wav")
            attempts.append(Attempt(call_id, file.name, file, file.stat().st_size, False, together=3))
        attempts[1].path.unlink()
        first, gone, last = send_together(client, attempts)
    assert isinstance(first, Result)
    assert isinstance(gone, OSError)
    assert isinstance(last, Result)
    assert [len(call["records"]) for call in portal.ledger()["calls"]] == [1, 0, 1]


def test_where_the_limits_leave_no_room_they_wait_and_go_together_once_there_is(
    service: RunningService, portal: Portal, folder: Path
) -> None:
    budget = Budget(service.directory / "state" / BUDGET_FILE, PLANS["ordinary"])
    with suppress(PortalWaits):
        while True:
            budget.admit(("profile",), Urgency.REGISTER, 0.0)
    began = portal.now()
    digests = leave(service, folder, [8000, 8001, 8002])
    service.start()
    service.wait_until_all_is_told(60)
    assert last_ones(service) == digests
    assert sent(portal) == [(200, 3)]
    # 40 were sent, and each second has room for two more; a recording finds room below 24.
    assert portal.ledger()["requests"][-1]["arrived"] - began > (40 - 24) / 2
