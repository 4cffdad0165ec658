"""The leaky bucket in front of a cloud portal: how many requests one address may send, by plan."""

from __future__ import annotations

from dataclasses import dataclass, field

# plan -> (requests that leak out a second, level above which a request is refused)
PLANS: dict[str, tuple[float, float]] = {"ordinary": (2.0, 50.0), "enterprise": (5.0, 250.0)}


@dataclass
class Buckets:
    """One bucket per source address: all applications and webhooks on a host share it."""

    _levels: dict[str, tuple[float, float]] = field(default_factory=dict)  # address -> (level, moment)

    def level(self, address: str, plan: str, moment: float) -> float:
        """How full the bucket is at `moment` (monotonic seconds)."""
        level, since = self._levels.get(address, (0.0, moment))
        return max(0.0, level - PLANS[plan][0] * (moment - since))

    def accept(self, address: str, plan: str, moment: float) -> bool:
        """Whether one more request is let in; one that is refused does not fill the bucket."""
        level = self.level(address, plan, moment)
        if level + 1 > PLANS[plan][1]:
            return False
        self._levels[address] = (level + 1, moment)
        return True
