"""`bx24 recordings`: what waits, what failed and why, what is being done, and trying again."""

from __future__ import annotations

import re
import threading

from freepbx_bx24.sandbox.portal import Portal, Reply
from tests.support.looking import Person
from tests.support.recorded_calls import configure, leave_call, recording, wav
from tests.support.running_service import RunningService, wait_until

CALL = "1790000120.77"


def test_with_nothing_owed_it_says_so(service: RunningService, person: Person) -> None:
    service.start()
    assert person.types("recordings") == "The CRM has every recording that it is to have.\n"
    assert person.types("recordings", "--retry") == "No recording waits for a person.\n"


def test_what_failed_is_told_whole_and_goes_after_a_retry_once_the_portal_has_room(
    service: RunningService, portal: Portal, person: Person
) -> None:
    portal.switches.disk_full = True
    file = recording(configure(service))
    service.start()
    leave_call(service, CALL, file)
    wait_until(lambda: any(state == "parked" for _, _, state in service.owed()), 30, service.log)
    said = person.types("recordings")
    found = re.search(r"^#(\d+) +\+79160000120 +parked --retry (\d+) +2 ", said, re.M)
    assert found and found[1] == found[2], said
    assert f"#{found[1]}: the portal refused: The disk space quota is exceeded" in said
    assert said.splitlines()[-1] == "1 parked"
    portal.switches.disk_full = False
    assert person.types("recordings", "--retry") == f"#{found[1]} of +79160000120: is tried again now\n"
    wait_until(lambda: bool(service.calls()[0]["records"]), 20, service.log)
    wait_until(lambda: person.asks("recordings")["items"] == [], 10, service.log)


def test_an_upload_under_way_is_shown_with_its_progress(
    service: RunningService, portal: Portal, person: Person
) -> None:
    file = recording(configure(service, "base64_up_to: 0"), content=wav(100_000))
    go_on = threading.Event()

    def slowly(reply: Reply) -> Reply:
        go_on.wait(30)
        return reply

    portal.scripted_replies.add("upload", slowly)
    service.start()
    leave_call(service, CALL, file)
    try:
        wait_until(
            lambda: [one["doing"] for one in person.asks("recordings")["items"]] == ["uploading"], 20, service.log
        )
        (item,) = person.asks("recordings")["items"]
        assert item["percent"] == 100
        assert item["kind"] == "attach"
        assert "uploading 100%" in person.types("recordings")
    finally:
        go_on.set()
    service.wait_until_all_is_told()


def test_without_the_service_it_reads_the_journal_and_changes_nothing(
    service: RunningService, portal: Portal, person: Person
) -> None:
    portal.switches.disk_full = True
    file = recording(configure(service))
    service.start()
    leave_call(service, CALL, file)
    wait_until(lambda: any(state == "parked" for _, _, state in service.owed()), 30, service.log)
    service.stop()
    answer = person.asks("recordings")
    assert answer["service"] is False
    assert answer["counts"]["parked"] == 1
    person.types("recordings", "--retry", code=1)
    assert "nothing was changed" in person.out


def test_other_items_are_not_its_business(service: RunningService, portal: Portal, person: Person) -> None:
    service.start()
    portal.stop()
    service.register(CALL)
    wait_until(lambda: bool(person.asks("outbox", "list")["items"]), 20, service.log)
    one = person.asks("outbox", "list")["items"][0]["id"]
    person.types("recordings", "--retry", str(one), code=1)
    assert "is no recording but a register" in person.out
