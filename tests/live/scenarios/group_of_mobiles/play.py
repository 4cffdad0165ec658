from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("group of mobiles")
    stage.wait_for_card("2")
    stage.answer("mobile 8")
    stage.wait_for_card("2", shown=False)
    stage.talk(2.0)
    caller.hang_up()
