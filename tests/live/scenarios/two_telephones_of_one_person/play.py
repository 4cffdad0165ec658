from __future__ import annotations

from ..stage import Stage
from ..track import TWIN


def play(stage: Stage) -> None:
    caller = stage.call_in("8")
    stage.wait_for_card("8")
    stage.offered(TWIN).hang_up()
    stage.talk(1.0)
    stage.answer("8")
    stage.talk(2.0)
    caller.hang_up()
