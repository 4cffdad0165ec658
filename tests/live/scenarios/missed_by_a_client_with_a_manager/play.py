from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    stage.is_client_of("4")
    caller = stage.call_in("1")
    stage.wait_for_card("1")
    stage.talk(2.0)
    caller.hang_up()
