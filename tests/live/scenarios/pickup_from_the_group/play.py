from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("1", sound=True)
    stage.wait_for_card("1")
    stage.dial("3", "*8", sound=True).wait_answered()
    stage.wait_for_card("1", shown=False)
    stage.talk(2.5)
    caller.hang_up()
