"""A plain listener at the manager interface: every event as it came, with the seconds since it began to listen."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from typing import Mapping, Sequence

Headers = Mapping[str, str]
SECRET = "legs-of-the-tests"
USER = f"""
[legs]
secret={SECRET}
deny=0.0.0.0/0.0.0.0
permit=127.0.0.1/255.255.255.255
read=call
write=reporting,originate,call
"""


class Listener:
    """`events` grows from `listen()` on; actions are answered in order, because one is asked at a time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 5.0)
        self._socket.settimeout(None)
        self.began = time.monotonic()
        self.events: list[tuple[float, Headers]] = []
        self._replies: list[Headers] = []
        self._changed = threading.Condition()
        self._numbers = itertools.count(1)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self.ask("Login", Username="legs", Secret=SECRET)[0]["Response"] == "Success"

    def clear(self) -> None:
        """Forget what was heard, and count the seconds from here."""
        self.began, self.events = time.monotonic(), []

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5.0)

    def ask(self, action: str, seconds: float = 5.0, **headers: str) -> Sequence[Headers]:
        """The response to an action; with a list after it, its rows too."""
        number = str(next(self._numbers))
        lines = [f"Action: {action}", f"ActionID: {number}", *(f"{name}: {value}" for name, value in headers.items())]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        whole = f"{action}Complete" if action == "CoreShowChannels" else ""
        with self._changed:

            def done() -> bool:
                mine = self._of(number)
                return bool(mine) and (not whole or mine[-1].get("Event") == whole or mine[0]["Response"] == "Error")

            assert self._changed.wait_for(done, seconds), action
            return self._of(number)

    def wait_for(self, event: str, seconds: float = 10.0, **headers: str) -> Headers:
        """The first event of that kind whose headers begin so."""
        with self._changed:

            def found() -> Headers | None:
                for _, one in self.events:
                    if one.get("Event") == event and all(one.get(key, "").startswith(headers[key]) for key in headers):
                        return one
                return None

            result = self._changed.wait_for(found, seconds)
            assert result is not None, (event, headers)
            return result

    def snapshot(self) -> Sequence[Headers]:
        """The rows of CoreShowChannels, put among the events at the time of their coming."""
        rows = self.ask("CoreShowChannels")[1:]
        now = time.monotonic() - self.began
        with self._changed:
            self.events += [(now, row) for row in rows]
        return rows[:-1]

    def _of(self, number: str) -> list[Headers]:
        return [reply for reply in self._replies if reply.get("ActionID") == number]

    def _read(self) -> None:
        left = b""
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                return
            if not data:
                return
            *blocks, left = (left + data).split(b"\r\n\r\n")
            now = time.monotonic() - self.began
            for block in blocks:
                headers: dict[str, str] = {}
                for line in block.decode("utf-8", "replace").split("\r\n"):
                    name, colon, value = line.partition(":")
                    if colon:
                        headers.setdefault(name, value.strip())
                with self._changed:
                    if "ActionID" in headers and headers.get("Event") != "OriginateResponse":
                        self._replies.append(headers)
                    else:
                        self.events.append((now, headers))
                    self._changed.notify_all()
