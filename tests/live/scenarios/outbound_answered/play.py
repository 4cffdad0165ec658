from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    call = stage.call_out("1")
    stage.answer("client")
    stage.talk(2.5)
    call.hang_up()
