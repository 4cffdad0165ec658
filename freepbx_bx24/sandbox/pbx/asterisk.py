"""The sandbox's Asterisk: started, asked, reloaded, stopped and killed inside a working root."""

from __future__ import annotations

import re
import subprocess
import time

from freepbx_bx24.errors import SandboxError
from freepbx_bx24.sandbox.pbx import configs
from freepbx_bx24.sandbox.pbx.namespace import Process, Root

START_SECONDS = 30.0
STOP_SECONDS = 10.0
LOG = "/var/log/asterisk/full"


class Asterisk:
    """One Asterisk in one root.

    :param root: an entered working root with Debian's asterisk package in it.
    :param settings: its ports and accounts; written into the root's /etc/asterisk at once.
    """

    def __init__(self, root: Root, settings: configs.Settings) -> None:
        self.root = root
        self.settings = settings
        self.process: Process | None = None
        configs.write(root.path, settings)

    @property
    def running(self) -> bool:
        """Whether the process that `start()` made is still there."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start Asterisk as the asterisk user and wait until it is fully booted. Raise SandboxError with its log's end.

        Started as FreePBX does it: from root with `-U`, so HOME stays /root and standard error goes nowhere.
        """
        self.root.run(["install", "-d", "-o", "asterisk", "-g", "asterisk", "/run/asterisk", configs.MONITOR])
        self.process = self.root.popen(["asterisk", "-f", "-U", "asterisk", "-G", "asterisk"])
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.running:
            # The console's own answer comes only after the control socket is there, hence the polling.
            if self._ask("core waitfullybooted", START_SECONDS).returncode == 0:
                self._check_version()
                return
            time.sleep(0.05)
        state = "did not boot in time" if self.running else f"ended with {self.process.returncode}"
        raise SandboxError(f"Asterisk {state} in {self.root.path}; the end of its log:\n{self.log_tail()}")

    def rx(self, command: str, timeout: float = 10.0) -> str:
        """Run a console command (`core show channels concise`) and return what it printed. Raise SandboxError."""
        done = self._ask(command, timeout)
        if done.returncode != 0:
            raise SandboxError(f"`asterisk -rx '{command}'` failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def reload_dialplan(self) -> None:
        """Read extensions.conf again; calls that are up keep what they have."""
        self.rx("dialplan reload")

    def channels(self) -> int:
        """How many channels are up now."""
        found = re.search(r"(\d+) active channel", self.rx("core show channels count"))
        return int(found[1]) if found else 0

    def stop(self) -> None:
        """End Asterisk as `core stop now` does (calls are hung up); kill it when it does not go in time."""
        if self.process is None:
            return
        if self.running:
            self._ask("core stop now", STOP_SECONDS)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process = None

    def kill(self) -> None:
        """kill -9: no hangup, no goodbye on SIP or AMI, as at a power cut."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_SECONDS)
            self.process = None

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def log_tail(self, lines: int = 60) -> str:
        """The last lines of Asterisk's full log, empty when there is none."""
        path = self.root.outside(LOG)
        if not path.exists():
            return ""
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _ask(self, command: str, timeout: float) -> subprocess.CompletedProcess[str]:
        return self.root.run(["asterisk", "-rx", command], check=False, timeout=timeout)

    def _check_version(self) -> None:
        said = self.rx("core show version")
        found = re.match(r"Asterisk (\d+)", said)
        if not found or int(found[1]) != self.settings.major:
            raise SandboxError(f"Asterisk {self.settings.major} was expected, this is {said.strip()[:80]}")
