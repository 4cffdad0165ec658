"""The added wait of `AGI(bx24_register.py)` in a real Asterisk, beside a bare AGI script in the same Asterisk."""

from __future__ import annotations

from tests.live.world import World

from .figures import Figure, percentile
from .portal_process import PortalProcess
from .sizes import Sizes

REGISTER = "telephony.externalCall.register"


def measure(sizes: Sizes) -> list[Figure]:
    """Row one: what register adds beyond the portal's own answer time, turn by turn with the bare script."""
    world = World("forky", PortalProcess())  # type: ignore[arg-type]
    bare, ours = [], []
    try:
        world.start()
        with world.served(scale="1"):
            world.time_agi("register")  # the first opens the connection to the portal
            for _ in range(sizes.rounds):
                bare.append(world.time_agi("bare")[0])
                seconds, status = world.time_agi("register")
                assert status == "REGISTERED", world.explain()
                ours.append(seconds - portal_seconds(world))
    finally:
        world.stop()
    return [
        Figure(
            f"added wait of register, {name} ms", 1000 * percentile(ours, share), 1000 * percentile(bare, share), reach
        )
        for name, share, reach in (("p50", 0.5, 1.5), ("p95", 0.95, 2.0))
    ]


def portal_seconds(world: World) -> float:
    """How long the portal itself took for the last register."""
    requests = [one for one in world.portal.ledger()["requests"] if one["method"].lower() == REGISTER.lower()]
    return float(requests[-1]["answered"] - requests[-1]["arrived"])
