"""One login to Asterisk's manager interface, from connect to its end: who asked gets the answer, events go one way."""

from __future__ import annotations

import hashlib
import secrets
import select
import socket
import threading
import time
from contextlib import suppress
from typing import Callable, Mapping

from ..errors import AmiError, AmiRefused, AmiTimeout, AmiUnreachable
from .agi import harmless
from .ami_wire import Message, Parser, Values, encode

BANNER = "Asterisk Call Manager"
READ_BYTES = 65_536
TICK_SECONDS = 1.0
MOST_ROWS = 50_000  # of one list: more channels than a PBX can have
NO_LOGIN_HINT = (
    "Name and secret must be those of a user in /etc/asterisk/manager*.conf that permits 127.0.0.1; after a change"
    " there: `asterisk -rx 'manager reload'`."
)


class Exchange:
    """One action and what has come back for it so far."""

    def __init__(self, name: str, is_list: bool) -> None:
        self.name = name
        self.is_list = is_list
        self.rows: list[Message] = []
        self.response: Message | None = None
        self.failure: AmiError | None = None
        self.done = threading.Event()

    def take(self, message: Message) -> None:
        """A response or a row of the list came."""
        if not message.is_event:
            self.response = message
            if message.get("Response", "").casefold() == "error":
                said = harmless(message.get("Message", "")) or "no reason given"
                self._end(AmiRefused(f"Asterisk refused the AMI action {self.name}: {said}"))
            elif not self.is_list:
                self._end()
            elif "EventList" not in message:
                self._end(AmiError(f"the AMI action {self.name} gives no list"))
        elif "EventList" in message:  # Complete, or Cancelled
            self._end()
        elif len(self.rows) < MOST_ROWS:
            self.rows.append(message)
        else:
            self._end(AmiError(f"the AMI action {self.name} gave more than {MOST_ROWS} rows"))

    def fail(self, failure: AmiError) -> None:
        """Nothing more will come."""
        if not self.done.is_set():
            self._end(failure)

    def _end(self, failure: AmiError | None = None) -> None:
        self.failure = failure
        self.done.set()

    def result(self) -> Message:
        """The response. :raises AmiError: where it was refused, or the connection ended first."""
        if self.failure is not None:
            # A new one each time: an exception that is raised in two threads grows both their tracebacks.
            raise type(self.failure)(self.failure.message, self.failure.hint)
        assert self.response is not None
        return self.response


class Session:
    """One connection. `log_in`, `ask` and `pump` are for its one reader thread; `begin` and `break_off` for any.

    :param on_event: is given every event that is no row of a list, in order, in the reader thread.
    :param beat: called in the reader thread at least once a second while it reads.
    :param seconds: how long connecting may take.
    :raises AmiUnreachable: nobody is there.
    """

    def __init__(
        self, host: str, port: int, on_event: Callable[[Message], None], beat: Callable[[], None], seconds: float
    ) -> None:
        self._on_event = on_event
        self._beat = beat
        self._parser = Parser()
        self._waiting: dict[str, Exchange] = {}
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._broken: AmiError | None = None
        self._number = 0
        # Events of other users' actions carry those users' ActionIDs: ours must be nobody else's.
        self._prefix = f"bx24-{secrets.token_hex(6)}-"
        try:
            self._socket = socket.create_connection((host, port), timeout=max(seconds, 0.01))
        except (OSError, OverflowError, UnicodeError) as error:
            raise AmiUnreachable(f"the manager interface can't be reached: {_reason(error)}") from None
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    @property
    def banner(self) -> str:
        """What Asterisk calls itself, "Asterisk Call Manager/x.y.z", made harmless."""
        return harmless(self._parser.banner or "")[:60]

    def log_in(self, user: str, secret: str, seconds: float) -> None:
        """Wait for the banner, then log in by challenge, so that the secret never goes over the wire.

        :raises AmiUnreachable: what answers is no Asterisk. :raises AmiTimeout: nothing answers.
        :raises AmiRefused: Asterisk does not take the user.
        """
        deadline = time.monotonic() + seconds
        while self._parser.banner is None:
            if time.monotonic() >= deadline:
                raise AmiTimeout("something takes connections at the manager interface's port, and says nothing")
            self.pump(deadline - time.monotonic())
        if not self._parser.banner.startswith(BANNER):
            raise AmiUnreachable("what answers at the manager interface's port is not Asterisk")
        try:
            challenge = self.ask("Challenge", {"AuthType": "MD5"}, deadline - time.monotonic()).result()
            proof = (challenge.get("Challenge", "") + secret).encode("utf-8", "replace")
            key = hashlib.md5(proof, usedforsecurity=False).hexdigest()  # the protocol's own choice
            # Only what concerns calls, whatever else the user may read: fewer events, fewer lost connections.
            login = {"AuthType": "MD5", "Username": user, "Key": key, "Events": "call"}
            self.ask("Login", login, deadline - time.monotonic()).result()
        except AmiRefused as error:
            raise AmiRefused(error.message, NO_LOGIN_HINT) from None

    def begin(self, name: str, headers: Mapping[str, Values], seconds: float, is_list: bool = False) -> Exchange:
        """Send an action; what comes back is in the exchange as it comes. Takes at most `seconds`.

        :raises AmiError: it can't be sent.
        """
        exchange = Exchange(name, is_list)
        deadline = time.monotonic() + seconds
        with self._lock:
            self._number += 1
            action_id = f"{self._prefix}{'list' if is_list else 'one'}-{self._number}"
        data = encode(name, action_id, headers)
        with self._lock:
            if self._broken is not None:
                raise AmiUnreachable(self._broken.message)
            self._waiting[action_id] = exchange
        try:
            self._send(data, deadline)
        except AmiError:
            self.forget(exchange)
            raise
        return exchange

    def forget(self, exchange: Exchange) -> None:
        """Nobody waits for this one any more; what still comes of it goes nowhere."""
        with self._lock:
            self._waiting = {key: one for key, one in self._waiting.items() if one is not exchange}

    def ask(self, name: str, headers: Mapping[str, Values], seconds: float, is_list: bool = False) -> Exchange:
        """In the reader thread: send an action, and read until it is answered.

        :raises AmiTimeout: it was not, in time.
        """
        deadline = time.monotonic() + seconds
        exchange = self.begin(name, headers, seconds, is_list)
        while not exchange.done.is_set():
            if time.monotonic() >= deadline:
                raise AmiTimeout(f"Asterisk does not answer the AMI action {name}")
            self.pump(deadline - time.monotonic())
        return exchange

    def pump(self, seconds: float) -> bool:
        """Hand out what comes next, waiting up to `seconds` for it, a second at most; False where nothing came.

        :raises AmiUnreachable: the connection has ended. Whatever `on_event` raises goes through.
        """
        self._beat()
        if not self._poll.poll(min(max(seconds, 0.0), TICK_SECONDS) * 1000):
            return False
        try:
            data = self._socket.recv(READ_BYTES)
        except socket.timeout:
            return False
        except OSError as error:
            raise self._broken or AmiUnreachable(f"the manager connection broke: {_reason(error)}") from None
        if not data:
            raise self._broken or AmiUnreachable("Asterisk closed the manager connection")
        now = time.monotonic()
        for message in self._parser.feed(data):
            message.received = now
            self._hand_out(message)
        return True

    def break_off(self, error: AmiError) -> None:
        """End the session: who waits for an answer is told, the reader thread finds the connection ended."""
        with self._lock:
            self._broken = self._broken or error
            waiting, self._waiting = self._waiting, {}
        for exchange in waiting.values():
            exchange.fail(error)
        with suppress(OSError):  # ended already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """In the reader thread, after `break_off`: give the socket back, which nobody else may then still wait on."""
        with self._sending:
            self._socket.close()

    def _hand_out(self, message: Message) -> None:
        action_id = message.get("ActionID", "")
        exchange = self._waiting.get(action_id)
        if exchange is not None and (exchange.is_list or not message.is_event):
            exchange.take(message)
            if exchange.done.is_set():
                with self._lock:
                    self._waiting.pop(action_id, None)
        elif message.is_event and not action_id.startswith(self._prefix + "list-"):  # late rows of a list are no news
            self._on_event(message)

    def _send(self, data: bytes, deadline: float) -> None:
        """Send it whole, or break off: half of an action would spoil the next one.

        A peer that hangs takes nothing any more once its buffer is full.
        """
        failure: AmiError = AmiTimeout("Asterisk takes no more actions on the manager connection")
        if not self._sending.acquire(timeout=max(deadline - time.monotonic(), 0.0)):
            raise failure
        try:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.01))
            self._socket.sendall(data)
            return
        except socket.timeout:
            pass
        except OSError as error:
            failure = AmiUnreachable(f"the manager connection broke: {_reason(error)}")
        finally:
            self._sending.release()
        self.break_off(failure)
        raise failure


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)
