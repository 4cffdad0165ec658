"""`bx24 outbox`: what the CRM is still owed, tried again, held back, let go, given up by hand."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from freepbx_bx24.sandbox.portal import Portal
from tests.support.looking import ANSWERED, MISSED, REFUSAL, REGISTER, Person
from tests.support.running_service import RunningService, wait_until

ITEM_KEYS = {
    *("id", "uniqueid", "number", "kind", "state", "since", "due", "attempts", "refusals", "last_error"),
}


def parked(service: RunningService, portal: Portal, person: Person, number: str = "84951230001") -> int:
    """A call whose register the portal has refused until it was parked; its item."""
    uniqueid = f"{int(time.time())}.{number[-4:]}"
    portal.scripted_replies.add(REGISTER, REFUSAL, times=8)
    service.register(uniqueid, environment={"callerid": number})
    service.finish(uniqueid, variables=ANSWERED)
    call = person.waits_for(uniqueid, "parked")
    (item,) = [item for item in call["owed"] if item["state"] == "parked"]
    return int(item["id"])


def states(person: Person) -> dict[int, tuple[str, str]]:
    return {item["id"]: (item["kind"], item["state"]) for item in person.asks("outbox", "list")["items"]}


def test_an_empty_one_says_so(service: RunningService, person: Person) -> None:
    service.start()
    assert person.types("outbox", "list") == "Nothing is owed to the CRM.\n"


def test_what_is_parked_is_listed_and_shown_and_delivered_by_a_retry_once_the_portal_is_mended(
    service: RunningService, portal: Portal, person: Person
) -> None:
    service.start()
    one = parked(service, portal, person)
    listed = person.types("outbox", "list")
    assert re.search(
        rf"^#{one} +register \+74951230001 parked retry or drop {one} +8 +the portal refused: Uns", listed, re.M
    )
    assert listed.splitlines()[-1] == "1 due, 1 parked"
    shown = person.types("outbox", "show", f"#{one}")
    assert shown.startswith(f"#{one} register: parked, waits for you")
    assert "What happened:" in shown
    said = person.types("outbox", "retry", str(one))
    assert said == f"#{one} register of +74951230001: is tried again now\n"
    (call,) = service.wait_for_calls()
    assert call["CALL_DURATION"] == 35
    wait_until(lambda: states(person) == {}, 10, service.log)
    told = person.types("why", "84951230001")
    assert "by hand" in told and "register is tried again now" in told
    assert "the portal has it already" in person.types("outbox", "retry", str(one), code=1)
    assert f"#{one} register: the portal has it" in person.types("outbox", "show", str(one))


def test_all_that_is_parked_is_tried_again_at_once(service: RunningService, portal: Portal, person: Person) -> None:
    service.start()
    assert person.types("outbox", "retry", "--all-parked") == "Nothing is parked.\n"
    ids = [parked(service, portal, person, f"8495123000{number}") for number in (1, 2)]
    answer = person.asks("outbox", "retry", "--all-parked")
    assert sorted(one["id"] for one in answer["changed"]) == ids
    assert all(one["done"] for one in answer["changed"])
    assert len(service.wait_for_calls(2)) == 2


def test_what_is_held_waits_until_it_is_released(service: RunningService, portal: Portal, person: Person) -> None:
    service.start()
    one = parked(service, portal, person)
    assert "is held back until it is released" in person.types("outbox", "hold", str(one))
    assert states(person)[one] == ("register", "held")
    assert f"register held: #{one}" in person.types("calls", "--since", "2h")
    assert f"held back: `bx24 outbox release {one}`" in person.types("outbox", "show", str(one))
    assert "not changed: it is held back already" in person.types("outbox", "hold", str(one), code=1)
    service.stop()
    service.start()
    time.sleep(0.5)
    assert service.calls() == []
    assert "is no longer held back" in person.types("outbox", "release", str(one))
    service.wait_for_calls()
    assert "not changed" in person.types("outbox", "release", str(one), code=1)


def test_what_is_dropped_takes_the_rest_of_its_call_along_and_is_never_told(
    service: RunningService, portal: Portal, person: Person
) -> None:
    service.start()
    one = parked(service, portal, person)
    said = " ".join(person.types("outbox", "drop", str(one)).split())
    assert "is given up: the CRM will not be told, nor of anything else of this call" in said
    assert states(person) == {}
    assert "given up" in person.types("outbox", "show", str(one))
    assert "not changed: it was given up" in person.types("outbox", "drop", str(one), code=1)
    time.sleep(0.5)
    assert service.calls() == []


def test_of_several_items_each_says_what_became_of_it(service: RunningService, portal: Portal, person: Person) -> None:
    service.start()
    one = parked(service, portal, person)
    answer = person.asks("outbox", "hold", str(one), "99999", code=1)
    assert [(item["id"], item["done"]) for item in answer["changed"]] == [(one, True), (99999, False)]
    assert "there is no such item" in answer["changed"][1]["text"]
    person.types("outbox", "show", "99999", code=1)
    assert "there is no item 99999" in person.out
    assert "Traceback" not in service.log()


def test_during_an_outage_all_that_is_owed_is_listed_with_its_next_try(
    service: RunningService, portal: Portal, person: Person
) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    service.start()
    portal.stop()
    now = int(time.time())
    service.register(f"{now}.1", environment={"callerid": "84951230001"})
    service.finish(f"{now}.1", variables=MISSED)
    wait_until(lambda: len(states(person)) == 2, 10, service.log)
    out = person.types("outbox", "list")
    assert out.splitlines()[-1] == "2 due"
    assert re.search(r"^#[0-9]+ +register \+74951230001 due +[0-9:]{8} ", out, re.M)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_without_the_service_it_can_be_read_and_nothing_is_changed(
    service: RunningService, portal: Portal, person: Person, end: int
) -> None:
    service.start()
    one = parked(service, portal, person)
    service.stop(end)
    listed = person.asks("outbox", "list")
    assert listed["service"] is False
    assert (one, "parked") in [(item["id"], item["state"]) for item in listed["items"]]
    person.types("outbox", "show", str(one))
    assert "The service is not running" in person.out
    for verb in ("retry", "hold", "release", "drop"):
        person.types("outbox", verb, str(one), code=1)
        assert "The service is not running, so nothing was changed." in person.out
        assert "systemctl restart" in person.out
    assert person.asks("outbox", "list") == listed


def test_a_service_that_hangs_changes_nothing_and_that_is_said(service: RunningService, person: Person) -> None:
    service.start()
    service.signal(signal.SIGSTOP)
    person.types("outbox", "drop", "1", code=1)
    assert "The service does not answer" in person.out
    service.signal(signal.SIGCONT)


@pytest.mark.parametrize(
    "arguments", [(), ("show",), ("show", "x"), ("hold",), ("drop", "-1"), ("drop", "1,2"), ("frobnicate",)]
)
def test_a_command_line_that_makes_no_sense_ends_with_2(
    service: RunningService, person: Person, arguments: tuple[str, ...]
) -> None:
    person.types("outbox", *arguments, code=2)


@pytest.mark.parametrize("arguments", [(), ("1", "--all-parked")])
def test_a_retry_names_its_items_or_says_all(
    service: RunningService, person: Person, arguments: tuple[str, ...]
) -> None:
    person.types("outbox", "retry", *arguments, code=2)
    assert "--all-parked" in person.out


def test_the_json_has_the_documented_keys(service: RunningService, portal: Portal, person: Person) -> None:
    service.start()
    one = parked(service, portal, person)
    listed, shown = person.asks("outbox", "list"), person.asks("outbox", "show", str(one))
    changed = person.asks("outbox", "retry", str(one))
    assert set(listed) == {"service", "items", "counts", "more"}
    assert set(listed["counts"]) == {"due", "parked", "held"}
    assert all(set(item) == ITEM_KEYS for item in (*listed["items"], shown["item"]))
    assert set(shown) == {"service", "item", "call"}
    assert set(changed) == {"changed"}
    assert set(changed["changed"][0]) == {"id", "done", "kind", "uniqueid", "number", "text"}
    document = (Path(__file__).parents[3] / "docs" / "commands.md").read_text(encoding="utf-8")
    for key in (*listed, *listed["counts"], *ITEM_KEYS, *shown, *changed, *changed["changed"][0]):
        assert f"`{key}`" in document, key
