from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    stage.call_in("busy tone").wait()
