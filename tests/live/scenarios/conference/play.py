from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("1", sound=True)
    first = stage.answer("1")
    stage.talk(1.5)
    first.transfer(stage.track.dialled("room"))
    first.wait()
    stage.wait_for_card("1", shown=False)
    stage.talk(2.0)
    one = stage.dial("1", "room", sound=True)
    stage.wait_for_card("1")
    stage.talk(1.0)
    two = stage.dial("2", "room", sound=True)
    stage.wait_for_card("2")
    stage.talk(1.0)
    one.hang_up()
    stage.wait_for_card("1", shown=False)
    stage.talk(1.5)
    caller.hang_up()
    two.hang_up()
