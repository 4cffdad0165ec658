"""What a seed decides of calls under fire: kinds, order and times, and when the service and the portal go away."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Callable, Mapping

from freepbx_bx24.sandbox.pbx.record import Behaviour, answer, busy, decline, ring

# A minute of the product's own time would be 3 s at its scale of 0.05; this is two of them, so that many calls see it.
DOWN_SECONDS = 6.0
KILLS_OF_A_HUNDRED = 5
LONG_TALKS, LONG_TALK_SECONDS = 8, 4.2  # every so many talks one lasts so long that its seconds tell something


@dataclass(frozen=True)
class Planned:
    """One call: its kind, and seconds from the one before it, until it is answered (or not), and of talk."""

    kind: str
    gap: float
    wait: float
    talk: float


@dataclass(frozen=True)
class Plan:
    """Everything that a seed decides: the calls, when the service is killed and when the portal goes away."""

    seed: int
    calls: tuple[Planned, ...]
    kills: tuple[float, ...]
    outages: tuple[float, ...]


@dataclass(frozen=True)
class Kind:
    """How a call of a kind goes: how the called side takes it, and what its caller does (options of `call`)."""

    weight: int
    inbound: bool
    takes: Callable[[Planned], Behaviour]
    caller: Callable[[Planned], Mapping[str, float]]


def _talk(planned: Planned) -> Mapping[str, float]:
    return {"talk": planned.talk}


def _nothing(planned: Planned) -> Mapping[str, float]:
    return {}


def _give_up(planned: Planned) -> Mapping[str, float]:
    return {"give_up_after": planned.wait + 0.8}


KINDS: Mapping[str, Kind] = {
    "in, answered": Kind(6, True, lambda one: answer(one.wait), _talk),
    "in, answered, the agent hangs up": Kind(4, True, lambda one: answer(one.wait, talk=one.talk), _nothing),
    "in, not answered": Kind(3, True, lambda one: ring(), _give_up),
    "in, busy": Kind(2, True, lambda one: busy(one.wait), _nothing),
    "in, declined": Kind(1, True, lambda one: decline(one.wait), _nothing),
    "in, given up at once": Kind(2, True, lambda one: ring(), lambda one: {"give_up_after": one.wait / 2}),
    "out, answered": Kind(5, False, lambda one: answer(one.wait), _talk),
    "out, answered, the client hangs up": Kind(3, False, lambda one: answer(one.wait, talk=one.talk), _nothing),
    "out, busy": Kind(2, False, lambda one: busy(one.wait), _nothing),
    "out, given up": Kind(2, False, lambda one: ring(), _give_up),
}


def plan(seed: int, calls: int) -> Plan:
    """The same plan for the same seed. Each hundred calls meet five kills and one outage in their middle."""
    dice = random.Random(seed)
    weights = [kind.weight for kind in KINDS.values()]
    kinds = [*KINDS, *dice.choices([*KINDS], weights, k=calls - len(KINDS))]  # each of them once at least
    dice.shuffle(kinds)
    planned = [Planned(kind, dice.uniform(0.0, 0.7), dice.uniform(0.2, 0.8), dice.uniform(0.3, 1.5)) for kind in kinds]
    talks = [at for at, one in enumerate(planned) if ", answered" in one.kind]
    for at in talks[::LONG_TALKS]:
        planned[at] = replace(planned[at], talk=LONG_TALK_SECONDS)
    lasts, hundreds = sum(one.gap for one in planned), max(calls // 100, 1)
    kills = sorted(dice.uniform(2.0, lasts) for _ in range(KILLS_OF_A_HUNDRED * hundreds))
    outages = [lasts * (one + 0.5) / hundreds - DOWN_SECONDS / 2 for one in range(hundreds)]
    return Plan(seed, tuple(planned), tuple(kills), tuple(outages))
