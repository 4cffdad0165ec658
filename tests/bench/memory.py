"""What the service holds of the machine's memory after many calls, beside what it held after a few."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.running_service import RunningService

from .caller import call
from .figures import Figure
from .portal_process import PortalProcess
from .processes import resident_megabytes
from .sizes import Sizes

FEW = 100
AT_ONCE = 10
MEGABYTES = 100.0
TOLD_SECONDS = 300.0


def measure(sizes: Sizes) -> list[Figure]:
    """Calls through the real socket, ten at once; both times all of them have been told."""
    with PortalProcess() as portal, tempfile.TemporaryDirectory(prefix="bx24-bench") as folder:
        service = RunningService(Path(folder), portal)  # type: ignore[arg-type]
        service.environment["BX24_TEST_TIME_SCALE"] = "1"
        service.start()
        assert service.process
        held = []
        for first, last in ((0, FEW), (FEW, sizes.memory_calls)):
            with ThreadPoolExecutor(AT_ONCE) as threads:
                list(threads.map(lambda number: call(service.directory / "run", number), range(first, last)))
            service.wait_until_all_is_told(TOLD_SECONDS)
            held.append(resident_megabytes(service.process.pid))
        service.stop()
    return [
        Figure(f"memory after {sizes.memory_calls} calls, beside after {FEW}, MB", held[1], held[0], 1.2),
        Figure(f"memory after {sizes.memory_calls} calls, of the most allowed, MB", held[1], MEGABYTES, 1.0),
    ]
