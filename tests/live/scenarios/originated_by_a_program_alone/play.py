from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    stage.originate("client", "application Wait 3")
    stage.answer("client").wait()
