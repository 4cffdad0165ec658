from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    stage.log_in("9", "4")
    caller = stage.call_in("4")
    stage.wait_for_card("4")
    stage.answer("9", card=False)
    stage.talk(2.0)
    caller.hang_up()
    caller.wait()
    call = stage.call_out("9", "other client")
    stage.answer("other client")
    stage.talk(2.0)
    call.hang_up()
