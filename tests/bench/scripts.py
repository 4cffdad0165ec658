"""CPU and wall time of the scripts over real pipes: ours with the service, ours alone, and the plain one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.support.running_service import RunningService

from .figures import Figure, percentile
from .plain import VARIABLES, processor_of_a_plain_call, run_plain
from .portal_process import PortalProcess
from .processes import children_seconds, processor_seconds
from .sizes import Sizes


def measure(sizes: Sizes) -> list[Figure]:
    """CPU of register and finish, and the wait of register without the service, each beside the plain script."""
    with PortalProcess() as portal, tempfile.TemporaryDirectory(prefix="bx24-bench") as folder:
        service = RunningService(Path(folder), portal).start()  # type: ignore[arg-type]
        processor = with_the_service(service, portal, sizes.rounds)
        service.stop()
        return [*processor, *without_it(service, sizes.rounds)]


def with_the_service(service: RunningService, portal: PortalProcess, rounds: int) -> list[Figure]:
    """Whole calls: register, finish, and the delivery of it, script and service together."""
    assert service.process
    ours = plain = 0.0
    for number in range(rounds):
        uniqueid = f"1790000{number:03d}.1"
        before = children_seconds() + processor_seconds(service.process.pid)
        assert service.register(uniqueid).variables["BX24_STATUS"] == "REGISTERED"
        service.finish(uniqueid, variables=VARIABLES)
        service.wait_for_calls(2 * number + 1)
        ours += children_seconds() + processor_seconds(service.process.pid) - before
        plain += processor_of_a_plain_call(service.yaml, portal, number)
    return [Figure("CPU of register + finish, ms", 1000 * ours / rounds, 1000 * plain / rounds, 0.25)]


def without_it(service: RunningService, rounds: int) -> list[Figure]:
    """The script does everything by itself, as the plain one does."""
    alone_waits, plain_waits = [], []
    for number in range(rounds):
        uniqueid = f"1790001{number:03d}.1"
        run = service.register(uniqueid)
        assert run.variables["BX24_STATUS"] == "REGISTERED", service.log()
        alone_waits.append(run.seconds)
        plain_waits.append(run_plain(service.yaml, "register", uniqueid + "9").seconds)
    alone, plain = 1000 * percentile(alone_waits, 0.5), 1000 * percentile(plain_waits, 0.5)
    return [Figure("wait of register without the service, p50 ms", alone, plain, 1.5)]
