"""Where the service lives: its folders, its log, and how fast its time-outs run. Cheap to import."""

from __future__ import annotations

import logging
import os
import pwd
import stat
from pathlib import Path

from ..errors import ServiceError
from ..log import PATH as LOG_PATH

LOG = logging.getLogger("bx24.service")

REQUEST_SECONDS = 15.0  # the most that one request may take; no caller waits that long


def run_directory() -> Path:
    """Where the socket and the guard's settings are (BX24_RUN_DIR in tests)."""
    return Path(os.environ.get("BX24_RUN_DIR", "/run/freepbx-bx24"))


def state_directory() -> Path:
    """Where the journal and the intake are (BX24_STATE_DIR in tests)."""
    return Path(os.environ.get("BX24_STATE_DIR", "/var/lib/freepbx-bx24"))


def log_path() -> str:
    """The log file (BX24_LOG in tests)."""
    return os.environ.get("BX24_LOG", LOG_PATH)


def time_scale() -> float:
    """How much faster time-outs and back-off run in tests (BX24_TEST_TIME_SCALE); 1 in production."""
    try:
        return min(max(float(os.environ.get("BX24_TEST_TIME_SCALE", "1")), 0.001), 1.0)
    except ValueError:
        return 1.0


def request_seconds() -> float:
    """How long one step with the portal may take in all."""
    return max(REQUEST_SECONDS * time_scale(), 1.0)


def prepare_run_directory(run: Path) -> None:
    """Make the folder of the socket, or make sure that it is ours: who owns it could lead every call astray.

    :raises ServiceError: where it can't be made, or is somebody else's.
    """
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's user without a name
        user = str(os.geteuid())
    try:
        run.mkdir(mode=0o750, exist_ok=True)
        found = run.stat()
        if found.st_uid != os.geteuid():
            raise ServiceError(
                f"{run} belongs to user {found.st_uid}, not to {user}", f"Run: chown {user}: {run}   Then start again."
            )
        if stat.S_IMODE(found.st_mode) & 0o022:
            run.chmod(0o750)
            LOG.warning("others could write to %s: its mode is 0750 now", run)
    except OSError as error:
        raise ServiceError(
            f"{run}: {error.strerror}", f"Run: install -d -o {user} -m 0750 {run}   Then start again."
        ) from error
