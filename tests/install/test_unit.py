"""The systemd unit: understood, as closed as a service that reads recordings can be, and the service lives in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.service import supervisor
from tests.install.pbx_machine import REPOSITORY
from tests.support.running_service import RunningService
from tests.support.unit_cage import UNIT, option, refused_calls

MOST_EXPOSED = 1.5  # of 10, by `systemd-analyze security`: what is left is the network, the homes and the root folder


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_unit_is_one_that_systemd_understands(tmp_path: Path) -> None:
    program = tmp_path / "bx24"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    # The program and the user are of an installed machine; everything else is judged as it is.
    copy = tmp_path / "freepbx-bx24.service"
    text = UNIT.read_text(encoding="utf-8").replace("/opt/freepbx-bx24/venv/bin/bx24", str(program))
    copy.write_text(text.replace("=asterisk\n", "=root\n"), encoding="utf-8")
    done = run("systemd-analyze", "verify", str(copy))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_exposes_no_more_than_it_must() -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    open_doors = "\n".join(line for line in done.stdout.splitlines() if line.startswith("✗"))
    print(f"{found[0]}\n{open_doors}")
    assert float(found[1]) <= MOST_EXPOSED, open_doors


def test_the_supervisor_without_systemd_is_as_patient_as_the_unit() -> None:
    assert option("Type") == "notify"
    assert float(option("WatchdogSec")) == supervisor.WATCHDOG_SECONDS
    assert float(option("TimeoutStopSec")) == supervisor.STOP_SECONDS
    assert float(option("RestartSec")) == supervisor.FIRST_PAUSE_SECONDS


@pytest.fixture
def caged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with Portal() as portal:
        service = RunningService(tmp_path_factory.mktemp("s"), portal)
        service.start(sys.executable, str(REPOSITORY / "tests/support/unit_cage.py"))
        yield service
        if service.process is not None:
            service.process.kill()
            service.process.wait()


def test_the_filter_refuses_what_a_service_has_no_business_with() -> None:
    assert {"mount", "ptrace", "reboot", "chown", "setuid", "clock_settime", "init_module"} <= set(refused_calls())


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        ("import os; os.chown('/', 0, 0)", "Operation not permitted"),
        ("import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)", "Operation not permitted"),
        ("import os; print(os.getpid())", ""),
    ],
)
def test_the_cage_of_these_tests_holds(attempt: str, error: str) -> None:
    done = run(sys.executable, str(REPOSITORY / "tests/support/unit_cage.py"), sys.executable, "-c", attempt)
    assert (error in done.stderr, done.returncode == 0) == (True, not error), done.stderr


def test_the_service_lives_under_the_units_system_call_rules(caged: RunningService) -> None:
    assert caged.process
    status = Path(f"/proc/{caged.process.pid}/status").read_text(encoding="ascii")
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
    assert caged.register().variables["BX24_STATUS"] == "REGISTERED"
    caged.finish(variables={"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "35"})
    (call,) = caged.wait_for_calls()
    assert call["CALL_DURATION"] == 35
    assert (caged.directory / "state" / "directory.json").exists()
    assert caged.stop() == 0
    assert "Traceback" not in caged.log() and "not permitted" not in caged.log()
