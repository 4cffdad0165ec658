from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    stage.night()
    caller = stage.call_in("day and night", sound=True)
    caller.wait_answered()
    stage.talk(6.0)
    caller.hang_up()
