from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("5", sound=True)
    stage.wait_for_card("5")
    stage.offered("5").hang_up()
    caller.wait_answered()
    stage.talk(6.0)
    caller.hang_up()
