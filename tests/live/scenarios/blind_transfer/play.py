from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("1")
    first = stage.answer("1")
    stage.talk(2.0)
    first.transfer(stage.track.dialled("3"))
    stage.answer("3")
    stage.talk(2.0)
    caller.hang_up()
