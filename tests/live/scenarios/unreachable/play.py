from __future__ import annotations

from freepbx_bx24.sandbox.pbx.record import unavailable

from ..stage import Stage


def play(stage: Stage) -> None:
    stage.takes("1", unavailable())
    stage.call_in("1", give_up_after=6.0).wait()
