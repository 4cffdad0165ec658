from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("follow-me")
    stage.wait_for_card("6")
    stage.answer("1")
    stage.wait_for_card("6", shown=False)
    stage.talk(2.0)
    caller.hang_up()
