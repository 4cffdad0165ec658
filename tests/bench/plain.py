"""The plain script as a process, played to in the same way as ours, and what a call costs by it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.support.agi_script import REPOSITORY, AgiRun, answer, environment_lines

from .caller import client_of
from .portal_process import PortalProcess
from .processes import children_seconds

VARIABLES = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "35", "DIALEDPEERNUMBER": "101/sip:101@127.0.0.1"}
FIRST = 9_000_000  # its clients are nobody else's


def run_plain(yaml: Path, kind: str, uniqueid: str, call_id: str = "", client: str = "+79161234567") -> AgiRun:
    """The plain script, with the settings that ours has."""
    run = AgiRun()
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "tests" / "bench" / "plain_script.py"), kind, str(yaml)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    process.stdin.write(environment_lines(uniqueid, callerid=client))
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


def processor_of_a_plain_call(yaml: Path, portal: PortalProcess, number: int) -> float:
    """CPU seconds of one register and one finish by the plain script."""
    before = children_seconds()
    uniqueid, client = f"{1780000000 + number}.{number}", client_of(FIRST + number)
    run_plain(yaml, "register", uniqueid, client=client)
    spent = children_seconds() - before
    call_id = next(call["CALL_ID"] for call in portal.ledger()["calls"] if call["EXTERNAL_CALL_ID"] == uniqueid)
    before = children_seconds()
    run = run_plain(yaml, "finish", uniqueid, call_id, client)
    assert run.exit_code == 0
    return spent + children_seconds() - before
