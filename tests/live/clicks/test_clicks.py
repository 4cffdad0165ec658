"""Clicks in the portal, on real telephones: who rings, who is dialled, and what the CRM is told."""

from __future__ import annotations

import contextlib
import signal
import socket
import statistics
import time
from typing import Iterator

import pytest

from freepbx_bx24.sandbox.pbx.record import CallRecord, answer, busy, decline, ring, unavailable
from freepbx_bx24.sandbox.portal import Entity
from freepbx_bx24.sandbox.product import YAML
from tests.live.world import World, wait_quiet
from tests.support.running_service import wait_until

from .conftest import serve
from .dialled import SAID, finished, notices, outside, rung, takes, told_at, user_of, wait_dialled, wait_rung

WITHOUT_EXTENSION = 1  # the portal's user
FIRST_RING_SECONDS = {"queue": 1.5, "handler": 0.3}  # expected; the bound is three times that
TOLD_SECONDS = 1.0  # from a refusal to the portal's knowing; the bound is three times that
PJSIP = "/etc/asterisk/pjsip.conf"


def test_a_click_rings_the_person_then_the_client_and_both_talk(dialling: World) -> None:
    number = dialling.new_number()
    dialling.portal.world.entities.append(Entity("CONTACT", 7001, "Анна Петрова", [number]))
    takes(dialling, number, answer(1.0, talk=2.0))
    call_id = dialling.portal.click(user_of(111), number)
    crm = finished(dialling, call_id)
    (mine,) = rung(dialling, 111, number)
    (theirs,) = outside(dialling, number)
    assert mine.from_name == "Анна Петрова"
    assert (crm["finished_by"], crm["STATUS_CODE"]) == (user_of(111), "200"), dialling.explain()
    assert abs(crm["CALL_DURATION"] - theirs.talk_seconds) <= 1.0  # not from the person's answer on
    assert [call["CALL_ID"] for call in dialling.crm_calls(number)] == [call_id]
    assert theirs.started and theirs.started.monotonic > mine.moments["200"].monotonic
    assert theirs.from_user == "74957770000"  # as the trunk shows this extension


def test_twenty_clicks_at_once_are_twenty_calls_and_each_ends_as_it_went(dialling: World) -> None:
    people = range(121, 141)
    numbers = {extension: dialling.new_number() for extension in people}
    for extension, number in numbers.items():
        dialling.pbx.phone(extension).behaviour = answer(0.3)
        takes(dialling, number, answer(0.5, talk=1.0 + extension % 3))
    calls = {extension: dialling.portal.click(user_of(extension), number) for extension, number in numbers.items()}
    for extension, call_id in calls.items():
        crm, number = finished(dialling, call_id), numbers[extension]
        (theirs,) = outside(dialling, number)
        assert len(rung(dialling, extension, number)) == 1
        assert (crm["finished_by"], crm["STATUS_CODE"]) == (user_of(extension), "200")
        assert abs(crm["CALL_DURATION"] - theirs.talk_seconds) <= 1.0
        assert len(dialling.crm_calls(number)) == 1


def test_a_click_that_is_repeated_while_it_rings_rings_once(dialling: World) -> None:
    dialling.pbx.phone(111).behaviour = answer(2.0)
    number = dialling.new_number()
    takes(dialling, number, answer(0.3, talk=1.0))
    call_id = dialling.portal.click(user_of(111), number)
    wait_rung(dialling, 111, number)
    assert dialling.portal.click(user_of(111), number) == call_id
    crm = finished(dialling, call_id)
    wait_quiet(dialling)
    assert (len(rung(dialling, 111, number)), len(outside(dialling, number))) == (1, 1)
    assert (crm["STATUS_CODE"], len(dialling.crm_calls(number))) == ("200", 1)


@pytest.mark.parametrize("number", ["*72", "1001", "+78095550101", "+4930123456", "+881612345678"])
def test_what_may_not_be_dialled_is_finished_with_403_and_the_person_is_told(dialling: World, number: str) -> None:
    before = dialling.asterisk_log_mark()
    call_id = dialling.portal.click(user_of(119), number)
    crm = finished(dialling, call_id)
    assert (crm["STATUS_CODE"], crm["CALL_DURATION"], crm["finished_by"]) == ("403", 0, user_of(119))
    assert crm["FAILED_REASON"]
    wait_until(lambda: bool(notices(dialling, user_of(119))), 10, dialling.explain)
    assert crm["FAILED_REASON"] in notices(dialling, user_of(119))[-1]
    assert "bx24-click" not in dialling.asterisk_log(before)


def test_a_person_without_an_extension_is_told_so_and_nothing_rings(dialling: World) -> None:
    number = dialling.new_number()
    crm = finished(dialling, dialling.portal.click(WITHOUT_EXTENSION, number))
    assert (crm["STATUS_CODE"], crm["FAILED_REASON"]) == ("484", "the employee has no extension")
    wait_until(lambda: "no extension" in notices(dialling, WITHOUT_EXTENSION)[-1], 10, dialling.explain)
    assert outside(dialling, number) == []


@pytest.fixture
def offline(dialling: World) -> Iterator[int]:
    """Extension 115, which has a mailbox, without a telephone."""
    path = dialling.pbx.root.outside(PJSIP)
    kept = path.read_text(encoding="utf-8")
    contact = next(line for line in kept.splitlines() if line.startswith("contact=sip:115@"))
    path.write_text(kept.replace(contact + "\n", "max_contacts=1\n"), encoding="utf-8")
    dialling.pbx.asterisk.rx("module reload res_pjsip.so")
    yield 115
    path.write_text(kept, encoding="utf-8")
    dialling.pbx.asterisk.rx("module reload res_pjsip.so")


def test_where_the_person_can_not_answer_the_client_is_never_rung_and_the_crm_knows_at_once(
    dialling: World, offline: int
) -> None:
    dialling.pbx.asterisk.rx("database put CF 114 89161112233")  # forwarded: that is for callers
    dialling.pbx.phone(112).behaviour = busy()
    dialling.pbx.phone(113).behaviour = decline(0.5)
    for silent in (114, 116, 117):  # of these one has follow-me
        dialling.pbx.phone(silent).behaviour = ring()
    numbers = {extension: dialling.new_number() for extension in (112, 113, 114, offline, 116, 117)}
    calls = {extension: dialling.portal.click(user_of(extension), number) for extension, number in numbers.items()}
    wait_rung(dialling, 117, numbers[117])
    ends = {extension: finished(dialling, call_id) for extension, call_id in calls.items()}
    dialling.pbx.asterisk.rx("database del CF 114")
    assert {extension: (crm["STATUS_CODE"], crm["CALL_DURATION"]) for extension, crm in ends.items()} == {
        112: ("486", 0),
        113: ("480", 0),
        114: ("480", 0),
        offline: ("480", 0),
        116: ("480", 0),
        117: ("480", 0),
    }
    assert all(crm["FAILED_REASON"] for crm in ends.values())
    for extension, number in numbers.items():
        assert outside(dialling, number) == [], extension
        assert len(rung(dialling, extension, number)) == (0 if extension == offline else 1)
    assert outside(dialling, "+79161112233") == []
    late = {
        extension: told_at(dialling, calls[extension]) - refused(rung(dialling, extension, number)[0])
        for extension, number in numbers.items()
        if extension in (112, 113, 114)
    }
    SAID.append(f"clicks: the person did not answer, told after {max(late.values()):.2f} s, bound {TOLD_SECONDS * 3} s")
    assert max(late.values()) < TOLD_SECONDS * 3


def refused(record: CallRecord) -> float:
    """When a telephone stopped to ring."""
    assert record.ended
    return record.ended.wall


def test_where_no_client_is_reached_the_crm_knows_while_the_person_still_hears_the_tone(dialling: World) -> None:
    numbers = {extension: dialling.new_number() for extension in (111, 112, 113)}
    takes(dialling, numbers[111], busy(0.3))
    takes(dialling, numbers[112], unavailable())
    calls = {extension: dialling.portal.click(user_of(extension), number) for extension, number in numbers.items()}
    # The third one gives up while the client's telephone rings.
    wait_dialled(dialling, numbers[113])
    dialling.pbx.phone(113).calls[-1].hang_up()
    ends = {extension: finished(dialling, call_id) for extension, call_id in calls.items()}
    codes = {extension: (crm["STATUS_CODE"], crm["CALL_DURATION"]) for extension, crm in ends.items()}
    assert codes == {111: ("486", 0), 112: ("503", 0), 113: ("603-S", 0)}, dialling.explain()
    assert [len(outside(dialling, number)) for number in numbers.values()] == [1, 2, 1]  # 503: the next trunk was tried
    late = {one: told_at(dialling, calls[one]) - refused(outside(dialling, numbers[one])[-1]) for one in (111, 112)}
    SAID.append(f"clicks: no client was reached, told after {max(late.values()):.2f} s, bound {TOLD_SECONDS * 3} s")
    assert max(late.values()) < TOLD_SECONDS * 3
    wait_quiet(dialling, 30)
    assert all(len(dialling.crm_calls(number)) == 1 for number in numbers.values())


def test_a_click_in_the_mobile_application_rings_the_persons_own_mobile(dialling: World) -> None:
    number, mobile = dialling.new_number(), "+79160000101"
    takes(dialling, mobile, answer(0.5))
    takes(dialling, number, answer(0.5, talk=1.5))
    call_id = dialling.portal.click(user_of(101), number, from_mobile=True)
    crm = finished(dialling, call_id)
    (theirs,) = outside(dialling, number)
    assert (crm["STATUS_CODE"], crm["finished_by"]) == ("200", user_of(101)), dialling.explain()
    assert abs(crm["CALL_DURATION"] - theirs.talk_seconds) <= 1.0
    assert (rung(dialling, 101, number), len(outside(dialling, mobile))) == ([], 1)
    assert (len(dialling.crm_calls(number)), dialling.crm_calls(mobile)) == (1, [])


def test_a_service_that_is_killed_between_the_event_and_the_dial_leaves_one_call_with_one_end(dialling: World) -> None:
    numbers = {extension: dialling.new_number() for extension in (111, 112, 113, 114)}
    for number in numbers.values():
        takes(dialling, number, answer(0.3, talk=1.0))
    calls = {}
    for extension, number in numbers.items():
        calls[extension] = dialling.portal.click(user_of(extension), number)
        # As soon as the portal has given the event away, whatever the service has done with it by then.
        wait_until(lambda: all(one["reserved"] for one in dialling.portal.ledger()["offline_events"]), 10)
        dialling.product.stop(signal.SIGKILL)
        serve(dialling)
    for extension, call_id in calls.items():
        crm, number = finished(dialling, call_id, 60), numbers[extension]
        assert len(outside(dialling, number)) <= 1 and len(rung(dialling, extension, number)) <= 1
        assert (crm["CALL_DURATION"] > 0) == bool(outside(dialling, number)), (crm, dialling.explain())
        assert len(dialling.crm_calls(number)) == 1


@pytest.mark.parametrize("way", ["queue", "handler"])
def test_from_a_click_to_the_first_ring(dialling: World, way: str) -> None:
    """Asked for once a second; or posted by the portal, which no question has to wait for."""
    with contextlib.ExitStack() as stack:
        dialling.product.stop()
        stack.callback(serve, dialling)
        if way == "handler":
            port = free_port()
            text = dialling.pbx.root.outside(YAML).read_text(encoding="utf-8")
            address = f"http://127.0.0.1:{port}/bx24/events"
            stack.enter_context(dialling.yaml(text + f"events: {{address: '{address}', port: {port}}}\n"))
            dialling.pbx.root.run(["sh", "-c", f"chown root:asterisk {YAML} && chmod 0640 {YAML}"])
        serve(dialling, "1", way == "queue")
        stack.callback(dialling.product.stop)
        # At night the queue is asked more seldom, until somebody clicks.
        finished(dialling, dialling.portal.click(WITHOUT_EXTENSION, dialling.new_number()))
        late, calls = {}, {}
        for extension in range(141, 161):
            dialling.pbx.phone(extension).behaviour = decline(0.1)
            number = dialling.new_number()
            late[extension] = (time.monotonic(), number)
            calls[extension] = dialling.portal.click(user_of(extension), number)
            time.sleep(0.17)  # at every moment between two questions to the queue
        waits = []
        for extension, (began, number) in late.items():
            record = wait_rung(dialling, extension, number)
            assert record.started
            waits.append(record.started.monotonic - began)
        for call_id in calls.values():
            assert finished(dialling, call_id)["STATUS_CODE"] == "480"
    expected, median = FIRST_RING_SECONDS[way], statistics.median(waits)
    SAID.append(
        f"click to first ring, by the {way}: median {median:.2f} s of {len(waits)}, most {max(waits):.2f} s"
        f" (expected {expected} s, bound {expected * 3:.1f} s)"
    )
    assert median < expected * 3


def free_port() -> int:
    """A TCP port of this machine that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
