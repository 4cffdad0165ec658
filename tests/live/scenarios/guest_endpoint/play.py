from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_as_guest("1")
    stage.answer("1", card=False)
    stage.talk(1.5)
    caller.hang_up()
