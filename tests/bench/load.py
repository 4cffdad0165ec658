"""Ten calls a second for a minute, through real scripts and a portal that takes its time: their CPU, and their fate."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.support.agi_script import AgiRun
from tests.support.running_service import RunningService

from .caller import client_of
from .figures import Figure, percentile
from .plain import VARIABLES, processor_of_a_plain_call
from .portal_process import PortalProcess
from .processes import children_seconds, processor_seconds
from .sizes import Sizes

CALLS_A_SECOND = 10
PORTAL_SECONDS = 0.3
TALK_SECONDS = 2.0
WAIT_SECONDS = 2.0  # the budget of the product's defaults
SCRIPT_SECONDS = 0.25  # beside the budget: starting a process on a busy machine, and setting the variables
TOLD_SECONDS = 300.0
DELAYS = {
    "telephony.externalcall.register": PORTAL_SECONDS,
    "telephony.externalcall.finish": PORTAL_SECONDS,
    "batch": PORTAL_SECONDS,
}


@dataclass(frozen=True)
class Load:
    """What came of the calls: their registers' runs, CPU seconds of scripts and service, how many the CRM lacks."""

    runs: list[AgiRun]
    processor: float
    lost: int
    told_seconds: float
    requests: int

    @property
    def late(self) -> int:
        """Callers who waited longer than their budget."""
        return sum(run.seconds > WAIT_SECONDS + SCRIPT_SECONDS for run in self.runs)

    @property
    def pending(self) -> int:
        """Calls that went on without a registration."""
        return sum(run.variables.get("BX24_STATUS") != "REGISTERED" for run in self.runs)


def one_call(service: RunningService, began: float, number: int) -> AgiRun:
    """Begin at this call's moment, talk, hang up."""
    time.sleep(max(began + number / CALLS_A_SECOND - time.monotonic(), 0.0))
    uniqueid = f"{1790000000 + number}.{number}"
    run = service.register(uniqueid, environment={"callerid": client_of(number)})
    time.sleep(TALK_SECONDS)
    outputs = {name: run.variables.get(name, "") for name in ("BX24_STATUS", "BX24_CALL_ID")}
    service.finish(uniqueid, environment={"callerid": client_of(number)}, variables={**VARIABLES, **outputs})
    return run


def place(service: RunningService, calls: int) -> Load:
    """Place all calls at their moments, and wait until everything is told."""
    assert service.process
    process = service.process.pid
    before = children_seconds() + processor_seconds(process)
    began = time.monotonic()
    with ThreadPoolExecutor(calls) as threads:  # each has its own: nobody's beginning waits for another's end
        runs = list(threads.map(lambda number: one_call(service, began, number), range(calls)))
    ended = time.monotonic()
    service.wait_until_all_is_told(TOLD_SECONDS)
    told = time.monotonic() - ended
    processor = children_seconds() + processor_seconds(process) - before
    ledger = service.portal.ledger()
    finished = [call["PHONE_NUMBER"] for call in ledger["calls"] if call["state"] == "finished"]
    lost = sum(finished.count(client_of(number)) != 1 for number in range(calls))
    return Load(runs, processor, lost, told, len(ledger["requests"]))


def loaded(folder: Path, portal: PortalProcess, plan: str, calls: int) -> Load:
    """The same with a service of its own."""
    service = RunningService(folder, portal, WAIT_SECONDS)  # type: ignore[arg-type]
    service.write_yaml(portal.webhook_url, WAIT_SECONDS, plan)
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    service.start()
    try:
        load = place(service, calls)
    finally:
        service.stop()
    waits = [run.seconds for run in load.runs]
    print(
        f"{plan}: {calls} calls, {load.requests} requests; callers waited {percentile(waits, 0.5):.2f} s (p50),"
        f" {percentile(waits, 0.95):.2f} s (p95), {max(waits):.2f} s at most; {load.pending} PENDING;"
        f" all told {load.told_seconds:.1f} s after the last"
    )
    return load


def without_limits(sizes: Sizes) -> list[Figure]:
    """A self-hosted portal. The plain script runs before and after: at ten calls a second it would need five cores."""
    calls = int(sizes.load_seconds * CALLS_A_SECOND)
    with PortalProcess(DELAYS) as portal, tempfile.TemporaryDirectory(prefix="bx24-bench") as folder:
        yaml = RunningService(Path(folder) / "plain", portal).yaml  # type: ignore[arg-type]
        plain = [processor_of_a_plain_call(yaml, portal, number) for number in range(sizes.rounds // 2)]
        load = loaded(Path(folder) / "ours", portal, "self-hosted", calls)
        plain += [processor_of_a_plain_call(yaml, portal, number) for number in range(sizes.rounds // 2, sizes.rounds)]
    each = sum(plain) / len(plain)
    return [
        Figure("CPU of a call at 10 calls a second, ms", 1000 * load.processor / calls, 1000 * each, 0.25),
        Figure("of those, callers who waited longer than their budget, or were not registered",
               load.late + load.pending, calls, 0.0),
        Figure("of those, not told to the CRM exactly once", load.lost, calls, 0.0),
    ]  # fmt: skip


def with_limits(sizes: Sizes) -> list[Figure]:
    """The ordinary plan of the cloud, which takes two requests a second: most of it has to be told later."""
    calls = int(sizes.load_seconds * CALLS_A_SECOND)
    with PortalProcess(DELAYS, "ordinary") as portal, tempfile.TemporaryDirectory(prefix="bx24-bench") as folder:
        load = loaded(Path(folder), portal, "ordinary", calls)
    return [
        Figure("PENDING at 10 calls a second on the ordinary plan", load.pending, calls),
        Figure("of those, callers who waited longer than their budget", load.late, calls, 0.0),
        Figure("of those, not told to the CRM exactly once", load.lost, calls, 0.0),
    ]
