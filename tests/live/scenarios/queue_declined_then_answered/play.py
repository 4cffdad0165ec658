from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("queue")
    stage.wait_for_card("1")
    stage.offered("1").hang_up()
    stage.wait_for_card("1", shown=False)
    stage.answer("2")
    stage.wait_for_card("3", shown=False)
    stage.talk(2.0)
    caller.hang_up()
