from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("1")
    stage.answer("1")
    stage.restart_service()
    stage.talk(2.0)
    caller.hang_up()
