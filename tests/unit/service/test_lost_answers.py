"""The portal has done what it was asked for and nobody hears of it: whatever was asked, each call is there once."""

from __future__ import annotations

import time
from typing import Any, Callable

import pytest

from freepbx_bx24.sandbox.portal import Portal, Reply
from freepbx_bx24.sandbox.portal.faults import cut_body
from tests.support.running_service import RunningService, asked, wait_until

pytestmark = pytest.mark.endurance

REGISTER = "telephony.externalcall.register"
HIDE = "telephony.externalcall.hide"
FINISH = "telephony.externalcall.finish"
LOOK_UP = "voximplant.statistic.get"
# Somebody else talks than the person whom it was registered for: a hide goes with the finish.
BY_ANOTHER = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "35", "DIALEDPEERNUMBER": "101/sip:101@127.0.0.1"}
CALLS = 6


def dropped(_: Reply) -> Reply:
    raise ConnectionResetError


def page_of_a_proxy(_: Reply) -> Reply:
    return Reply(502, b"<html><h1>502 Bad Gateway</h1></html>", {"Content-Type": "text/html"})


def silence(_: Reply) -> Reply:
    time.sleep(3.8)  # longer than a request may take here, alone or in a batch
    raise ConnectionResetError


LOST: dict[str, Callable[[Reply], Reply]] = {
    "dropped": dropped,
    "cut": cut_body,
    "502": page_of_a_proxy,
    "silence": silence,
}


def uniqueids(number: int) -> list[str]:
    began = int(time.time()) - 40
    return [f"{began}.{place}" for place in range(number)]


def caller(place: int) -> dict[str, str]:
    return {"callerid": f"+7916000{place:04}"}


def end(service: RunningService, place: int, uniqueid: str, variables: dict[str, str]) -> None:
    service.finish(uniqueid, variables={**variables, **BY_ANOTHER}, environment=caller(place))


def told_once(service: RunningService, calls: list[str]) -> None:
    """Each of them is in the CRM once, with who talked; no card is left on a screen, no client was made twice."""
    service.wait_until_all_is_told()
    ledger: dict[str, Any] = service.portal.ledger()
    assert sorted(call["EXTERNAL_CALL_ID"] for call in ledger["calls"]) == [f"pbx-test-{one}" for one in calls]
    shown = {(call["state"], call["finished_by"], call["CALL_DURATION"]) for call in ledger["calls"]}
    assert shown == {("finished", 1101, 35)}
    cards = {(card["CALL_ID"], card["USER_ID"]): card["action"] for card in ledger["cards"]}
    assert set(cards.values()) <= {"hide"}
    made = [phone for entity in ledger["entities"] if entity["CREATED_BY_CALL"] for phone in entity["PHONES"]]
    assert sorted(made) == sorted({call["PHONE_NUMBER"] for call in ledger["calls"]})


@pytest.fixture
def ready(service: RunningService) -> RunningService:
    service.start()
    wait_until((service.directory / "state" / "directory.json").exists, 20, service.log)
    return service


@pytest.mark.parametrize("way", LOST)
@pytest.mark.parametrize("method", [REGISTER, HIDE, FINISH, "batch"])
def test_alone(portal: Portal, ready: RunningService, method: str, way: str) -> None:
    portal.scripted_replies.add(method, LOST[way])
    (call,) = uniqueids(1)
    variables = ready.register(call, environment=caller(0)).variables
    assert variables["BX24_STATUS"] == ("PENDING" if method == REGISTER else "REGISTERED")
    end(ready, 0, call, variables)
    told_once(ready, [call])
    assert method != "batch" or asked(portal).count(LOOK_UP) == 1


@pytest.mark.parametrize("way", LOST)
@pytest.mark.parametrize("method", [REGISTER, HIDE, FINISH, "batch"])
def test_in_a_batch_of_many(portal: Portal, ready: RunningService, method: str, way: str) -> None:
    """The one in the middle breaks the answer: what stands before it is done, what stands after it is not."""
    calls = uniqueids(CALLS)
    portal.stop()
    for place, call in enumerate(calls):
        end(ready, place, call, ready.register(call, environment=caller(place)).variables)
    before = [] if method == "batch" else [lambda reply: reply] * (CALLS // 2)
    for script in (*before, LOST[way]):
        portal.scripted_replies.add(method, script)
    portal.start()
    told_once(ready, calls)
    # How many are due in the moment when the portal is back is chance; that several go together is not.
    assert max(len(one["parameters"].get("cmd", ())) for one in portal.ledger()["requests"]) >= 2


@pytest.mark.parametrize("way", LOST)
@pytest.mark.parametrize("method", [REGISTER, HIDE, FINISH])
def test_without_the_service(portal: Portal, ready: RunningService, method: str, way: str) -> None:
    ready.stop()
    portal.scripted_replies.add(method, LOST[way])
    (call,) = uniqueids(1)
    variables = ready.register(call, environment=caller(0)).variables
    end(ready, 0, call, variables)
    ready.start()
    told_once(ready, [call])


@pytest.mark.parametrize("way", LOST)
def test_without_the_right_to_see_statistics(portal: Portal, ready: RunningService, way: str) -> None:
    portal.world.employees[0].may_view_statistics = False
    portal.scripted_replies.add("batch", LOST[way])
    (call,) = uniqueids(1)
    variables = ready.register(call, environment=caller(0)).variables
    end(ready, 0, call, variables)
    told_once(ready, [call])
