"""Clicks and forms in a real service before a scripted Asterisk: what is ordered, and what the CRM is told."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from freepbx_bx24.sandbox.portal import Entity, Portal
from tests.support.ami_server import SECRET, USER, Action, AmiServer, Peer
from tests.support.application import let_in
from tests.support.events_service import EventsService
from tests.support.running_service import wait_until

NUMBER = "+79160000555"
PERSON = 1101
CLOSED = "clicks: {enabled: yes}\ncallbacks: {target: 600, hours: '%s 00:00-00:01'}\n"
SILENT = "nothing"


class Asterisk:
    """The manager interface that takes orders. :ivar reason: what becomes of each; SILENT: nothing is said of it."""

    def __init__(self) -> None:
        self.orders: list[dict[str, list[str]]] = []
        self.reason = "3"
        self.server = AmiServer(self._play)

    def _play(self, peer: Peer) -> None:
        peer.log_in()
        while True:
            action = read(peer)
            if action is None:
                return
            if action["Action"] == ["Originate"]:
                self.orders.append(action)
                exten, ours = action["Exten"][0], f"ActionID: {action['ActionID'][0]}"
                if self.reason == SILENT:
                    continue
                peer.say("Response: Success", ours, "Message: Originate successfully queued")
                became = ("Response: Failure", f"Exten: {exten}", f"Reason: {self.reason}")
                peer.say("Event: OriginateResponse", ours, *became)
            else:
                peer.answer(plain(action), "Ping: Pong")


def read(peer: Peer) -> dict[str, list[str]] | None:
    """One action with each header's values."""
    while b"\r\n\r\n" not in peer._rest:
        data = peer.connection.recv(65536)
        if not data:
            return None
        peer._rest += data
    text, _, peer._rest = peer._rest.partition(b"\r\n\r\n")
    found: dict[str, list[str]] = {}
    for line in text.decode().split("\r\n"):
        name, value = line.split(": ", 1)
        found.setdefault(name, []).append(value)
    return found


def plain(action: dict[str, list[str]]) -> Action:
    return {name: values[0] for name, values in action.items()}


@pytest.fixture
def asterisk() -> Iterator[Asterisk]:
    one = Asterisk()
    one.server.start()
    yield one
    one.server.stop()
    assert one.server.failures == []


@pytest.fixture
def service(portal: Portal, asterisk: Asterisk, tmp_path: Path) -> Iterator[EventsService]:
    one = EventsService(tmp_path / "s", portal)
    folder = one.directory
    (folder / "manager.conf").write_text(f"[general]\nenabled = yes\nport = {asterisk.server.port}\n")
    (folder / "manager_bx24_clicks.conf").write_text(f"[{USER}]\nsecret = {SECRET}\n")
    with one:
        yield one


def started(service: EventsService, portal: Portal) -> EventsService:
    service.start()
    wait_until(lambda: len(portal.ledger()["bindings"]) == 2, 20, service.log)
    return service


def finished(service: EventsService, portal: Portal, call_id: str) -> dict[str, Any]:
    def call() -> dict[str, Any]:
        return next(one for one in portal.ledger()["calls"] if one["CALL_ID"] == call_id)

    wait_until(lambda: call()["state"] == "finished", 20, service.log)
    return call()


def test_an_order_rings_the_persons_telephone_and_carries_the_portals_call(
    service: EventsService, portal: Portal, asterisk: Asterisk
) -> None:
    hostile = 'Anna"\r\nApplication: System, ${SHELL(x)};&'
    portal.world.entities.append(Entity("CONTACT", 9001, hostile, [NUMBER]))
    started(service, portal)
    call_id = portal.click(PERSON, "8 (916) 000-05-55")
    crm = finished(service, portal, call_id)
    (order,) = asterisk.orders
    uniqueid = order["Exten"][0]
    assert order["Channel"] == ["Local/101@bx24-click-person/n"]
    assert (order["Context"], order["Priority"], order["Async"]) == (["bx24-click"], ["1"], ["true"])
    assert (order["ChannelId"], order["OtherChannelId"]) == ([uniqueid], [f"{uniqueid}-2"])
    assert "Application" not in order
    assert sorted(order["Variable"]) == [
        "BX24_CLICK_EXTENSION=101",
        "BX24_CLICK_NAME=Anna Application System SHELL(x)",
        "BX24_CLICK_NUMBER=89160000555",
        f"BX24_CLICK_SHOWN={NUMBER}",
        f"__BX24_CALL_ID={call_id}",
    ]
    assert (crm["STATUS_CODE"], crm["CALL_DURATION"], crm["finished_by"]) == ("480", 0, PERSON)


@pytest.mark.parametrize(("reason", "code"), [("5", "486"), ("3", "480"), ("8", "480"), ("0", "480"), ("?", "480")])
def test_a_person_who_does_not_answer_ends_the_call_by_how_he_did_not(
    service: EventsService, portal: Portal, asterisk: Asterisk, reason: str, code: str
) -> None:
    asterisk.reason = reason
    started(service, portal)
    crm = finished(service, portal, portal.click(PERSON, NUMBER))
    assert (crm["STATUS_CODE"], crm["CALL_DURATION"]) == (code, 0)
    assert len(asterisk.orders) == 1


def test_without_an_asterisk_the_person_is_told_that_nothing_was_dialled(
    service: EventsService, portal: Portal, asterisk: Asterisk
) -> None:
    (service.directory / "manager_bx24_clicks.conf").unlink()
    started(service, portal)
    crm = finished(service, portal, portal.click(PERSON, NUMBER))
    assert (crm["STATUS_CODE"], crm["FAILED_REASON"]) == ("503", "the PBX could not be reached")
    wait_until(lambda: bool(portal.ledger()["notices"]), 20, service.log)
    assert "nothing can be dialled for the portal" in service.log()


def test_a_way_in_that_may_not_tell_people_anything_refuses_all_the_same(
    service: EventsService, portal: Portal, asterisk: Asterisk
) -> None:
    portal.application.scopes -= {"im"}
    let_in(portal, service.directory / "state")
    started(service, portal)
    crm = finished(service, portal, portal.click(PERSON, "*72"))
    assert (crm["STATUS_CODE"], asterisk.orders) == ("403", [])
    wait_until(lambda: "the person could not be told" in service.log(), 20, service.log)
    assert portal.ledger()["notices"] == []


def test_an_order_that_a_kill_met_is_not_given_again(
    service: EventsService, portal: Portal, asterisk: Asterisk
) -> None:
    asterisk.reason = SILENT
    started(service, portal)
    portal.click(PERSON, NUMBER)
    wait_until(lambda: len(asterisk.orders) == 1, 20, service.log)
    service.stop(signal.SIGKILL)
    asterisk.reason = "3"
    started(service, portal)
    crm = finished(service, portal, portal.click(PERSON + 1, "+79160000556"))
    assert crm["STATUS_CODE"] == "480"
    assert [order["Channel"][0] for order in asterisk.orders] == [
        "Local/101@bx24-click-person/n",
        "Local/102@bx24-click-person/n",
    ]


def test_a_hundred_forms_are_sixty_callbacks_and_outside_the_hours_none_is_dialled(
    service: EventsService, portal: Portal, asterisk: Asterisk
) -> None:
    another_day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[(time.localtime().tm_wday + 3) % 7]
    service.write(CLOSED % another_day)
    started(service, portal)
    for count in range(100):
        portal.callback(f"+7916{count:07d}")
    wait_until(lambda: service.log().count("not dialled for the portal: too many calls") == 40, 40, service.log)
    wait_until(lambda: portal.ledger()["offline_events"] == [], 20, service.log)
    assert (asterisk.orders, portal.ledger()["calls"]) == ([], [])


def test_off_by_default_nothing_is_bound_dialled_or_connected(
    service: EventsService, portal: Portal, asterisk: Asterisk
) -> None:
    service.write("")
    service.start()
    wait_until(lambda: "people" in service.log(), 20, service.log)  # long after everything has begun
    assert (portal.ledger()["bindings"], asterisk.server.connections) == ([], [])
