"""Takes into the journal what AGI scripts left behind while no service could answer them."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
import time
from pathlib import Path
from typing import Callable

from ..call import Registration
from ..errors import JournalError
from ..journal import records
from ..journal.store import Journal, intake_files
from ..pbx import frame as frames
from ..policy import decide_registration
from . import finish
from .note import FRAME, RESULT
from .runtime import Runtime

LOG = logging.getLogger("bx24.intake")
REFUSED = ".refused"  # neither; kept for a human


def read(runtime: Runtime) -> None:
    """Take in every file; one that somebody still works on is left for the next time."""
    for path in intake_files(runtime.state / "intake"):
        if path.suffix not in READERS:
            continue
        runtime.beats.beat("delivery")  # many files, one loop
        descriptor = _locked(path)
        if descriptor < 0:
            continue
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # reading a pipe would wait for ever
                raise ValueError("this is no file")
            READERS[path.suffix](runtime, path.read_bytes())
            path.unlink()
        except JournalError:
            raise  # the disk, not the file: it stays
        except Exception as error:  # one bad file must not hold up all that come after it
            LOG.error("%s can't be read and is put aside: %s: %s", path.name, type(error).__name__, error)
            path.rename(path.with_suffix(REFUSED))
        finally:
            os.close(descriptor)


def at_work(runtime: Runtime) -> set[str]:
    """The calls that have files here: a script alone is at work on them, or what it left is not taken in yet."""
    names = (path.stem for path in intake_files(runtime.state / "intake") if path.suffix in READERS)
    return {name.split("-", 2)[-1] for name in names}  # TIME-KIND-UNIQUEID; a system's name may have hyphens


def _locked(path: Path) -> int:
    """The file's descriptor with its lock; -1 where a script holds it or has just removed it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return -1


def _read_frame(runtime: Runtime, data: bytes) -> None:
    frame = frames.parse(data)
    if frame.kind == frames.FINISH:
        finish.handle(runtime, frame)
        return
    decision = decide_registration(runtime.settings.rules, frames.beginning(frame))
    if isinstance(decision, Registration):
        taken = decision
        if runtime.write(lambda journal: journal.begin(taken, finish.since(frame))).result():
            LOG.info("%s: taken in", frame.uniqueid)
    else:
        LOG.info("%s: left out: %s", frame.uniqueid, decision.why)


def _read_result(runtime: Runtime, data: bytes) -> None:
    result = json.loads(data)
    registration = records.registration_from_text(result["registration"])
    registered = records.registered_from_text(result["registered"]) if result.get("registered") else None
    outcome = records.outcome_from_text(result["outcome"]) if result.get("outcome") else None

    due = min(registration.started.timestamp(), time.time())  # a backlog where it is old

    def take(journal: Journal) -> None:
        journal.begin(registration, due)
        entry = journal.entry(registration.uniqueid)
        if registered and entry and entry.registered is None:
            journal.registered(registration.uniqueid, registered)
        if outcome:
            journal.ended(outcome, due)
            if result.get("finished"):
                journal.finished(registration.uniqueid)

    runtime.write(take).result()
    LOG.info("%s: taken in with what the script did", registration.uniqueid)


READERS: dict[str, Callable[[Runtime, bytes], None]] = {FRAME: _read_frame, RESULT: _read_result}
