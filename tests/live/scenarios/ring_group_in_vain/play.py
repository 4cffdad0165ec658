from __future__ import annotations

from freepbx_bx24.sandbox.pbx.record import busy

from ..stage import Stage


def play(stage: Stage) -> None:
    stage.takes("3", busy())
    caller = stage.call_in("ring group")
    stage.wait_for_card("1")
    stage.wait_for_card("2")
    stage.talk(2.0)
    caller.hang_up()
