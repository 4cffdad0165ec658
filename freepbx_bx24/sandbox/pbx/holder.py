"""The process that a working root's private mounts live in: run as a program, it becomes the first process of a new
process namespace, mounts what a system needs inside the root, and ends (taking everything inside with it) as soon as
its standard input closes or the process that made it is gone.

The kernel kills every process of a process namespace when its first process ends, and drops the mounts of a mount
namespace with its last process (pid_namespaces(7), mount_namespaces(7)). So neither a process nor a mount can outlive
the maker, kill -9 included. Standard input alone would not do: a forked child of the maker may keep it open.

Run by file name, standard library alone: ``unshare --mount --pid --fork ... python3 -IS holder.py ROOT PIDFD``.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


def mount(*arguments: str) -> None:
    """Run mount(8); raise CalledProcessError when it fails."""
    subprocess.run(["mount", *arguments], check=True)


def furnish(root: Path) -> None:
    """Mount /proc, /run and /dev inside `root`: its own ones, so that nothing of the machine's is shared."""
    # A mount point like every machine's /: programs inside may then make mount namespaces of their own.
    mount("--bind", str(root), str(root))
    mount("-t", "proc", "proc", str(root / "proc"))
    mount("-t", "tmpfs", "-o", "mode=755,size=16m", "run", str(root / "run"))
    # Device nodes are bound one by one: where the root lies may be mounted nodev, and the machine's /dev/log,
    # /dev/shm and /dev/pts are not for the inside.
    device = root / "dev"
    mount("-t", "tmpfs", "-o", "mode=755,size=64m", "dev", str(device))
    for name in DEVICES:
        (device / name).touch()
        mount("--bind", f"/dev/{name}", str(device / name))
    for name, target in DEVICE_LINKS.items():
        (device / name).symlink_to(target)
    for name, kind, options in (("pts", "devpts", "newinstance,ptmxmode=0666,mode=620"), ("shm", "tmpfs", "mode=1777")):
        (device / name).mkdir()
        mount("-t", kind, "-o", options, kind, str(device / name))
    for name, mode in (("lock", 0o1777), ("user", 0o755)):
        (root / "run" / name).mkdir()
        (root / "run" / name).chmod(mode)


def main() -> int:
    """Furnish the root, say our process id as the machine sees it, then wait for an end (pidfd_open(2))."""
    # /proc is still the machine's here, so this link gives the id that nsenter on the outside needs.
    identifier = str(Path("/proc/self").readlink())
    # A session of its own: Ctrl-C in a terminal is the harness's to handle, not ours.
    os.setsid()
    furnish(Path(sys.argv[1]))
    # Orphans of the inside become our children: with SIGCHLD ignored the kernel reaps them at once.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.write(1, identifier.encode("ascii") + b"\n")
    waiting = select.poll()
    for descriptor in (0, int(sys.argv[2])):
        waiting.register(descriptor, select.POLLIN)
    waiting.poll()
    return 0


if __name__ == "__main__":
    sys.exit(main())
