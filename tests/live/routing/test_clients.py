"""Real calls whose client the CRM knows: the name on the phone, the manager first, or the route at once."""

from __future__ import annotations

import contextlib
import itertools
import time
from typing import Any, Iterator, Sequence

import pytest

from freepbx_bx24.sandbox.pbx.calls import Call
from freepbx_bx24.sandbox.pbx.phones import Trunk
from freepbx_bx24.sandbox.pbx.record import CallRecord, answer, busy, ring
from freepbx_bx24.sandbox.portal import Entity
from tests.live.world import World, wait_quiet
from tests.support.running_service import wait_until

from .conftest import SECONDS

MANAGER, ROUTE = "151", "152"
REGISTER = "telephony.externalCall.register"
SEARCH = "telephony.externalCall.searchCrmEntities"
PJSIP = "/etc/asterisk/pjsip.conf"
HOSTILE = (
    '"\nEXEC System "touch /tmp/pwned"',
    "${SHELL(touch /tmp/pwned)}",
    'Anna\\";,${EXTEN}&Local/s@hostile-name|<1>',
)

ids = itertools.count(5000)


@pytest.fixture(autouse=True)
def quiet(routing: World) -> Iterator[None]:
    """Each test begins with everybody's phone free and as it was."""
    wait_quiet(routing)
    routing.portal.delay_seconds.clear()
    for extension in range(151, 160):
        routing.pbx.phone(extension).behaviour = answer(0.3)
    yield
    for call in [*routing.pbx.trunk.calls, *(call for phone in routing.pbx.phones for call in phone.calls)]:
        if not call.record.ended_how:
            call.hang_up()


def client(world: World, manager: str = MANAGER, name: str = "Анна Петрова") -> str:
    """A client of the CRM whom this extension's person looks after; returns the number."""
    number = world.new_number()
    world.portal.world.entities.append(Entity("CONTACT", next(ids), name, [number], assigned_by_id=int(manager) + 1000))
    return number


def calls(world: World, number: str, talk: float | None = None) -> Call:
    """The client calls; the route leads to ROUTE."""
    return world.pbx.trunk.call(f"74957770{ROUTE}", number, talk=talk)


def offered(world: World, extension: str, number: str) -> list[CallRecord]:
    """The calls of a client that a phone was offered."""
    records = world.pbx.phone(extension).records
    return [one for one in records if not one.placed and one.from_user.lstrip("+") == number.lstrip("+")]


def reaches(world: World, extension: str, number: str, seconds: float = 15.0) -> CallRecord:
    """Until a phone is offered the client's call."""
    wait_until(lambda: bool(offered(world, extension, number)), seconds, world.explain)
    return offered(world, extension, number)[0]


def after(record: CallRecord, call: Call) -> float:
    """How long after the caller's INVITE a phone got its own."""
    assert record.started and call.record.started
    return record.started.monotonic - call.record.started.monotonic


def asked_of(world: World, number: str) -> list[dict[str, Any]]:
    """Every request to the portal that names a number."""
    return [one for one in world.portal.ledger()["requests"] if number.lstrip("+") in str(one["parameters"])]


def test_the_manager_is_rung_first_sees_the_name_and_talks_on_when_the_seconds_are_over(routing: World) -> None:
    routing.pbx.phone(MANAGER).behaviour = answer(SECONDS - 1.5)
    number = client(routing)
    call = calls(routing, number, talk=SECONDS + 1.5)
    record = call.wait()
    assert record.talk_seconds > SECONDS + 1, routing.explain()
    (rung,) = offered(routing, MANAGER, number)
    assert rung.from_name == "Анна Петрова"
    assert offered(routing, ROUTE, number) == []
    crm = routing.finished(number)
    assert (crm["finished_by"], crm["STATUS_CODE"]) == (int(MANAGER) + 1000, "200")
    assert abs(crm["CALL_DURATION"] - record.talk_seconds) <= 1.5


def test_when_the_manager_hangs_up_the_caller_does_not_go_on_to_the_route(routing: World) -> None:
    routing.pbx.phone(MANAGER).behaviour = answer(0.3, talk=1.0)
    number = client(routing)
    record = calls(routing, number).wait()
    assert record.ended_by == "them" and 0.5 < record.talk_seconds < 2.5
    assert offered(routing, ROUTE, number) == []
    assert routing.finished(number)["finished_by"] == int(MANAGER) + 1000


def test_a_manager_who_does_not_answer_is_rung_for_his_seconds_and_then_the_route(routing: World) -> None:
    routing.pbx.phone(MANAGER).behaviour = ring()
    number = client(routing)
    call = calls(routing, number, talk=1.0)
    call.wait()
    (rung,) = offered(routing, MANAGER, number)
    (next_one,) = offered(routing, ROUTE, number)
    assert rung.started and next_one.started
    assert SECONDS - 0.5 < next_one.started.monotonic - rung.started.monotonic < SECONDS + 2
    assert next_one.from_name == "Анна Петрова"
    assert routing.finished(number)["finished_by"] == int(ROUTE) + 1000


def test_a_caller_who_gives_up_while_the_manager_is_rung_is_a_missed_call(routing: World) -> None:
    routing.pbx.phone(MANAGER).behaviour = ring()
    number = client(routing)
    call = calls(routing, number)
    reaches(routing, MANAGER, number)
    call.hang_up()
    call.wait()
    assert offered(routing, ROUTE, number) == []
    assert routing.finished(number)["STATUS_CODE"] == "304"


@contextlib.contextmanager
def one_of_each(world: World) -> Iterator[Sequence[str]]:
    """Extensions of people who can't be rung: gone home, do not disturb, talking, phone off, phone that refuses."""
    closed, quiet_one, talking, off, refuses = "153", "154", "155", "157", "159"
    person = next(one for one in world.portal.world.employees if one.extension == closed)
    rx = world.pbx.asterisk.rx
    path = world.pbx.root.outside(PJSIP)
    kept = path.read_text(encoding="utf-8")
    other = world.pbx.trunk.call(f"74957770{talking}", world.new_number())
    other.wait_answered()
    person.timeman = "CLOSED"
    rx(f"database put DND {quiet_one} YES")
    contact = next(line for line in kept.splitlines() if line.startswith(f"contact=sip:{off}@"))
    path.write_text(kept.replace(contact + "\n", "max_contacts=1\n"), encoding="utf-8")
    rx("module reload res_pjsip.so")
    world.pbx.phone(refuses).behaviour = busy()
    try:
        yield closed, quiet_one, talking, off, refuses
    finally:
        person.timeman = "OPENED"
        rx(f"database del DND {quiet_one}")
        path.write_text(kept, encoding="utf-8")
        rx("module reload res_pjsip.so")
        other.hang_up()


def test_where_the_manager_can_not_be_rung_the_route_is_taken_at_once(routing: World) -> None:
    with one_of_each(routing) as managers:
        numbers = {manager: client(routing, manager) for manager in managers}
        placed = {manager: calls(routing, number, talk=1.0) for manager, number in numbers.items()}
        for call in placed.values():
            call.wait()
    for manager, number in numbers.items():
        record = reaches(routing, ROUTE, number)
        assert after(record, placed[manager]) < SECONDS, (manager, routing.explain())
        assert record.from_name == "Анна Петрова"
        rung = offered(routing, manager, number)
        assert [one.final_status for one in rung] == ([486] if manager == "159" else []), manager
        assert routing.finished(number)["finished_by"] == int(ROUTE) + 1000


def test_clients_of_nobody_and_strangers_take_the_route_at_once(routing: World) -> None:
    without_manager = client(routing, "-1000")
    stranger = routing.new_number()
    placed = [calls(routing, number, talk=0.5) for number in (without_manager, stranger)]
    for number, call in zip((without_manager, stranger), placed):
        call.wait()
        assert after(reaches(routing, ROUTE, number), call) < SECONDS
    assert offered(routing, ROUTE, without_manager)[0].from_name == "Анна Петрова"
    assert offered(routing, ROUTE, stranger)[0].from_name != "Анна Петрова"


def test_a_portal_that_is_slow_leaves_the_call_its_usual_way(routing: World) -> None:
    routing.portal.delay_seconds.update({REGISTER.lower(): 6.0, SEARCH.lower(): 6.0})
    number = client(routing)
    call = calls(routing, number, talk=0.5)
    call.wait()
    record = reaches(routing, ROUTE, number)
    assert 0.9 < after(record, call) < 3.0  # the service of the tests is hurried: it gives a request up after 1 s
    assert offered(routing, MANAGER, number) == []
    routing.portal.delay_seconds.clear()
    assert routing.finished(number, 40)["STATUS_CODE"] == "200"


def test_a_search_that_is_slow_costs_half_a_second_and_the_name(routing: World) -> None:
    routing.portal.delay_seconds[SEARCH.lower()] = 4.0
    number = client(routing)
    call = calls(routing, number, talk=0.5)
    call.wait()
    assert after(reaches(routing, ROUTE, number), call) < 2.0
    assert offered(routing, MANAGER, number) == []
    assert routing.finished(number)["STATUS_CODE"] == "200"


def test_a_name_that_is_a_command_changes_nothing_but_the_display(routing: World) -> None:
    numbers = [client(routing, name=name) for name in HOSTILE]
    for call in [calls(routing, number, talk=0.7) for number in numbers]:
        assert call.wait().talk_seconds > 0.3, routing.explain()
    shown = [reaches(routing, MANAGER, number).from_name for number in numbers]
    assert shown == ["EXEC System touch /tmp/pwned", "SHELL(touch /tmp/pwned)", "Anna EXTEN Local/s@hostile-name 1"]
    assert routing.pbx.root.run(["test", "-e", "/tmp/pwned"], check=False).returncode == 1
    for number in numbers:
        assert routing.finished(number)["STATUS_CODE"] == "200"


# -- calls that are none of the CRM's ------------------------------------------------------------------------------


def test_a_caller_on_the_blacklist_is_nobodys_client(routing: World) -> None:
    number = client(routing)
    routing.pbx.asterisk.rx(f"database put blacklist {number} 1")
    calls(routing, number).wait()
    time.sleep(1.0)
    assert offered(routing, MANAGER, number) == []
    assert (routing.crm_calls(number), asked_of(routing, number)) == ([], [])


def test_a_guest_from_the_open_internet_is_nobodys_client(routing: World) -> None:
    path = routing.pbx.root.outside(PJSIP)
    kept = path.read_text(encoding="utf-8")
    guest = Trunk("guest", "127.0.0.9", lambda: ("127.0.0.1", routing.pbx.sip_port))
    guest.agent.start()
    number = client(routing)
    try:
        path.write_text(kept + "\n[anonymous](sandbox-trunk)\n", encoding="utf-8")
        routing.pbx.asterisk.rx("module reload res_pjsip.so")
        guest.call(f"74957770{ROUTE}", number, talk=0.5).wait()
        assert reaches(routing, ROUTE, number)  # what the admin lets in still rings
        time.sleep(1.0)
        assert offered(routing, MANAGER, number) == []
        assert (routing.crm_calls(number), asked_of(routing, number)) == ([], [])
    finally:
        guest.agent.stop()
        path.write_text(kept, encoding="utf-8")
        routing.pbx.asterisk.rx("module reload res_pjsip.so")


def test_a_call_to_a_colleagues_mobile_is_nobodys_client(routing: World) -> None:
    # 101's own number; the list of employees is there since the service began
    record = routing.pbx.phone(MANAGER).call("89160000101", talk=0.5).wait()
    assert record.talk_seconds > 0.3
    time.sleep(1.0)
    assert (routing.crm_calls("+79160000101"), asked_of(routing, "+79160000101")) == ([], [])
