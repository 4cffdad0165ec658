"""The product inside the sandbox PBX: installed by its own install.sh, configured, its service started and stopped."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path

from ..errors import SandboxError
from .pbx.harness import SandboxPbx
from .pbx.namespace import Process
from .portal import Portal

SOURCE = "/usr/src/freepbx_bx24"
BX24 = "/usr/local/bin/bx24"
YAML = "/etc/freepbx_bx24.yaml"
LOG = "/var/log/asterisk/freepbx_bx24.log"
INSTALL_SECONDS = 600.0
READY_SECONDS = 20.0
NOT_COPIED = (
    ".git",
    "__pycache__",
    "*.egg-info",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    "tests",
)
OPTIONS = ("--country", "RU", "--default-person", "101", "--default-line", "+74957770000")
# What the sandbox adds to the installed YAML; the lines are those of the sandbox's dialplan.
LINES = """
lines:
  "+74957770000": {name: Main, person: 101}
  "+74957770101": {name: Sales, person: 101}
  "+74957770102": {name: Support, person: 102}
"""


class Product:
    """freepbx_bx24 in a started sandbox PBX, speaking to a sandbox portal.

    :param source: the source tree that is copied in and installed from.
    """

    def __init__(self, pbx: SandboxPbx, portal: Portal, source: Path) -> None:
        self.pbx = pbx
        self.portal = portal
        self.source = source
        self.service: Process | None = None

    def install(self, *options: str) -> str:
        """Run install.sh as an admin would, with the portal's webhook on standard input; returns what it printed.

        :raises SandboxError: with what install.sh said, where it failed.
        """
        self.pbx.root.copy_in(self.source, SOURCE, NOT_COPIED)
        done = self.pbx.root.run(
            [f"{SOURCE}/install.sh", "--webhook-url", "-", *OPTIONS, *options],
            input=self.portal.webhook_url + "\n",
            timeout=INSTALL_SECONDS,
        )
        return done.stdout

    def configure(self, more: str = LINES) -> None:
        """Add lines to the YAML that install.sh made, and say that the sandbox's portal has no limits.

        An admin's editor would do the same.
        """
        path = self.pbx.root.outside(YAML)
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("  #plan: ordinary\n", "  plan: self-hosted\n") + more, encoding="utf-8")

    def start(self, *options: str, **environment: str) -> None:
        """Start `bx24 serve` with these options as the asterisk user and wait until it answers.

        :raises SandboxError: with the end of its log, where it does not.
        """
        self.service = self.pbx.root.popen([BX24, "serve", *options], user="asterisk", env=environment)
        deadline = time.monotonic() + READY_SECONDS
        while not self.answers():
            if time.monotonic() > deadline or self.service.poll() is not None:
                raise SandboxError(f"the service did not start:\n{self.log()[-3000:]}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether the service answers on its socket, asked from inside."""
        ask = (
            "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(1);"
            "s.connect('/run/freepbx-bx24/agi.sock'); s.sendall(b'kind=ping\\0\\0');"
            "raise SystemExit(s.makefile('rb').read() != b'taken\\ndone\\n')"
        )
        return self.pbx.root.run(["python3", "-c", ask], user="asterisk", check=False).returncode == 0

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send the service a signal that ends it, and wait for that."""
        service, self.service = self.service, None
        if service is not None:
            service.send_signal(number)
            service.wait(READY_SECONDS)

    def log(self) -> str:
        """The product's log."""
        with contextlib.suppress(OSError):
            return self.pbx.root.outside(LOG).read_text(encoding="utf-8", errors="replace")
        return ""
