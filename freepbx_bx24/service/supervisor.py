"""`bx24 serve --supervised`: a small parent for where there is no systemd; restarts a service that dies or hangs.

It stays in the foreground, imports next to nothing, and speaks systemd's own protocol with the service: it is the
NOTIFY_SOCKET of its child. One thread waits for signals, notifications and deadlines in one poll().
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Sequence

from ..errors import ServiceError
from ..log import log_to_file
from .surroundings import log_path, prepare_run_directory, run_directory, time_scale

LOG = logging.getLogger("bx24.supervisor")

WATCHDOG_SECONDS = 30.0  # as WatchdogSec in etc/freepbx-bx24.service
START_SECONDS = 90.0  # until READY=1, as systemd's own default
STOP_SECONDS = 20.0  # as TimeoutStopSec in the unit; the journal knows what is owed, so SIGKILL costs no call
ABORT_SECONDS = 1.0  # for saying where it hangs, between SIGABRT and SIGKILL
YOUNG_SECONDS = 10.0  # who dies at this age or younger is not started again at once
OVERSLEPT_SECONDS = 0.5
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
# In tests that run faster: a busy machine is not a hanging service.
SHORTEST_WATCHDOG_SECONDS, SHORTEST_STOP_SECONDS = 3.0, 5.0

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
SIGNALS = (*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD)
PR_SET_PDEATHSIG = 1  # prctl(2)
# -I and this path: neither the folder it is started in nor PYTHONPATH may say what is imported.
ROOT = str(Path(__file__).resolve().parents[2])
SERVICE = (
    *(sys.executable, "-I", "-c"),
    f"import sys; sys.path.append({ROOT!r}); from freepbx_bx24.cli.main import main; sys.exit(main(sys.argv[1:]))",
    "serve",
)


def pause_seconds(quick_deaths: int) -> float:
    """How long to wait before the next start, after so many deaths in a row soon after the start; 0: not at all."""
    if quick_deaths == 0:
        return 0.0
    return float(min(FIRST_PAUSE_SECONDS * 2 ** min(quick_deaths - 1, 10), LONGEST_PAUSE_SECONDS))


def end_in_words(code: int) -> str:
    """How a process ended, for the log.

    :param code: as subprocess says it: minus the signal's number where one killed it.
    """
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


class Supervisor:
    """One child at a time, from its start to its end; `run` returns the exit code of the whole.

    :param command: what to start; it must send READY=1, and then WATCHDOG=1 within each `watchdog_seconds`.
    :raises ServiceError: where another supervisor runs already.
    """

    def __init__(self, command: Sequence[str] = SERVICE) -> None:
        self.command = command
        self.scale = time_scale()
        self.watchdog_seconds = max(WATCHDOG_SECONDS * self.scale, SHORTEST_WATCHDOG_SECONDS)
        self.stop_seconds = max(STOP_SECONDS * self.scale, SHORTEST_STOP_SECONDS)
        self.child: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.ready = False
        self.stopping = False
        self.aborted = False
        self.reload_owed = False
        self.quick_deaths = 0
        self.deadline = 0.0  # monotonic: the next start where there is no child, else when its time is over
        self.lock = _only_one(run_directory() / "supervisor.pid")
        self.notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notifications.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.notifications.bind("")  # the kernel picks an abstract name: no file to leave behind
        self.notifications.setblocking(False)
        self.signals, waker = socket.socketpair()
        for end in (self.signals, waker):
            end.setblocking(False)
        self.waker = waker
        self.prctl: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl

    def run(self) -> int:
        """Start the service again and again until it is to stop, or can't be used: then its exit code."""
        signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)  # all that matters comes through the wake-up descriptor
        poll = select.poll()
        for reader in (self.signals, self.notifications):
            poll.register(reader, select.POLLIN)
        try:
            while True:
                if self.child is None and time.monotonic() >= self.deadline:
                    self.start()
                began, longest = time.monotonic(), max(self.deadline - time.monotonic(), 0.0)
                poll.poll(longest * 1000 + 1)
                if time.monotonic() - began - longest > OVERSLEPT_SECONDS and self.child and not self.aborted:
                    # Ctrl-Z, a debugger: we stood still, and perhaps the child with us. Its time begins anew.
                    self.deadline = time.monotonic() + self.watchdog_seconds
                self.take_notifications()
                self.take_signals()
                code = self.child.poll() if self.child else None
                if code is not None:
                    self.child_ended(code)
                    if self.stopping or code == os.EX_CONFIG:
                        return os.EX_CONFIG if code == os.EX_CONFIG else 0
                elif self.child is None:
                    if self.stopping:
                        return 0
                elif time.monotonic() >= self.deadline:
                    self.child_is_late()
        finally:
            if self.child is not None:
                self.child.kill()
                self.child.wait()

    def start(self) -> None:
        """Start the service; it dies with us, whatever becomes of us."""
        us = os.getpid()

        def bind_to_us() -> None:
            # Before exec. SIGKILL, since a service that is stopped or hangs would take no other.
            self.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # SIGABRT must not write customers' numbers to a disk
            if os.getppid() != us:
                os._exit(1)

        name = self.notifications.getsockname()
        name = name if isinstance(name, bytes) else name.encode()
        environment = {
            **{key: value for key, value in os.environ.items() if key != "WATCHDOG_PID"},
            "NOTIFY_SOCKET": "@" + name[1:].decode("ascii"),
            "WATCHDOG_USEC": str(int(self.watchdog_seconds * 1e6)),
        }
        self.started = time.monotonic()
        self.ready = self.aborted = self.reload_owed = False
        self.deadline = self.started + START_SECONDS
        try:
            self.child = subprocess.Popen(self.command, env=environment, preexec_fn=bind_to_us)
        except (OSError, subprocess.SubprocessError) as error:  # no memory, no process left: both may pass
            self.start_again(f"can't be started: {error}")
            return
        LOG.info("the service is started as process %d", self.child.pid)

    def child_ended(self, code: int) -> None:
        """Say so, and decide when to start it again."""
        self.child = None
        if self.stopping:
            LOG.info("the service %s", end_in_words(code))
            return
        if code == os.EX_CONFIG:
            LOG.error("the service stays down: its configuration can't be used. Run bx24 check, then start it again")
            return
        self.start_again(end_in_words(code))

    def start_again(self, why: str) -> None:
        """Put the next start off, the longer the more often it was in vain."""
        young = time.monotonic() - self.started < YOUNG_SECONDS * self.scale
        self.quick_deaths = self.quick_deaths + 1 if young else 0
        pause = pause_seconds(self.quick_deaths) * self.scale
        self.deadline = time.monotonic() + pause
        when = f"in {pause:.3g} s" if pause else "at once"
        LOG.error("the service %s: it is started again %s", why, when)

    def child_is_late(self) -> None:
        """Its time is over: SIGABRT, which makes it say where it hangs, then SIGKILL, which nothing survives."""
        assert self.child is not None
        if self.stopping or self.aborted:
            self.child.kill()
            self.deadline = time.monotonic() + self.stop_seconds
            return
        what = "does not beat" if self.ready else "does not become ready"
        LOG.error("the service %s for %.3g s: it is killed", what, time.monotonic() - self.last_heard)
        self.aborted = True
        self.child.send_signal(signal.SIGABRT)
        self.deadline = time.monotonic() + ABORT_SECONDS

    @property
    def last_heard(self) -> float:
        """Monotonic seconds of the last sign of life, or of the start."""
        return self.deadline - self.watchdog_seconds if self.ready else self.started

    def take_notifications(self) -> None:
        """Read what the child says; what anybody else says to the socket is not listened to."""
        while True:
            try:
                data, ancillary, _, _ = self.notifications.recvmsg(4096, socket.CMSG_SPACE(struct.calcsize("3i")))
            except BlockingIOError:
                return
            sender = 0
            for level, kind, value in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    sender = struct.unpack("3i", value[: struct.calcsize("3i")])[0]
            if self.child is not None and sender == self.child.pid:
                self.heard(data.split(b"\n"))

    def heard(self, lines: Sequence[bytes]) -> None:
        """One notification of the child."""
        if b"READY=1" in lines and not self.ready:
            self.ready = True
            LOG.info("the service is ready after %.2f s", time.monotonic() - self.started)
            if self.reload_owed:  # what it read at its start may be older than that request
                self.forward(signal.SIGHUP)
        beats = b"READY=1" in lines or b"WATCHDOG=1" in lines
        if beats and self.ready and not self.stopping and not self.aborted:
            self.deadline = time.monotonic() + self.watchdog_seconds

    def take_signals(self) -> None:
        """What has been sent to us: passed on."""
        try:
            numbers = self.signals.recv(64)
        except BlockingIOError:
            return
        for number in numbers:
            if number in STOP_SIGNALS and not self.stopping:
                LOG.info("%s: the service is to stop", signal.Signals(number).name)
                self.stopping = True
                self.deadline = time.monotonic() + self.stop_seconds
                self.forward(number)
            elif number == signal.SIGHUP and not self.ready:
                self.reload_owed = True  # a service that is only starting would die of it
            elif number == signal.SIGHUP:
                self.forward(number)

    def forward(self, number: int) -> None:
        """Pass a signal on; a child that has ended meanwhile is no trouble."""
        if self.child is not None:
            self.child.send_signal(number)


def _only_one(path: Path) -> int:
    """Take the supervisors' lock, our process number in it for `install.sh --uninstall`; returns its descriptor.

    :raises ServiceError: where another one holds it, or it can't be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    except OSError as error:
        raise ServiceError(f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pid = os.read(descriptor, 20).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise ServiceError(
            f"`bx24 serve --supervised` runs already, as process {pid}", "To stop it: kill " + pid
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def supervise() -> int:
    """Run the service and look after it until SIGTERM or SIGINT; returns the exit code, 78 as the service does.

    :raises ServiceError: where another supervisor runs already, or the folder of the socket is not ours.
    """
    os.umask(0o027)
    log_to_file(log_path(), terminal=True)
    prepare_run_directory(run_directory())
    return Supervisor().run()
