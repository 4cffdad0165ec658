from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    caller = stage.call_in("noted voicemail", sound=True)
    caller.wait_answered()
    stage.talk(6.0)
    caller.hang_up()
