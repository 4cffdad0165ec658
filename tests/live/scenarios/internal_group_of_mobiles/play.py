from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    call = stage.dial("1", "group of mobiles")
    stage.answer("mobile 7")
    stage.talk(1.5)
    call.hang_up()
