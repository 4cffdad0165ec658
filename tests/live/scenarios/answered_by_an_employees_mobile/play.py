from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("group with a mobile")
    stage.wait_for_card("1")
    stage.answer("mobile 6")
    stage.talk(2.0)
    caller.hang_up()
