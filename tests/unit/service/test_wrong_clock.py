"""The wall clock is set by a day, or an hour, at any moment of a call: it only writes CALL_START_DATE."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from typing import Callable

import pytest

from freepbx_bx24.sandbox.portal import Portal
from tests.support import stepped_clock
from tests.support.agi_script import AgiRun
from tests.support.running_service import RunningService, wait_until

pytestmark = pytest.mark.endurance

REGISTER = "telephony.externalcall.register"
ANSWERED = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "35"}
# The delivery looks at least every five seconds; the rest is what a busy machine may take.
SOON = 12.0
STEPS = {"a day ahead": 86400.0, "a day back": -86400.0, "an hour ahead": 3600.0, "an hour back": -3600.0}

BEFORE_REGISTER, IN_THE_CALL, WHILE_OWED = "before register", "between register and finish", "while owed"


class WrongClock:
    """A service, and the scripts beside it, whose clock a test sets."""

    def __init__(self, service: RunningService) -> None:
        self.service = service
        self.file = service.directory / "offset"
        self.offset = 0.0
        self.set_by(0.0)
        service.environment.update({stepped_clock.OFFSET: str(self.file), "TZ": "Asia/Yekaterinburg"})
        service.launch(sys.executable, "-c", "from tests.support import stepped_clock; stepped_clock.main()")
        wait_until(service.answers, 20, service.log)

    def set_by(self, seconds: float) -> None:
        self.offset += seconds
        hidden = self.file.with_name("offset.new")
        hidden.write_text(str(self.offset))
        hidden.replace(self.file)

    def now(self) -> float:
        """What this machine takes for the time."""
        return time.time() + self.offset

    def uniqueid(self) -> str:
        return f"{self.now() - 40:.0f}.77"  # the caller was in a menu before

    def register(self, uniqueid: str) -> AgiRun:
        return self.service.register(uniqueid, before=stepped_clock.IN_SCRIPT)

    def finish(self, uniqueid: str, register: AgiRun) -> None:
        variables = {**register.variables, **ANSWERED}
        self.service.finish(uniqueid, variables=variables, before=stepped_clock.IN_SCRIPT)


@pytest.fixture
def clock(service: RunningService) -> WrongClock:
    return WrongClock(service)


@pytest.mark.parametrize("moment", [BEFORE_REGISTER, IN_THE_CALL, WHILE_OWED])
@pytest.mark.parametrize("step", STEPS)
def test_a_call_has_the_start_that_the_clock_said_and_is_told_once_and_soon(
    portal: Portal, service: RunningService, clock: WrongClock, step: str, moment: str
) -> None:
    if moment == BEFORE_REGISTER:
        clock.set_by(STEPS[step])
    if moment == WHILE_OWED:
        portal.stop()
    uniqueid, began = clock.uniqueid(), clock.now()
    register = clock.register(uniqueid)
    if moment == WHILE_OWED:
        assert register.variables["BX24_STATUS"] == "PENDING"
    else:
        assert register.variables["BX24_STATUS"] == "REGISTERED"
    if moment == IN_THE_CALL:
        clock.set_by(STEPS[step])
    clock.finish(uniqueid, register)
    if moment == WHILE_OWED:
        wait_until(lambda: service.log().count("the portal can't be told of calls") == 1, 10, service.log)
        time.sleep(0.5)  # some probes: each puts everything off
        clock.set_by(STEPS[step])
        portal.start()
    (call,) = service.wait_for_calls(seconds=SOON)
    assert -1 <= datetime.fromisoformat(call["CALL_START_DATE"]).timestamp() - began <= 2
    sent = [one["parameters"] for one in portal.ledger()["requests"] if one["method"] == REGISTER]
    assert {one["CALL_START_DATE"][-6:] for one in sent} == {"+05:00"}
    assert (call["CALL_DURATION"], call["STATUS_CODE"]) == (35, "200")
    service.wait_until_all_is_told()
    assert len(service.calls()) == 1


@pytest.mark.parametrize("step", STEPS)
def test_what_the_portal_refused_before_the_clock_was_set_is_tried_again_no_later_than_it_would_have_been(
    portal: Portal, service: RunningService, clock: WrongClock, step: str, lost_once: Callable[[str], None]
) -> None:
    lost_once(REGISTER)
    uniqueid = clock.uniqueid()
    register = clock.register(uniqueid)
    clock.set_by(STEPS[step])
    clock.finish(uniqueid, register)
    service.wait_for_calls(seconds=SOON)
    service.wait_until_all_is_told()
    assert [call["state"] for call in service.calls()] == ["finished"]


@pytest.mark.parametrize("step", STEPS)
def test_without_the_service_as_well(service: RunningService, clock: WrongClock, step: str) -> None:
    service.stop()
    uniqueid, began = clock.uniqueid(), clock.now()
    register = clock.register(uniqueid)
    clock.set_by(STEPS[step])
    clock.finish(uniqueid, register)
    (call,) = service.wait_for_calls(seconds=SOON)
    assert -1 <= datetime.fromisoformat(call["CALL_START_DATE"]).timestamp() - began <= 2
    service.start()  # with the right clock again
    service.wait_until_all_is_told()
    assert len(service.calls()) == 1
