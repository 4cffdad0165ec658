"""Reading the small files that an admin names: each may be missing, a directory, a pipe, unreadable or endless."""

from __future__ import annotations

import errno
import os
import pwd
import shlex
import stat
from pathlib import Path

# What the product runs as where it is started by root (FreePBX runs Asterisk as this user).
_USUAL_USER = "asterisk"


class NoSuchFile(ValueError):
    """The file is not there at all."""


def read(path: Path, limit: int, kind: str) -> tuple[bytes, int]:
    """Return a regular file's bytes and its mode bits.

    :param limit: bytes; a longer file is refused.
    :param kind: what the file is, in words, for the message.
    :raises ValueError: with one line that says what is wrong and, where one helps, the command that mends it. The line
        never holds a byte of the file. NoSuchFile is the one that tells its case.
    """
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would never return.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        raise NoSuchFile("no such file") from None
    except OSError as error:
        raise ValueError(_refusal(error, path)) from None
    except ValueError:
        raise ValueError("no file can have this name") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise ValueError(f"longer than {limit} bytes: this is no {kind}")
    return content, stat.S_IMODE(mode)


def secret_line(path: Path, limit: int, kind: str, form: str) -> str:
    """Return the only line of a file that nobody else on this machine may read.

    :param limit, kind: as for `read`. :param form: what the line is, in words, for the message.
    :raises ValueError: as `read`, and where there is no such line: never with a byte of the file.
    """
    content, mode = read(path, limit, kind)
    if mode & 0o007:
        raise ValueError(f"every user of this machine can reach this secret, run: {mend(path)}")
    try:
        lines = [line.strip() for line in content.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        return ""
    if not lines:
        raise ValueError(f"empty; put one line there: {form}")
    if len(lines) > 1:
        raise ValueError(f"more than one line; allowed: {form}")
    return lines[0]


def mend(path: Path) -> str:
    """Return the shell command that makes a file readable for the product and for nobody else."""
    name = shlex.quote(str(path))
    return f"chown root:{_group()} {name} && chmod 0640 {name}"


def _refusal(error: OSError, path: Path) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"the user {_user()} may not read it, run: {mend(path)}"
    return f"can't be opened: {error.strerror}"


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _group() -> str:
    return _USUAL_USER if os.geteuid() == 0 else _user()
