"""pyst2's AGI made safe: no signal handler, nothing on stderr, nothing unescaped in a command, our own errors."""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from typing import IO, Iterator, Mapping

from asterisk import agi

from ..errors import ChannelError

# Everything with a meaning to the AGI line protocol, the dialplan's substitution, application arguments or a shell;
# what is not printable (line ends, escape codes, writing directions, lone surrogates) goes as well.
_HARMFUL = frozenset("\"'`${}[],;\\<>|&")
LONGEST_VALUE = 200
DONE = "done\n"  # to the relay: the dialplan may go on


def harmless(value: str) -> str:
    """Text from outside as it may become a channel variable: one line, no quotes, no `$ { } , ; \\`, at most 200."""
    head = value[: LONGEST_VALUE * 4]  # far more than is kept: megabytes need no cleaning
    kept = "".join(" " if mark in _HARMFUL or not mark.isprintable() else mark for mark in head)
    return " ".join(kept.split())[:LONGEST_VALUE].rstrip()


class Conversation(agi.AGI):  # type: ignore[misc]
    """One AGI conversation over the guard's relay; the guard has read the environment already.

    pyst2's constructor is left out on purpose: it installs a signal handler (which fails outside the main thread) and
    writes every environment line to stderr. Its `_quote` escapes nothing, its reader raises ValueError at the end of
    the pipe, and never returns where the pipe ends within a `520` reply (each reproduced with pyst2 0.5.1), so quoting
    and reading go through here.

    :ivar fresh: no output variable is set yet on the channel. :ivar over: the relay was told that it may go.
    """

    def __init__(self, reader: IO[str], writer: IO[str] | _Sender, fresh: bool = False) -> None:
        self.fresh = fresh
        self.over = False
        self.stdin = reader
        self.stdout = writer
        self.stderr = _Silence()
        self.env: dict[str, str] = {}
        self._got_sighup = False

    def _quote(self, string: object) -> str:
        return f'"{harmless(str(string))}"'

    def send_command(self, command: str, *args: object) -> None:
        """Send one whole line; the relay wants to know that it is one for Asterisk."""
        self.stdout.write(_relayed(command, *args))
        self.stdout.flush()

    def get_result(self, stdin: object = None) -> dict[str, tuple[str, str]]:
        """Read one reply, which the relay hands over as one line.

        :raises ChannelError: where it is not `200 result=...`, or the guard is gone.
        """
        line = self.stdin.readline()
        if not line.startswith("200 result="):
            raise ChannelError(f"Asterisk answered {harmless(line)[:60] or 'nothing'}")
        return {"result": (line[len("200 result=") :].split(" ")[0].strip(), "")}

    def set_outputs(self, values: Mapping[str, str]) -> None:
        """Set the channel variables BX24_<name> in that order, inherited by every leg that is dialled; the last word.

        All are handed to the relay before the first reply is read, and with them that it may go: it still gives
        Asterisk one at a time, but the caller does not wait for as many journeys between the processes. One that is
        empty is set only where the channel may have it from another call.

        :raises ChannelError: where the channel or the guard is gone.
        """
        try:
            wanted = {name: value for name, value in values.items() if value or not self.fresh}
            lines = (_relayed("SET VARIABLE", f"__BX24_{name}", self._quote(value)) for name, value in wanted.items())
            self.stdout.write("".join(lines) + DONE)
            self.over = True
            for _ in wanted:
                self.get_result()
        except OSError as error:
            raise ChannelError(f"the variables could not be set: {type(error).__name__}") from error


def _relayed(command: str, *args: object) -> str:
    line = " ".join([command, *map(str, args)])
    if re.search(r"[\x00-\x1f]", line):
        raise ChannelError("an AGI command with control characters was held back")
    return f"agi {line}\n"


@contextmanager
def conversation_over(connection: socket.socket, fresh: bool = False) -> Iterator[Conversation]:
    """The conversation over a connection to the guard, in UTF-8 whatever the process's locale is; ended by `done`.

    :param fresh: no output variable is set yet on the channel.
    :raises OSError: the guard has gone before it was told that it may.
    """
    with connection.makefile("r", encoding="utf-8", errors="replace", newline="\n") as reader:
        sender = _Sender(connection)
        conversation = Conversation(reader, sender, fresh)
        yield conversation
        if not conversation.over:
            sender.write(DONE)


class _Sender:
    """Writes whole lines at once: a buffer would be flushed once more, and fail once more, where the guard has gone."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def write(self, text: str) -> None:
        """Send it. :raises OSError: where the guard is gone."""
        self.connection.sendall(text.encode("utf-8", "replace"))

    def flush(self) -> None:
        """Nothing is held back."""


class _Silence:
    """Where pyst2 writes its debugging chatter, caller names included."""

    def write(self, text: str) -> None:
        """Drop it."""
