"""The AGI server: one conversation with one guard at a time per thread, on a unix socket that only Asterisk may use."""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
import time
from pathlib import Path

from ..errors import Bx24Error, ChannelError, ServiceError
from ..pbx import frame as frames
from ..pbx.agi import conversation_over
from . import control, finish, intake, register
from .runtime import Runtime

LOG = logging.getLogger("bx24.server")

CONVERSATIONS = 64  # at once; what is beyond that waits a quarter of a second, then is registered later
BACKLOG = 1024
FRAME_SECONDS = 1.0
PIECE = 8192  # bytes: a whole frame nearly always; 64 workers take that much each, and leave holes of it behind
ACCEPT_SECONDS = 10  # an idle worker turns that often
# The workers beat as one: while any of them turns calls are answered. Longer than `wait` may be made.
LONGEST_SECONDS = 45.0
CONTROL_SECONDS = 10.0  # for a command to read its answer, which may be a megabyte


class Server:
    """The socket and the workers, each of which accepts and answers one AGI script after the other.

    No thread hands connections out: a hand-over costs each caller, and scripts that find all workers busy wait in the
    backlog for no longer than the guard does.

    :param path: of the socket; made 0660. Whoever holds the journal's lock may replace a stale one.
    :raises ServiceError: where the socket can't be made.
    """

    def __init__(self, runtime: Runtime, path: Path) -> None:
        self.runtime = runtime
        self.workers = [
            threading.Thread(target=self._work, name=f"agi-{number}", daemon=True) for number in range(CONVERSATIONS)
        ]
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)  # of a link the link alone
            self.listener.bind(str(path))
            path.chmod(0o660)
            _give_up_accepting_after(self.listener, ACCEPT_SECONDS)
            self.listener.listen(BACKLOG)
        except OSError as error:
            self.listener.close()
            hint = f"Move it away (mv {path} {path}.old) and start again." if path.is_dir() else ""
            raise ServiceError(f"{path}: {error.strerror}", hint) from error

    def start(self) -> None:
        """Answer from now on."""
        self.runtime.beats.register("agi", LONGEST_SECONDS)
        for worker in self.workers:
            worker.start()

    def stop(self) -> None:
        """Take no more connections; those under way end by their deadlines. `stopping` must be set before."""
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes every worker out of accept()
        self.listener.close()
        for worker in self.workers:
            worker.join()

    def _work(self) -> None:
        while not self.runtime.stopping.is_set():
            self.runtime.beats.beat("agi")
            try:
                connection, _ = self.listener.accept()
            except BlockingIOError:
                continue  # nobody came
            except OSError:
                if not self.runtime.stopping.is_set():
                    LOG.exception("accepting an AGI script failed")
                    time.sleep(0.1)  # no more file descriptors: do not spin
                continue
            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(FRAME_SECONDS)
                serve(self.runtime, connection)
        except (ChannelError, OSError) as error:
            LOG.info("an AGI script left: %s", error)
        except Bx24Error as error:
            LOG.error("%s %s", error, error.hint)
        except Exception:
            LOG.exception("an AGI conversation failed in an unforeseen way")


def _give_up_accepting_after(listener: socket.socket, seconds: int) -> None:
    """Let accept() return now and then. In the kernel: Python's own time-out polls, which wakes every worker each time.

    The two numbers are of the width of time_t, which 32-bit systems have begun to change.
    """
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", seconds, 0))
    except OSError:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@qq", seconds, 0))


def serve(runtime: Runtime, connection: socket.socket) -> None:
    """One conversation: check who it is, say `taken`, work, say `done`.

    :raises ChannelError, OSError: where the guard is not ours, made no sense or is gone.
    """
    _check_peer(connection)
    data = _read_frame(connection)
    if data == frames.PING:
        connection.sendall(b"taken\ndone\n")
        return
    if data.startswith(control.BEGINNING):
        connection.sendall(b"taken\n")
        line = control.answer(runtime, data)
        connection.settimeout(CONTROL_SECONDS)
        connection.sendall(line + b"done\n")
        return
    frame = frames.parse(data)
    if time.monotonic() >= frame.deadline:
        raise ChannelError(f"{frame.uniqueid}: came too late to be worked on")
    connection.sendall(b"taken\n")  # fails where the guard has given up meanwhile: then nothing is worked on
    if frame.kind == frames.REGISTER:
        connection.settimeout(max(frame.deadline - time.monotonic(), 0.01) + 1)
        with conversation_over(connection, frame.fresh) as conversation:
            register.handle(runtime, frame, conversation)
        return
    if not intake.read_register(runtime, frame.uniqueid):  # the finish is left behind as well, and comes after it
        raise ChannelError(f"{frame.uniqueid}: its register is still under way without the service")
    finish.handle(runtime, frame)
    connection.sendall(b"done\n")


def _read_frame(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\0\0"):
        received = connection.recv(PIECE)
        if not received or len(data) > frames.LONGEST:
            raise ChannelError(f"a frame of {len(data)} bytes is cut or too long")
        data += received
    return data


def _check_peer(connection: socket.socket) -> None:
    """Only our own user and root may speak to us, whatever the socket's folder allows."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    if user not in (0, os.geteuid()):
        raise ChannelError(f"user {user} may not speak to the service")
