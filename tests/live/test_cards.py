"""Cards for every telephone that rings on real Asterisks: groups, queues, two telephones of one person, a desk."""

from __future__ import annotations

import contextlib
from typing import Iterator, Sequence

import pytest

from freepbx_bx24.bitrix24.telephony import HIDE, REGISTER, SHOW
from freepbx_bx24.sandbox.pbx.calls import Call
from freepbx_bx24.sandbox.pbx.record import answer, decline, ring
from tests.support.running_service import wait_until

from .world import World, hang_up_all, wait_quiet

OFFERED = "180"  # SIP: a telephone rings


@pytest.fixture(scope="module")
def watched(world: World) -> Iterator[World]:
    """A service in real time that watches Asterisk's calls."""
    mark = world.log_mark()
    with world.served("1"):
        world.wait_watched(mark)
        yield world


@pytest.fixture(autouse=True)
def quiet(world: World) -> Iterator[None]:
    """A test that fails leaves no call to the next one."""
    wait_quiet(world)
    yield
    hang_up_all(world)


def on_screen(world: World, number: str) -> set[int]:
    """Who has the card of a number's call now."""
    calls = [call["CALL_ID"] for call in world.crm_calls(number)]
    users: set[int] = set()
    for card in world.portal.ledger()["cards"]:
        if card["CALL_ID"] in calls:
            (users.add if card["action"] == "show" else users.discard)(card["USER_ID"])
    return users


def shown(world: World, number: str, *users: int, seconds: float = 5.0) -> None:
    """Wait until these have its card, and nobody else."""

    def explain() -> str:
        return f"{on_screen(world, number)}\n{world.explain()}"

    wait_until(lambda: on_screen(world, number) == set(users), seconds, explain)


def asked(world: World, number: str) -> list[tuple[str, list[int]]]:
    """The requests about the cards of a number's call, and its register, in order."""
    (call,) = world.crm_calls(number)
    found = []
    for row in world.portal.ledger()["requests"]:
        parameters = row["parameters"]
        if row["method"].lower() == REGISTER.lower() and parameters["PHONE_NUMBER"] == number:
            found.append(("register", [parameters["USER_ID"]] if parameters["SHOW"] else []))
        elif row["method"].lower() in (SHOW.lower(), HIDE.lower()) and parameters["CALL_ID"] == call["CALL_ID"]:
            found.append((row["method"].lower().rpartition(".")[2], parameters["USER_ID"]))
    return found


def rings(world: World, did: str, number: str, *phones: str) -> Call:
    """A client's call that rings these telephones, and goes on."""
    before = {name: len(world.pbx.phone(name).records) for name in phones}
    for name in phones:
        world.pbx.phone(name).behaviour = ring()
    call = world.pbx.trunk.call(did, number)

    def all_ring() -> bool:
        records = {name: world.pbx.phone(name).records[before[name] :] for name in phones}
        return all(found and found[-1].at(OFFERED) is not None for found in records.values())

    wait_until(all_ring, 15, world.explain)
    return call


def ends(world: World, call: Call, number: str) -> None:
    call.hang_up()
    call.wait()
    world.finished(number)
    shown(world, number)


@contextlib.contextmanager
def astdb(world: World, **entries: str) -> Iterator[None]:
    """Entries of AstDB for the length of a test: `DEVICE__149__user`; what was there before comes back."""
    kept: dict[str, str] = {}
    for name, value in entries.items():
        family, _, key = name.replace("__", "/").partition("/")
        said = world.pbx.asterisk.rx(f"database get {family} {key}")
        kept[name] = said.partition("Value: ")[2].strip()
        world.pbx.asterisk.rx(f'database put {family} {key} "{value}"')
    try:
        yield
    finally:
        for name, value in kept.items():
            family, _, key = name.replace("__", "/").partition("/")
            put = f'database put {family} {key} "{value}"' if value else f"database del {family} {key}"
            world.pbx.asterisk.rx(put)


@pytest.mark.parametrize(
    "did, members",
    [("74957771400", (1141, 1142, 1143)), ("74957771402", (1141, 1142, 1143)), ("74957770200", (1101, 1102, 1103))],
    ids=["ring group", "queue", "the ring group 600"],
)
def test_everybody_of_a_group_has_the_card_by_one_request_and_then_who_answers_alone(
    watched: World, did: str, members: Sequence[int]
) -> None:
    world, number = watched, watched.new_number()
    first, second, third = (str(user - 1000) for user in members)
    for name in (first, third):
        world.pbx.phone(name).behaviour = ring()
    world.pbx.phone(second).behaviour = answer(2.0)
    call = world.pbx.trunk.call(did, number)
    shown(world, number, *members, seconds=10)
    call.wait_answered(15)
    shown(world, number, members[1], seconds=3)
    assert asked(world, number) == [("register", []), ("show", list(members)), ("hide", [members[0], members[2]])]
    ends(world, call, number)


def test_the_card_of_a_did_of_one_person_is_shown_once_and_stays_while_he_talks(watched: World) -> None:
    world, number = watched, watched.new_number()
    world.pbx.phone("144").behaviour = answer(1.0)
    call = world.pbx.trunk.call("74957770144", number)
    shown(world, number, 1144)
    call.wait_answered(15)
    ends(world, call, number)
    assert asked(world, number) == [("register", []), ("show", [1144])]


def test_two_telephones_of_one_person_are_one_card_and_one_that_declines_changes_nothing(watched: World) -> None:
    world, number = watched, watched.new_number()
    world.pbx.phone("148").behaviour = ring()
    world.pbx.phone("99148").behaviour = decline(1.0)
    twin = world.pbx.phone("99148")
    before = len(twin.records)
    call = world.pbx.trunk.call("74957770148", number)
    shown(world, number, 1148)
    wait_until(lambda: len(twin.records) > before and bool(twin.records[-1].ended_how), 10, world.explain)
    shown(world, number, 1148)
    ends(world, call, number)
    # Nothing was shown a second time, and nothing was hidden before the end.
    assert asked(world, number) == [("register", []), ("show", [1148])]


def test_a_desk_is_who_is_logged_in_there_when_it_rings_also_when_somebody_else_logs_in_later(watched: World) -> None:
    world, number = watched, watched.new_number()
    with astdb(world, DEVICE__149__user="147", AMPUSER__147__device="149"):
        call = rings(world, "74957770147", number, "149")
        shown(world, number, 1147)
        world.pbx.asterisk.rx("database put DEVICE 149/user 146")
        ends(world, call, number)
    assert world.finished(number)["finished_by"] == 1147


def test_who_phones_out_has_the_card_without_a_request_of_its_own(watched: World) -> None:
    world, number = watched, watched.new_number()
    world.pbx.trunk.on_number(number, answer(0.5))
    call = world.pbx.phone("145").call("8" + number[2:])
    call.wait_answered(15)
    shown(world, number, 1145)
    ends(world, call, number)
    assert asked(world, number) == [("register", [1145])]
