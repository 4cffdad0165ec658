from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("1")
    stage.answer("1")
    stage.talk(2.5)
    caller.hang_up()
