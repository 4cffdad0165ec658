"""How much is measured: the real sizes of the table, and a fraction of them to try a change by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """`rounds`: of what is compared turn by turn. Calls and seconds where a row names them."""

    rounds: int
    load_seconds: float
    memory_calls: int
    journal_calls: tuple[int, ...]
    journal_rounds: int
    group_calls: int
    fire_calls: int


FULL = Sizes(
    rounds=80,
    load_seconds=60.0,
    memory_calls=10_000,
    journal_calls=(10_000, 1_000_000),
    journal_rounds=10,
    group_calls=100,
    fire_calls=1000,
)
QUICK = Sizes(
    rounds=10,
    load_seconds=10.0,
    memory_calls=1000,
    journal_calls=(1000, 20_000),
    journal_rounds=3,
    group_calls=20,
    fire_calls=20,
)
