from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    stage.originate("client", f"extension {stage.track.extension('1')}@from-internal")
    stage.answer("client")
    person = stage.answer("1", card=False)
    stage.talk(2.5)
    person.hang_up()
