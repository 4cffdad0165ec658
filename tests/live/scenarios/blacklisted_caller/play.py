from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    stage.put(f"blacklist/{stage.numbers['client']}", "1")
    stage.call_in("1", give_up_after=8.0).wait()
    assert not stage.phone("1").records
