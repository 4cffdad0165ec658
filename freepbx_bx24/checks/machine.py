"""The machine that is checked: its folders, its configuration, its Asterisk and its portal, each asked once."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Callable

from ..bitrix24.directory import Directory
from ..errors import ConfigurationError, ServiceError
from ..pbx.console import console
from ..pbx.freepbx import Shown
from ..settings import Settings, load


class Machine:
    """What the checks look at. What is not there is None: who needs it is not asked, since the reason has been said.

    :param state, run, log: where the service keeps its things.
    :param ask_asterisk: runs a command of Asterisk's console.
    :ivar directory: the portal's employees and lines, once the portal has told them.
    """

    def __init__(self, state: Path, run: Path, log: Path, ask_asterisk: Callable[[str], str] = console) -> None:
        self.state, self.run, self.log = state, run, log
        self.directory: Directory | None = None
        self._ask_asterisk = ask_asterisk
        self._said: dict[str, str] = {}

    @cached_property
    def configuration(self) -> Settings | ConfigurationError:
        """What the YAML says, or everything that is wrong with it."""
        try:
            return load()
        except ConfigurationError as error:
            return error

    @property
    def settings(self) -> Settings | None:
        """What the YAML says; None where it can't be used."""
        return None if isinstance(self.configuration, ConfigurationError) else self.configuration

    @cached_property
    def asterisk_error(self) -> ServiceError | None:
        """Why Asterisk does not answer; None where it does."""
        try:
            self.says("core show version")
        except ServiceError as error:
            return error
        return None

    @cached_property
    def asterisk(self) -> Shown | None:
        """What Asterisk shows; None where it does not answer."""
        return Shown(self.says) if self.asterisk_error is None else None

    def says(self, command: str) -> str:
        """What Asterisk's console answers, asked once. :raises ServiceError: it does not answer."""
        if command not in self._said:
            self._said[command] = self._ask_asterisk(command)
        return self._said[command]
