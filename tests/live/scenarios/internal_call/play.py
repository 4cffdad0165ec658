from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    call = stage.dial("1", "3")
    stage.answer("3", card=False)
    stage.talk(1.5)
    call.hang_up()
