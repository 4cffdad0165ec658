"""`bx24 serve --supervised`: the service is started again when it dies or hangs, and never outlives its parent."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

from freepbx_bx24.service.supervisor import SERVICE, end_in_words, pause_seconds
from tests.support.agi_script import REPOSITORY
from tests.support.in_time import in_time
from tests.support.running_service import RunningService, wait_until

pytestmark = pytest.mark.endurance

HEAVY = ("_sqlite3", "_ssl", "yaml", "libsqlite3", "libssl")


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still are."""
    out = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in out.split()]


class Supervised:
    """A supervisor over a program of the test's own; `text` is what each child runs."""

    HEAD = """
import os, socket, sys, time, signal, pathlib
here = pathlib.Path({here!r})
def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
        speaker.sendto(text.encode(), "\\0" + os.environ["NOTIFY_SOCKET"][1:])
with open(here / "starts", "a") as starts:
    starts.write(f"{{os.getpid()}} {{time.monotonic()}}\\n")
number = len((here / "starts").read_text().splitlines())
"""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "run").mkdir(mode=0o750)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, text: str, scale: float = 0.05) -> Supervised:
        program = self.directory / "child.py"
        program.write_text(self.HEAD.format(here=str(self.directory)) + text)
        code = (
            "import os, sys; from freepbx_bx24.service import supervisor as s; s.log_to_file(s.log_path())\n"
            f"sys.exit(s.Supervisor([sys.executable, {str(program)!r}]).run())"
        )
        places = {"BX24_RUN_DIR": str(self.directory / "run"), "BX24_LOG": str(self.directory / "log")}
        environment = {**os.environ, **places, "BX24_TEST_TIME_SCALE": str(scale)}
        self.process = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, env=environment)
        return self

    def starts(self) -> list[tuple[int, float]]:
        path = self.directory / "starts"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(pid), float(when)) for pid, when in (line.split() for line in lines)]

    def wait_for_starts(self, number: int, seconds: float = 20) -> list[tuple[int, float]]:
        wait_until(lambda: len(self.starts()) >= number, seconds, self.log)
        return self.starts()

    def signal(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)

    def wait(self, seconds: float = 20) -> int:
        assert self.process
        return self.process.wait(seconds)

    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text() if path.exists() else "no log"


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    one = Supervised(tmp_path)
    yield one
    if one.process is not None:
        one.process.kill()
        one.process.wait()


# -- deaths --------------------------------------------------------------------------------------------------


def test_the_pause_grows_from_one_second_to_thirty() -> None:
    assert [pause_seconds(deaths) for deaths in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]
    assert pause_seconds(10**6) == 30


def test_an_end_is_told_in_words() -> None:
    assert end_in_words(3) == "ended with exit code 3"
    assert end_in_words(-9) == "was killed by SIGKILL"
    assert end_in_words(-250) == "was killed by signal 250"


def test_a_service_that_dies_at_once_again_and_again_is_started_ever_more_seldom(supervised: Supervised) -> None:
    supervised.start("sys.exit(1)", scale=0.1)
    times = [when for _, when in supervised.wait_for_starts(5)]
    gaps = [after - before for before, after in zip(times, times[1:])]
    for gap, pause in zip(gaps, (0.1, 0.2, 0.4, 0.8)):
        assert pause <= gap < pause + 0.6
    log = supervised.log()
    assert "the service ended with exit code 1: it is started again in 0.1 s" in log
    assert "it is started again in 0.8 s" in log


def test_a_service_that_had_lived_for_a_while_is_started_again_at_once(supervised: Supervised) -> None:
    supervised.start("notify('READY=1')\nfor _ in range(8):\n    time.sleep(0.1); notify('WATCHDOG=1')")
    supervised.wait_for_starts(3)
    assert "ended with exit code 0: it is started again at once" in supervised.log()
    assert "started again in" not in supervised.log()


def test_a_configuration_that_can_not_be_used_is_not_tried_again(supervised: Supervised) -> None:
    supervised.start("sys.exit(78)")
    assert supervised.wait() == 78
    assert len(supervised.starts()) == 1
    assert "its configuration can't be used. Run bx24 check" in supervised.log()


def test_a_program_that_can_not_be_started_is_tried_again_later(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o750)
    code = (
        "import sys; from freepbx_bx24.service import supervisor as s; s.log_to_file(s.log_path())\n"
        "sys.exit(s.Supervisor(['/nowhere']).run())"
    )
    places = {"BX24_RUN_DIR": str(tmp_path / "run"), "BX24_LOG": str(tmp_path / "log"), "BX24_TEST_TIME_SCALE": "0.05"}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, env={**os.environ, **places})
    try:
        wait_until(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text().count("nowhere") > 2, 10)
        process.terminate()
        assert process.wait(5) == 0  # also between two starts
    finally:
        process.kill()
        process.wait()


# -- hangs ---------------------------------------------------------------------------------------------------


def test_a_service_that_stops_beating_is_killed_and_started_again(supervised: Supervised) -> None:
    supervised.start("notify('READY=1')\ntime.sleep(100)")
    first, second = supervised.wait_for_starts(2)[:2]
    assert second[1] - first[1] >= 3.0
    in_time(second[1] - first[1], 6)
    assert not alive(first[0])
    assert re.search(r"the service does not beat for 3(\.\d+)? s: it is killed", supervised.log()), supervised.log()
    assert "was killed by SIGABRT" in supervised.log()


def test_a_service_that_ignores_being_aborted_is_killed_all_the_same(supervised: Supervised) -> None:
    supervised.start("signal.signal(signal.SIGABRT, signal.SIG_IGN)\nnotify('READY=1')\ntime.sleep(100)")
    supervised.wait_for_starts(2)
    assert "was killed by SIGKILL" in supervised.log()


def test_a_service_that_beats_is_left_alone(supervised: Supervised) -> None:
    supervised.start("notify('READY=1')\nwhile True:\n    time.sleep(0.5); notify('WATCHDOG=1')")
    time.sleep(5)
    assert len(supervised.starts()) == 1


def test_beats_of_somebody_else_do_not_keep_a_hanging_service_alive(supervised: Supervised) -> None:
    (supervised.directory / "run").chmod(0o755)
    supervised.start("(here / 'address').write_text(os.environ['NOTIFY_SOCKET'])\nnotify('READY=1')\ntime.sleep(100)")
    supervised.wait_for_starts(1)
    wait_until((supervised.directory / "address").exists, 5)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as impostor:
        while len(supervised.starts()) == 1:
            impostor.sendto(b"WATCHDOG=1", "\0" + (supervised.directory / "address").read_text()[1:])
            time.sleep(0.1)
            in_time(time.monotonic() - supervised.starts()[0][1], 10)


def test_a_pause_of_the_whole_machine_is_not_held_against_the_service(supervised: Supervised) -> None:
    supervised.start("notify('READY=1')\nwhile True:\n    time.sleep(0.5); notify('WATCHDOG=1')")
    wait_until(lambda: "ready after" in supervised.log(), 10, supervised.log)
    pid = supervised.starts()[0][0]
    supervised.signal(signal.SIGSTOP)  # as Ctrl-Z does, both
    os.kill(pid, signal.SIGSTOP)
    time.sleep(4)
    supervised.signal(signal.SIGCONT)
    time.sleep(0.3)
    os.kill(pid, signal.SIGCONT)
    time.sleep(1)
    assert len(supervised.starts()) == 1 and alive(pid), supervised.log()


# -- signals -------------------------------------------------------------------------------------------------


def test_a_reload_that_comes_before_the_service_is_ready_reaches_it_afterwards(supervised: Supervised) -> None:
    supervised.start(
        """
(here / "up").touch()
time.sleep(1)  # SIGHUP would end it here
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
notify("READY=1")
got = signal.sigtimedwait([signal.SIGHUP], 5)
(here / "got").write_text(str(got and got.si_signo))
time.sleep(100)
"""
    )
    wait_until((supervised.directory / "up").exists, 10)
    supervised.signal(signal.SIGHUP)
    wait_until((supervised.directory / "got").exists, 10, supervised.log)
    wait_until(lambda: (supervised.directory / "got").read_text() == str(int(signal.SIGHUP)), 5)
    assert len(supervised.starts()) == 1


def test_a_service_that_does_not_stop_does_not_keep_its_supervisor(service: RunningService) -> None:
    service.start(supervised=True)
    assert service.process
    (pid,) = children(service.process.pid)
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    service.process.terminate()
    assert service.process.wait(30) == 0
    took = time.monotonic() - began
    assert took > 4
    in_time(took, 9)
    assert not alive(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_passed_on_and_waited_for(service: RunningService, number: signal.Signals) -> None:
    service.start(supervised=True)
    assert service.process
    (pid,) = children(service.process.pid)
    assert service.stop(number) == 0
    assert not alive(pid)
    assert "the service stops" in service.log()
    assert not (service.directory / "run" / "agi.sock").exists()


def test_a_reload_is_passed_on(service: RunningService) -> None:
    service.start(supervised=True)
    wait_until(lambda: "the service is ready after" in service.log(), 10, service.log)
    service.signal(signal.SIGHUP)
    wait_until(lambda: "the configuration was read again" in service.log(), 10, service.log)
    assert service.answers()


# -- the parent ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["well", "stopped"])
def test_a_supervisor_that_is_killed_leaves_no_orphan(service: RunningService, state: str) -> None:
    service.start(supervised=True)
    assert service.process
    (pid,) = children(service.process.pid)
    if state == "stopped":
        os.kill(pid, signal.SIGSTOP)
    service.process.kill()
    service.process.wait()
    wait_until(lambda: not alive(pid), 5)
    service.start(supervised=True)  # neither a lock nor a socket is in the way
    assert service.register().variables["BX24_STATUS"] == "REGISTERED"


def test_a_supervisor_that_is_killed_while_it_starts_the_service_leaves_no_orphan(supervised: Supervised) -> None:
    supervised.start("(here / 'pid').write_text(str(os.getpid()))\ntime.sleep(100)")
    wait_until(lambda: len(supervised.starts()) == 1, 10)
    supervised.signal(signal.SIGKILL)
    supervised.wait()
    wait_until(lambda: not alive(supervised.starts()[0][0]), 5)


def test_the_parent_is_small_and_stays_in_the_foreground(service: RunningService) -> None:
    service.start(supervised=True)
    assert service.process and service.process.poll() is None
    maps = Path(f"/proc/{service.process.pid}/maps").read_text()
    assert [name for name in HEAVY if name in maps] == []
    assert os.getsid(service.process.pid) == os.getsid(0)
    (child,) = children(service.process.pid)
    assert any(name in Path(f"/proc/{child}/maps").read_text() for name in HEAVY)


def test_a_second_supervisor_is_refused_in_words_and_the_first_goes_on(service: RunningService) -> None:
    service.start(supervised=True)
    assert service.process
    second = subprocess.run(
        [sys.executable, "-m", "freepbx_bx24.cli.main", "serve", "--supervised"],
        cwd=REPOSITORY,
        env={**os.environ, **service.environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert f"runs already, as process {service.process.pid}\n" in second.stderr
    assert f"kill {service.process.pid}\n" in second.stderr
    assert service.answers()


def test_each_event_is_one_line_of_the_log(service: RunningService) -> None:
    service.start(supervised=True)
    wait_until(lambda: "the service is ready after" in service.log(), 10, service.log)
    assert service.process
    os.kill(children(service.process.pid)[0], signal.SIGKILL)
    wait_until(lambda: service.log().count("the service is ready after") == 2, 10, service.log)
    assert service.stop() == 0
    said = re.findall(r"bx24\.supervisor (.*)", service.log())
    expected = [
        r"the service is started as process \d+",
        r"the service is ready after [\d.]+ s",
        r"the service was killed by SIGKILL: it is started again (at once|in 0\.05 s)",
        r"the service is started as process \d+",
        r"the service is ready after [\d.]+ s",
        r"SIGTERM: the service is to stop",
        r"the service ended with exit code 0",
    ]
    assert len(said) == len(expected)
    for line, pattern in zip(said, expected):
        assert re.fullmatch(pattern, line)


def test_a_configuration_that_can_not_be_used_stops_the_supervisor_too(service: RunningService) -> None:
    service.yaml.write_text("portal: nonsense\n")
    done = subprocess.run(
        [sys.executable, "-m", "freepbx_bx24.cli.main", "serve", "--supervised"],
        cwd=REPOSITORY,
        env={**os.environ, **service.environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 78
    assert "bx24 check" in done.stderr
    assert "Traceback" not in done.stderr


def test_neither_the_folder_it_is_started_in_nor_pythonpath_says_what_is_imported(
    service: RunningService, tmp_path: Path
) -> None:
    (tmp_path / "logging.py").write_text("raise SystemExit(55)\n")
    environment = {**os.environ, **service.environment, "PYTHONPATH": str(tmp_path)}
    service.process = subprocess.Popen(SERVICE, cwd=tmp_path, env=environment)
    wait_until(service.answers, 20, service.log)
