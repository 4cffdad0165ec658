from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("queue")
    stage.wait_for_card("3")
    stage.talk(8.0)
    caller.hang_up()
