"""From the names of a call's recordings to one file that can be sent: found, waited for, encoded."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Union

from ..errors import RecordingError
from ..journal.records import Entry
from ..pbx import encoding, recordings, voicemail
from ..policy import LONGEST
from ..recording import Wanted, who_talked
from ..settings import Settings
from . import legs_text, people

if TYPE_CHECKING:
    from .runtime import Runtime

LOG = logging.getLogger("bx24.recordings")

WHOLE_SECONDS = 60.0  # after the call's end: until then MixMonitor has closed its file
TURN_SECONDS = 3.0  # of waiting for one file, before another call's has its turn
AGAIN_SECONDS = 5.0
ENCODE_SECONDS = 900.0  # hours of talk on a busy machine
SHORTEST_WHOLE_SECONDS = 6.0  # in tests that run faster: files are written by the same disks
FOLDER = "recordings"
WAITING, ENCODING = "waiting for the file", "encoding"


@dataclass(frozen=True)
class Ready:
    """A file to send. :ivar size: bytes."""

    path: Path
    size: int


@dataclass(frozen=True)
class Later:
    """It is not whole yet: ask again after so many seconds."""

    seconds: float
    why: str


@dataclass(frozen=True)
class Never:
    """There is nothing to send. :ivar for_a_person: somebody should know, and can mend it."""

    why: str
    for_a_person: bool


Prepared = Union[Ready, Later, Never]


def folders(settings: Settings) -> tuple[Path, ...]:
    """Where recordings may lie: the configuration's folders, else those of Asterisk's spool."""
    return recordings.folders_of(settings.rules.recordings.folders, settings.manager_file.with_name("asterisk.conf"))


def clear(state: Path) -> None:
    """Remove the files that were made, those that a killed service has left too; their folder stays."""
    with contextlib.suppress(OSError):  # who needs the folder says so
        for made in _workspace(state).iterdir():
            made.unlink()


def _workspace(state: Path) -> Path:
    """The folder for files that are made. :raises OSError: no room."""
    place = state / FOLDER
    place.mkdir(mode=0o750, exist_ok=True)
    return place


def prepare(runtime: Runtime, entry: Entry, wanted: Wanted, ended: float, told: Callable[[str], object]) -> Prepared:
    """Make the file to send, in the state folder; the recordings themselves are never changed.

    :param ended: wall clock seconds of the call's end. :param told: hears what is done.
    """
    found = recordings.locate(_names(runtime, entry, wanted, ended), folders(runtime.settings))
    for name, why in found.refused:
        LOG.warning("a recording is refused: %s: %s", name, why)
    paths = dict.fromkeys((*found.files, *(() if wanted.message else _others(runtime, entry, ended))))
    if not paths:
        return _nothing(runtime, found, wanted, ended)
    told(WAITING)
    rules, clock = runtime.settings.rules.recordings, runtime.clock
    limit = ended + max(WHOLE_SECONDS * runtime.scale, SHORTEST_WHOLE_SECONDS)
    whole: list[tuple[Path, recordings.Complete]] = []
    for path in paths:
        state = recordings.wait_complete(path, clock.now() + TURN_SECONDS, runtime.stopping, clock)
        if isinstance(state, recordings.Complete):
            whole.append((path, state))
        elif not state.empty:
            late = clock.now() >= limit
            gone = Never(f"{path.name} was given up: {state.why}", True)
            return gone if late else Later(AGAIN_SECONDS * runtime.scale, f"{path.name}: {state.why}")
    if not whole:
        return Never("the recording holds no sound", False)
    longest = max(whole, key=lambda one: (one[1].seconds, one[1].size))[0]
    files = [longest] if rules.several == LONGEST else list(recordings.apart(whole))
    told(ENCODING)
    try:
        place = _workspace(runtime.state)
        made = encoding.encode(files, rules.format, rules.kbps, place, ENCODE_SECONDS, runtime.stopping)
        return Ready(made, made.stat().st_size)
    except OSError as error:
        raise RecordingError(f"the recording can't be read or copied: {error.strerror}") from error


def _names(runtime: Runtime, entry: Entry, wanted: Wanted, ended: float) -> tuple[str, ...]:
    """The files' names; of a message the one that it has by now, for another caller's is never sent."""
    places = folders(runtime.settings)
    if not wanted.message or recordings.locate(wanted.files, places).refused:
        return wanted.files
    client, since = entry.registration.number, entry.registration.started.timestamp()
    names = (voicemail.of_call(name, client, since, ended, places) for name in wanted.files)
    return tuple(filter(None, names))


def _others(runtime: Runtime, entry: Entry, ended: float) -> tuple[Path, ...]:
    """What other channels of the call recorded, of the days that it lasted over."""
    registration = entry.registration
    days = dict.fromkeys((registration.started.astimezone().date(), datetime.fromtimestamp(ended).date()))
    channels = tuple(dict.fromkeys((registration.uniqueid, registration.linkedid)))
    places, rules = folders(runtime.settings), runtime.settings.rules
    view = people.named(legs_text.read(entry.legs), rules, runtime.directory)
    talked = who_talked(registration, entry.ending, view)
    until = datetime.fromtimestamp(ended).astimezone()
    own = recordings.of_people(talked, registration.number, registration.started, until, places)
    return (*recordings.of_channels(channels, tuple(days), places).files, *own.files)


def _nothing(runtime: Runtime, found: recordings.Found, wanted: Wanted, ended: float) -> Prepared:
    if found.refused:
        name, why = found.refused[0]
        return Never(f"the recording {name} is refused: {why}", True)
    # A voicemail message may be moved into its place a moment after the hangup.
    if runtime.clock.now() < ended + AGAIN_SECONDS * runtime.scale:
        return Later(AGAIN_SECONDS * runtime.scale, "there is no file yet")
    if wanted.message:
        return Never("this call's message is in its mailbox no more", False)
    return Never("there is no such file: the call was not recorded", False)
