"""`bx24 status`: one screen about a real service, one that does not run, and one that waits for somebody."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest

from freepbx_bx24.bitrix24.token_store import TokenStore
from freepbx_bx24.bitrix24.tokens import Tokens
from freepbx_bx24.cli import status
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.sandbox.portal.clock import SimulatedTime
from freepbx_bx24.service import standing
from freepbx_bx24.service.figures import Figures, LastTrouble, percentile
from tests.support.looking import MISSED, REGISTER, Person
from tests.support.running_service import RunningService

LINE = "+74957770101"
Console = Callable[[str], None]


@pytest.fixture
def console(person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    """Puts an asterisk on the PATH that answers all commands with these words, and keeps what it was asked."""

    def says(said: str) -> None:
        asterisk = tmp_path / "asterisk"
        asterisk.write_text(f'#!/bin/sh\necho "$2" >> "{tmp_path}/asked"\ncat <<"END"\n{said}\nEND\n')
        asterisk.chmod(0o755)
        person.service.environment["PATH"] = f"{tmp_path}:/usr/bin:/bin"

    return says


def asked(tmp_path: Path) -> list[str]:
    return (tmp_path / "asked").read_text().splitlines()


def test_one_screen_tells_how_long_callers_waited_what_came_of_calls_and_what_is_owed(
    service: RunningService, person: Person, console: Console
) -> None:
    console("Database entry not found.")
    service.start()
    service.register()
    service.finish(variables=MISSED)
    person.waits_for("1790000120.77", "finished")
    answer = person.asks("status")
    figures = answer["live"]["register"]
    assert (figures["registers"], figures["in_time_percent"], figures["by_status"]) == (1, 100, {"REGISTERED": 1})
    assert 0 < figures["p50_seconds"] == figures["p95_seconds"]
    assert (answer["calls"]["calls"], answer["calls"]["missed"]) == (1, 1)
    assert answer["owed"] == {"due": 0, "parked": 0, "held": 0, "oldest": None}
    assert answer["live"]["login"]["kind"] == "webhook"
    assert (answer["off"], answer["lines_off"], answer["service"]) == (False, [], True)
    said = person.types("status")
    assert re.search(r"^service   runs since 0:00:\d\d, version ", said, re.MULTILINE)
    assert f"portal    {service.portal.url} answers" in said
    assert re.search(r"^register  last hour: callers waited \d+ ms \(p50\), \d+ ms \(p95\)", said, re.MULTILINE)
    assert "100 % within that time: 1 registered" in said
    assert "today     1 calls: 1 missed" in said
    assert "backlog   nothing is owed to the CRM" in said


def test_a_service_that_does_not_run_is_said_and_the_journal_tells_the_rest(
    service: RunningService, person: Person, console: Console
) -> None:
    console("Database entry not found.")
    service.start()
    service.register()
    service.stop()
    said = person.types("status", code=1)
    assert "service   DOES NOT RUN" in said
    assert "today     1 calls: 1 going on" in said
    assert person.asks("status", code=1)["live"] is None


def test_that_all_calls_are_switched_off_is_shouted_and_is_exit_code_1(
    service: RunningService, person: Person, console: Console
) -> None:
    console("Value: 1")
    service.start()
    first = person.types("status", code=1).lstrip().splitlines()[0]
    assert first == "OFF: ALL CALLS ARE LEFT ALONE.  Type `bx24 on` to register them again."


def test_a_portal_that_fails_three_callers_opens_the_breaker_and_shows_the_last_trouble(
    service: RunningService, person: Person, portal: Portal, console: Console
) -> None:
    console("Database entry not found.")
    service.write_yaml(portal.webhook_url, wait=0.3)
    service.start()
    with portal.gate(REGISTER) as gate:
        for number in range(3):
            assert service.register(f"1790000120.{number}").variables["BX24_STATUS"] == "PENDING"
        answer = person.asks("status", code=1)
        gate.release()
    live = answer["live"]
    assert live["callers_wait"] is False
    assert live["register"]["in_time_percent"] == 0
    assert live["last_trouble"]["level"] == "WARNING"
    assert answer["owed"]["due"] >= 3 and answer["owed"]["oldest"]


# -- a line alone -----------------------------------------------------------------------------------------------------


def test_a_line_is_switched_off_and_on_beside_those_that_are_off_already(
    person: Person, console: Console, tmp_path: Path
) -> None:
    console("Value: +74957770000")
    assert "of +74957770101" in person.types("off", "--line", "8 495 777-01-01")
    assert "database put bx24 lines-off +74957770000,+74957770101" in asked(tmp_path)
    assert "of +74957770000" in person.types("on", "--line", "+74957770000")
    assert asked(tmp_path)[-2] == "database del bx24 lines-off"


def test_a_line_may_be_said_by_its_name_and_one_that_is_none_is_said_with_those_there_are(
    person: Person, console: Console
) -> None:
    console("Database entry not found.")
    assert LINE in person.types("off", "--line", "Sales")
    person.types("off", "--line", "Nobody's", code=1)
    assert "Nobody's is no line of the configuration" in person.out
    assert f"{LINE}, +74957770000" in person.out


@pytest.mark.parametrize("runs", [True, False], ids=["with the service", "without it"])
def test_a_call_of_a_line_that_is_off_is_left_out_from_the_next_one_on(
    service: RunningService, portal: Portal, runs: bool
) -> None:
    if runs:
        service.start()
    run = service.register(arguments=("in", "74957770101"), variables={"DB(bx24/lines-off)": LINE})
    assert run.variables["BX24_STATUS"] == "SKIPPED"
    assert run.variables["BX24_REASON"] == f"the line {LINE} is switched off by bx24 off"
    assert service.calls() == []
    run = service.register("1.2", arguments=("in", "74957770100"), variables={"DB(bx24/lines-off)": LINE})
    assert run.variables["BX24_STATUS"] == "REGISTERED"


# -- figures ----------------------------------------------------------------------------------------------------------


def test_percentiles_are_values_that_were_there() -> None:
    assert percentile([], 50) is None
    assert percentile([1.0], 95) == 1.0
    assert percentile([float(number) for number in range(1, 101)], 95) == 95.0
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0


def test_what_is_older_than_an_hour_no_longer_counts() -> None:
    clock = SimulatedTime()
    figures = Figures(clock)
    figures.note("PENDING", 2.0)
    clock.advance(3000)
    figures.note("REGISTERED", 0.3)
    assert figures.value("REGISTERED")["in_time_percent"] == 50
    clock.advance(700)
    value: dict[str, Any] = figures.value("REGISTERED")
    assert (value["registers"], value["in_time_percent"], value["p95_seconds"]) == (1, 100, 0.3)
    clock.advance(3600)
    assert figures.value("REGISTERED")["in_time_percent"] is None


def test_the_last_trouble_is_one_line_of_the_last_warning() -> None:
    trouble = LastTrouble()
    log = logging.Logger("a test's own")
    log.addHandler(trouble)
    log.info("all is well")
    assert trouble.last is None
    log.warning("first")
    log.error("second\nTraceback")
    assert trouble.last and trouble.last[1:] == ("ERROR", "second")


def test_a_dead_token_is_shouted_and_calls_do_not_reach_the_crm() -> None:
    live = {
        "callers_wait": True,
        "portal": {"answers": True},
        "login": {"kind": "application", "state": "dead", "user_id": 1, "seconds_left": 0},
    }
    assert not status.works({"live": live, "off": False})
    assert status.works({"live": {**live, "login": {"state": "alive"}}, "off": False})


def test_the_way_in_by_an_application_is_told_by_its_token(tmp_path: Path) -> None:
    runtime: Any = SimpleNamespace(state=tmp_path, settings=SimpleNamespace(portal=SimpleNamespace(webhook_url="")))
    assert standing.login(runtime)["state"] == "none"
    tokens = Tokens("access", "refresh", 3600.0, user_id=12, expires=time.time() + 1800)
    TokenStore(tmp_path).keep(tokens)
    told = standing.login(runtime)
    assert (told["state"], told["user_id"]) == ("alive", 12)
    assert 1700 < told["seconds_left"] <= 1800
    assert "access" not in str(told)
    TokenStore(tmp_path).keep(replace(tokens, dead="invalid_grant"))
    assert standing.login(runtime)["state"] == "dead"
