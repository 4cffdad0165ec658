"""`bx24 serve`: start in the right order, reload on SIGHUP, stop on SIGTERM."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

from ..errors import ConfigurationError, JournalError
from ..journal.store import Journal
from ..log import PATH as LOG_PATH
from ..log import log_to_file
from ..settings import Settings, load
from .delivery import DeliveryThread
from .refresh import RefreshThread
from .runtime import Runtime
from .server import Server

LOG = logging.getLogger("bx24.service")

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
STOP_SECONDS = 3.0  # given to what is under way with the portal when the service stops; the journal knows what is owed


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
    """Run until SIGTERM or SIGINT; returns the exit code. What it writes is for its own user and group only.

    :raises ConfigurationError, JournalError, ServiceError: where it can't start.
    """
    os.umask(0o027)
    log_to_file(log_path(), terminal=True)
    try:
        settings = load()
    except ConfigurationError as error:
        log_problems(error)
        raise
    log_to_file(log_path(), settings.mask_numbers, terminal=True)
    run, state = run_directory(), state_directory()
    try:
        (state / "intake").mkdir(parents=True, exist_ok=True)
        run.mkdir(mode=0o750, exist_ok=True)
    except OSError as error:
        raise JournalError(f"{error.filename}: {error.strerror}") from error
    # Signals are blocked in every thread and waited for in this one. A handler that sets an Event deadlocks with the
    # wait for it where it runs within that: both are the main thread (reproduced; SIGHUP and SIGTERM were lost).
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    runtime = Runtime(settings, state, Journal(state))  # the lock comes before the socket is replaced
    runtime.write(lambda journal: journal.resume(time.time()))  # its thread does that before any call's first step
    server = Server(runtime, run / "agi.sock")
    write_guard_settings(run, state, settings)
    delivery = DeliveryThread(runtime)
    delivery.start()
    RefreshThread(runtime).start()  # owes nobody anything: it is not waited for at the end
    server.start()
    LOG.info("the service is ready: %s", settings.path)
    while signal.sigwait(SIGNALS) == signal.SIGHUP:
        try:
            reload(runtime, run, state)
        except Exception:  # nothing in a reload is worth the service's life
            LOG.exception("the configuration could not be read again: the old one stays in force")
    LOG.info("the service stops")
    runtime.stopping.set()
    runtime.wake.set()
    runtime.directory_wanted.set()
    ends = time.monotonic() + STOP_SECONDS
    server.stop()
    delivery.join(max(ends - time.monotonic(), 0.1))
    runtime.stop(max(ends - time.monotonic(), 0.1))
    (run / "agi.sock").unlink(missing_ok=True)
    return 0


def reload(runtime: Runtime, run: Path, state: Path) -> None:
    """Read the YAML again; a broken one keeps the old settings and says so."""
    try:
        settings = load()
        runtime.use(settings)
    except ConfigurationError as error:
        log_problems(error)
        LOG.error("the configuration has mistakes: the old one stays in force. %s", error.hint)
        return
    log_to_file(log_path(), settings.mask_numbers, terminal=True)
    write_guard_settings(run, state, settings)
    LOG.info("the configuration was read again")


def log_problems(error: ConfigurationError) -> None:
    """Every finding on a line of its own."""
    for problem in error.problems:
        LOG.error("%s", problem)


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
