"""A real `bx24 serve` process against the sandbox portal, in folders of the test's own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, TypeVar

from freepbx_bx24.sandbox.portal import Portal

from .agi_script import REPOSITORY, AgiRun, intake, make_directories, run_script

Self = TypeVar("Self", bound="RunningService")
PATIENCE = 3  # times as long as a quiet machine
MANAGER_FILE = "manager_bx24.conf"  # of the test's own: none, where it writes none
YAML = """\
portal: {{webhook_file: {webhook}, plan: {plan}}}
country: RU
default_person: 101
default_line: "+74957770000"
pbx_id: pbx-test
manager_file: {manager}
wait: {{in: {wait}, out: {wait}}}
lines:
  "+74957770101": {{name: Sales, person: 102}}
"""


class RunningService:
    """Folders, YAML, portal and the service's process; the guard runs against it with `register` and `finish`."""

    def __init__(self, directory: Path, portal: Portal, wait: float = 2.0) -> None:
        self.directory = make_directories(directory)
        self.portal = portal
        self.yaml = directory / "freepbx_bx24.yaml"
        self.write_yaml(portal.webhook_url, wait)
        self.environment = {
            "BX24_CONFIG": str(self.yaml),
            "BX24_RUN_DIR": str(directory / "run"),
            "BX24_STATE_DIR": str(directory / "state"),
            "BX24_LOG": str(directory / "log"),
            "BX24_TEST_TIME_SCALE": "0.05",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def write_yaml(self, webhook_url: str, wait: float = 2.0, plan: str = "self-hosted") -> None:
        webhook = self.directory / "webhook"
        webhook.write_text(webhook_url + "\n")
        webhook.chmod(0o600)
        self.yaml.write_text(YAML.format(webhook=webhook, wait=wait, plan=plan, manager=self.directory / MANAGER_FILE))
        self.yaml.chmod(0o600)

    def start(self, *wrapper: str, supervised: bool = False) -> RunningService:
        """Start and wait until it answers; `wrapper` is a command that ends by executing the one that follows it."""
        options = ["--supervised"] if supervised else []
        self.launch(*wrapper, sys.executable, "-m", "freepbx_bx24.cli.main", "serve", *options)
        wait_until(self.answers, 20, self.log)
        return self

    def launch(self, *command: str, **environment: str) -> None:
        """Start this command as the service, and wait for nothing."""
        self.process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, **self.environment, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def dead(self) -> bool:
        """Whether its process has ended, whatever ended it."""
        return self.process is not None and self.process.poll() is not None

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.directory / "run" / "agi.sock"))
                connection.sendall(b"kind=ping\0\0")
                return connection.makefile("rb").read() == b"taken\ndone\n"
            except OSError:
                return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(20)
        self.process = None
        return code

    def signal(self, number: int) -> None:
        """Send it a signal. SIGSTOP is waited for: a thread on another processor stops a moment later."""
        assert self.process
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            wait_until(self._is_stopped, 10, self.log)

    def _is_stopped(self) -> bool:
        assert self.process
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return all((thread / "stat").read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)

    def register(self, uniqueid: str = "1790000120.77", **options: Any) -> AgiRun:
        return run_script(
            "register", self.directory, uniqueid=uniqueid, process_environment=self.environment, **options
        )

    def finish(self, uniqueid: str = "1790000120.77", **options: Any) -> AgiRun:
        options.setdefault("arguments", ("in",))
        return run_script("finish", self.directory, uniqueid=uniqueid, process_environment=self.environment, **options)

    def calls(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = self.portal.ledger()["calls"]
        return calls

    def wait_for_calls(self, number: int = 1, state: str = "finished", seconds: float = 15.0) -> list[dict[str, Any]]:
        wait_until(lambda: sum(call["state"] == state for call in self.calls()) >= number, seconds, self.log)
        return [call for call in self.calls() if call["state"] == state]

    def owed(self) -> list[tuple[str, str, str]]:
        """What the journal says is not told yet: (uniqueid, kind, state)."""
        path = self.directory / "state" / "journal.sqlite"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as journal:
            return journal.execute(
                "SELECT uniqueid, kind, state FROM deliveries WHERE state IN ('due', 'parked', 'held')"
            ).fetchall()

    def wait_until_all_is_told(self, seconds: float = 30.0) -> None:
        """Until the intake is taken in and the journal owes nothing; what is parked counts as owed."""

        def told() -> bool:
            return not self.owed() and not intake(self.directory, 0)

        wait_until(told, seconds, lambda: f"{self.owed()}\n{intake(self.directory, 0)}\n{self.log()}")

    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text() if path.exists() else "no log"


def asked(portal: Portal) -> list[str]:
    """Every method that the portal was asked for, in lower case, those inside of batches too."""
    methods = []
    for request in portal.ledger()["requests"]:
        commands = request["parameters"].get("cmd", {}) if request["method"] == "batch" else {}
        methods += [command.partition("?")[0].lower() for command in commands.values()] or [request["method"].lower()]
    return methods


def wait_until(true: Callable[[], bool], seconds: float, explain: Callable[[], str] = lambda: "") -> None:
    """Poll until it is true. What has to be quick is said by `in_time`.

    :param seconds: what a quiet machine takes at the very most; a busy one gets several times as many.
    :raises AssertionError: where it is not true by then, with the explanation.
    """
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s\n{explain()}"
        time.sleep(0.02)
