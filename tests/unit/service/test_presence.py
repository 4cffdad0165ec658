"""What Asterisk shows of its calls while the service runs: late cards, calls that are gone, scripts that never come."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from freepbx_bx24.sandbox.portal import Portal
from tests.support.running_service import RunningService, wait_until
from tests.support.shown_asterisk import CALL, UNIQUEID, Asterisk, watched

REGISTER = "telephony.externalcall.register"


def cards(portal: Portal, action: str = "show") -> list[tuple[int, str]]:
    return [(card["USER_ID"], card["cause"]) for card in portal.ledger()["cards"] if card["action"] == action]


@pytest.mark.parametrize("answered", [False, True], ids=["while it rings", "while they talk"])
def test_the_card_of_a_late_register_goes_to_who_rings_or_talks_then_and_is_closed_in_the_end(
    portal: Portal, service: RunningService, asterisk: Asterisk, answered: bool
) -> None:
    service.write_yaml(portal.webhook_url, wait=0.3)
    watched(service, asterisk)
    asterisk.shows("Newchannel", *CALL)
    down = portal.stop
    down()
    assert service.register(UNIQUEID).variables["BX24_STATUS"] == "PENDING"
    asterisk.rings()
    if answered:
        asterisk.answers()
    portal.start()
    wait_until(lambda: (1103, "show") in cards(portal), 15, service.log)
    assert (1102, "register") not in cards(portal)  # the line's person, whose telephone does not ring
    service.finish(UNIQUEID, variables={"DIALSTATUS": "ANSWER" if answered else "NOANSWER"})
    (call,) = service.wait_for_calls()
    # Whoever talked owns the call, else whose telephone rang last: finish itself closes his card.
    assert (call["STATUS_CODE"], call["finished_by"]) == ("200" if answered else "304", 1103)
    assert (1103, "finish") in cards(portal, "hide")


def test_a_call_whose_finish_script_never_comes_is_finished_by_what_asterisk_showed(
    service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    asterisk.shows("Newchannel", *CALL)
    assert service.register(UNIQUEID).variables["BX24_STATUS"] == "REGISTERED"
    asterisk.rings()
    asterisk.answers()
    wait_until(lambda: talks(service), 5, service.log)
    asterisk.hangs_up()
    (call,) = service.wait_for_calls(seconds=20)
    assert (call["STATUS_CODE"], call["finished_by"], call["FAILED_REASON"]) == ("200", 1103, "")
    assert call["CALL_DURATION"] >= 1


def test_calls_that_an_asterisk_had_when_it_died_are_told_with_what_is_known(
    service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    asterisk.shows("Newchannel", *CALL)
    service.register(UNIQUEID)
    service.register("1790000130.88")
    asterisk.rings()
    asterisk.answers()
    wait_until(lambda: talks(service), 5, service.log)
    asterisk.dies()  # and comes back without its calls
    told = {call["EXTERNAL_CALL_ID"]: call for call in service.wait_for_calls(2, seconds=30)}
    answered, missed = told[f"pbx-test-{UNIQUEID}"], told["pbx-test-1790000130.88"]
    assert (answered["STATUS_CODE"], answered["finished_by"]) == ("200", 1103)
    assert (missed["STATUS_CODE"], missed["CALL_DURATION"]) == ("304", 0)
    assert {call["FAILED_REASON"] for call in told.values()} == {"the end of the call was not seen"}


def test_a_call_that_lasts_through_a_restart_of_the_service_is_not_ended_and_keeps_its_call_id(
    service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    call_id = service.register(UNIQUEID).variables["BX24_CALL_ID"]
    service.stop(9)
    asterisk.channels = [CALL]
    service.start()
    wait_until(lambda: asterisk.logins == 2, 10, service.log)
    wait_until(lambda: service.log().count("1 channels are up") == 1, 10, service.log)
    assert not held(lambda: service.calls()[0]["state"] == "finished", 2.0)
    service.finish(UNIQUEID, variables={"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "35"})
    (call,) = service.wait_for_calls()
    assert (call["CALL_ID"], call["CALL_DURATION"]) == (call_id, 35)


def test_without_an_account_calls_are_told_all_the_same_and_the_log_says_it_once(service: RunningService) -> None:
    service.start()
    service.register(UNIQUEID)
    service.finish(UNIQUEID)
    service.wait_for_calls()
    assert service.log().count("calls are not watched") == 1


def talks(service: RunningService) -> bool:
    """Whether the journal knows who talks: what is kept should everything die."""
    return b'"talks": [[' in Path(service.directory / "state" / "journal.sqlite-wal").read_bytes()


def held(true: Callable[[], bool], seconds: float) -> bool:
    """Whether it becomes true within that time."""
    try:
        wait_until(true, seconds)
    except AssertionError:
        return False
    return True
