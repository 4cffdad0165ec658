from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    call = stage.dial("1", "112")
    call.wait_answered()
    stage.talk(1.0)
    call.hang_up()
