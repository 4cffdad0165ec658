from __future__ import annotations

from freepbx_bx24.sandbox.pbx.record import Behaviour

from ..stage import Stage


def play(stage: Stage) -> None:
    stage.takes("client", Behaviour(480, 2.0))
    stage.call_out("1").wait()
