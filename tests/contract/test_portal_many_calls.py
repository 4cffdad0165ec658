"""A portal with thousands of calls, clients and people: it finds them as fast as the first, and finds the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from portal_client import Client

from freepbx_bx24.sandbox.portal import Employee, Entity, Portal
from freepbx_bx24.sandbox.portal.auth import Presented
from freepbx_bx24.sandbox.portal.pipeline import answer
from freepbx_bx24.sandbox.portal.transport import RestCall

STATISTICS = "voximplant.statistic.get"


class Direct:
    """Calls methods without HTTP, so that what is measured is the look-ups."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.known = 0

    def __call__(self, method: str, **parameters: Any) -> Any:
        call = RestCall(method.lower(), parameters, Presented(token=self.portal.access_token), "http://127.0.0.1/")
        reply = answer(call, self.portal.context(call), self.portal.now())
        assert reply.status == 200, reply.body
        return reply.body["result"]

    def calls(self, count: int) -> float:
        """Seconds that `count` whole calls of new clients take, every tenth of them left open."""
        began = time.process_time()
        for number in range(self.known, self.known + count):
            phone = f"+7917{number:07d}"  # nobody of the portal has such a number
            given = {
                "USER_ID": 1101,
                "PHONE_NUMBER": phone,
                "TYPE": 2,
                "CRM_CREATE": 1,
                "EXTERNAL_CALL_ID": f"x{number}",
            }
            call_id = self("telephony.externalCall.register", **given)["CALL_ID"]
            assert self("telephony.externalCall.register", **given)["CALL_ID"] == call_id
            assert self("telephony.externalCall.show", CALL_ID=call_id)
            if number % 10 == 0:
                continue
            self("telephony.externalCall.finish", CALL_ID=call_id, USER_ID=1101)
            self("telephony.externalCall.attachRecord", CALL_ID=call_id, FILENAME=f"{number}.mp3", FILE_CONTENT="SUQz")
            assert self(STATISTICS, FILTER={"CALL_ID": call_id})[0]["EXTERNAL_CALL_ID"] == f"x{number}"
            assert self("telephony.externalCall.searchCrmEntities", PHONE_NUMBER=phone)[0]["CRM_ENTITY_TYPE"] == "LEAD"
        self.known += count
        return time.process_time() - began


def test_the_six_thousandth_call_costs_no_more_than_the_first() -> None:
    direct = Direct(Portal())
    first = min(direct.calls(100) for _ in range(5))
    direct.calls(5500)
    assert min(direct.calls(100) for _ in range(5)) < 3 * first


def test_a_page_of_people_is_quick_among_twenty_thousand(portal: Portal) -> None:
    portal.world.employees += [Employee(10_000 + number, "N", extension=str(number)) for number in range(20_000)]
    direct = Direct(portal)
    began = time.process_time()
    for start in range(0, 1000, 50):
        assert len(direct("user.get", FILTER={"ACTIVE": True, "USER_TYPE": "employee"}, start=start)) == 50
    assert time.process_time() - began < 2


# -- the index says what a walk through all would ------------------------------------------------------------------


@pytest.fixture
def five_calls(client: Client) -> Iterator[dict[str, str]]:
    """EXTERNAL_CALL_ID -> CALL_ID; "open" is not finished, two share the id "twice"."""
    found = {}
    for name in ("one", "twice", "twice", None):
        found[str(name)] = client.finished_call(EXTERNAL_CALL_ID=name, PHONE_NUMBER="+79160000001")
    found["open"] = client.register(EXTERNAL_CALL_ID="open")["CALL_ID"]
    yield found


@pytest.mark.parametrize(
    "filters, expected",
    [
        ({"CALL_ID": ["one", "None", "one", "nonsense"]}, ["one", None]),
        ({"=CALL_ID": "one"}, ["one"]),
        ({"CALL_ID": "open"}, []),
        ({"EXTERNAL_CALL_ID": "twice"}, ["twice", "twice"]),
        ({"EXTERNAL_CALL_ID": ["twice", "one"]}, ["one", "twice", "twice"]),
        ({"EXTERNAL_CALL_ID": ""}, [None]),
        ({"EXTERNAL_CALL_ID": ["", "one"]}, ["one", None]),
        ({"CALL_ID": []}, []),
        ({"CALL_ID": ["one", "twice"], "EXTERNAL_CALL_ID": "one"}, ["one"]),
        ({"CALL_ID": "one", ">CALL_DURATION": 10}, []),
        ({"!CALL_ID": "one"}, ["twice", "twice", None]),
    ],
)
def test_statistics_by_id_are_those_of_the_filter(
    client: Client, five_calls: dict[str, str], filters: dict[str, Any], expected: list[str | None]
) -> None:
    def real(value: Any) -> Any:
        return [real(item) for item in value] if isinstance(value, list) else five_calls.get(value, value)

    asked = {key: real(value) if key.strip("=!") == "CALL_ID" else value for key, value in filters.items()}
    assert [row["EXTERNAL_CALL_ID"] for row in client.result(STATISTICS, FILTER=asked)] == expected


def found_in(portal: Portal, phone: str) -> list[int]:
    return [entity.entity_id for entity in portal.world.with_phone("CONTACT", phone)]


def test_clients_that_a_test_adds_replaces_or_takes_away_are_found_so(portal: Portal) -> None:
    world = portal.world
    assert found_in(portal, "8 (495) 123-45-67") == [42]
    world.entities.append(Entity("CONTACT", 41, "Earlier", ["+74951234567"]))
    assert found_in(portal, "+74951234567") == [41, 42]
    del world.entities[0]
    assert found_in(portal, "+74951234567") == [41]
    world.entities[-1] = Entity("CONTACT", 50, "Other", ["+74951234567", "84951234567"])
    assert found_in(portal, "+74951234567") == [50]
    world.entities = [Entity("CONTACT", 60, "Alone", ["1"])]
    assert (found_in(portal, "+74951234567"), found_in(portal, "1")) == ([], [60])
    assert world.entity("CONTACT", 50) is None
    assert world.create("CONTACT", "Next", "2").entity_id == 61
    world.entities.clear()
    assert found_in(portal, "1") == found_in(portal, "") == []


def test_a_changed_number_is_found_once_the_world_is_read_again(portal: Portal) -> None:
    assert found_in(portal, "+74951234567") == [42]
    portal.world.entities[0].phones = ["+79990000000"]
    portal.world.reindex()
    assert (found_in(portal, "+74951234567"), found_in(portal, "+79990000000")) == ([], [42])


def test_a_reset_forgets_calls_and_clients_in_every_index(portal: Portal, client: Client) -> None:
    call_id = client.finished_call(EXTERNAL_CALL_ID="a", CRM_CREATE=1)
    open_id = client.register(EXTERNAL_CALL_ID="b")["CALL_ID"]
    portal.reset()
    assert client.result("telephony.externalCall.show", CALL_ID=open_id) is False
    assert client.refusal("telephony.externalCall.finish", CALL_ID=call_id, USER_ID=1).status == 400
    assert client.result(STATISTICS, FILTER={"EXTERNAL_CALL_ID": "a"}) == []
    assert client.result("telephony.externalCall.searchCrmEntities", PHONE_NUMBER="+79160000555") == []
    assert client.register(EXTERNAL_CALL_ID="b")["CALL_ID"] != open_id
