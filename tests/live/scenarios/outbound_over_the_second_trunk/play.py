from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    stage.first_trunk_refuses()
    call = stage.call_out("1")
    stage.answer("client", 2)
    stage.talk(2.5)
    call.hang_up()
