from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("1", sound=True)
    first = stage.answer("1")
    stage.talk(2.0)
    slot = stage.park(first)
    stage.wait_for_card("1", shown=False)
    stage.talk(2.0)
    stage.dial("2", slot, sound=True).wait_answered()
    stage.talk(2.5)
    caller.hang_up()
