"""pyst2's AGI made safe: no signal handler, no environment on stderr, nothing unescaped in a command, our own errors."""

from __future__ import annotations

import re
from typing import IO

from asterisk import agi

from ..errors import ChannelError

# Everything with a meaning to the AGI line protocol, the dialplan's substitution, application arguments or a terminal.
_HARMFUL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\"'`${}\[\],;\\<>|&]")
LONGEST_VALUE = 200


def harmless(value: str) -> str:
    """Text from outside as it may become a channel variable: one line, no quotes, no `$ { } , ; \\`, at most 200."""
    return re.sub(r"\s+", " ", _HARMFUL.sub(" ", value)).strip()[:LONGEST_VALUE]


class Conversation(agi.AGI):  # type: ignore[misc]
    """One AGI conversation over the guard's relay; the guard has read the environment already.

    pyst2's constructor is left out on purpose: it installs a signal handler (which fails outside the main thread) and
    writes every environment line to stderr. Its `_quote` escapes nothing and its reader raises ValueError at the end of
    the pipe (each reproduced with pyst2 0.5.1), so quoting and reading go through here.
    """

    def __init__(self, reader: IO[str], writer: IO[str]) -> None:
        self.stdin = reader
        self.stdout = writer
        self.stderr = _Silence()
        self.env: dict[str, str] = {}
        self._got_sighup = False

    def _quote(self, string: object) -> str:
        return f'"{harmless(str(string))}"'

    def send_command(self, command: str, *args: object) -> None:
        """Send one whole line; the relay wants to know that it is one for Asterisk."""
        line = " ".join([command, *map(str, args)])
        if re.search(r"[\x00-\x1f]", line):
            raise ChannelError("an AGI command with control characters was held back")
        self.stdout.write(f"agi {line}\n")
        self.stdout.flush()

    def set_output(self, name: str, value: str) -> None:
        """Set the channel variable BX24_<name>, inherited by every leg that is dialled.

        :raises ChannelError: where the channel or the guard is gone.
        """
        try:
            self.execute("SET VARIABLE", f"__BX24_{name}", self._quote(value))
        except (agi.AGIException, ValueError, OSError) as error:
            raise ChannelError(f"BX24_{name} could not be set: {type(error).__name__}") from error


class _Silence:
    """Where pyst2 writes its debugging chatter, caller names included."""

    def write(self, text: str) -> None:
        """Drop it."""
