"""A process that is killed at any write, request or word of three calls' lives: the CRM shows the same calls each time.

The points are counted in a first run and enumerated, none is left out. A point is killed at, the service comes back (as
systemd brings it back), and the dialplan goes on as if nothing had been.
"""

from __future__ import annotations

import re
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator

import pytest

from freepbx_bx24.sandbox.portal import Portal, Reply
from freepbx_bx24.sandbox.portal.clock import SimulatedTime
from freepbx_bx24.sandbox.portal.state import Line
from tests.support import crash_points
from tests.support.agi_script import AgiRun, intake
from tests.support.running_service import RunningService, wait_until

pytestmark = pytest.mark.endurance

REGISTER = "telephony.externalcall.register"
FINISH = "telephony.externalcall.finish"
SIDE_BY_SIDE = 8
LAST_POINT_SECONDS = 5.0
RUNS_FOR_A_POINT = 4
WHOLE_RUNS = 3
BEFORE_REGISTER = 40  # seconds that the caller was in a menu: the channel is older than the call that the CRM sees
IN_CHILD = "from tests.support import crash_points; crash_points.in_first_child()"


@dataclass(frozen=True)
class Call:
    """A call as the dialplan sees it, and as the CRM has to show it."""

    caller: str
    variables: dict[str, str]
    shown: dict[str, Any]
    lost: str = ""  # the portal's first answer to this is lost


CALLS = [
    Call(  # of a known client, for Sales; somebody else of them answers
        "84951234567",
        {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "35", "DIALEDPEERNUMBER": "101/sip:101@127.0.0.1"},
        {
            "PHONE_NUMBER": "+74951234567",
            "finished_by": 1101,
            "CALL_DURATION": 35,
            "STATUS_CODE": "200",
            "missed": False,
            "CRM_ENTITY_TYPE": "CONTACT",
        },
    ),
    Call(
        "79160000078",
        {"DIALSTATUS": "NOANSWER"},
        {
            "PHONE_NUMBER": "+79160000078",
            "finished_by": 1102,
            "CALL_DURATION": 0,
            "STATUS_CODE": "304",
            "missed": True,
            "CRM_ENTITY_TYPE": "LEAD",
        },
        REGISTER,
    ),
    Call(
        "79160000079",
        {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "7", "DIALEDPEERNUMBER": "102/sip:102@127.0.0.1"},
        {
            "PHONE_NUMBER": "+79160000079",
            "finished_by": 1102,
            "CALL_DURATION": 7,
            "STATUS_CODE": "200",
            "missed": False,
            "CRM_ENTITY_TYPE": "LEAD",
        },
        FINISH,
    ),
]


class Lives:
    """Three calls through one service of its own, or through scripts alone, which may die at a point."""

    def __init__(self, folder: Path, portal: Portal, people: str = "") -> None:
        self.portal = portal
        self.service = RunningService(folder, portal)
        self.people = self.service.directory / "state" / "directory.json"
        if people:  # what another one has read, as if it had come from this portal
            self.people.write_text(people.replace("PORTAL", portal.url))
        self.points = folder / "points"
        self.began = int(time.time()) - BEFORE_REGISTER
        self.asked: dict[str, tuple[float, float]] = {}
        self.variables: dict[str, dict[str, str]] = {}
        self.numbers: list[int] = []
        self.died_at = ""

    def calls(self, numbers: Iterable[int]) -> Iterator[tuple[int, Call]]:
        """The calls that are placed, and their lost answers."""
        self.numbers = list(numbers)
        for number in self.numbers:
            for method in (REGISTER, FINISH):
                self.portal.scripted_replies.add(method, lose if CALLS[number].lost == method else same)
        return ((number, CALLS[number]) for number in self.numbers)

    def uniqueid(self, number: int) -> str:
        return f"{self.began}.{number}"

    def start(self, die_at: str) -> None:
        """Start the service with its points counted; where one of them is at the start, it dies there."""
        code = "from tests.support import crash_points; crash_points.main()"
        environment = {crash_points.LOG: str(self.points), crash_points.AT: die_at}
        self.service.launch(sys.executable, "-c", code, **environment)
        wait_until(lambda: self.service.dead or self.service.answers(), 40, self.service.log)

    def come_back(self) -> None:
        """What systemd does."""
        if self.service.dead:
            assert self.service.process and self.service.process.returncode == -signal.SIGKILL, self.service.log()
            self.died_at = self.last_point()
            self.service.process = None
            self.service.start()
        self.wait_for_the_list_of_people()

    def wait_for_the_list_of_people(self) -> None:
        """Before the very first list nobody knows who has which extension, so whose card is to be closed."""
        wait_until(lambda: self.service.dead or self.people.exists(), 20, self.service.log)

    def through_the_service(self, die_at: str = "") -> None:
        self.start(die_at)
        for number, call in self.calls(range(len(CALLS))):
            self.come_back()
            self.register(number, call)
            self.come_back()
            self.finish(number, call)
        wait_until(lambda: self.service.dead or self.told(), 40, self.explanation)
        # The last point is reached when all is told: its death is waited for, it may be a moment away.
        self.give_time_to_die(die_at)
        self.come_back()
        wait_until(self.told, 40, self.explanation)
        # A run may have a commit more than the one that counted: then this stop is the step at which it dies.
        assert self.service.stop() in (0, -signal.SIGKILL)

    def give_time_to_die(self, die_at: str) -> None:
        """Where it has not died yet; on another way through its threads a run may have no such point."""
        until = time.monotonic() + LAST_POINT_SECONDS
        while die_at not in ("", self.died_at) and not self.service.dead and time.monotonic() < until:
            time.sleep(0.05)

    def by_scripts_alone(self, die_at: str = "") -> None:
        """The service is away, and one script's child dies; then the service comes back."""
        if not self.people.exists():
            self.service.start()
            self.wait_for_the_list_of_people()
            self.service.stop()
        environment = self.service.environment
        environment.update({crash_points.LOG: str(self.points), crash_points.AT: die_at})
        its_call = re.findall(r"^\w+ (\d+): ", die_at)  # the others do not meet it
        for number, call in self.calls(map(int, its_call) if its_call else range(len(CALLS))):
            for kind, step in (("register", self.register), ("finish", self.finish)):
                environment[crash_points.WHO] = f"{kind} {number}: "
                step(number, call, before=IN_CHILD)
                ends = (f"{kind} {number}: {crash_points.THE_END} #1", die_at)
                wait_until(lambda: self.last_point() in ends, 20, self.service.log)  # noqa: B023
        self.service.start()
        wait_until(self.told, 40, self.explanation)
        assert self.service.stop() == 0

    def register(self, number: int, call: Call, **options: Any) -> AgiRun:
        asked = time.time()
        run = self.service.register(self.uniqueid(number), environment={"callerid": call.caller}, **options)
        self.asked[self.uniqueid(number)] = (asked, time.time())
        self.variables[self.uniqueid(number)] = run.variables
        assert run.exit_code == 0
        return run

    def finish(self, number: int, call: Call, **options: Any) -> AgiRun:
        variables = {**self.variables[self.uniqueid(number)], **call.variables}
        environment = {"callerid": call.caller}
        return self.service.finish(self.uniqueid(number), variables=variables, environment=environment, **options)

    def last_point(self) -> str:
        return next(reversed(self.points.read_text().splitlines()), "")

    def told(self) -> bool:
        finished = {call["EXTERNAL_CALL_ID"] for call in self.service.calls() if call["state"] == "finished"}
        return len(finished) == len(self.numbers) and not intake(self.service.directory, 0) and not self.service.owed()

    def explanation(self) -> str:
        return f"{self.service.owed()}\n{intake(self.service.directory, 0)}\n{self.service.log()}"

    def wrong(self) -> list[str]:
        """What the CRM shows otherwise than it was."""
        found, ledger = [], self.portal.ledger()
        for number in self.numbers:
            call, uniqueid = CALLS[number], self.uniqueid(number)
            rows = [row for row in ledger["calls"] if row["EXTERNAL_CALL_ID"] == f"pbx-test-{uniqueid}"]
            if [row["state"] for row in rows] != ["finished"]:
                found.append(f"call {number}: {[row['state'] for row in rows]}")
                continue
            (row,) = rows
            shown = {**call.shown, "direction": "incoming", "LINE_NUMBER": "+74957770101", "registered_by": 1102}
            found += [f"call {number}: {name} {row[name]!r}" for name in shown if row[name] != shown[name]]
            start, (earliest, latest) = datetime.fromisoformat(row["CALL_START_DATE"]), self.asked[uniqueid]
            if not earliest - 1 <= start.timestamp() <= latest:
                found.append(f"call {number}: began {earliest - start.timestamp():.1f} s too early")
            named = [one for one in ledger["entities"] if call.shown["PHONE_NUMBER"] in one["PHONES"]]
            if call.shown["CRM_ENTITY_TYPE"] == "LEAD" and len(named) != 1:
                found.append(f"call {number}: {len(named)} leads")
        if len(ledger["calls"]) > len(self.numbers):
            found.append(f"{len(ledger['calls'])} calls")
        found += [f"card left: {card}" for card in cards_left(ledger["cards"])]
        return found


def cards_left(cards: list[dict[str, Any]]) -> set[tuple[str, int]]:
    """(EXTERNAL_CALL_ID, USER_ID) of the cards that are still on a screen."""
    shown = {(card["EXTERNAL_CALL_ID"], card["USER_ID"]): card["action"] == "show" for card in cards}
    return {card for card, on_screen in shown.items() if on_screen}


def same(reply: Reply) -> Reply:
    return reply


def lose(_: Reply) -> Reply:
    """The portal has done it, and nobody hears of it."""
    return Reply(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"})


@dataclass(frozen=True)
class Run:
    """What a set of lives came to: the points reached, what the CRM shows wrong, the list of people that was read."""

    points: list[str]
    wrong: list[str]
    people: str


Way = Callable[[Lives, str], None]


def run(way: Way, die_at: str = "", people: str = "") -> Run:
    """One set of lives, in a folder and with a portal of its own."""
    with tempfile.TemporaryDirectory(prefix="x") as folder, Portal() as portal:
        # Else a start makes the line, in a batch of its own that comes before the calls' or after them.
        portal.state.lines.append(Line(7, "+74957770101", "Sales", "Y", None))
        lives = Lives(Path(folder), portal, people)
        try:
            way(lives, die_at)
            wrong = lives.wrong()
            wrong += [lives.service.log()] if wrong else []
        except AssertionError as error:
            wrong = [*lives.wrong(), str(error)]
        finally:
            if lives.service.process:
                lives.service.process.kill()
                lives.service.process.wait()
        return Run(lives.points.read_text().splitlines(), wrong, lives.people.read_text().replace(portal.url, "PORTAL"))


def without_statistics(lives: Lives, die_at: str) -> None:
    """Through the service, for a portal that does not say which calls it knows the end of."""
    lives.portal.world.employees[0].may_view_statistics = False
    lives.through_the_service(die_at)


def every_point(points: list[str]) -> list[str]:
    return points


def after_the_portal_has_finished_a_call(points: list[str]) -> list[str]:
    """Where its answer has come and is not written down yet, or just so."""
    places = [place for place, point in enumerate(points) if point.startswith(("after batch", f"after {FINISH}"))]
    return [point for place in places for point in points[place : place + 3]]


def run_to_its_death(way: Way, die_at: str, people: str) -> Run:
    """One that died there. Each run that did not is one more in which the CRM has to show the same."""
    for _ in range(RUNS_FOR_A_POINT):
        one = run(way, die_at, people)
        if one.wrong or die_at in one.points:
            break
    return one


def at_points(way: Way, figure: Callable[[str], None], which: Callable[[list[str]], list[str]] = every_point) -> int:
    """Run it whole, and then once for each of its points; returns at how many of those it died.

    Threads go different ways: what fell into one request in one run are two requests in another. A point that all
    whole runs have must be died at; one that only some of them have may be missed.
    """
    began = time.monotonic()
    people = run(way).people
    wholes = [run(way, people=people) for _ in range(WHOLE_RUNS)]
    assert not [whole.wrong for whole in wholes if whole.wrong]
    each = [which(whole.points) for whole in wholes]
    points = list(dict.fromkeys(point for points in each for point in points))
    with ThreadPoolExecutor(SIDE_BY_SIDE) as several:
        runs = dict(zip(points, several.map(lambda point: run_to_its_death(way, point, people), points)))
    wrong = {point: one.wrong for point, one in runs.items() if one.wrong}
    reached = {point for point, one in runs.items() if point in one.points}
    figure(
        f"killed at {len(reached)} points in {time.monotonic() - began:.0f} s; with {len(wrong)} of them the CRM shows"
        " something else than calls told once, none left open"
    )
    assert not wrong, "\n".join(f"{point}:\n" + "\n".join(found) for point, found in wrong.items())
    assert not set(each[0]).intersection(*each[1:]) - reached
    return len(reached)


def test_a_service_killed_at_any_of_its_steps_tells_each_call_once(figure: Callable[[str], None]) -> None:
    assert at_points(Lives.through_the_service, figure) > 55


def test_without_the_right_to_see_statistics_as_well(figure: Callable[[str], None]) -> None:
    assert at_points(without_statistics, figure, after_the_portal_has_finished_a_call) >= 6


def test_a_script_killed_at_any_of_the_steps_that_it_does_without_the_service_tells_each_call_once(
    figure: Callable[[str], None],
) -> None:
    assert at_points(Lives.by_scripts_alone, figure) > 80


def test_only_a_lost_answer_to_a_register_that_is_half_an_hour_late_leaves_an_open_call_behind(
    portal: Portal, service: RunningService
) -> None:
    """The portal's dedupe looks back for thirty minutes from now (telephony 6.4, S2): nobody can avoid that one."""
    later = SimulatedTime()
    portal.clock = later
    service.start()
    for late, orphans in ((1740, 0), (1860, 1)):
        began = time.time()
        later.advance(late - (portal.now() - began))
        portal.scripted_replies.add(REGISTER, lose)
        uniqueid = f"{began:.0f}.{late}"
        variables = service.register(uniqueid).variables
        service.finish(uniqueid, variables=variables)
        service.wait_until_all_is_told()
        calls = [call for call in service.calls() if call["EXTERNAL_CALL_ID"] == f"pbx-test-{uniqueid}"]
        assert sorted(call["state"] for call in calls) == ["finished"] + ["open"] * orphans
        for call in calls:
            if call["state"] == "open":
                start = datetime.fromisoformat(call["CALL_START_DATE"]).timestamp()
                assert call["registered_at"] - start > 1800
                assert call["CRM_ACTIVITY_ID"] is None
