"""A journal from an hour ago, none at all, no state at all: the CRM's calls stay as they are, and the open ones end."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from freepbx_bx24.sandbox.portal import Portal
from tests.support.agi_script import AgiRun
from tests.support.running_service import RunningService, wait_until

pytestmark = pytest.mark.endurance

ANSWERED = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "35"}


class Pbx:
    """Calls through one service, each of a client of its own."""

    def __init__(self, service: RunningService) -> None:
        self.service = service
        self.began = int(time.time()) - 40
        self.runs: dict[int, AgiRun] = {}

    def uniqueid(self, number: int) -> str:
        return f"{self.began}.{number}"

    def begin(self, *numbers: int) -> None:
        for number in numbers:
            caller = {"callerid": f"+7916{number:07}"}
            self.runs[number] = self.service.register(self.uniqueid(number), environment=caller)

    def end(self, *numbers: int) -> None:
        for number in numbers:
            caller = {"callerid": f"+7916{number:07}"}
            variables = {**self.runs[number].variables, **ANSWERED}
            self.service.finish(self.uniqueid(number), variables=variables, environment=caller)

    def tell(self, *numbers: int) -> None:
        self.begin(*numbers)
        self.end(*numbers)
        self.service.wait_until_all_is_told()

    def states(self) -> dict[int, list[str]]:
        """What the CRM has of each call."""
        found: dict[int, list[str]] = {}
        for call in self.service.calls():
            found.setdefault(int(call["EXTERNAL_CALL_ID"].rpartition(".")[2]), []).append(call["state"])
        return found


@pytest.fixture
def pbx(service: RunningService) -> Pbx:
    service.start()
    wait_until((service.directory / "state" / "directory.json").exists, 20, service.log)
    return Pbx(service)


def journal_files(service: RunningService) -> list[Path]:
    return sorted((service.directory / "state").glob("journal.sqlite*"))


def an_hour_ago(pbx: Pbx, portal: Portal) -> tuple[list[dict[str, Any]], int, int]:
    """Twenty calls are told; then the journal is as it was after ten of them, with one open and two owed.

    Returns the CRM's calls, and which two calls are open: one began before the copy, one after it.
    """
    service, ended_before, owed_whole, open_before, open_after = pbx.service, 11, 12, 13, 24
    pbx.tell(*range(1, 11))
    pbx.begin(ended_before, open_before)
    portal.stop()
    pbx.end(ended_before)
    pbx.begin(owed_whole)
    pbx.end(owed_whole)
    wait_until(lambda: len(service.owed()) == 3, 10, service.log)
    service.stop()
    copies = [(path, path.read_bytes()) for path in journal_files(service)]
    portal.start()
    service.start()
    service.wait_until_all_is_told()
    pbx.tell(*range(14, 24))
    pbx.begin(open_after)
    told = service.calls()
    assert sum(call["state"] == "finished" for call in told) == 22
    service.stop()
    for path in journal_files(service):
        path.unlink()
    for path, content in copies:
        path.write_bytes(content)
    return told, open_before, open_after


def test_a_journal_from_an_hour_ago_changes_nothing_and_open_calls_end(
    portal: Portal, service: RunningService, pbx: Pbx
) -> None:
    told, *still_open = an_hour_ago(pbx, portal)
    service.start()
    assert "older than the last run" in service.log()
    service.wait_until_all_is_told()
    assert service.calls() == told
    pbx.end(*still_open)
    service.wait_until_all_is_told()
    after = {call["EXTERNAL_CALL_ID"]: call for call in service.calls()}
    assert {number: states for number, states in pbx.states().items() if states != ["finished"]} == {}
    for before in told:
        if before["state"] == "finished":
            assert after[before["EXTERNAL_CALL_ID"]] == before
    assert len(after) == 24
    pbx.tell(25)
    assert pbx.states()[25] == ["finished"]


def test_without_the_right_to_see_statistics_only_calls_are_told_twice_whose_register_the_old_journal_owes(
    portal: Portal, service: RunningService, pbx: Pbx
) -> None:
    """The end of a call is taken for told where the portal does not know the call; its beginning can't be."""
    told, *still_open = an_hour_ago(pbx, portal)
    portal.world.employees[0].may_view_statistics = False
    service.start()
    pbx.end(*still_open)
    service.wait_until_all_is_told()
    assert {number: states for number, states in pbx.states().items() if states != ["finished"]} == {
        12: ["finished", "finished"]
    }
    assert "older calls can't be looked up, and may be told a second time" in service.log()


@pytest.mark.parametrize("lost", ["the journal", "the journal and its stamp", "the state folder"])
@pytest.mark.parametrize("statistics", [True, False], ids=["with statistics", "without statistics"])
def test_what_is_lost_is_not_told_again_and_open_calls_end_as_the_same_calls(
    portal: Portal, service: RunningService, pbx: Pbx, lost: str, statistics: bool
) -> None:
    portal.world.employees[0].may_view_statistics = statistics
    pbx.tell(*range(1, 6))
    pbx.begin(6)
    told = service.calls()
    service.stop()
    state = service.directory / "state"
    if lost == "the state folder":
        shutil.rmtree(state)
        state.mkdir()  # it says whose the service is: run by root, it does not begin without it
    for path in journal_files(service):
        path.unlink()
    if lost == "the journal and its stamp":
        (state / "journal.run").unlink()
    service.start()
    pbx.tell(7)
    pbx.end(6)
    service.wait_until_all_is_told()
    calls = service.calls()
    assert calls[:5] == told[:5]
    assert [call["state"] for call in calls] == ["finished"] * 7
    assert calls[5]["CALL_ID"] == told[5]["CALL_ID"]
