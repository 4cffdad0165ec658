"""Portals that behave badly on purpose: real sockets, one bad habit each."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import Callable, Iterator

Habit = Callable[[socket.socket], None]


def deaf(connection: socket.socket) -> None:
    """Reads the request and never answers."""
    while connection.recv(65536):
        pass


def dripping(connection: socket.socket) -> None:
    """Answers one byte a second."""
    connection.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{" + b" " * 500:
        connection.sendall(bytes([byte]))
        time.sleep(1)


def stalling(connection: socket.socket) -> None:
    """Takes the TLS greeting and says nothing back."""
    connection.recv(65536)
    time.sleep(60)


@contextmanager
def serving(habit: Habit) -> Iterator[str]:
    """A server with a habit on a loopback port; yields `127.0.0.1:PORT`."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    opened = []

    def live(connection: socket.socket) -> None:
        with suppress(OSError):
            habit(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            opened.append(connection)
            threading.Thread(target=live, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        for connection in opened:
            connection.close()


@contextmanager
def refusing() -> Iterator[str]:
    """A port on which nobody listens, kept from everybody else."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{kept.getsockname()[1]}"


@contextmanager
def dead_name_server() -> Iterator[str]:
    """A name server that takes questions and answers none, on a loopback address of its own; needs root for port 53."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        for number in range(1, 255):
            with suppress(OSError):  # another run has this one
                listener.bind((f"127.0.53.{number}", 53))
                break
        yield listener.getsockname()[0]
