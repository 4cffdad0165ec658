from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("1")
    first = stage.answer("1")
    asking = stage.dial("1", "3")
    stage.answer("3", card=False)
    stage.talk(1.5)
    first.transfer_to(asking)
    first.wait()
    stage.wait_for_card("3")
    stage.wait_for_card("1", shown=False)
    stage.talk(2.0)
    caller.hang_up()
