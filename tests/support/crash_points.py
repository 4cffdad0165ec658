"""Counts each durable or outward step of a process, and kills the process at the one that a test names.

Steps are: a COMMIT of the journal, fsync and rename and removal of a file in the state folder, a request to the portal,
a line said to an AGI script; each but the last has a point before and one after it. A point is known by its step and
how often that came before, so that threads beside each other do not change its name.
"""

from __future__ import annotations

import collections
import os
import pathlib
import re
import signal
import socket
import sqlite3
import sys
import threading
import time
from typing import Any, Callable

# Where each point is noted as it is reached, the one to die at, and what is said before each name.
LOG, AT, WHO = "BX24_CRASH_LOG", "BX24_CRASH_AT", "BX24_CRASH_WHO"
THE_END = "the end"
_OURS = re.compile(r"/intake/|/\.?journal\.run$")
_TOLD = re.compile(
    r"(telephony\.externalcall\.\w+|voximplant\.statistic\.get|batch|upload)(?:\.json|/)?$", re.IGNORECASE
)


class Points:
    """The points of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within = threading.local()
        self._seen: collections.Counter[str] = collections.Counter()
        self._log = os.open(os.environ[LOG], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._last, self._who = os.environ.get(AT, ""), os.environ.get(WHO, "")

    def reach(self, step: str) -> None:
        """Note it; die where it is the one."""
        with self._lock:
            self._seen[step] += 1
            name = f"{self._who}{step} #{self._seen[step]}"
            os.write(self._log, f"{name}\n".encode())
            if name == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)

    def around(self, owner: Any, name: str, step: Callable[..., str]) -> None:
        """Have points before and after a function; `step` names it from its arguments, "" where it does not count."""
        original = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            what = "" if getattr(self._within, "step", "") else step(*arguments)
            if not what:  # a step of a step: pathlib asks os
                return original(*arguments, **options)
            self.reach(f"before {what}")
            self._within.step = what
            try:
                return original(*arguments, **options)
            finally:
                self._within.step = ""
                self.reach(f"after {what}")

        setattr(owner, name, counted)


def install() -> Points:
    """Count from now on, in this process."""
    from freepbx_bx24.bitrix24.transport import Transport

    points = Points()

    def statement(_: object, text: str, *rest: object) -> str:
        return "a commit" if text.rstrip("; \n").endswith("COMMIT") else ""

    class Connection(sqlite3.Connection):
        """Python's own can't be changed, but another one may be asked for."""

        def execute(self, *arguments: Any) -> Any:
            return super().execute(*arguments)

        def executescript(self, *arguments: Any) -> Any:
            return super().executescript(*arguments)

    connect = sqlite3.connect
    sqlite3.connect = lambda *arguments, **options: connect(*arguments, factory=Connection, **options)  # type: ignore
    points.around(Connection, "execute", statement)
    points.around(Connection, "executescript", statement)
    for name in ("rename", "replace", "unlink"):
        for owner in (os, pathlib.Path):  # old versions of pathlib do not look os up again
            points.around(owner, name, lambda path, *_, name=name: f"{name} of {_kind(str(path))}" * _ours(path))

    def file_of(descriptor: int) -> str:
        path = str(pathlib.Path(f"/proc/self/fd/{descriptor}").readlink())
        return f"fsync of {_kind(path)}" * _ours(path)

    points.around(os, "fsync", file_of)

    def request(_: object, verb: str, url: str, *rest: object) -> str:
        method = _TOLD.search(url.partition("?")[0])
        return method[1].lower() if method else ""

    points.around(Transport, "exchange", request)
    send = socket.socket.sendall

    def sendall(connection: socket.socket, data: bytes, *flags: int) -> None:
        if connection.family == socket.AF_UNIX and data != b"taken\ndone\n":  # that is the answer to a test's ping
            points.reach(f"before the word {data.split()[-1 if data.startswith(b'taken') else 0].decode()!r}")
        send(connection, data, *flags)

    socket.socket.sendall = sendall  # type: ignore[assignment,method-assign]
    return points


def _ours(path: object) -> bool:
    return _OURS.search(str(path)) is not None


def _kind(path: str) -> str:
    """A file by what it is: names hold the time."""
    name = pathlib.Path(path).name
    return re.sub(r"[0-9]{9,}-(\w+)-[\w.]*?(\.frame|\.result|)$", r"\1\2", name)


def in_first_child() -> None:
    """Count in the first process that this one forks: the guard's, which does what the absent service would do."""
    import posix

    fork, leave, forked = posix.fork, posix._exit, []

    def counting_fork() -> int:
        first, process = not forked, fork()
        forked.append(process)
        if first and process == 0:
            points = install()

            def leave_counted(status: int) -> None:
                points.reach(THE_END)
                leave(status)

            posix._exit = leave_counted
        return process

    posix.fork = counting_fork


def main() -> None:
    """`bx24 serve` with its points counted."""
    from freepbx_bx24.cli.main import main as bx24

    install()
    sys.exit(bx24(["serve"]))
