from __future__ import annotations

from ..stage import Stage


def play(stage: Stage) -> None:
    stage.put("DND/1", "YES")
    caller = stage.call_in("1", give_up_after=4.0)
    caller.wait()
    assert not stage.phone("1").records
