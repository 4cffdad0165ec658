"""A call's recordings on this machine: found under the configured folders alone, and waited for until whole."""

from __future__ import annotations

import configparser
import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Sequence, Union

SPOOL = "/var/spool/asterisk"
SUFFIXES = ("wav", "WAV", "mp3", "gsm", "ulaw", "alaw", "sln")  # tried for a name without one (voicemail has none)
WAV_HEADER = 44  # bytes; a file of no more holds no sound
LOOK_SECONDS = 0.5  # between two looks; size and time of change must be the same at both


class Clock(Protocol):
    """What is waited by."""

    def now(self) -> float:
        """Wall clock seconds."""

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
    """A whole recording. :ivar size: bytes."""

    size: int


@dataclass(frozen=True)
class GaveUp:
    """No whole recording. :ivar empty: it holds no sound, and never will."""

    why: str
    empty: bool = False


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
    """Find files by names that came over the wire: what they resolve to must be a regular file below a folder."""
    roots = [folder.resolve() for folder in folders]
    files: list[Path] = []
    refused: list[tuple[str, str]] = []
    missing: list[str] = []
    for name in names:
        path = _existing(name)
        if path is None:
            missing.append(name)
            continue
        why = _why_refused(path, roots)
        if why:
            refused.append((name, why))
        elif path.resolve() not in files:
            files.append(path.resolve())
    return Found(tuple(files), tuple(refused), tuple(missing))


def _existing(name: str) -> Path | None:
    path = Path(name)
    try:
        for one in (path, *(Path(f"{name}.{suffix}") for suffix in SUFFIXES)):
            if os.path.lexists(one):
                return one
    except (OSError, ValueError):
        return None
    return None


def _why_refused(path: Path, roots: Sequence[Path]) -> str:
    if not path.is_absolute() or ".." in path.parts:
        return "it is no plain absolute path"
    try:
        real = path.resolve(strict=True)
        regular = stat.S_ISREG(real.stat().st_mode)
    except (OSError, RuntimeError) as error:
        return f"it can't be looked at: {getattr(error, 'strerror', '') or 'links lead nowhere'}"
    if not any(root in real.parents for root in roots):
        return "it is not under recordings.folders"
    return "" if regular else "it is no file"


def wait_complete(path: Path, until: float, stopping: threading.Event, clock: Clock) -> Union[Complete, GaveUp]:
    """Wait until MixMonitor has closed a recording: its WAV length is written, and it does not change any more.

    :param until: wall clock seconds.
    """
    before: tuple[int, int] | None = None
    while True:
        try:
            seen = path.stat()
            whole = _whole(path, seen.st_size)
        except OSError as error:
            return GaveUp(f"it can't be read: {error.strerror}")
        now = (seen.st_size, seen.st_mtime_ns)
        if whole and now == before:
            empty = seen.st_size <= (WAV_HEADER if path.suffix.lower() == ".wav" else 0)
            return GaveUp("it holds no sound", empty=True) if empty else Complete(seen.st_size)
        before = now
        if clock.now() >= until:
            return GaveUp("it is still being written" if whole else "its length was never written: it is not whole")
        if clock.wait(stopping, LOOK_SECONDS):
            return GaveUp("the service stops")


def _whole(path: Path, size: int) -> bool:
    """Whether a WAV file's length of data is what stands behind it; others tell nothing. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return True
    place = head.find(b"data", 12)
    if place < 0 or len(head) < place + 8:
        return False
    length = int.from_bytes(head[place + 4 : place + 8], "little")
    behind = size - place - 8
    return length == behind == 0 or (length > 0 and behind - 1 <= length <= behind)
