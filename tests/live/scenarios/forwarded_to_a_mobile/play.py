from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    stage.put("CF/1", stage.track.mobile("mobile 9"))
    caller = stage.call_in("1")
    stage.answer("mobile 9")
    stage.talk(2.0)
    caller.hang_up()
