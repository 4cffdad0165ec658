from __future__ import annotations

from freepbx_bx24.sandbox.pbx.record import busy

from ..stage import Stage


def play(stage: Stage) -> None:
    stage.takes("client", busy(1.0))
    call = stage.call_out("1")
    stage.wait_for_card("1")
    call.wait()
