"""A call's recordings on this machine: found under the configured folders alone, waited for until they are whole."""

from __future__ import annotations

import configparser
import os
import re
import stat
import threading
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Protocol, Sequence

from . import sound_file

SPOOL = "/var/spool/asterisk"
LONGEST_NAME = 1000  # characters; the guard sends no more
MOST_NAMES = 32  # of one call
MOST_LISTED = 50_000  # files of a day's folder that are looked at
MOST_DAYS = 3
LOOK_SECONDS = 0.5  # between two looks; size and time of change must be the same at both
# Of what tells no length itself only time tells that it has ended: MixMonitor writes every 20 ms while there is sound.
STILL_SECONDS = 2.0

SIGNIFICANT_DIGITS = 7  # the last of a client's number, that all ways to write it share

_SUFFIX = "|".join(sound_file.SUFFIXES)
_STAMP = "%Y%m%d-%H%M%S"
_DAY = re.compile(r"-(\d{4})(\d{2})(\d{2})-\d{6}-")  # of the time that FreePBX puts into a name


class Clock(Protocol):
    """What is waited by."""

    def now(self) -> float:
        """Seconds of the clock that `until` is of."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for an event; True where it is set."""


@dataclass(frozen=True)
class Found:
    """What became of names: files that may be read, (name, why) of those that are refused, names of no file."""

    files: tuple[Path, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Complete:
    """A whole recording: bytes, seconds of sound (0.0: not known) and when it was written last (wall clock)."""

    size: int
    seconds: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True)
class GaveUp:
    """No whole recording. `empty`: its writer has ended it, and it holds no sound."""

    why: str
    empty: bool = False


def folders_of(named: Sequence[str], configuration: Path) -> tuple[Path, ...]:
    """Where recordings may lie: the folders that are named, else those of Asterisk's spool (by its asterisk.conf)."""
    return tuple(map(Path, named)) or spool_folders(configuration)


def spool_folders(configuration: Path) -> tuple[Path, ...]:
    """Where Asterisk keeps recordings and voicemail, by its asterisk.conf; the usual place where that does not say."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, inline_comment_prefixes=(";",), delimiters="=")
    try:
        parser.read_string(configuration.read_text(encoding="utf-8", errors="replace"))
        spool = parser.get("directories", "astspooldir", fallback="").lstrip("> ").strip()
    except (OSError, configparser.Error):
        spool = ""
    return tuple(Path(spool if spool.startswith("/") else SPOOL) / name for name in ("monitor", "voicemail"))


def locate(names: Sequence[str], folders: Sequence[Path]) -> Found:
    """Find files by names that came over the wire. Each file once, in the order of its first name.

    A whole path must resolve to a regular file below one of the folders, whatever links there are on the way. A path
    that is not whole is looked for below each folder, a bare name in the folder of the day that it tells too. A name
    without an ending, as voicemail's are, gets that of the best file there is.
    """
    roots = [Path(os.path.realpath(folder)) for folder in folders]
    files: list[Path] = []
    refused: list[tuple[str, str]] = []
    missing: list[str] = []
    for name in names[:MOST_NAMES]:
        why = _why_no_name(name)
        if why:
            refused.append((name[:LONGEST_NAME], why))
            continue
        there = next((path for path in _places(name, folders) if os.path.lexists(path)), None)
        if there is None:
            missing.append(name)
            continue
        real, why = _real(there, roots)
        if why:
            refused.append((name, why))
        elif real not in files:
            files.append(real)
    return Found(tuple(files), tuple(refused), tuple(missing))


def of_channels(uniqueids: Sequence[str], days: Sequence[date], folders: Sequence[Path]) -> Found:
    """Recordings that other channels of a call made: a queue's member, who is recorded by a setting of their own.

    FreePBX ends a file's name with the uniqueid of the channel that recorded. In the order of the names' times.

    :param days: those that the call lasted over: `YEAR/MONTH/DAY` below a folder is looked through.
    """
    wanted = [re.escape(one) for one in uniqueids[:MOST_NAMES] if re.fullmatch(r"[0-9A-Za-z._-]{3,64}", one)]
    if not wanted:
        return Found()
    return _listed(re.compile(rf".*-(?:{'|'.join(wanted)})\.(?:{_SUFFIX})", re.DOTALL), days, folders)


def of_people(
    extensions: Sequence[str], number: str, since: datetime, until: datetime, folders: Sequence[Path]
) -> Found:
    """Recordings of a talk by a setting of the person who talked, whose channel's uniqueid nobody else learns.

    FreePBX names them by the extension, the client's number and the time, which is that of this machine.

    :param since, until: aware; a recording that began at another time is another call's.
    """
    people = [re.escape(one) for one in extensions[:MOST_NAMES] if re.fullmatch(r"[0-9]{1,20}", one)]
    significant = re.sub(r"\D", "", number)[-SIGNIFICANT_DIGITS:]
    if not people or len(significant) < SIGNIFICANT_DIGITS:
        return Found()
    form = rf"[a-z]+-(?:{'|'.join(people)})-\+?\d*{significant}-(\d{{8}}-\d{{6}})-[\w.-]+\.(?:{_SUFFIX})"
    first, last = (moment.astimezone() for moment in (since, until))
    days = [first.date() + timedelta(days=day) for day in range(min(MOST_DAYS, (last.date() - first.date()).days + 1))]
    begun = (first.strftime(_STAMP), last.strftime(_STAMP))
    return _listed(re.compile(form), days, folders, begun)


def _listed(
    name_of: re.Pattern[str], days: Sequence[date], folders: Sequence[Path], begun: tuple[str, str] | None = None
) -> Found:
    """Files of such names in the folders of those days; a name's first group is a time in `begun`."""
    found: list[Path] = []
    for folder in folders:
        for day in days[:MOST_DAYS]:
            try:
                with os.scandir(folder / day.strftime("%Y/%m/%d")) as listing:
                    for one in islice(listing, MOST_LISTED):
                        match = name_of.fullmatch(one.name)
                        if match and (begun is None or begun[0] <= match[1] <= begun[1]):
                            found.append(Path(one.path))
            except OSError:  # no call of that day was recorded
                continue
    return locate([str(path) for path in sorted(found, key=lambda path: _time_of(path.name))], folders)


def apart(files: Sequence[tuple[Path, Complete]]) -> tuple[Path, ...]:
    """Of recordings that ran at the same time the longest; of one after another all, in the order of their ends.

    A queue's recording and that of its member hold the same talk: joined they would say it twice.
    """
    kept: list[tuple[Path, Complete]] = []
    for path, one in sorted(files, key=lambda item: -item[1].seconds):
        if all(_shared_seconds(one, other) <= one.seconds / 2 for _, other in kept):
            kept.append((path, one))
    return tuple(path for path, _ in sorted(kept, key=lambda item: item[1].ended))


def wait_complete(path: Path, until: float, stopping: threading.Event, clock: Clock) -> Complete | GaveUp:
    """Wait until a recording's writer has closed it: its lengths are written, and it does not change any more.

    :param until: seconds of the clock's `now()`; past it the file is looked at twice all the same.
    """
    began = clock.now()
    before: tuple[int, int] | None = None
    looks = 0.0
    while True:
        try:
            seen = path.lstat()
            sound = sound_file.read(path) if stat.S_ISREG(seen.st_mode) else None
        except OSError as error:
            return GaveUp(f"it can't be read: {error.strerror}")
        state = (seen.st_size, seen.st_mtime_ns)
        looks = looks + LOOK_SECONDS if state == before else 0.0
        before = state
        if sound and sound.whole and looks >= (LOOK_SECONDS if sound.wav else STILL_SECONDS) and sound.length:
            return Complete(seen.st_size, sound.seconds, seen.st_mtime)
        if clock.now() >= max(until, began + (LOOK_SECONDS if sound and sound.wav else STILL_SECONDS)):
            return _why_not_whole(sound, seen.st_size, still=looks > 0)
        if clock.wait(stopping, LOOK_SECONDS):
            return GaveUp("the service stops")


def _why_not_whole(sound: sound_file.Sound | None, size: int, still: bool) -> GaveUp:
    if not size or (sound and sound.whole and not sound.length):
        return GaveUp("it holds no sound", empty=True)
    if sound is None:
        return GaveUp("it is no sound that Asterisk writes")
    return GaveUp("its length was never written: it is not whole" if still else "it is still being written")


def _why_no_name(name: str) -> str:
    if not name or len(name) > LONGEST_NAME or not name.isprintable() or name.endswith("/"):
        return "it is no plain path"
    parts = name.split("/")
    if ".." in parts:
        return "it leads upwards by '..'"
    ending = parts[-1].rpartition(".")[2] if "." in parts[-1] else ""
    return "" if not ending or ending in sound_file.SUFFIXES else "it is not named as a recording is"


def _places(name: str, folders: Sequence[Path]) -> list[Path]:
    """Where a file of that name may be."""
    day = _DAY.search(name) if "/" not in name else None
    bases = [Path(name)] if name.startswith("/") else [folder / name for folder in folders]
    if day:
        bases += [folder / day[1] / day[2] / day[3] / name for folder in folders]
    if "." in name.rpartition("/")[2]:
        return bases
    return [Path(f"{base}.{suffix}") for base in bases for suffix in sound_file.SUFFIXES]


def _real(path: Path, roots: Sequence[Path]) -> tuple[Path, str]:
    """The file that a path leads to, and why it may not be read."""
    try:
        real = path.resolve(strict=True)
        regular = stat.S_ISREG(real.lstat().st_mode)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        return path, f"it can't be looked at: {getattr(error, 'strerror', None) or 'its links lead in a circle'}"
    if not any(root in real.parents for root in roots):
        return path, "it leads out of the folders of recordings (recordings.folders)"
    return real, "" if regular else "it is no file"


def _time_of(name: str) -> str:
    match = _DAY.search(name)
    return match[0] if match else ""


def _shared_seconds(one: Complete, other: Complete) -> float:
    """How long two recordings ran at the same time, by when each ended and how long it is."""
    return min(one.ended, other.ended) - max(one.ended - one.seconds, other.ended - other.seconds)
