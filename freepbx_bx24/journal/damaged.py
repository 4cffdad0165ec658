"""Puts a damaged journal aside and carries what can be read of it over into a new one, row by row.

The new file is complete before the old one moves. Its name `journal.sqlite.carried-TIME` is the point of no return:
from there the next start goes on, wherever this one was interrupted.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Callable

from ..errors import JournalError
from . import carry
from .database import UNREADABLE, connect

LOG = logging.getLogger("bx24.journal")

COMPANIONS = ("", "-wal", "-shm")  # the file, its log of changes, that log's index
_HEADER_BYTES = 100
_PAGE_BYTES = 4096


def replace(path: Path, why: str) -> None:
    """Have a new journal at `path` with all that can be read of the damaged one, which is kept beside it.

    A connection to the damaged file may stay open and is of use until this returns.

    :param why: what SQLite said, for the log.
    :raises JournalError: where the new one can't be written; the damaged one is then where it was.
    """
    new = path.with_name(path.name + ".new")
    try:
        _remove(new)
        with closing(connect(new)) as database:
            counts = _carry(path, database)
        if new.with_name(new.name + "-wal").exists():
            raise OSError(5, "the new journal could not be closed")
        stamp = _free_stamp(path)
        new.replace(path.with_name(f"{path.name}.carried-{stamp}"))
    except (*UNREADABLE, OSError) as error:
        raise JournalError(f"the journal is damaged ({why}), and no new one can be written: {error}") from error
    complete(path)
    LOG.error(
        "the journal was damaged (%s): it is kept as %s.damaged-%s, and a new one goes on with %s",
        *(why, path.name, stamp, counts),
    )


def complete(path: Path) -> None:
    """Finish a replacement that was interrupted, or nothing.

    :raises JournalError: where the files can't be moved.
    """
    try:
        for carried in sorted(path.parent.glob(f"{path.name}.carried-*")):
            stamp = carried.name.rsplit("-", 1)[1]
            for companion in ("-wal", "-shm", ""):  # a log must never lie beside a file that it was not made for
                old = path.with_name(path.name + companion)
                if old.exists():
                    old.replace(path.with_name(f"{path.name}.damaged-{stamp}{companion}"))
            carried.replace(path)
            _sync_folder(path.parent)
    except OSError as error:
        raise JournalError(f"the damaged journal can't be put aside: {error.strerror}") from error


def _carry(path: Path, into: sqlite3.Connection) -> str:
    """Carry what can be read over; what was carried, in words.

    Where nothing can be read, the fault may be in the header or in the list of tables alone: both are the same in every
    journal that was made by this version, so a copy is tried with those of a new one.
    """
    counts = carry.Counts()
    mended = path.with_name(path.name + ".mended")
    try:
        for borrow in (None, _header, _list_of_tables):
            if borrow is not None:
                _mend(path, mended, borrow)
            with closing(_source(path if borrow is None else mended)) as source:
                if carry.is_readable(source):
                    counts = carry.over(source, into)
            if counts.calls:
                break
    finally:
        _remove(mended)
    return str(counts)


def _source(path: Path) -> sqlite3.Connection:
    """The damaged file, read-only."""
    source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    source.row_factory = sqlite3.Row
    return source


def _mend(path: Path, mended: Path, borrowed: Callable[[sqlite3.Connection], list[slice]]) -> None:
    """Copy a file with some parts of a new journal, but with its own length (sqlite.org/fileformat, 1.3)."""
    _remove(mended)
    for companion in ("", "-wal"):
        old = path.with_name(path.name + companion)
        if old.exists():
            shutil.copyfile(old, mended.with_name(mended.name + companion))
    sound = mended.with_name(mended.name + "-sound")
    try:
        _remove(sound)
        with closing(connect(sound)) as database:
            parts = borrowed(database)
        new = bytearray(sound.read_bytes())
    finally:
        _remove(sound)
    new[28:32] = (path.stat().st_size // _PAGE_BYTES).to_bytes(4, "big")  # pages
    new[32:40] = bytes(8)  # free pages: none that we know of
    with mended.open("r+b") as file:
        for part in parts:
            file.seek(part.start)
            file.write(new[part])


def _header(database: sqlite3.Connection) -> list[slice]:
    """The header of a file."""
    return [slice(0, _HEADER_BYTES)]


def _list_of_tables(database: sqlite3.Connection) -> list[slice]:
    """The pages that are no table's and no index's: the list of tables begins on the first, long entries go on."""
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    roots = {root for (root,) in database.execute("SELECT rootpage FROM sqlite_master")}
    return [slice((page - 1) * _PAGE_BYTES, page * _PAGE_BYTES) for page in range(1, pages + 1) if page not in roots]


def _free_stamp(path: Path) -> str:
    """The UTC time, made different from those of damaged files that are there already."""
    stamp = base = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    number = 1
    while path.with_name(f"{path.name}.damaged-{stamp}").exists():
        number += 1
        stamp = f"{base}.{number}"
    return stamp


def _remove(path: Path) -> None:
    for companion in COMPANIONS:
        path.with_name(path.name + companion).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
