"""A thousand real calls while portal, network and service break, and how many of them the CRM has as they were."""

from __future__ import annotations

from tests.live import fire
from tests.live.world import World

from .figures import Figure
from .sizes import Sizes


def measure(sizes: Sizes) -> list[Figure]:
    """Row last: the calls placed, beside those that the CRM has exactly once and as the telephones saw them."""
    calls, world = sizes.fire_calls, World("forky")
    try:
        world.start()
        burnt = fire.burn(world, fire.seed_of_this_run(), calls)
    finally:
        world.stop()
    wrong = burnt.wrong()
    print(burnt.summary(), *wrong, sep="\n")
    right = calls - len(wrong)
    return [Figure("calls under fire, beside those told exactly once and rightly", calls, max(right, 1), 1.0)]
