"""Keeps one journal file in use whatever happens to it: opens it, and replaces it at any step that finds it damaged."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Callable, TypeVar

from ..errors import JournalError
from . import damaged, database
from .database import Step

Answer = TypeVar("Answer")
REPLACE_AGAIN_SECONDS = 60.0  # after a damaged file could not be replaced (disk full): each try reads all of it


class WholeFile:
    """The connection to the file at `path`. `replaced` says whether that was found damaged now, so that it is new.

    :raises JournalError: where it can't be opened, or is damaged and can't be replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.replaced = False
        self._replace_from = 0.0
        self._within = False  # a change is under way: what it asks and changes by itself is part of it
        damaged.complete(path)
        try:
            self.database = database.connect(path)
        except database.UNREADABLE as error:
            if not database.is_damage(error):
                raise JournalError(f"{path} can't be opened: {error}") from error
            damaged.replace(path, str(error))
            self.database = self._connected()
            self.replaced = True

    def close(self) -> None:
        """Close it; its log of changes goes into it."""
        self.database.close()

    def ask(self, step: Step[Answer]) -> Answer:
        """Have a step read.

        :raises JournalError: where it can't.
        """
        return self._have(database.ask, step)

    def change(self, step: Step[Answer]) -> Answer:
        """Have a step write, all of it or nothing, also where it makes changes of its own through this object.

        :raises JournalError: where it can't.
        """
        return self._have(database.change, step)

    def _have(self, way: Callable[[sqlite3.Connection, Step[Answer]], Answer], step: Step[Answer]) -> Answer:
        if self._within:
            return step(self.database)
        self._within = way is database.change
        try:
            return self._have_alone(way, step)
        finally:
            self._within = False

    def _have_alone(self, way: Callable[[sqlite3.Connection, Step[Answer]], Answer], step: Step[Answer]) -> Answer:
        try:
            return way(self.database, step)
        except database.UNREADABLE as error:
            self._replace(str(error))
        try:
            return way(self.database, step)
        except database.UNREADABLE as error:
            raise JournalError(f"the new journal is damaged too: {error}", "Look at the disk: `dmesg`.") from error

    def _replace(self, why: str) -> None:
        if time.monotonic() < self._replace_from:
            raise JournalError(f"the journal is damaged: {why}")
        self._replace_from = time.monotonic() + REPLACE_AGAIN_SECONDS
        damaged.replace(self.path, why)
        self.database.close()
        self.database = self._connected()
        self._replace_from = 0.0

    def _connected(self) -> sqlite3.Connection:
        try:
            return database.connect(self.path)
        except database.UNREADABLE as error:
            raise JournalError(f"{self.path} can't be opened: {error}") from error
