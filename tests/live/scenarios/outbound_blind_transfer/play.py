from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    first = stage.call_out("1")
    client = stage.answer("client")
    stage.talk(2.0)
    first.transfer(stage.track.dialled("3"))
    stage.answer("3")
    stage.wait_for_card("1", shown=False)
    stage.talk(2.0)
    client.hang_up()
