"""The portal's events come in by questions of ours: each is handed over, none is lost, calls go first."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Iterator

import pytest

from freepbx_bx24.bitrix24.budget import PLANS, Budget, Urgency
from freepbx_bx24.bitrix24.events import CALLBACK, CLICK, PortalEvent, event
from freepbx_bx24.errors import JournalError, PortalWaits
from freepbx_bx24.sandbox.portal import Portal, Reply
from freepbx_bx24.service import event_lane
from freepbx_bx24.service.event_lane import poll_seconds
from freepbx_bx24.settings import load
from tests.support.events_service import ON, EventsService, Lane
from tests.support.running_service import RunningService, asked, wait_until

PHONE = "+79160000555"
OFFLINE_BOTH = [{"event": CLICK, "offline": True}, {"event": CALLBACK, "offline": True}]


def bound(portal: Portal) -> list[dict[str, object]]:
    found: list[dict[str, object]] = portal.ledger()["bindings"]
    return sorted(found, key=lambda row: str(row["event"]), reverse=True)


def queue(portal: Portal) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = portal.ledger()["offline_events"]
    return rows


# -- the service -----------------------------------------------------------------------------------------------------


@pytest.fixture
def service(portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventsService]:
    with EventsService(tmp_path_factory.mktemp("s"), portal) as one:
        yield one


def test_clicks_and_forms_are_bound_at_the_start_and_handed_over_once(service: EventsService, portal: Portal) -> None:
    service.start_noting()
    wait_until(lambda: bound(portal) == OFFLINE_BOTH, 20, service.log)
    call_id = portal.click(1101, PHONE)
    portal.callback(PHONE, text="Call me")
    first, second = service.wait_for_events(2)
    assert (first["name"], first["data"]["CALL_ID"]) == (CLICK, call_id)
    assert (second["name"], second["data"]["TEXT"]) == (CALLBACK, "Call me")
    wait_until(lambda: queue(portal) == [], 20, service.log)
    assert len(service.events()) == 2


def test_an_event_is_not_lost_where_the_service_is_killed_before_it_is_handed_over(
    service: EventsService, portal: Portal
) -> None:
    (service.directory / "kill-before").touch()
    service.start_noting()
    wait_until(lambda: bound(portal) == OFFLINE_BOTH, 20, service.log)
    call_id = portal.click(1101, PHONE)
    wait_until(lambda: service.dead, 20, service.log)
    assert service.events() == []
    assert [row["reserved"] for row in queue(portal)] == [True]
    service.start_noting()
    (only,) = service.wait_for_events()
    assert only["data"]["CALL_ID"] == call_id
    wait_until(lambda: queue(portal) == [], 20, service.log)


def test_an_event_comes_again_as_the_same_where_the_service_is_killed_after_it(
    service: EventsService, portal: Portal
) -> None:
    (service.directory / "kill-after").touch()
    service.start_noting()
    wait_until(lambda: bound(portal) == OFFLINE_BOTH, 20, service.log)
    portal.click(1101, PHONE)
    wait_until(lambda: service.dead, 20, service.log)
    service.start_noting()
    first, second = service.wait_for_events(2)
    assert first == second


def test_a_service_with_a_webhook_says_once_what_clicks_need(
    portal: Portal, tmp_path_factory: pytest.TempPathFactory
) -> None:
    service = RunningService(tmp_path_factory.mktemp("s"), portal)
    service.yaml.write_text(service.yaml.read_text() + ON)
    service.start()
    try:
        wait_until(lambda: "clicks and callbacks are on, but the way in is a webhook" in service.log(), 20, service.log)
        assert not [method for method in asked(portal) if method.startswith("event.")]
    finally:
        service.stop()


# -- the lane --------------------------------------------------------------------------------------------------------


@pytest.fixture
def lane(portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lane]:
    one = Lane(portal, tmp_path, monkeypatch, plan="ordinary")
    yield one
    one.stop()


def test_nothing_is_asked_while_clicks_and_callbacks_are_off(lane: Lane, portal: Portal) -> None:
    lane.write("")
    lane.runtime.use(load())
    assert lane.lane.step() == event_lane.FOREVER_SECONDS
    assert asked(portal) == []


def test_only_what_is_on_is_bound(lane: Lane, portal: Portal) -> None:
    lane.lane.step()
    assert bound(portal) == OFFLINE_BOTH
    lane.write("callbacks: {target: 600}")
    lane.runtime.use(load())
    lane.lane.step()
    assert bound(portal) == OFFLINE_BOTH[1:]


def test_a_question_waits_while_calls_need_the_portals_requests(lane: Lane, portal: Portal) -> None:
    lane.lane.step()
    another_process = Budget(lane.runtime.state / "budget", PLANS["ordinary"])
    with contextlib.suppress(PortalWaits):
        while True:
            another_process.admit(["telephony.externalCall.register"], Urgency.REGISTER, 0)
    before = lane.polls()
    assert lane.lane.turn() >= 1.0
    assert lane.polls() == before
    assert lane.runtime.client.half_full


def test_nobody_asks_while_the_portal_is_down(lane: Lane, portal: Portal) -> None:
    lane.lane.step()
    lane.runtime.portal_down = True
    before = lane.polls()
    lane.lane.turn()
    assert lane.polls() == before


def test_a_portal_that_is_away_is_asked_less_and_less(lane: Lane, portal: Portal) -> None:
    portal.stop()
    pauses = [lane.lane.turn() for _ in range(5)]
    assert pauses[-1] > 4 * pauses[0]


def test_a_lost_answer_costs_no_event(lane: Lane, portal: Portal) -> None:
    lane.lane.turn()

    def lose(_: Reply) -> Reply:
        raise ConnectionResetError

    portal.scripted_replies.add("event.offline.get", lose)
    call_id = portal.click(1101, PHONE)
    lane.lane.turn()
    assert lane.events == []
    lane.lane.turn()
    lane.lane.turn()
    assert [one.data["CALL_ID"] for one in lane.events] == [call_id]
    assert queue(portal) == []


def test_reserved_events_are_found_behind_any_number_that_nobody_has_read(lane: Lane, portal: Portal) -> None:
    lane.lane.turn()
    for user_id in range(1101, 1161):
        portal.click(user_id, PHONE)
    last = {"clear": 0, "limit": 3, "order": {"ID": "DESC"}}
    lane.runtime.client.call("event.offline.get", last, total_seconds=5)  # and then it was killed
    lane.lane._begin(lane.runtime.settings)
    wait_until(lambda: lane.lane.turn() >= 0 and queue(portal) == [], 20)
    assert sorted(int(one.data["USER_ID"]) for one in lane.events) == list(range(1101, 1161))
    assert [one.data["USER_ID"] for one in lane.events[:3]] == ["1158", "1159", "1160"]


def test_an_event_that_can_not_be_kept_comes_again(lane: Lane, portal: Portal) -> None:
    lane.lane.turn()
    portal.click(1101, PHONE)

    def full(_: PortalEvent) -> None:
        raise JournalError("the disk is full")

    lane.runtime.portal_event = full
    lane.lane.turn()
    assert [row["reserved"] for row in queue(portal)] == [True]
    lane.runtime.portal_event = lane.events.append
    lane.lane.turn()
    lane.lane.turn()
    assert (len(lane.events), queue(portal)) == (1, [])


def test_a_plan_without_reserving_is_good_enough(lane: Lane, portal: Portal) -> None:
    portal.switches.offline_extended = False
    lane.lane.turn()
    portal.click(1101, PHONE)
    lane.lane.turn()
    lane.lane.turn()
    assert (len(lane.events), queue(portal)) == (1, [])


@pytest.mark.parametrize("reserves", [True, False])
def test_events_after_one_that_can_not_be_kept_are_not_lost_either(lane: Lane, portal: Portal, reserves: bool) -> None:
    portal.switches.offline_extended = reserves
    lane.lane.turn()
    lane.lane.turn()
    for user_id in (1101, 1102, 1103):
        portal.click(user_id, PHONE)

    def full_disk_at_the_second(one: PortalEvent) -> None:
        if one.data["USER_ID"] == "1102":
            raise JournalError("the disk is full")
        lane.events.append(one)

    lane.runtime.portal_event = full_disk_at_the_second
    lane.lane.turn()
    lane.lane.turn()
    assert [one.data["USER_ID"] for one in lane.events] == ["1101"]
    lane.runtime.portal_event = lane.events.append
    lane.lane.turn()
    assert [one.data["USER_ID"] for one in lane.events] == ["1101", "1102", "1103"]
    wait_until(lambda: lane.lane.turn() >= 0 and queue(portal) == [], 20)


def test_what_was_not_asked_for_is_dropped(lane: Lane, portal: Portal) -> None:
    lane.lane.turn()
    portal.callback(PHONE)
    lane.write("clicks: {enabled: yes}")
    lane.runtime.use(load())
    lane.lane.turn()
    lane.lane.turn()
    assert (lane.events, queue(portal)) == ([], [])


def test_an_event_that_nobody_can_work_on_does_not_come_again(lane: Lane, portal: Portal) -> None:
    lane.lane.turn()
    portal.click(1101, PHONE)

    def broken(_: PortalEvent) -> None:
        raise RuntimeError

    lane.runtime.portal_event = broken
    lane.lane.turn()
    lane.lane.turn()
    assert queue(portal) == []


@pytest.mark.parametrize("later, times", [(0.0, 1), (5.0, 1), (6.0, 2), (-5.0, 1)])
def test_the_same_event_within_five_seconds_is_one_whichever_way_it_came(lane: Lane, later: float, times: int) -> None:
    for moment in (1000.0, 1000.0 + later):
        one = event(CALLBACK, {"PHONE_NUMBER": PHONE}, moment)
        assert one
        lane.lane.intake.take(one)
    assert len(lane.events) == times


@pytest.mark.parametrize(
    "day, since_event, short, seconds",
    [
        ("Mon 2026-09-21 09:00", 9999.0, False, 1.0),
        ("Sat 2026-09-26 19:59", 9999.0, False, 1.0),
        ("Mon 2026-09-21 20:00", 9999.0, False, 5.0),
        ("Sun 2026-09-27 12:00", 9999.0, False, 5.0),
        ("Sun 2026-09-27 12:00", 10.0, False, 1.0),
        ("Mon 2026-09-21 09:00", 10.0, True, 3.0),
    ],
)
def test_the_portal_is_asked_as_often_as_somebody_is_likely_to_click(
    day: str, since_event: float, short: bool, seconds: float
) -> None:
    assert poll_seconds(time.strptime(day, "%a %Y-%m-%d %H:%M"), since_event, short) == seconds
