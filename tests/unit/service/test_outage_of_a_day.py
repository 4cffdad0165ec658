"""After a day without the portal 5,000 calls are told within both of its limits, and nobody who calls then waits."""

from __future__ import annotations

import bisect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from freepbx_bx24.bitrix24.limits import BACKLOG_SHARE, PLANS, Urgency
from freepbx_bx24.sandbox.portal import Portal
from tests.support.agi_script import REPOSITORY
from tests.support.outage import COMMAND_SECONDS, DAY, SharedSeconds
from tests.support.running_service import MANAGER_FILE, YAML

pytestmark = pytest.mark.endurance

CALLS = 5000
REAL_SECONDS = 300.0  # until it is given up: it is the machine's, what is promised goes by the simulated clock
LIMIT_SECONDS = 480.0
WINDOW = 600.0
REGISTER, FINISH = "telephony.externalcall.register", "telephony.externalcall.finish"
MEBIBYTE = 1024 * 1024


@pytest.fixture
def slow_portal(tmp_path: Path) -> Iterator[Portal]:
    """A portal of the cloud's ordinary plan that goes by the clock of the other process."""
    with Portal() as portal:
        portal.clock = SharedSeconds(tmp_path / "clock")
        portal.switches.plan = "ordinary"
        portal.switches.operating_limit_seconds = LIMIT_SECONDS
        portal.switches.method_seconds = {REGISTER: COMMAND_SECONDS, FINISH: COMMAND_SECONDS}
        yield portal


def live_through(portal: Portal, folder: Path, calls: int) -> dict[str, Any]:
    """What the process measured that lived through the outage and drained what it left."""
    webhook, yaml, state = folder / "webhook", folder / "freepbx_bx24.yaml", folder / "state"
    webhook.write_text(portal.webhook_url + "\n")
    yaml.write_text(YAML.format(webhook=webhook, wait=2.0, plan="ordinary", manager=folder / MANAGER_FILE))
    for path in (webhook, yaml):
        path.chmod(0o600)
    state.mkdir()
    (state / "intake").mkdir()
    portal.stop()
    command = [sys.executable, "-m", "tests.support.outage", str(folder / "clock"), str(state), str(calls)]
    environment = {**os.environ, "BX24_CONFIG": str(yaml), "BX24_TEST_TIME_SCALE": "1"}
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        try:
            assert process.stdout.readline() == "portal\n"
            portal.start()
            process.stdin.write("it is back\n")
            process.stdin.flush()
            measured: dict[str, Any] = json.loads(process.communicate(timeout=REAL_SECONDS)[0])
        finally:
            process.kill()
    return measured


def most_within(uses: list[tuple[float, float]], seconds: float) -> float:
    """The largest sum of what was used (moment, amount) within any so many seconds."""
    uses = sorted(uses)
    moments = [moment for moment, _ in uses]
    sums = [0.0]
    for _, amount in uses:
        sums.append(sums[-1] + amount)
    return max(sums[n + 1] - sums[bisect.bisect_right(moments, moment - seconds)] for n, moment in enumerate(moments))


def highest_level(moments: list[float], drain: float) -> float:
    """How full a bucket becomes that so many requests a second leave."""
    level = highest = 0.0
    before = moments[0]
    for moment in moments:
        level = max(0.0, level - drain * (moment - before)) + 1.0
        before, highest = moment, max(highest, level)
    return highest


class Ledger:
    """The portal's own account of the hours after the outage, the backlog's requests told from those of the living."""

    def __init__(self, portal: Portal) -> None:
        ledger = portal.ledger()
        self.calls, self.requests = ledger["calls"], ledger["requests"]
        living = {call["CALL_ID"] for call in self.calls if call["PHONE_NUMBER"].startswith("+7926")}
        self.living = [call for call in self.calls if call["CALL_ID"] in living]
        self.backlog = [one for one in self.requests if not self._is_for(one, living)]

    @staticmethod
    def _is_for(request: dict[str, Any], living: set[str]) -> bool:
        said = json.dumps(request["parameters"])
        return (
            "7926" in said
            if "externalcall.register" in said.lower() + request["method"].lower()
            else any(call_id in said for call_id in living)
        )

    def commands(self, requests: list[dict[str, Any]], method: str) -> list[tuple[float, float]]:
        """When a method was used, and for how many seconds in each request."""
        found = []
        for one in requests:
            batch = one["parameters"].get("cmd", {}) if one["method"] == "batch" else {one["method"]: one["method"]}
            count = sum(command.partition("?")[0].lower() == method for command in batch.values())
            found += [(one["arrived"], count * COMMAND_SECONDS)] if count else []
        return found


def test_a_day_of_calls_is_told_within_both_limits_and_live_calls_do_not_notice(
    slow_portal: Portal, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    measured = live_through(slow_portal, tmp_path, CALLS)
    ledger = Ledger(slow_portal)
    used = {method: most_within(ledger.commands(ledger.backlog, method), WINDOW) for method in (REGISTER, FINISH)}
    arrivals = [one["arrived"] for one in ledger.backlog]
    highest = highest_level(arrivals, PLANS["ordinary"].drain * BACKLOG_SHARE)
    figure(
        f"{CALLS} calls in {len(arrivals)} requests and {measured['hours']:.1f} simulated hours, beside"
        f" {len(ledger.living)} live calls, of which none waited for room longer than {max(measured['waited']):.2f} s"
        f" or for its end to be told longer than {max(measured['lags']):.0f} s; at most {max(used.values()):.0f} s of a"
        f" method in ten minutes; {measured['most_memory'] / MEBIBYTE:.0f} MiB of memory"
    )
    assert {one["status"] for one in ledger.requests} == {200}, "the bucket never ran over"
    finished = [call for call in ledger.calls if call["state"] == "finished"]
    assert len(finished) - len([call for call in ledger.living if call["state"] == "finished"]) == CALLS
    assert len({call["EXTERNAL_CALL_ID"] for call in ledger.calls}) == len(ledger.calls) == CALLS + len(ledger.living)
    for method, wanted in ((REGISTER, len(ledger.calls)), (FINISH, len(finished))):
        seconds = sum(amount for _, amount in ledger.commands(ledger.requests, method))
        assert seconds == pytest.approx(wanted * COMMAND_SECONDS), "each once: no operating limit refused one"
    assert max(used.values()) <= LIMIT_SECONDS / 2.0, "half of the operating time at most"
    assert highest <= PLANS["ordinary"].mark(Urgency.BACKLOG), "half of the requests at most"
    assert measured["owed"] == 0
    assert len(measured["waited"]) >= 100
    assert max(measured["waited"]) < 0.01, "no live register was delayed"
    assert max(measured["lags"]) < 60.0
    assert measured["hours"] < 6.0
    assert measured["most_memory"] < 100 * MEBIBYTE
    assert slow_portal.clock() > DAY
