from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("1")
    first = stage.answer("1")
    stage.talk(2.0)
    first.transfer(stage.track.dialled("mobile 9"))
    stage.answer("mobile 9")
    stage.wait_for_card("1", shown=False)
    stage.talk(2.0)
    caller.hang_up()
