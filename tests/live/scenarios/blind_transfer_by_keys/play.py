from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("1", sound=True)
    first = stage.answer("1")
    stage.talk(2.0)
    first.press("##")
    stage.talk(1.5)
    first.press(stage.track.dialled("3"))
    stage.answer("3")
    stage.wait_for_card("1", shown=False)
    stage.talk(2.0)
    caller.hang_up()
