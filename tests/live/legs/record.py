"""Records the hard cases as traces for the unit tests: `python -m tests.live.legs.record forky [case ...]`, as root.

Whoever records looks at the `=` lines before committing them: they are what Legs made of the events, told beside what
the telephones themselves saw.
"""

from __future__ import annotations

import sys
import time
from typing import Callable, Sequence

from freepbx_bx24.sandbox.pbx.harness import SandboxPbx
from freepbx_bx24.sandbox.pbx.record import CallRecord, answer
from freepbx_bx24.sandbox.pbx.roots import SUITES
from tests.support.ami_trace import TRACES, Replay, read, written

from .calls import CASES, Stage, prepare
from .listener import Listener


def play(pbx: SandboxPbx, ami: Listener, case: Callable[[Stage], None]) -> Sequence[CallRecord]:
    """Everybody at rest, then the case; `ami.events` has its events then. Returns what the endpoints saw."""
    for endpoint in (pbx.trunk, pbx.reserve_trunk, *pbx.phones):
        endpoint.calls.clear()
        endpoint.behaviour = answer(0.4)
    ami.clear()
    try:
        case(Stage(pbx, ami))
        return pbx.settle(15)
    finally:
        pbx.asterisk.rx("channel request hangup all")
        time.sleep(0.2)


def main(suite: str, names: Sequence[str]) -> None:
    with SandboxPbx(suite) as pbx:
        prepare(pbx)
        ami = Listener(pbx.ami_port)
        for name in names or CASES:
            case, directions = CASES[name]
            records = play(pbx, ami, case)
            path = TRACES / f"real-{SUITES[suite].asterisk}-{name}.trace"
            path.write_text(written(ami.events, directions), encoding="utf-8")
            told = Replay().feed(read(path).steps).told()
            with path.open("a", encoding="utf-8") as file:
                file.writelines(f"= {line}\n" for line in told)
            print(f"== {name}", *told, sep="\n")
            for record in records:
                print(f"   {record.endpoint} {record.final_status} talked {record.talk_seconds:.2f}")
        ami.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
