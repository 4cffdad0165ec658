"""Cards on screens, through the real service: for everybody whose telephone rings, then for who talks alone."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from freepbx_bx24.bitrix24.budget import PLANS, Budget, Urgency
from freepbx_bx24.bitrix24.portal import BUDGET_FILE
from freepbx_bx24.call import Outcome
from freepbx_bx24.errors import PortalWaits
from freepbx_bx24.journal.reading import read_only
from freepbx_bx24.journal.store import Journal
from freepbx_bx24.sandbox.portal import Portal
from tests.support.agi_script import AgiRun
from tests.support.in_time import in_time
from tests.support.journal_calls import CALL as SOME_CALL
from tests.support.running_service import RunningService, wait_until
from tests.support.shown_asterisk import (
    AGENT,
    BRIDGE,
    CALL,
    TRUNK,
    UNIQUEID,
    Asterisk,
    dest,
    phoned_out,
    telephone,
    watched,
)

SHOW, HIDE = "telephony.externalcall.show", "telephony.externalcall.hide"


def came(service: RunningService, asterisk: Asterisk, **options: Any) -> AgiRun:
    """A client's call, of which no telephone rings yet."""
    asterisk.shows("Newchannel", *CALL)
    run = service.register(UNIQUEID, **options)
    assert run.variables["BX24_STATUS"] == "REGISTERED"
    return run


def on_screen(portal: Portal) -> set[int]:
    """Who has a card now."""
    users: set[int] = set()
    for card in portal.ledger()["cards"]:
        (users.add if card["action"] == "show" else users.discard)(card["USER_ID"])
    return users


def shown(portal: Portal, service: RunningService, *users: int, seconds: float = 5.0) -> None:
    """Wait until these have a card, and nobody else."""
    wait_until(lambda: on_screen(portal) == set(users), seconds, lambda: f"{on_screen(portal)}\n{service.log()}")


def stays(portal: Portal, *users: int, seconds: float = 0.6) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert on_screen(portal) == set(users)
        time.sleep(0.02)


def requests(portal: Portal) -> list[tuple[str, list[int]]]:
    """The requests about calls and cards with whom they name, in order; of a batch its commands' methods."""
    found = []
    for row in portal.ledger()["requests"]:
        method, parameters = row["method"].lower(), row["parameters"]
        if method.startswith("telephony.externalcall."):
            users = parameters.get("USER_ID")
            found.append((method.rpartition(".")[2], users if isinstance(users, list) else [users]))
        elif method == "batch":
            commands = [command.partition("?")[0].lower() for command in parameters["cmd"].values()]
            if all(command in (SHOW, HIDE) for command in commands):
                found.append(("+".join(command.rpartition(".")[2] for command in commands), []))
    return found


def in_real_time(service: RunningService) -> None:
    """Telephones that begin to ring within 0.3 s share a request: a fraction of that is little on a busy machine."""
    service.environment["BX24_TEST_TIME_SCALE"] = "1"


def set_cards(service: RunningService, when: str) -> None:
    service.yaml.write_text(service.yaml.read_text().replace("person: 102", f"person: 102, cards: {when}"))


def test_a_ring_group_of_three_is_one_request_and_its_answer_another(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    in_real_time(service)
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("103", "104", "105")
    shown(portal, service, 1103, 1104, 1105)
    asterisk.answers("104", "103", "105")
    shown(portal, service, 1104)
    assert requests(portal) == [("register", [1102]), ("show", [1103, 1104, 1105]), ("hide", [1103, 1105])]
    service.finish(UNIQUEID)
    asterisk.hangs_up("104")
    service.wait_for_calls()
    assert on_screen(portal) == set()


def test_who_is_hunted_one_after_another_has_the_card_for_as_long_as_it_rings(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    in_real_time(service)
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("103")
    shown(portal, service, 1103)
    asterisk.stops("103", status="NOANSWER")
    asterisk.rings("104")
    shown(portal, service, 1104)
    assert requests(portal)[1:] == [("show", [1103]), ("hide+show", [])]


def test_two_telephones_of_one_person_are_one_card_and_one_that_declines_changes_nothing(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    asterisk.database["DEVICE/99103/user"] = "103"
    in_real_time(service)
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("103", "99103")
    shown(portal, service, 1103)
    asterisk.stops("99103", status="BUSY")
    stays(portal, 1103)
    assert requests(portal)[1:] == [("show", [1103])]


def test_a_web_phone_that_asterisk_knows_nothing_of_is_its_extensions(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("99104")
    shown(portal, service, 1104)


def test_a_desk_belongs_to_who_is_logged_in_when_it_rings_also_in_the_end(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    asterisk.database.update({"DEVICE/109/user": "107", "DEVICE/108/user": "none"})
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("109", "108")  # nobody is logged in at the second
    shown(portal, service, 1107)
    asterisk.answers("109", "108")
    time.sleep(1.0)
    asterisk.database["DEVICE/109/user"] = "106"
    stays(portal, 1107)
    service.finish(UNIQUEID, variables={"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "1"})
    asterisk.hangs_up("109")
    (call,) = service.wait_for_calls()
    assert (call["STATUS_CODE"], call["finished_by"]) == ("200", 1107)


def test_who_is_logged_in_is_known_after_a_kill_too(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    asterisk.database["DEVICE/109/user"] = "107"
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("109")
    asterisk.answers("109")
    shown(portal, service, 1107)
    service.stop(9)
    asterisk.database.clear()
    asterisk.channels = []
    service.start()
    (call,) = service.wait_for_calls(seconds=20)
    assert (call["STATUS_CODE"], call["finished_by"]) == ("200", 1107)
    assert on_screen(portal) == set()


def test_a_mobile_that_rings_is_the_employees_whose_own_number_it_is_and_a_strangers_is_nobodys(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    came(service, asterisk)
    for number, place in (("89160000101", "5"), ("89160000999", "6")):
        mobile = [f"DestChannel: PJSIP/trunka-0000000{place}", f"DestUniqueid: 9.{place}", f"DestLinkedid: {UNIQUEID}"]
        asterisk.shows("DialBegin", *CALL, *mobile, f"DialString: {number}@trunka")
    shown(portal, service, 1101)
    stays(portal, 1101)


def test_whoever_the_portal_does_not_know_has_no_card_and_costs_no_request(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("777", "198")  # nobody, and one who was dismissed
    stays(portal)
    assert requests(portal) == [("register", [1102])]


def test_cards_on_answer_are_for_who_answers_alone(portal: Portal, service: RunningService, asterisk: Asterisk) -> None:
    set_cards(service, "answer")
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("103", "104")
    stays(portal)
    asterisk.answers("104", "103")
    shown(portal, service, 1104)
    assert requests(portal) == [("register", [1102]), ("show", [1104])]


def test_a_line_without_cards_has_none(portal: Portal, service: RunningService, asterisk: Asterisk) -> None:
    set_cards(service, "never")
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("103")
    asterisk.answers("103")
    stays(portal)
    assert requests(portal) == [("register", [1102])]


def test_who_phones_out_has_the_card_by_register_itself_until_he_hands_the_client_over(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    phoned_out(service, asterisk)
    stays(portal, 1101)
    assert requests(portal) == [("register", [1101])]
    other = telephone("103")
    for channel in (AGENT, TRUNK):
        asterisk.shows("BridgeLeave", *channel, "BridgeUniqueid: B1")
    asterisk.shows("Hangup", *AGENT, "Cause: 16")
    asterisk.shows("DialBegin", *TRUNK, *dest(other), "DialString: 103/sip:103@10.0.0.1:5060")
    shown(portal, service, 1103)
    asterisk.shows("DialEnd", *TRUNK, *dest(other), "DialStatus: ANSWER")
    for channel in (TRUNK, other):
        asterisk.shows("BridgeEnter", *channel, *BRIDGE)
    shown(portal, service, 1103)


def test_where_the_portal_does_not_know_who_phones_out_nobody_gets_the_card_in_his_place(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    agent = ["Channel: PJSIP/777-00000000", *AGENT[1:]]
    phoned_out(service, asterisk, "777", agent)
    stays(portal)


def test_a_transfer_takes_the_card_along(portal: Portal, service: RunningService, asterisk: Asterisk) -> None:
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("103")
    asterisk.answers("103")
    shown(portal, service, 1103)
    for channel in (CALL, telephone("103")):
        asterisk.shows("BridgeLeave", *channel, "BridgeUniqueid: B1")
    asterisk.shows("Hangup", *telephone("103"), "Cause: 16")
    asterisk.rings("104")
    shown(portal, service, 1104)
    asterisk.answers("104")
    stays(portal, 1104)


def test_who_leaves_the_client_to_music_loses_the_card_though_asterisk_says_nothing_more(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("103")
    asterisk.answers("103")
    shown(portal, service, 1103)
    for channel in (CALL, telephone("103")):
        asterisk.shows("BridgeLeave", *channel, "BridgeUniqueid: B1")
    shown(portal, service, seconds=4)


def test_cards_are_hidden_when_the_client_has_gone_though_the_hangup_handler_never_comes(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    in_real_time(service)
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("103", "104")
    shown(portal, service, 1103, 1104)
    asterisk.stops("103", "104")
    asterisk.shows("Hangup", *CALL, "Cause: 16")
    shown(portal, service, seconds=5)  # its finish would come after 15 s
    assert service.calls()[0]["state"] == "open"


def test_the_cards_of_a_call_that_is_registered_late_are_reckoned_when_it_is(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    service.write_yaml(portal.webhook_url, wait=0.3)
    watched(service, asterisk)
    asterisk.shows("Newchannel", *CALL)
    with portal.gate("telephony.externalCall.register"):
        assert service.register(UNIQUEID).variables["BX24_STATUS"] == "PENDING"
        asterisk.rings("103", "104")
        time.sleep(0.2)
        asterisk.stops("103")
        asterisk.rings("105")
        time.sleep(0.2)
    shown(portal, service, 1104, 1105, seconds=10)
    assert all(1103 not in users for _, users in requests(portal))


def queue(state: Path, calls: int) -> None:
    """A backlog: calls of hours ago that began and ended, nothing told."""
    first = datetime.now().astimezone() - timedelta(hours=5)
    with closing(Journal(state)) as journal:

        def write(journal: Journal, number: int) -> None:
            uniqueid, started = f"1.{number}", first + timedelta(seconds=10 * number)
            names = {"uniqueid": uniqueid, "linkedid": uniqueid, "external_id": f"pbx-test-{uniqueid}"}
            call = replace(SOME_CALL, **names, number=f"+7916{number:07}", started=started, entity=None)
            journal.begin(call, started.timestamp())
            journal.ended(Outcome(uniqueid, call.people, 0, "304", ""), started.timestamp())

        journal.as_one([lambda journal, number=number: write(journal, number) for number in range(calls)])


def test_a_card_does_not_wait_behind_a_backlog_that_the_portal_takes_long_for(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    queue(service.directory / "state", 100)
    in_real_time(service)
    portal.delay_seconds["batch"] = 3.0

    def batches() -> list[dict[str, Any]]:
        return [row for row in portal.ledger()["requests"] if row["method"] == "batch"]

    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("103", "104", "105")
    shown(portal, service, 1103, 1104, 1105)
    done = len(batches())
    wait_until(lambda: len(batches()) > done, 10, service.log)  # one has just come to the portal
    answered = time.monotonic()
    asterisk.answers("104", "103", "105")
    shown(portal, service, 1104)
    in_time(time.monotonic() - answered, 0.3)
    assert len(batches()[-1]["parameters"]["cmd"]) > 20
    assert batches()[-1]["answered"] is None


def test_a_portal_that_is_away_is_not_hammered_with_cards_and_shows_who_rings_when_it_is_back(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    came(service, asterisk)
    portal.stop()
    for _ in range(10):
        asterisk.rings("103")
        time.sleep(0.05)
        asterisk.stops("103")
    asterisk.rings("104")
    time.sleep(0.5)
    said = service.log().count("cards have to wait")
    assert 1 <= said <= 8
    portal.start()
    shown(portal, service, 1104, seconds=10)
    assert (1103, "show") not in [(card["USER_ID"], card["action"]) for card in portal.ledger()["cards"]]


@pytest.mark.parametrize("goes_on", [True, False], ids=["and the call goes on", "and the call ends meanwhile"])
def test_cards_that_were_shown_by_a_service_that_was_killed_are_hidden(
    portal: Portal, service: RunningService, asterisk: Asterisk, goes_on: bool
) -> None:
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("103", "104")
    shown(portal, service, 1103, 1104)
    service.stop(9)
    assert on_screen(portal) == {1103, 1104}
    if not goes_on:
        asterisk.channels = []
        service.start()
        (call,) = service.wait_for_calls(seconds=20)
        assert on_screen(portal) == set()
        return
    asterisk.channels = [[*channel, "BridgeId: B1"] for channel in (CALL, telephone("103"))]
    service.start()
    shown(portal, service, 1103, seconds=15)
    stays(portal, 1103)


def test_cards_of_telephones_that_stopped_to_ring_while_no_service_ran_are_hidden_though_the_call_goes_on(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("103", "104")
    shown(portal, service, 1103, 1104)
    service.stop(9)
    asterisk.channels = [CALL]  # it waits in a menu now
    service.start()
    shown(portal, service, seconds=15)
    assert service.calls()[0]["state"] == "open"


def test_a_card_that_may_have_been_shown_is_hidden_and_none_is_sent_twice(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    came(service, asterisk)

    def lose(_: object) -> Any:
        raise ConnectionResetError

    portal.scripted_replies.add("telephony.externalCall.show", lose)  # it is shown, and nobody hears of that
    asterisk.rings("103", "104")
    shown(portal, service, 1103, 1104)
    stays(portal, 1103, 1104)
    asterisk.answers("104", "103")
    shown(portal, service, 1104, seconds=15)
    assert [name for name, _ in requests(portal)].count("show") == 1


def fill_the_bucket(service: RunningService, most: int = 1000) -> None:
    """Take all the room that the portal's limits leave, as another process of this machine would."""
    budget = Budget(service.directory / "state" / BUDGET_FILE, PLANS["ordinary"])
    with suppress(PortalWaits):
        for _ in range(most):
            budget.admit(("profile",), Urgency.REGISTER, 0.0)


def test_where_there_is_no_room_a_card_is_dropped_rather_than_late_and_one_is_hidden_as_soon_as_there_is(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    service.write_yaml(portal.webhook_url, plan="ordinary")
    in_real_time(service)
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("103", "104")
    shown(portal, service, 1103, 1104)
    fill_the_bucket(service)
    asterisk.rings("105")
    wait_until(lambda: "cards have to wait" in service.log(), 5, service.log)
    asterisk.answers("104", "103", "105")
    shown(portal, service, 1104, seconds=15)
    assert requests(portal) == [("register", [1102]), ("show", [1103, 1104]), ("hide", [1103])]


def test_a_finish_does_not_wait_for_a_card_that_the_portal_does_not_answer(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    watched(service, asterisk)
    came(service, asterisk)
    with portal.gate(SHOW) as gate:
        asterisk.rings("103")
        gate.wait_for_arrival()
        began = time.monotonic()
        service.finish(UNIQUEID, variables={"DIALSTATUS": "NOANSWER"})
        asterisk.stops("103")
        asterisk.shows("Hangup", *CALL, "Cause: 16")
        service.wait_for_calls(seconds=5)  # a card has a second here, five in real life
        in_time(time.monotonic() - began, 3.0)
        gate.abort()


ANOTHER = "1790000130.88"
ANOTHER_CALL = [header.replace(UNIQUEID, ANOTHER).replace("trunka-00000000", "trunka-00000009") for header in CALL]


def another_came(service: RunningService, asterisk: Asterisk) -> None:
    """A second call beside the one of `came`."""
    asterisk.shows("Newchannel", *ANOTHER_CALL)
    service.register(ANOTHER, environment={"callerid": "+79160000003"})


def another_rings_104(asterisk: Asterisk) -> None:
    rung = ["DestChannel: PJSIP/104-00000007", "DestUniqueid: 9.7", f"DestLinkedid: {ANOTHER}"]
    asterisk.shows("DialBegin", *ANOTHER_CALL, *rung, "DialString: 104/sip:104@10.0.0.1:5060")


def test_cards_of_several_calls_that_are_due_together_are_one_request(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    in_real_time(service)
    watched(service, asterisk)
    came(service, asterisk)
    another_came(service, asterisk)
    with portal.gate(SHOW) as gate:  # while a card is being shown, those of both calls become due
        asterisk.rings("105")
        gate.wait_for_arrival()
        asterisk.rings("103")
        another_rings_104(asterisk)
        time.sleep(1.5)
    shown(portal, service, 1103, 1104, 1105)
    assert [name for name, _ in requests(portal)] == ["register", "register", "show", "show+show"]


def test_where_requests_are_scarce_the_cards_of_calls_that_ring_within_a_second_are_one_request(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    service.write_yaml(portal.webhook_url, plan="ordinary")
    in_real_time(service)
    watched(service, asterisk)
    came(service, asterisk)
    another_came(service, asterisk)
    fill_the_bucket(service, 30)
    asterisk.rings("103")
    time.sleep(0.5)  # longer than cards wait where there is room
    another_rings_104(asterisk)
    shown(portal, service, 1103, 1104)
    assert [name for name, _ in requests(portal)] == ["register", "register", "show+show"]


def test_no_card_is_owed_in_the_end_and_each_is_in_the_calls_story(
    portal: Portal, service: RunningService, asterisk: Asterisk
) -> None:
    in_real_time(service)
    watched(service, asterisk)
    came(service, asterisk)
    asterisk.rings("103", "104")
    shown(portal, service, 1103, 1104)
    asterisk.answers("104", "103")
    shown(portal, service, 1104)
    service.finish(UNIQUEID)
    asterisk.hangs_up("104")
    service.wait_until_all_is_told()
    service.stop()
    with read_only(service.directory / "state") as journal:
        lines = [(line.what, line.detail) for line in journal.story(UNIQUEID)]
    told = [(what, detail.partition(":")[0]) for what, detail in lines if what in ("show", "hide")]
    assert told == [("show", "user 1103, 1104"), ("hide", "user 1103")]
