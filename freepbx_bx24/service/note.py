"""The intake file of a script that works alone: made before anything slow, it keeps every service off the call."""

# Imported by a script's child ahead of all else: nothing but what an interpreter has at hand.
from __future__ import annotations

import fcntl
import os
import time

FRAME = ".frame"  # what the guard would have handed to the service
RESULT = ".result"  # what a script without the service did of it


class Note:
    """A file in the intake folder, locked until this process is through or dead; so long no service touches the call.

    A folder that can't be written is said in `problem`; the call goes on without the note.

    :ivar path: of the frame. :ivar problem: why there is none, else empty.
    """

    def __init__(self, folder: str, kind: str, uniqueid: str, data: bytes) -> None:
        name = f"{time.time_ns()}-{kind}-{uniqueid}"
        self.path = f"{folder}/{name}{FRAME}"
        self.problem = ""
        self._hidden = f"{folder}/.{name}"
        self._descriptor = -1
        try:
            self._descriptor = os.open(self._hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            _write_all(self._descriptor, data)
            os.rename(self._hidden, self.path)  # noqa: PTH104
            os.fsync(self._descriptor)  # not before: what counts at once is that a service sees it
        except OSError as error:
            self.problem = error.strerror or str(error)
            self.drop()
            self._descriptor = -1

    @property
    def kept(self) -> bool:
        """Whether there is a file."""
        return self._descriptor >= 0

    def so_far(self, text: str) -> None:
        """Write down beside the frame what became of it until now; nothing where there was no file.

        :raises OSError: it can't be written; the frame stays.
        """
        if not self.kept:
            return
        hidden = self._hidden + RESULT
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            _write_all(descriptor, text.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(hidden, self.path[: -len(FRAME)] + RESULT)  # noqa: PTH104

    def result(self, text: str) -> None:
        """Replace the frame by what became of it. :raises OSError: as so_far."""
        self.so_far(text)
        if self.kept:
            self.drop()

    def drop(self) -> None:
        """The frame is of no use any more."""
        for path in (self._hidden, self.path):
            try:
                os.unlink(path)  # noqa: PTH108
            except OSError:
                continue  # it is not there; or a read-only disk, which has nothing to forget


def _write_all(descriptor: int, data: bytes) -> None:
    if os.write(descriptor, data) != len(data):
        raise OSError(28, "No space left on device")
