from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    first = stage.call_in("1")
    stage.answer("1")
    stage.talk(1.0)
    second = stage.call_in("1", "other client")
    stage.answer("1", 2)
    stage.talk(1.5)
    second.hang_up()
    second.wait()
    stage.talk(1.0)
    first.hang_up()
