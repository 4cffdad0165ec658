"""`bx24 serve`: start in the right order, reload on SIGHUP, stop on SIGTERM."""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path

from ..errors import ConfigurationError, JournalError
from ..journal.store import Journal
from ..log import PATH as LOG_PATH
from ..log import log_to_file
from ..settings import Settings, load
from .delivery import DeliveryThread
from .runtime import Runtime
from .server import Server

LOG = logging.getLogger("bx24.service")


def run_directory() -> Path:
    """Where the socket and the guard's settings are (BX24_RUN_DIR in tests)."""
    return Path(os.environ.get("BX24_RUN_DIR", "/run/freepbx-bx24"))


def state_directory() -> Path:
    """Where the journal and the intake are (BX24_STATE_DIR in tests)."""
    return Path(os.environ.get("BX24_STATE_DIR", "/var/lib/freepbx-bx24"))


def log_path() -> str:
    """The log file (BX24_LOG in tests)."""
    return os.environ.get("BX24_LOG", LOG_PATH)


def serve() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code.

    :raises ConfigurationError, JournalError, ServiceError: where it can't start.
    """
    log_to_file(log_path(), terminal=True)
    settings = load()
    log_to_file(log_path(), settings.mask_numbers, terminal=True)
    run, state = run_directory(), state_directory()
    try:
        (state / "intake").mkdir(parents=True, exist_ok=True)
        run.mkdir(exist_ok=True)
    except OSError as error:
        raise JournalError(f"{error.filename}: {error.strerror}") from error
    runtime = Runtime(settings, state, Journal(state))  # the lock comes before the socket is replaced
    server = Server(runtime, run / "agi.sock")
    wanted: list[int] = []
    signalled = threading.Event()

    def note(number: int, _frame: object) -> None:
        wanted.append(number)
        signalled.set()

    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    write_guard_settings(run, state, settings)
    delivery = DeliveryThread(runtime)
    delivery.start()
    server.start()
    LOG.info("the service is ready: %s", settings.path)
    while True:
        signalled.wait()
        signalled.clear()
        while wanted:
            number = wanted.pop(0)
            if number != signal.SIGHUP:
                LOG.info("the service stops")
                server.stop()
                runtime.stop()
                (run / "agi.sock").unlink(missing_ok=True)
                return 0
            reload(runtime, run, state)


def reload(runtime: Runtime, run: Path, state: Path) -> None:
    """Read the YAML again; a broken one keeps the old settings and says so."""
    try:
        settings = load()
    except ConfigurationError as error:
        for problem in error.problems:
            LOG.error("%s", problem)
        LOG.error("the configuration has mistakes: the old one stays in force. %s", error.hint)
        return
    log_to_file(log_path(), settings.mask_numbers, terminal=True)
    runtime.use(settings)
    write_guard_settings(run, state, settings)
    LOG.info("the configuration was read again")


def write_guard_settings(run: Path, state: Path, settings: Settings) -> None:
    """Tell the guard where the socket, the state and the log are and how long a caller may wait; `key=value` lines.

    Not JSON: importing json doubles the guard's start-up (measured: 10 ms on top of 10 ms).
    """
    values = {
        "socket": run / "agi.sock",
        "state": state,
        "log": log_path(),
        "wait_in": settings.wait_in,
        "wait_out": settings.wait_out,
    }
    hidden = run / ".agi.conf"
    hidden.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    hidden.chmod(0o640)
    hidden.rename(run / "agi.conf")
