"""When a call is over: not when its first channel hangs up, but when the client has gone, as Asterisk shows it."""

from __future__ import annotations

import time

import pytest

from freepbx_bx24.sandbox.portal import Portal, Reply
from tests.support.in_time import in_time
from tests.support.running_service import MANAGER_FILE, RunningService, asked, wait_until
from tests.support.shown_asterisk import (
    AGENT,
    BRIDGE,
    CALL,
    RINGS,
    TRUNK,
    UNIQUEID,
    Asterisk,
    dest,
    phoned_out,
    watched,
)

OTHER = ["Channel: PJSIP/103-00000002", "Uniqueid: 9.3", f"Linkedid: {UNIQUEID}"]
ENDED = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "1", "HANGUPCAUSE": "16"}


def talked(service: RunningService, asterisk: Asterisk) -> None:
    """A client's call that 103 has taken a second ago."""
    watched(service, asterisk)
    asterisk.shows("Newchannel", *CALL)
    service.register(UNIQUEID)
    asterisk.rings()
    asterisk.answers()
    time.sleep(1.0)


def handed_over(service: RunningService, asterisk: Asterisk) -> None:
    """101 hands the client to 103, and has hung up."""
    asterisk.shows("BridgeLeave", *AGENT, "BridgeUniqueid: B1")
    asterisk.shows("BridgeLeave", *TRUNK, "BridgeUniqueid: B1")
    service.finish(arguments=("out",), variables={**ENDED, "AMPUSER": "101"})
    asterisk.shows("Hangup", *AGENT, "Cause: 16")
    asterisk.shows("DialBegin", *TRUNK, *dest(OTHER), "DialString: 103/sip:103@10.0.0.1:5060")
    asterisk.shows("DialEnd", *TRUNK, *dest(OTHER), "DialStatus: ANSWER")
    for channel in (TRUNK, OTHER):
        asterisk.shows("BridgeEnter", *channel, *BRIDGE)


def client_hangs_up(asterisk: Asterisk) -> None:
    for channel in (TRUNK, OTHER):
        asterisk.shows("BridgeLeave", *channel, "BridgeUniqueid: B1")
    asterisk.shows("Hangup", *TRUNK, "Cause: 16")
    asterisk.shows("Hangup", *OTHER, "Cause: 16")


def state(service: RunningService) -> str:
    (call,) = service.calls()
    return str(call["state"])


def test_an_outbound_call_that_the_agent_hands_over_goes_on_until_the_client_hangs_up(
    service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    phoned_out(service, asterisk)
    time.sleep(1.2)
    handed_over(service, asterisk)
    time.sleep(2.5)
    assert state(service) == "open"
    client_hangs_up(asterisk)
    (call,) = service.wait_for_calls(seconds=5)
    assert (call["STATUS_CODE"], call["finished_by"]) == ("200", 1103)
    assert call["CALL_DURATION"] in (3, 4)


def test_it_goes_on_through_a_kill_of_the_service_and_is_told_once(service: RunningService, asterisk: Asterisk) -> None:
    watched(service, asterisk)
    phoned_out(service, asterisk)
    time.sleep(1.2)
    handed_over(service, asterisk)
    wait_until(lambda: b'"9.2"' in (service.directory / "state" / "journal.sqlite-wal").read_bytes(), 5)
    service.stop(9)
    asterisk.channels = [[*channel, "BridgeId: B1"] for channel in (TRUNK, OTHER)]
    watched(service, asterisk)
    time.sleep(1.5)
    assert state(service) == "open"
    client_hangs_up(asterisk)
    (call,) = service.wait_for_calls(seconds=5)
    assert (call["STATUS_CODE"], call["finished_by"]) == ("200", 1103)
    assert call["CALL_DURATION"] >= 2


def test_where_asterisks_news_lag_behind_the_hangup_handler_the_channels_variables_tell_that_it_was_answered(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    asterisk.shows("Newchannel", *CALL)
    service.register(UNIQUEID)
    asterisk.rings("103")
    wait_until(lambda: 1103 in [card["USER_ID"] for card in portal.ledger()["cards"]], 5, service.log)
    service.finish(UNIQUEID, variables={**ENDED, "ANSWEREDTIME": "7", "DIALEDPEERNAME": "PJSIP/103-00000001"})
    (call,) = service.wait_for_calls(seconds=5)
    assert (call["STATUS_CODE"], call["CALL_DURATION"], call["finished_by"]) == ("200", 7, 1103)


@pytest.mark.parametrize("comes_back", [True, False], ids=["Asterisk comes back without it", "Asterisk stays away"])
def test_where_asterisk_is_lost_a_handed_over_call_is_told_with_what_is_known(
    service: RunningService, asterisk: Asterisk, comes_back: bool
) -> None:
    watched(service, asterisk)
    phoned_out(service, asterisk)
    time.sleep(1.2)
    handed_over(service, asterisk)
    time.sleep(0.5)
    if not comes_back:
        asterisk.server.stop()
    asterisk.dies()
    (call,) = service.wait_for_calls(seconds=15)
    assert call["STATUS_CODE"] == "200"
    assert call["CALL_DURATION"] >= 1


def test_a_call_is_told_as_asterisk_showed_it_whatever_the_channels_variables_say(
    service: RunningService, asterisk: Asterisk
) -> None:
    """A menu had answered long before, and a queue leaves the seconds from then on."""
    talked(service, asterisk)
    service.finish(UNIQUEID, variables={"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "58", "DIALEDPEERNUMBER": "101"})
    asterisk.hangs_up()
    (call,) = service.wait_for_calls(seconds=5)
    assert (call["STATUS_CODE"], call["finished_by"], call["CALL_DURATION"]) == ("200", 1103, 1)


def test_a_missed_call_says_who_rang_and_belongs_to_him(service: RunningService, asterisk: Asterisk) -> None:
    watched(service, asterisk)
    asterisk.shows("Newchannel", *CALL)
    service.register(UNIQUEID)
    asterisk.rings()
    time.sleep(1.2)
    service.finish(UNIQUEID, variables={"QUEUENUM": "400", "BX24_NOTE": "by night"})
    asterisk.shows("DialEnd", *RINGS, "DialStatus: CANCEL")
    asterisk.shows("Hangup", *CALL, "Cause: 16")
    (call,) = service.wait_for_calls(seconds=5)
    assert (call["STATUS_CODE"], call["finished_by"], call["CALL_DURATION"]) == ("304", 1103, 0)
    assert call["FAILED_REASON"] == "rang 103 for 1 s in queue 400; by night"


def test_where_asterisk_does_not_show_the_hangup_the_call_is_told_a_moment_later(
    service: RunningService, asterisk: Asterisk
) -> None:
    talked(service, asterisk)
    service.finish(UNIQUEID, variables={"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "1"})
    (call,) = service.wait_for_calls(seconds=5)
    assert (call["STATUS_CODE"], call["finished_by"], call["CALL_DURATION"]) == ("200", 1103, 1)


def test_a_call_whose_hangup_handler_had_run_when_the_service_died_is_told_at_the_next_start_without_asterisk(
    service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    phoned_out(service, asterisk)
    time.sleep(1.2)
    handed_over(service, asterisk)
    service.stop(9)
    asterisk.server.stop()
    (service.directory / MANAGER_FILE).unlink()
    service.start()
    (call,) = service.wait_for_calls(seconds=15)
    assert call["STATUS_CODE"] == "200"
    assert call["CALL_DURATION"] >= 1


# -- whose a missed call is ----------------------------------------------------------------------------------


def missed(service: RunningService, number: str) -> dict[str, object]:
    service.register(environment={"callerid": number})
    service.finish(environment={"callerid": number}, variables={"DIALSTATUS": "NOANSWER"})
    (call,) = service.wait_for_calls(seconds=10)
    return call


def searches(service: RunningService) -> int:
    return asked(service.portal).count("telephony.externalcall.searchcrmentities")


def test_a_missed_call_of_a_client_belongs_to_his_manager_in_the_crm(service: RunningService) -> None:
    client = service.portal.world.create("CONTACT", "Test Client", "+79160000042", assigned_by_id=1105)
    service.start()
    call = missed(service, "+79160000042")
    assert (call["STATUS_CODE"], call["finished_by"], call["CRM_ENTITY_ID"]) == ("304", 1105, client.entity_id)
    assert searches(service) == 1


@pytest.mark.parametrize("manager", [0, 99999], ids=["has none", "has left"])
def test_it_belongs_to_the_lines_person_where_the_client_has_no_manager(service: RunningService, manager: int) -> None:
    service.portal.world.create("CONTACT", "Test Client", "+79160000042", assigned_by_id=manager)
    service.start()
    assert missed(service, "+79160000042")["finished_by"] == 1102


def test_whom_the_crm_did_not_know_is_not_searched_for_and_the_lead_made_for_him_has_no_manager_yet(
    service: RunningService,
) -> None:
    service.start()
    assert missed(service, "+79160000043")["finished_by"] == 1102
    assert searches(service) == 0


def test_an_answered_call_asks_for_no_manager(service: RunningService) -> None:
    service.portal.world.create("CONTACT", "Test Client", "+79160000042", assigned_by_id=1105)
    service.start()
    service.register(environment={"callerid": "+79160000042"})
    variables = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "9", "DIALEDPEERNUMBER": "103"}
    service.finish(environment={"callerid": "+79160000042"}, variables=variables)
    (call,) = service.wait_for_calls()
    assert (call["finished_by"], searches(service)) == (1103, 0)


def test_a_portal_that_can_not_say_who_the_manager_is_gets_the_call_all_the_same(service: RunningService) -> None:
    service.portal.world.create("CONTACT", "Test Client", "+79160000042", assigned_by_id=1105)
    service.portal.scripted_replies.add("telephony.externalCall.searchCrmEntities", lambda reply: Reply(500, b"oops"))
    service.start()
    call = missed(service, "+79160000042")
    assert (call["STATUS_CODE"], call["finished_by"]) == ("304", 1102)


def test_a_call_that_was_not_watched_from_its_beginning_is_not_taken_for_one_that_nobody_answered(
    service: RunningService, asterisk: Asterisk
) -> None:
    service.register(UNIQUEID)  # by the script alone
    service.finish("1790000120.78", variables={"DIALSTATUS": "NOANSWER"})
    asterisk.channels = [CALL]
    watched(service, asterisk)
    wait_until(lambda: len(service.calls()) == 2, 10, service.log)
    time.sleep(1.5)  # what was there at the start is watched by then
    service.finish(UNIQUEID, variables={"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "9", "DIALEDPEERNUMBER": "103"})
    asterisk.shows("Hangup", *CALL, "Cause: 16")
    service.wait_for_calls(2)
    (call,) = [one for one in service.calls() if one["EXTERNAL_CALL_ID"].endswith(UNIQUEID)]
    assert (call["STATUS_CODE"], call["finished_by"], call["CALL_DURATION"]) == ("200", 1103, 9)


def test_a_service_that_dies_while_it_asks_tells_the_call_at_the_next_start(service: RunningService) -> None:
    service.portal.world.create("CONTACT", "Test Client", "+79160000042", assigned_by_id=1105)
    service.start()
    with service.portal.gate("telephony.externalCall.searchCrmEntities") as gate:
        service.register(environment={"callerid": "+79160000042"})
        done = service.finish(environment={"callerid": "+79160000042"}, variables={"DIALSTATUS": "NOANSWER"})
        in_time(done.seconds, 1.0)  # the channel does not wait for it
        wait_until(lambda: searches(service) == 1, 5, service.log)
        service.stop(9)
        gate.release()
    service.start()
    (call,) = service.wait_for_calls(seconds=15)
    assert (call["STATUS_CODE"], call["CALL_DURATION"]) == ("304", 0)
