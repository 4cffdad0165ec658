"""A manager interface that does what a test wants: a real socket, a script for each connection."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import Callable, Dict, Iterator, Sequence

USER, SECRET = "bx24", "only-in-the-digest-7f3a"
BANNER = b"Asterisk Call Manager/9.0.0\r\n"
Action = Dict[str, str]


class Peer:
    """The server's side of one connection."""

    def __init__(self, connection: socket.socket, heard: bytearray) -> None:
        self.connection = connection
        self.heard = heard
        self.piece = 0  # bytes that are sent at a time; 0: all
        self._rest = b""

    def read(self) -> Action | None:
        """The next action; None where the client has gone."""
        while b"\r\n\r\n" not in self._rest:
            data = self.connection.recv(65536)
            if not data:
                return None
            self.heard += data
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return dict(line.split(": ", 1) for line in text.decode().split("\r\n"))

    def raw(self, data: bytes) -> None:
        size = self.piece or max(len(data), 1)
        for begin in range(0, len(data), size):
            self.connection.sendall(data[begin : begin + size])

    def say(self, *lines: str) -> None:
        """One message."""
        self.raw(message(*lines))

    def answer(self, action: Action, *lines: str) -> None:
        self.say("Response: Success", f"ActionID: {action['ActionID']}", *lines)

    def expect(self, name: str) -> Action:
        action = self.read()
        if action is None:
            raise ConnectionError
        assert action["Action"] == name, action
        return action

    def log_in(self) -> None:
        """Banner, challenge and login, as Asterisk does them."""
        self.raw(BANNER)
        self.answer(self.expect("Challenge"), "Challenge: 130599688")
        login = self.expect("Login")
        proof = hashlib.md5(b"130599688" + SECRET.encode()).hexdigest()
        if (login["Username"], login["Key"]) != (USER, proof):
            self.say("Response: Error", f"ActionID: {login['ActionID']}", "Message: Authentication failed")
            raise ConnectionError
        self.answer(login, "Message: Authentication accepted")

    def show_channels(self, channels: Sequence[str] = ()) -> None:
        """The snapshot."""
        self.rows(self.expect("CoreShowChannels"), "CoreShowChannel", [f"Channel: {name}" for name in channels])

    def rows(self, action: Action, event: str, rows: Sequence[str]) -> None:
        identifier = f"ActionID: {action['ActionID']}"
        self.answer(action, "EventList: start")
        for row in rows:
            self.say(f"Event: {event}", identifier, row)
        self.say(f"Event: {event}sComplete", identifier, "EventList: Complete", f"ListItems: {len(rows)}")

    def welcome(self, channels: Sequence[str] = ()) -> None:
        self.log_in()
        self.show_channels(channels)

    def serve(self) -> None:
        """Answer everything until the client goes."""
        while True:
            action = self.read()
            if action is None:
                return
            self.answer(action, "Ping: Pong")

    def reset(self) -> None:
        """End as a killed machine does: no goodbye, what is under way is thrown away."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


Script = Callable[[Peer], None]


def message(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


class AmiServer:
    """Plays one script a connection, the last one again and again; keeps all bytes that it was sent."""

    def __init__(self, *scripts: Script, port: int = 0) -> None:
        self.scripts = scripts
        self.connections: list[socket.socket] = []
        self.heard = bytearray()
        self.failures: list[BaseException] = []
        self.listener = socket.create_server(("127.0.0.1", port), backlog=100)
        self.port: int = self.listener.getsockname()[1]

    def start(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes the accept; close alone would not
        self.listener.close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            script = self.scripts[min(len(self.connections), len(self.scripts) - 1)]
            self.connections.append(connection)
            threading.Thread(target=self._play, args=(script, connection), daemon=True).start()

    def _play(self, script: Script, connection: socket.socket) -> None:
        try:
            script(Peer(connection, self.heard))
        except OSError:
            pass  # the client has gone
        except BaseException as error:
            self.failures.append(error)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


@contextmanager
def manager(*scripts: Script, port: int = 0) -> Iterator[AmiServer]:
    """A server for the length of a test; what a script found wrong fails the test."""
    server = AmiServer(*scripts, port=port)
    server.start()
    try:
        yield server
    finally:
        server.stop()
    assert server.failures == []
