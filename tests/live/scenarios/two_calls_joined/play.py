from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("1")
    first = stage.answer("1")
    second = stage.call_out("1", "other client")
    stage.answer("other client")
    stage.talk(2.0)
    first.transfer_to(second)
    first.wait()
    stage.wait_for_card("1", shown=False)
    stage.talk(2.5)
    caller.hang_up()
