"""CPU and wall time of the scripts over real pipes: ours with the service, ours alone, and the plain one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.agi_script import REPOSITORY, AgiRun, answer, environment_lines
from tests.support.running_service import RunningService

from .figures import Figure, percentile
from .portal_process import PortalProcess
from .processes import children_seconds, processor_seconds
from .sizes import Sizes

VARIABLES = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "35", "DIALEDPEERNUMBER": "101/sip:101@127.0.0.1"}


def run_plain(service: RunningService, kind: str, uniqueid: str, call_id: str = "") -> AgiRun:
    """The plain script, played to in the same way as ours."""
    run = AgiRun()
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "tests" / "bench" / "plain_script.py"), kind, str(service.yaml)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    process.stdin.write(environment_lines(uniqueid))
    process.stdin.flush()
    variables = {**VARIABLES, "BX24_CALL_ID": call_id}
    for line in process.stdout:
        command = line.rstrip("\n")
        if command.startswith("GET VARIABLE "):
            reply = f"200 result=1 ({variables.get(command.split()[2].strip(chr(34)), '')})"
        else:
            reply = answer(command.replace('"__', "__").replace('" "', ' "', 1), {}, run)
        process.stdin.write(reply + "\n")
        process.stdin.flush()
    run.exit_code = process.wait(30)
    run.seconds = time.monotonic() - began
    return run


def measure(sizes: Sizes) -> list[Figure]:
    """Rows two and three: CPU of register and finish, and register without the service, against the plain script."""
    rounds, ours, plain = sizes.rounds, 0.0, 0.0
    alone_waits, plain_waits = [], []
    with PortalProcess() as portal, tempfile.TemporaryDirectory(prefix="bx24-bench") as folder:
        service = RunningService(Path(folder), portal).start()  # type: ignore[arg-type]
        assert service.process
        for number in range(rounds):
            uniqueid = f"1790000{number:03d}.1"
            before = children_seconds() + processor_seconds(service.process.pid)
            assert service.register(uniqueid).variables["BX24_STATUS"] == "REGISTERED"
            service.finish(uniqueid, variables=VARIABLES)
            service.wait_for_calls(2 * number + 1)
            ours += children_seconds() + processor_seconds(service.process.pid) - before
            before = children_seconds()
            run_plain(service, "register", uniqueid + "9")
            call_id = next(call["CALL_ID"] for call in service.calls() if call["EXTERNAL_CALL_ID"] == uniqueid + "9")
            run_plain(service, "finish", uniqueid + "9", call_id)
            plain += children_seconds() - before
        service.stop()
        for number in range(rounds):
            uniqueid = f"1790001{number:03d}.1"
            run = service.register(uniqueid)
            assert run.variables["BX24_STATUS"] == "REGISTERED", service.log()
            alone_waits.append(run.seconds)
            plain_waits.append(run_plain(service, "register", uniqueid + "9").seconds)
    return [
        Figure("CPU of register + finish, ms", 1000 * ours / rounds, 1000 * plain / rounds, 0.25),
        Figure(
            "wait of register without the service, p50 ms",
            1000 * percentile(alone_waits, 0.5),
            1000 * percentile(plain_waits, 0.5),
            1.5,
        ),
    ]
