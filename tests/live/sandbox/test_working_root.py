"""A working root: what runs in it, what it shares with the machine, and that nothing of it outlives its maker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

from freepbx_bx24.errors import SandboxError
from freepbx_bx24.sandbox.pbx import carried, harness, roots
from freepbx_bx24.sandbox.pbx.namespace import Root

BUILDER = """
import sys
from pathlib import Path
from freepbx_bx24.sandbox.pbx import roots
roots.pristine("forky", Path(sys.argv[1]))
"""
MAKER = """
import sys, time
from freepbx_bx24.sandbox.pbx.harness import SandboxPbx
pbx = SandboxPbx("forky")
pbx.start()
pbx.root.popen(["sleep", "987654"], user="asterisk")
print(pbx.root.path, pbx.asterisk.process.inner_pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module", params=sorted(roots.SUITES))
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    path = roots.working_copy(request.param, tmp_path_factory.mktemp("root") / "root")
    with Root(path) as entered:
        yield entered
    roots.delete(path)


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 5.0
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_a_command_runs_as_the_user_asked_for_with_a_bare_services_environment(root: Root) -> None:
    said = root.run(["sh", "-c", "id -un; pwd; env"], user="asterisk", env={"EXTRA": "1"}).stdout.splitlines()
    assert said[:2] == ["asterisk", "/"]
    assert {line.split("=")[0] for line in said[2:]} == {"PATH", "LANG", "HOME", "PWD", "EXTRA"}
    assert "HOME=/var/lib/asterisk" in said


def test_a_command_that_fails_is_an_error_that_says_what_it_said(root: Root) -> None:
    with pytest.raises(SandboxError, match="no luck"):
        root.run(["sh", "-c", "echo no luck >&2; exit 3"])
    assert root.run(["sh", "-c", "exit 3"], check=False).returncode == 3


def test_a_command_that_takes_too_long_is_killed_inside(root: Root) -> None:
    with pytest.raises(SandboxError, match="did not end"):
        root.run(["sleep", "31415"], timeout=0.5)
    assert "31415" not in root.run(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]).stdout.replace("sh -c", "")


def test_signals_reach_the_command_itself_and_its_status_comes_back(root: Root) -> None:
    process = root.popen(["sleep", "100"], user="asterisk")
    while process.inner_pid is None:
        time.sleep(0.01)
    time.sleep(0.2)
    inside = process.inner_pid
    process.kill()
    assert process.wait(5) == -signal.SIGKILL
    assert inside is not None
    wait_until_gone(inside)


def test_the_inside_sees_its_own_processes_only(root: Root) -> None:
    assert len(root.run(["sh", "-c", "ls -d /proc/[0-9]*"]).stdout.split()) < 10


def test_a_tiny_file_system_can_be_filled_up_and_taken_away(root: Root) -> None:
    root.mount_tmpfs("/var/lib/tiny", "64k")
    full = root.run(["sh", "-c", "head -c 100000 /dev/zero > /var/lib/tiny/file"], check=False)
    assert "No space left" in full.stderr
    root.unmount("/var/lib/tiny")
    assert root.run(["ls", "/var/lib/tiny"]).stdout == ""


def test_a_directory_can_be_made_read_only_for_a_while(root: Root) -> None:
    root.mount_read_only("/var/log")
    assert "Read-only" in root.run(["touch", "/var/log/x"], check=False).stderr
    root.unmount("/var/log")
    root.run(["touch", "/var/log/x"])


def test_no_mount_of_the_inside_is_seen_by_the_machine_but_deleting_is_refused(root: Root) -> None:
    assert str(root.path) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    with pytest.raises(SandboxError, match="in use"):
        roots.delete(root.path)


def test_a_tree_is_copied_in_without_what_is_to_be_left_out(root: Root, tmp_path: Path) -> None:
    (tmp_path / "tree/.git").mkdir(parents=True)
    (tmp_path / "tree/program").write_text("text", encoding="utf-8")
    root.copy_in(tmp_path / "tree", "/usr/src/tree", ignore=[".git"])
    assert root.run(["ls", "-A", "/usr/src/tree"]).stdout == "program\n"


def test_apt_and_pip_work_inside_with_the_machines_settings(root: Root) -> None:
    root.run(["apt-get", "update"], timeout=180)
    root.run(["apt-get", "install", "--yes", "--no-install-recommends", "python3-venv"], timeout=300)
    root.run(["python3", "-m", "venv", "/opt/try"], timeout=60)
    root.run(["/opt/try/bin/pip", "install", "PyYAML"], timeout=180)


def test_pip_settings_that_mean_nothing_inside_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    given = {"PIP_FIND_LINKS": "/nowhere /there https://example.org/wheels", "PIP_DEFAULT_TIMEOUT": "77", "HOME": "/x"}
    text = carried.pip_settings(tmp_path, given)
    assert "find-links = /there https://example.org/wheels\n" in text
    assert "default-timeout = 77\n" in text
    assert "nowhere" not in text


def test_an_unknown_suite_is_refused_with_the_known_ones_named(tmp_path: Path) -> None:
    with pytest.raises(SandboxError) as refused:
        roots.pristine("woody", tmp_path)
    assert "bullseye" in refused.value.hint


def test_a_killed_debootstrap_leaves_no_process_and_no_mount_and_its_root_is_never_used(tmp_path: Path) -> None:
    maker = subprocess.Popen([sys.executable, "-c", BUILDER, str(tmp_path)])
    deadline = time.monotonic() + 60.0
    while not (tmp_path / "forky/usr/bin").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(maker.pid, signal.SIGKILL)
    maker.wait(5)
    time.sleep(1.0)
    commands = b" ".join(entry.read_bytes() for entry in Path("/proc").glob("[0-9]*/cmdline") if entry.exists())
    assert str(tmp_path).encode() not in commands
    assert not roots.mounts_below(tmp_path)
    assert not (tmp_path / "forky.finished").exists()
    roots.delete(tmp_path / "forky")


def test_nothing_outlives_a_harness_killed_with_kill_9_and_the_next_run_clears_its_directory() -> None:
    maker = subprocess.Popen([sys.executable, "-c", MAKER], stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    path, pid = maker.stdout.readline().split()
    assert Path(f"/proc/{pid}").exists()
    assert roots.mounts_below(Path(path))
    os.kill(maker.pid, signal.SIGKILL)
    maker.wait(5)
    wait_until_gone(int(pid))
    deadline = time.monotonic() + 5.0
    while roots.mounts_below(Path(path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not roots.mounts_below(Path(path))
    commands = b" ".join(entry.read_bytes() for entry in Path("/proc").glob("[0-9]*/cmdline") if entry.exists())
    assert b"987654" not in commands
    harness.remove_leftovers()
    assert not Path(path).exists()


def test_a_second_sandbox_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    first = harness.SandboxPbx("bullseye", work_dir=tmp_path / "work")
    with first, pytest.raises(SandboxError, match="another sandbox runs"):
        harness.SandboxPbx("bullseye", work_dir=tmp_path / "work").start()
    assert not (tmp_path / "work").exists()
