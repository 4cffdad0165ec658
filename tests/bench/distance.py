"""A register over warm connections to a portal that is far away, beside one that has to connect first."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.running_service import RunningService

from .caller import client_of, frame, say
from .delaying_proxy import DelayingProxy
from .figures import Figure, percentile
from .portal_process import PortalProcess
from .sizes import Sizes

DISTANCES = (0.04, 0.15)  # seconds there and back: a portal of the same country, and one of another continent
REACH = 0.6


def measure(sizes: Sizes) -> list[Figure]:
    """The same service and the same proxy, which cuts all connections before every other register."""
    figures = []
    for seconds in DISTANCES:
        with (
            PortalProcess(tls=True) as portal,
            DelayingProxy(urlsplit(portal.webhook_url).port or 443, seconds) as proxy,
            tempfile.TemporaryDirectory(prefix="bx24-bench") as folder,
        ):
            warm, fresh = waits(Path(folder), portal, proxy, sizes.rounds)
        figures.append(
            Figure(f"register at {seconds * 1000:.0f} ms, connections warm, p50 ms", 1000 * warm, 1000 * fresh, REACH)
        )
    return figures


def waits(folder: Path, portal: PortalProcess, proxy: DelayingProxy, rounds: int) -> tuple[float, float]:
    """The median seconds of a register over a warm and over a fresh connection, turn by turn."""
    service = RunningService(folder, portal)  # type: ignore[arg-type]
    near = urlsplit(portal.webhook_url)
    service.write_yaml(near._replace(netloc=f"127.0.0.1:{proxy.port}").geturl())
    yaml = service.yaml.read_text()
    service.yaml.write_text(yaml.replace("plan: self-hosted", f"plan: self-hosted, ca_bundle: {portal.ca_bundle}"))
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    service.start()
    warm, fresh = [], []
    try:
        for number in range(2 * rounds):
            cold = number % 2 == 0
            if cold:
                proxy.cut()
            uniqueid = f"{1790000000 + number}.{number}"
            data = frame("register", uniqueid, client_of(number), {"linkedid": uniqueid})
            began = time.monotonic()
            said = say(service.directory / "run" / "agi.sock", data)
            (fresh if cold else warm).append(time.monotonic() - began)
            assert said["BX24_STATUS"] == "REGISTERED", f"{said}\n{service.log()}"
    finally:
        service.stop()
    return percentile(warm, 0.5), percentile(fresh, 0.5)
