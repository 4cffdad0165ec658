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
from ..journal.intake_folder import intake_files
from ..journal.records import FINISH, HUNG_UP, REGISTER
from ..journal.store import Journal
from ..pbx import frame as frames
from ..recording import decide_recording
from . import attach_owed, finish, story
from .note import FRAME, RESULT
from .people import decided
from .register import leave_out
from .runtime import Runtime

LOG = logging.getLogger("bx24.intake")
REFUSED = ".refused"  # neither; kept for a human
# A file that does not have its name yet and is so old is one whose writer was killed; on a disk that hangs, later.
KILLED_SECONDS, HUNG_SECONDS = 10.0, 86400.0


def read(runtime: Runtime) -> None:
    """Take in every file; one that somebody still works on is left for the next time, with all of its call."""
    adopt(runtime.state / "intake", runtime.scale)
    under_way = set()
    for path in intake_files(runtime.state / "intake"):
        runtime.beats.beat("delivery")  # many files, one loop
        uniqueid = path.stem.split("-", 2)[-1]  # TIME-KIND-UNIQUEID; a system's name may have hyphens
        if path.suffix in READERS and uniqueid not in under_way and not _take_in(runtime, path):
            under_way.add(uniqueid)


def _take_in(runtime: Runtime, path: Path) -> bool:
    """Take one file in, and remove it; False where somebody else has it."""
    descriptor = _locked(path)
    if descriptor < 0:
        return False
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
    return True


def adopt(folder: Path, scale: float) -> None:
    """Give whole frames their names whose writers were killed on the last step; in the end remove what is not whole."""
    try:
        hidden = [path for path in folder.iterdir() if path.name.startswith(".")]
    except OSError:
        return
    for path in sorted(hidden):
        descriptor = _locked(path)
        if descriptor < 0:
            continue
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                continue
            age = abs(time.time() - os.fstat(descriptor).st_mtime)  # a clock may have been set back since
            whole = path.read_bytes().endswith(b"\0\0")
            if whole and age > KILLED_SECONDS * scale:
                path.rename(folder / (path.name[1:].replace(FRAME, "") + FRAME))
            elif age > HUNG_SECONDS * scale:  # of a result the frame is still there
                path.unlink()
        except OSError as error:
            LOG.warning("%s stays: %s", path.name, error.strerror)
        finally:
            os.close(descriptor)


def read_register(runtime: Runtime, uniqueid: str) -> bool:
    """Take in what a call's register left behind, if it did; False where somebody still works on that."""
    ours = f"-{frames.REGISTER}-{uniqueid}"
    left = [path for path in intake_files(runtime.state / "intake") if path.stem.endswith(ours)]
    return all(_take_in(runtime, path) for path in left if path.suffix in READERS)


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
        # Whoever left it may have told the portal before: that matters where the portal can't be asked whether it was.
        runtime.write(lambda journal: journal.postpone((frame.uniqueid, FINISH), time.time(), "left behind")).result()
        return
    beginning = frames.beginning(frame)
    decision = decided(runtime.settings.rules, runtime.directory, beginning)
    if isinstance(decision, Registration):
        taken = decision
        runtime.tell(frame.uniqueid, story.CAME, f"{story.came(beginning)}; the service was not there, or busy")
        if runtime.write(lambda journal: journal.begin(taken, finish.since(frame), 0, taken.rule)).result():
            LOG.info("%s: taken in", frame.uniqueid)
    else:
        LOG.info("%s: left out: %s", frame.uniqueid, decision.why)
        leave_out(runtime, beginning, decision)


def _read_result(runtime: Runtime, data: bytes) -> None:
    result = json.loads(data)
    registration = records.registration_from_text(result["registration"])
    registered = records.registered_from_text(result["registered"]) if result.get("registered") else None
    outcome = records.outcome_from_text(result["outcome"]) if result.get("outcome") else None

    ending = records.ending_from_text(result["ending"]) if result.get("ending") else None
    recording = None
    if outcome:
        recording = decide_recording(runtime.settings.rules, registration, ending, outcome)

    due = min(registration.started.timestamp(), time.time())  # a backlog where it is old
    if registered:
        runtime.tell(registration.uniqueid, REGISTER, f"without the service: {story.registered(registered)}")
    if outcome:
        said = f"without the service: code {outcome.status_code}, {outcome.talk_seconds} s"
        runtime.tell(registration.uniqueid, HUNG_UP, f"{said}{', finished' if result.get('finished') else ''}")

    def take(journal: Journal) -> None:
        journal.begin(registration, due, 0, registration.rule)
        entry = journal.entry(registration.uniqueid)
        if registered and entry and entry.registered is None:
            journal.registered(registration.uniqueid, registered)
        if outcome:
            if ending:
                journal.hung_up(ending)
            if journal.ended(outcome, due) and recording:
                attach_owed.owe(journal, registration.uniqueid, recording, due)
            if result.get("finished"):
                journal.finished(registration.uniqueid)

    runtime.write(take).result()
    LOG.info("%s: taken in with what the script did", registration.uniqueid)


READERS: dict[str, Callable[[Runtime, bytes], None]] = {FRAME: _read_frame, RESULT: _read_result}
