"""What a call costs a service that remembers many, beside one that remembers none."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from tests.support.running_service import RunningService

from .caller import call
from .figures import Figure
from .full_journal import fill
from .portal_process import PortalProcess
from .processes import processor_seconds
from .sizes import Sizes

CALLS_A_ROUND = 30
TOLD_SECONDS = 60.0
REACH = 1.2


def measure(sizes: Sizes) -> list[Figure]:
    """All services run at once and take turns, a round of calls each; the first has an empty journal."""
    spent: dict[int, float] = dict.fromkeys((0, *sizes.journal_calls), 0.0)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bx24-bench")))
        portal = stack.enter_context(PortalProcess())
        services = {}
        for calls in spent:
            service = RunningService(folder / str(calls), portal)  # type: ignore[arg-type]
            if calls:
                fill(service.directory / "state", calls)
            service.environment["BX24_TEST_TIME_SCALE"] = "1"
            stack.callback(service.stop)
            services[calls] = service.start()
        for turn in range(sizes.journal_rounds + 1):
            for number, (calls, service) in enumerate(services.items()):
                seconds = one_round(service, (turn * len(services) + number) * CALLS_A_ROUND)
                if turn:  # the first has connections and pages of the file to fetch
                    spent[calls] += seconds
    each = {calls: 1000 * seconds / sizes.journal_rounds / CALLS_A_ROUND for calls, seconds in spent.items()}
    return [
        Figure(f"CPU of a call with {calls} calls in the journal, ms", each[calls], each[0], REACH)
        for calls in sizes.journal_calls
    ]


def one_round(service: RunningService, first: int) -> float:
    """Some calls one after the other through the service's socket, until all is told; CPU seconds of the service."""
    assert service.process
    before = processor_seconds(service.process.pid)
    for number in range(first, first + CALLS_A_ROUND):
        call(service.directory / "run", number)
    service.wait_until_all_is_told(TOLD_SECONDS)
    return processor_seconds(service.process.pid) - before
