"""Callback forms, on real telephones: a person of ours first, then the client; never music, a menu or a mailbox."""

from __future__ import annotations

from typing import Any

from freepbx_bx24.sandbox.pbx.record import answer, busy, ring
from tests.live.world import World
from tests.support.running_service import wait_until

from .conftest import EXTENSION_LINE, QUEUE_LINE
from .dialled import outside, rung, takes, user_of

CALLBACK_TYPE = 4


def of_client(world: World, number: str) -> dict[str, Any]:
    """The one call that the CRM has of a client, once it has its end."""
    return world.finished(number, 40)


def test_a_callback_rings_its_target_and_dials_the_client_when_a_person_has_answered(dialling: World) -> None:
    answering = {"": 112, QUEUE_LINE: 123, EXTENSION_LINE: 134}  # a group, a queue with its music, and an extension
    for extension in (111, 112, 113, 121, 122, 123, 134):
        dialling.pbx.phone(extension).behaviour = answer(1.5) if extension in answering.values() else ring()
    numbers = {line: dialling.new_number() for line in answering}
    for line, number in numbers.items():
        takes(dialling, number, answer(0.5, talk=1.5))
        dialling.portal.callback(number, text="Иван: call me", line=line)
    for line, extension in answering.items():
        crm = of_client(dialling, numbers[line])
        (mine,), (theirs,) = rung(dialling, extension, numbers[line]), outside(dialling, numbers[line])
        assert mine.from_name == "Иван call me"
        assert theirs.started and theirs.started.monotonic > mine.moments["200"].monotonic
        assert (crm["TYPE"], crm["STATUS_CODE"], crm["finished_by"]) == (CALLBACK_TYPE, "200", user_of(extension))
        assert abs(crm["CALL_DURATION"] - theirs.talk_seconds) <= 1.0


def test_a_callback_that_nobody_takes_is_tried_again_by_its_rule_and_the_crm_learns_of_it_once(dialling: World) -> None:
    dialling.pbx.phone(134).behaviour = busy()
    number = dialling.new_number()
    dialling.portal.callback(number, line=EXTENSION_LINE)
    wait_until(lambda: len(rung(dialling, 134, number)) == 1, 20, dialling.explain)
    crm = dialling.finished(number, 60)
    assert len(rung(dialling, 134, number)) == 2
    assert (crm["TYPE"], crm["STATUS_CODE"], crm["CALL_DURATION"]) == (CALLBACK_TYPE, "304", 0)
    assert outside(dialling, number) == []


def test_a_hundred_posts_of_one_form_are_one_call_and_a_wrong_number_is_none(dialling: World) -> None:
    number, never = dialling.new_number(), ("*72", "1001", "+78095550101", "+4930123456")
    takes(dialling, number, answer(0.3, talk=0.5))
    mark = dialling.log_mark()
    for count in range(96):
        dialling.portal.callback(number, text=f"number {count}", line=EXTENSION_LINE)
    for wrong in never:
        dialling.portal.callback(wrong, line=EXTENSION_LINE)
    assert of_client(dialling, number)["STATUS_CODE"] == "200"
    wait_until(lambda: dialling.log_since(mark).count("not dialled for the portal") >= len(never), 30, dialling.explain)
    wait_until(lambda: not dialling.portal.ledger()["offline_events"], 30, dialling.explain)
    assert len(outside(dialling, number)) == 1 and len(rung(dialling, 134, number)) == 1
    assert len(dialling.crm_calls(number)) == 1
