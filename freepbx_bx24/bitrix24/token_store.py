"""The token file: read as if a stranger had written it, replaced so that a kill at any instant loses no pair."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Iterator

from ..errors import PortalUnreachable
from ..settings import files
from .tokens import LONGEST_TOKEN, Tokens, from_json, to_json

LOG = logging.getLogger("bx24.portal")

FILE = "token.json"
HIDDEN = ".token.json"
LOCK = "token.lock"
_LARGEST_FILE = 64 * 1024
_POLL_SECONDS = 0.02
_LOGIN_WAITS_SECONDS = 60.0  # a renewal that is under way ends before
_NO_SUCH_THING = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_FOLDER_HINT = "Check free space, and that the state folder and all in it are the service user's (asterisk)."


class Room:
    """Disk space for a pair, taken before the pair exists: one that is given must never be lost for want of space."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self._folder = folder
        self._descriptor = descriptor
        self.used = False

    def keep(self, tokens: Tokens) -> None:
        """Make `tokens` the file's content: after it a crash of the machine finds the new pair. :raises OSError:"""
        self.used = True
        content = to_json(tokens)
        if os.pwrite(self._descriptor, content, 0) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(self._descriptor, len(content))
        os.fsync(self._descriptor)
        _settle(self._folder)


class TokenStore:
    """The token file in the state folder, and the lock by which one process at a time renews the pair.

    The file is replaced by renaming a hidden one, which is written and synced first. A hidden file that a kill left
    complete is newer than the file, and is adopted by the next one who has the lock.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Tokens | None:
        """Return the pair, None where there is none that can be used."""
        return _read(self._folder / FILE)

    def signature(self) -> tuple[int, int, int] | None:
        """Return what changes whenever the file does; None where there is none."""
        try:
            found = (self._folder / FILE).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    @contextlib.contextmanager
    def locked(self, longest: float) -> Iterator[None]:
        """Be the only one who changes the file, of all threads and processes; adopts what a kill left.

        :param longest: seconds to wait. :raises PortalUnreachable: another has it for longer, or there can't be one.
        """
        place = self._folder / LOCK
        try:
            descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise PortalUnreachable(f"{place}: {error.strerror}", _FOLDER_HINT) from None
        try:
            _wait_for(descriptor, longest)
            self._adopt()
            yield
        finally:
            os.close(descriptor)

    def adopt_leftover(self) -> None:
        """Adopt what a kill left, unless somebody is writing it just now."""
        if os.path.lexists(self._folder / HIDDEN):
            with contextlib.suppress(PortalUnreachable), self.locked(0):
                return

    @contextlib.contextmanager
    def room(self) -> Iterator[Room]:
        """Take space for a new pair; the lock must be held. :raises PortalUnreachable: there is none."""
        hidden = self._folder / HIDDEN
        descriptor = -1
        try:
            descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            _reserve(descriptor)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            raise PortalUnreachable(f"the token can't be kept: {hidden}: {error.strerror}", _FOLDER_HINT) from None
        room = Room(self._folder, descriptor)
        try:
            yield room
        finally:
            os.close(descriptor)
            if not room.used:  # what was written may be complete: the next who has the lock decides
                hidden.unlink(missing_ok=True)

    def prove(self) -> None:
        """Find out before somebody logs in whether a pair could be kept. :raises PortalUnreachable: it could not."""
        with self.locked(_LOGIN_WAITS_SECONDS), self.room():
            pass

    def keep(self, tokens: Tokens) -> None:
        """Replace the pair by one that somebody has logged in for. :raises PortalUnreachable: it can't be kept."""
        with self.locked(_LOGIN_WAITS_SECONDS), self.room() as room:
            old = self.read()
            try:
                room.keep(replace(tokens, serial=(old.serial if old else 0) + 1))
            except OSError as error:
                raise PortalUnreachable(f"the token can't be kept: {error.strerror}", _FOLDER_HINT) from None

    def _adopt(self) -> None:
        hidden = self._folder / HIDDEN
        if not os.path.lexists(hidden):
            return
        left, kept = _read(hidden), self.read()
        try:
            if left is not None and (kept is None or left.serial > kept.serial):
                LOG.warning("a token that an interrupted run had received is taken over")
                _settle(self._folder)
            else:
                hidden.unlink()
        except OSError as error:
            LOG.warning("%s can't be put in place: %s", hidden.name, error.strerror)


def _reserve(descriptor: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, 4 * LONGEST_TOKEN)
    except OSError as error:
        if error.errno not in _NO_SUCH_THING:  # a file system that can't promise space has to be tried
            raise


def _settle(folder: Path) -> None:
    (folder / HIDDEN).rename(folder / FILE)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(place: Path) -> Tokens | None:
    try:
        content, _ = files.read(place, _LARGEST_FILE, "token file")
    except ValueError as error:
        if not isinstance(error, files.NoSuchFile):
            LOG.warning("%s: %s", place, error)
        return None
    return from_json(content)


def _wait_for(descriptor: int, longest: float) -> None:
    ends = time.monotonic() + longest
    while True:
        try:
            # A lock of the open file, so threads exclude each other, too; the kernel frees it when its holder dies.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= ends:
                raise PortalUnreachable("another process is renewing the access token and does not end") from None
            time.sleep(_POLL_SECONDS)
        except OSError as error:
            raise PortalUnreachable(f"{LOCK} can't be locked: {error.strerror}", _FOLDER_HINT) from None
