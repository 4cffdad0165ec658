"""The sandbox portal in a process of its own, so that measuring and answering don't share an interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from typing import Any

from tests.support.agi_script import REPOSITORY


class PortalProcess:
    """`bx24 sandbox portal` on a free port; as much of Portal's interface as a measurement needs."""

    def __init__(self) -> None:
        self.webhook_url = self.ledger_url = ""
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> PortalProcess:
        """Start, and read where it is from what it prints."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "freepbx_bx24.cli.main", "sandbox", "portal", "--port", "0"],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        said = dict(self.process.stdout.readline().split(None, 1) for _ in range(3))
        self.webhook_url, self.ledger_url = said["Webhook:"].strip(), said["Ledger:"].strip()
        return self

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def __enter__(self) -> PortalProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ledger(self) -> dict[str, Any]:
        """What the CRM would show."""
        with urllib.request.urlopen(self.ledger_url, timeout=10) as reply:
            ledger: dict[str, Any] = json.load(reply)
        return ledger
