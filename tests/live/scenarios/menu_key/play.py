from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("menu")
    caller.wait_answered()
    stage.talk(0.5)
    caller.press("2")
    stage.answer("2")
    stage.talk(2.0)
    caller.hang_up()
