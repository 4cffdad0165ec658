"""A small text that several processes change in turn: a file under a lock that ends with the process that holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from pathlib import Path

LARGEST = 65536
_PIECE = 4096  # more than is in it nearly always: each read takes the memory for as much as it asks for
_MODE = 0o660
_POLL_SECONDS = 0.0005
_MOST_OPENINGS = 3


def locked(place: Path, patience_seconds: float) -> int:
    """Return the descriptor of the file, made where there is none, with its lock; `os.close` gives the lock back.

    It is made for the owner and the group of its folder: root's commands and the service share it.

    :raises OSError: it can't be opened or made, or is no file of ours; TimeoutError: somebody holds the lock.
    """
    ends = time.monotonic() + patience_seconds
    for _ in range(_MOST_OPENINGS):
        descriptor = _opened(place)
        try:
            _lock(descriptor, ends)
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                return descriptor
            if found.st_nlink:
                raise OSError("no plain file, or one with several names")
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # removed since it was opened: there may be a new one
    raise OSError("the file goes away again and again")


def read(descriptor: int) -> str:
    """Return the file's text, of at most 64 KiB; what is no UTF-8 is replaced."""
    data = os.pread(descriptor, _PIECE, 0)
    if len(data) == _PIECE:
        data += os.pread(descriptor, LARGEST - _PIECE, _PIECE)
    return data.decode(errors="replace")


def mark(found: os.stat_result) -> tuple[int, int]:
    """Return what no other file and no other writing of it has."""
    return found.st_ino, found.st_mtime_ns


def write(descriptor: int, text: str) -> tuple[int, int] | None:
    """Put a text that ends its line at the file's beginning; what stands behind it is left, as nobody reads that.

    Not forced to the disk: after a power cut the text is of no use anyhow.

    :returns: the file's `mark` since then; None where it may be that of an earlier writing as well, since the kernel's
        own time of a writing is that of its last tick, only the file's owner may set a better one, and some file
        systems keep whole seconds.
    """
    data = text.encode()
    if os.pwrite(descriptor, data, 0) != len(data):
        raise OSError("the disk took a part only")
    now = time.time_ns()
    try:
        os.utime(descriptor, ns=(now, now))
    except OSError:
        return None
    found = os.fstat(descriptor)
    return mark(found) if found.st_mtime_ns == now else None


def _opened(place: Path) -> int:
    # Non-blocking: were it a pipe of somebody's, opening it must not hang.
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    for _ in range(_MOST_OPENINGS):
        with contextlib.suppress(FileNotFoundError):
            return os.open(place, flags)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(place, flags | os.O_CREAT | os.O_EXCL, _MODE)
            _share(descriptor, place.parent)
            return descriptor
    raise OSError("the file comes and goes")


def _share(descriptor: int, folder: Path) -> None:
    """Give a new file to those whom its folder belongs to; whoever may not do that has them as they are."""
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, _MODE)  # whatever the umask is
    with contextlib.suppress(OSError):
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid if os.geteuid() == 0 else -1, owner.st_gid)


def _lock(descriptor: int, ends: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends:
                raise TimeoutError("somebody holds its lock") from None
            time.sleep(_POLL_SECONDS)
        else:
            return
