"""A working root to run commands in: its mounts and processes never outlive the program that started it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, Mapping, Sequence, Union

from freepbx_bx24.errors import SandboxError

HOLDER = Path(__file__).with_name("holder.py")
READY_SECONDS = 10.0
# What systemd gives a system service, no more (systemd.exec(5)): a login shell's comforts would hide faults.
BARE_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
SETPRIV_USER = ("setpriv", "--reuid={user}", "--regid={user}", "--init-groups", "--")

Output = Union[int, IO[Any], None]


class Process(subprocess.Popen[str]):
    """A command inside the root. Signals, `terminate()` and `kill()` go to the command itself, not to nsenter."""

    @property
    def inner_pid(self) -> int | None:
        """The command's process id as the machine sees it; None before it has started or after it has gone."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        except FileNotFoundError:
            return None
        return int(children[0]) if children else None

    def send_signal(self, sig: int) -> None:
        """Send `sig` to the command; do nothing when it has ended. nsenter(1) then ends with the same status."""
        if self.poll() is not None:
            return
        target = self.inner_pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid if target is None else target, sig)
            if sig in (signal.SIGCONT, signal.SIGKILL):
                os.kill(self.pid, signal.SIGCONT)  # nsenter(1) stops itself with its command and does not wake with it


class Root:
    """One working root and the namespaces it lives in, made by `enter()` and gone with `leave()` or with this process.

    :param path: the root's directory on the machine.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._holder: subprocess.Popen[bytes] | None = None
        self._holder_pid = 0

    def enter(self) -> None:
        """Start the holder and its mounts. Raise SandboxError where namespaces are refused (not root, container)."""
        if os.geteuid() != 0:
            raise SandboxError("the sandbox needs root: it mounts and starts services", "Run it with sudo.")
        maker = os.pidfd_open(os.getpid())
        holder = subprocess.Popen(
            # --kill-child: when unshare itself dies the inside dies as well.
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "--"]
            + [sys.executable, "-IS", str(HOLDER), str(self.path), str(maker)],
            pass_fds=[maker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
        )
        os.close(maker)
        assert holder.stdout is not None and holder.stderr is not None
        answer = holder.stdout.readline()
        if not answer:
            holder.wait(READY_SECONDS)
            said = holder.stderr.read().decode("utf-8", "replace").strip()
            raise SandboxError(
                f"can't make the private mounts of {self.path}: {said}",
                "The sandbox needs a machine or container in which root may use mount and process namespaces.",
            )
        self._holder, self._holder_pid = holder, int(answer)

    def leave(self) -> None:
        """End everything inside and drop the mounts. Does nothing when not entered."""
        holder, self._holder = self._holder, None
        if holder is None:
            return
        assert holder.stdin is not None and holder.stdout is not None and holder.stderr is not None
        holder.stdin.close()
        try:
            holder.wait(READY_SECONDS)
        except subprocess.TimeoutExpired:
            holder.kill()
            holder.wait(READY_SECONDS)
        holder.stdout.close()
        holder.stderr.close()

    def __enter__(self) -> Root:
        self.enter()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def outside(self, inside: str | Path) -> Path:
        """The path on the machine of the file `inside`. Files of mounts (/run, a test's tmpfs) are only seen inside."""
        return self.path / str(inside).lstrip("/")

    def popen(
        self,
        command: Sequence[str],
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Output = subprocess.DEVNULL,
        stdout: Output = subprocess.DEVNULL,
        stderr: Output = subprocess.DEVNULL,
    ) -> Process:
        """Start a command inside, in a bare service environment plus `env`, working directory /.

        :param user: the user to run as (with his groups); None is root. HOME is his, as systemd sets it.
        """
        if user is not None:
            command = [part.format(user=user) for part in SETPRIV_USER] + list(command)
        environment = {**BARE_ENVIRONMENT, "HOME": self._home(user or "root"), **(env or {})}
        return Process(
            [*self._nsenter(), "chroot", str(self.path), *command],
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )

    def run(
        self,
        command: Sequence[str],
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 60.0,
        input: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside to its end, its output captured.

        :raises SandboxError: it failed (unless `check` is false) or took longer than `timeout` seconds (it is killed).
        """
        shown = " ".join(command)[:200]
        pipe = subprocess.PIPE
        with self.popen(command, user, env, stdin=pipe, stdout=pipe, stderr=pipe) as process:
            try:
                out, err = process.communicate(input, timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise SandboxError(f"`{shown}` did not end within {timeout:g} s inside {self.path}") from None
        if check and process.returncode != 0:
            raise SandboxError(f"`{shown}` ended with {process.returncode} inside {self.path}: {(err or out)[-2000:]}")
        return subprocess.CompletedProcess(list(command), process.returncode, out, err)

    def copy_in(self, source: Path, target: str, ignore: Sequence[str] = ()) -> Path:
        """Copy a file or a tree from the machine to the path `target` inside; return its path on the machine.

        :param ignore: name patterns left out, as `shutil.ignore_patterns` takes them.
        """
        destination = self.outside(target)
        destination.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(
                source, destination, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*ignore)
            )
        else:
            shutil.copy2(source, destination)
        return destination

    def mount_tmpfs(self, inside: str, size: str, options: str = "mode=1777") -> None:
        """Mount an empty file system of `size` (64k, 1m) on the path `inside`, to be filled up by a test."""
        self.run(["mkdir", "-p", inside])
        self._mount("-t", "tmpfs", "-o", f"size={size},{options}", "tmpfs", str(self.outside(inside)))

    def mount_read_only(self, inside: str) -> None:
        """Make the path `inside` read-only, as a disk is after an error."""
        path = str(self.outside(inside))
        self._mount("--bind", path, path)
        self._mount("-o", "remount,bind,ro", path)

    def unmount(self, inside: str) -> None:
        """Undo the last mount on the path `inside`, also while it is in use."""
        self._in_mounts(["umount", "--lazy", str(self.outside(inside))])

    def _mount(self, *arguments: str) -> None:
        self._in_mounts(["mount", *arguments])

    def _in_mounts(self, command: Sequence[str]) -> None:
        """Run one of the machine's own programs with the private mounts in sight."""
        done = subprocess.run([*self._nsenter(), *command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SandboxError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")

    def _nsenter(self) -> Sequence[str]:
        if self._holder is None or self._holder.poll() is not None:
            raise SandboxError(f"the root {self.path} is not entered, or its holder process has ended")
        return ["nsenter", f"--target={self._holder_pid}", "--mount", "--pid", "--wd=/", "--"]

    def _home(self, user: str) -> str:
        for line in self.outside("/etc/passwd").read_text(encoding="utf-8").splitlines():
            fields = line.split(":")
            if fields[0] == user:
                return fields[5]
        raise SandboxError(f"there is no user {user} inside {self.path}")
