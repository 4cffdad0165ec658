from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("hunt group")
    stage.answer("2")
    stage.talk(2.0)
    caller.hang_up()
