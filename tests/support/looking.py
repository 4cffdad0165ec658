"""Types `bx24` beside a service that may run, and reads what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from freepbx_bx24.sandbox.portal import Reply

from .agi_script import REPOSITORY
from .running_service import RunningService, wait_until

REGISTER = "telephony.externalcall.register"
FINISH = "telephony.externalcall.finish"
ANSWERED = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "35", "DIALEDPEERNUMBER": "101/sip:101@127.0.0.1"}
MISSED = {"DIALSTATUS": "NOANSWER"}
REFUSAL = Reply(400, {"error": "", "error_description": "Unsupported phone number format"})
# A caller's number and name of everything that a terminal, a line or a shell could trip over.
HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202egnp.exe\n`rm -rf /` $(id) "


class Person:
    """Who types: `out` is what was printed last, on both streams."""

    def __init__(self, service: RunningService) -> None:
        self.service = service
        self.out = ""

    def types(self, *arguments: str, code: int = 0) -> str:
        """Type `bx24 ...`; what it prints on standard output, after its exit code was looked at."""
        done = subprocess.run(
            [sys.executable, "-m", "freepbx_bx24.cli.main", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, **self.service.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.out = done.stdout + done.stderr
        assert done.returncode == code, self.out
        assert "Traceback" not in self.out
        assert all(mark.isprintable() or mark == "\n" for mark in self.out), ascii(self.out)
        assert max(map(len, done.stdout.splitlines()), default=0) <= 100 or "--json" in arguments, self.out
        return done.stdout

    def asks(self, *arguments: str, code: int = 0) -> Any:
        """Type it with `--json`; the value that is printed."""
        return json.loads(self.types(*arguments, "--json", code=code))

    def waits_for(self, uniqueid: str, state: str, seconds: float = 30.0) -> dict[str, Any]:
        """Until a call is in that state; the call."""
        found: list[dict[str, Any]] = []

        def is_so() -> bool:
            answer = json.loads(self.types("why", uniqueid, "--json"))
            found[:] = [answer["call"]] if answer["call"] else []
            return bool(found) and found[0]["state"] == state

        wait_until(is_so, seconds, lambda: f"{found}\n{self.service.log()}")
        return found[0]
