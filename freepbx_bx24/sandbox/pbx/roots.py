"""Debian systems with Asterisk in a directory: one pristine root per suite, and a working copy of it per run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Iterator, Mapping, Sequence

from freepbx_bx24.errors import SandboxError
from freepbx_bx24.sandbox.pbx import carried

CACHE = Path("/var/cache/bx24-sandbox")
DEBOOTSTRAP_SCRIPTS = Path("/usr/share/debootstrap/scripts")
DOWNLOAD_SECONDS = 20.0
# debootstrap mounts /proc in the root and starts many programs: with namespaces of its own it leaves neither mounts nor
# processes behind, and --pdeathsig takes it away when this program is killed (prctl(2), PR_SET_PDEATHSIG).
NAMESPACES = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES, "--")


@dataclass(frozen=True)
class Suite:
    """One Debian release that carries an Asterisk worth trying against.

    :param asterisk: the major version expected in it; the exact version is Debian's to change.
    :param script: debootstrap's script for it; an older debootstrap does not know newer releases by name.
    """

    name: str
    asterisk: int
    python: str
    packages: Sequence[str]
    script: str


SUITES: Mapping[str, Suite] = {
    suite.name: suite
    for suite in (
        # What FreePBX 17 runs on: Asterisk 22, no Macro(). With sox and lame, which FreePBX brings too, a recording
        # is sent as mp3.
        Suite(
            "forky",
            22,
            "3.14",
            ("asterisk", "ca-certificates", "python3", "python3-venv", "sox", "lame"),
            "sid",
        ),
        # The age of FreePBX 15 and 16: Asterisk 16 with Macro(). No python3-venv, as on a FreePBX 17 machine, so that
        # an installer's own handling of that is tried as well.
        Suite(
            "bullseye",
            16,
            "3.9",
            # Its voicemail is a package of its own; in later releases it is one of the modules.
            ("asterisk", "asterisk-voicemail", "ca-certificates", "python3", "sox", "lame"),
            "bullseye",
        ),
    )
}


def pristine(name: str, cache: Path = CACHE) -> Path:
    """The cached, never started root of a suite; made by debootstrap (one to two minutes) when it is not there.

    :raises SandboxError: no such suite, no mirror, debootstrap failed.
    """
    if name not in SUITES:
        raise SandboxError(f"there is no sandbox suite {name}", f"Use one of: {', '.join(SUITES)}.")
    suite = SUITES[name]
    root, finished = cache / name, cache / f"{name}.finished"
    stamp = " ".join(suite.packages)
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{name}.lock") as lock:
        # The mark is written last: a killed debootstrap never leaves a root that looks whole.
        if not (finished.exists() and finished.read_text(encoding="utf-8") == stamp and root.is_dir()):
            finished.unlink(missing_ok=True)
            delete(root)
            _debootstrap(suite, root, lock)
            finished.write_text(stamp, encoding="utf-8")
    return root


def working_copy(name: str, target: Path, cache: Path = CACHE) -> Path:
    """A fresh copy of the suite's pristine root at `target`, with the machine's present set-up carried in."""
    source = pristine(name, cache)
    delete(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)
    carried.carry(target)
    return target


def delete(root: Path) -> None:
    """Delete a root; nothing happens when there is none.

    :raises SandboxError: something is mounted below it, in whosever mount namespace: it is in use, and deleting through
        a bind mount would delete what is bound.
    """
    if not root.exists():
        return
    users = mounts_below(root)
    if users:
        raise SandboxError(f"{root} is in use: {users[0]}", "End the sandbox that runs there, then try again.")
    # Over unreadable or odd files rm(1) is surer and several times faster than shutil.rmtree.
    subprocess.run(["rm", "-rf", "--one-file-system", "--", str(root)], check=True)


def mounts_below(path: Path) -> Sequence[str]:
    """Every mount at or below `path` that any process of the machine sees, as sentences naming the process."""
    prefix = os.path.realpath(path)
    found: list[str] = []
    seen: set[tuple[str, str]] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # A process that changed its root is shown paths from there, so the root belongs to the view as well.
            view = (str((process / "ns/mnt").readlink()), str((process / "root").readlink()))
            if view in seen:
                continue
            seen.add(view)
            lines = (process / "mountinfo").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        # The fifth field is the mount point (proc_pid_mountinfo(5)).
        points = [line.split(" ")[4] for line in lines]
        found += [f"{at} is mounted for process {process.name}" for at in points if f"{at}/".startswith(f"{prefix}/")]
    return found


def _debootstrap(suite: Suite, root: Path, lock: IO[str]) -> None:
    """Make the root, all packages in it, nothing of apt's downloads left.

    :param lock: given to debootstrap as well, so that nobody deletes the root while something still writes to it.
    """
    if shutil.which("debootstrap") is None:
        subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", "debootstrap"], check=True)
    mirror = _first_answering(suite)
    script = DEBOOTSTRAP_SCRIPTS / suite.script
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(suite.packages)}"]
    done = subprocess.run(
        [*DIES_WITH_US, *command, suite.name, str(root), mirror, str(script)],
        capture_output=True,
        text=True,
        check=False,
        pass_fds=[lock.fileno()],
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()[-8:]
        raise SandboxError(f"debootstrap of {suite.name} from {mirror} failed:\n" + "\n".join(said))
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()


def _first_answering(suite: Suite) -> str:
    """The first of the machine's own mirrors that has the suite."""
    wanted = carried.mirrors()
    for place in wanted:
        try:
            with urllib.request.urlopen(f"{place}/dists/{suite.name}/Release", timeout=DOWNLOAD_SECONDS):
                return place
        except (urllib.error.URLError, OSError):
            continue
    raise SandboxError(
        f"no mirror of this machine has Debian {suite.name}; tried: {', '.join(wanted) or 'none'}",
        "Check the network; then add a Debian mirror that has it to apt's sources, and run apt-get update.",
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    """Hold the lock file; a second run waits here until the first has finished."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
