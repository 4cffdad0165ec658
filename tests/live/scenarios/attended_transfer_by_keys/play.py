from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("1", sound=True)
    first = stage.answer("1")
    stage.talk(2.0)
    first.press("*2")
    stage.talk(0.7)
    first.press(stage.track.dialled("3"))
    stage.offered("3")
    stage.client_waits()  # Asterisk keeps the two together while person 1 presses keys
    stage.answer("3", card=False)
    stage.talk(1.5)
    first.hang_up()
    stage.client_waits(False)
    stage.wait_for_card("3")
    stage.wait_for_card("1", shown=False)
    stage.talk(2.0)
    caller.hang_up()
