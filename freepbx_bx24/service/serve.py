"""`bx24 serve`: start in the right order, reload on SIGHUP, stop on SIGTERM."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import time
from concurrent.futures import Future
from pathlib import Path

from ..errors import ConfigurationError, JournalError
from ..journal.store import Journal, run_stamp
from ..log import log_to_file, short_form
from ..settings import Settings, load
from .delivery import DeliveryThread
from .hourly import HourlyThread
from .refresh import RefreshThread
from .runtime import Runtime
from .server import Server
from .surroundings import log_path, prepare_run_directory, run_directory, state_directory
from .watchdog import Notifier, Watch

LOG = logging.getLogger("bx24.service")

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
STOP_SECONDS = 3.0  # given to what is under way with the portal when the service stops; the journal knows what is owed
# The longest that the delivery knowingly takes: a pause of 75 s while the portal is down, after requests of 70 s.
DELIVERY_SECONDS = 240.0
CARDS_SECONDS = 120.0  # the longest that the lane of cards takes: a request, and a journal that is slow to write
# The longest that the lane of recordings knowingly takes without a sign: an encoder at hours of talk.
RECORDINGS_SECONDS = 1800.0
SHORTEST_BOUND_SECONDS = 6.0  # of a loop, in tests that run faster: never less than what a busy machine may take


def serve() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code. What it writes is for its own user and group only.

    :raises ConfigurationError, JournalError, ServiceError: where it can't start.
    """
    os.umask(0o027)
    notifier = Notifier()
    if sys.stderr is not None:
        faulthandler.enable()  # a watchdog ends a service that hangs by SIGABRT: where it hung is then on stderr
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
    except OSError as error:
        raise JournalError(f"{error.filename}: {error.strerror}") from error
    prepare_run_directory(run)
    # Signals are blocked in every thread and waited for in this one. A handler that sets an Event deadlocks with the
    # wait for it where it runs within that: both are the main thread (reproduced; SIGHUP and SIGTERM were lost).
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    last_alive = run_stamp(state)
    runtime = Runtime(settings, state, Journal(state), last_alive)  # the lock comes before the socket is replaced
    watch_troubles(runtime)
    runtime.write(lambda journal: journal.resume(time.time()))  # its thread does that before any call's first step
    runtime.ends.resume()
    server = Server(runtime, run / "agi.sock")
    write_guard_settings(run, state, settings)
    delivery = DeliveryThread(runtime)
    runtime.beats.register("delivery", max(DELIVERY_SECONDS * runtime.scale, SHORTEST_BOUND_SECONDS))
    delivery.start()
    runtime.beats.register("cards", max(CARDS_SECONDS * runtime.scale, SHORTEST_BOUND_SECONDS))
    runtime.cards.start()
    runtime.beats.register("recordings", RECORDINGS_SECONDS)
    runtime.recordings.start()
    RefreshThread(runtime).start()  # owes nobody anything: it is not waited for at the end
    HourlyThread(runtime).start()
    server.start()
    runtime.presence.start()
    runtime.clicks.use()
    runtime.events.start()  # not waited for at the end: the portal keeps what was not worked on
    notifier.ready()
    LOG.info("the service is ready: %s", settings.path)
    watch_until_stopped(runtime, notifier, run, state)
    notifier.stopping()
    LOG.info("the service stops")
    runtime.stopping.set()
    runtime.wake.set()
    runtime.cards.wake.set()
    runtime.recordings.wake.set()
    runtime.directory_wanted.set()
    runtime.events.wake.set()
    ends = time.monotonic() + STOP_SECONDS
    server.stop()
    (run / "agi.sock").unlink(missing_ok=True)  # while the lock is held: after it, it may be another service's socket
    delivery.join(max(ends - time.monotonic(), 0.1))
    runtime.cards.join(max(ends - time.monotonic(), 0.1))
    runtime.presence.stop(0.5)
    runtime.clicks.stop(0.5)
    runtime.stop(max(ends - time.monotonic(), 0.1))
    return 0


def watch_until_stopped(runtime: Runtime, notifier: Notifier, run: Path, state: Path) -> None:
    """Wait for signals, and look after the loops meanwhile; returns when the service is to stop."""

    def count_waiting() -> Future[int]:
        return runtime.write(lambda journal: len({item.uniqueid for item in journal.owed()}))

    watch = Watch(notifier, runtime.beats, lambda: not runtime.breaker.open, count_waiting)
    while True:
        watch.look()
        got = signal.sigtimedwait(SIGNALS, watch.seconds)
        if got is None:
            continue
        if got.si_signo != signal.SIGHUP:
            return
        notifier.reloading()
        try:
            reload(runtime, run, state)
        except Exception:  # nothing in a reload is worth the service's life
            LOG.exception("the configuration could not be read again: the old one stays in force")
        notifier.ready()


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
    watch_troubles(runtime)
    write_guard_settings(run, state, settings)
    LOG.info("the configuration was read again")


def watch_troubles(runtime: Runtime) -> None:
    """Keep the last warning for `bx24 status`, in the same words as the log."""
    log = logging.getLogger("bx24")
    runtime.last_trouble.setFormatter(short_form(runtime.settings.mask_numbers))
    log.addHandler(runtime.last_trouble)


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
