from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("menu without an end")
    caller.wait_answered()
    stage.talk(2.0)
    caller.hang_up()
