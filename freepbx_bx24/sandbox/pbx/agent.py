"""One UDP socket and one thread that speak SIP for many calls at once: datagrams in, datagrams out, timers, resending.

What a call means is in `calls`; who owns the agent (phones, a trunk) is in `phones`.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import logging
import queue
import socket
import threading
import time
from typing import TYPE_CHECKING, Callable, Protocol

from freepbx_bx24.sandbox.pbx import sip, sound

if TYPE_CHECKING:
    from freepbx_bx24.sandbox.pbx.calls import Call

log = logging.getLogger(__name__)
# RFC 3261, 17: resend after T1, then doubling up to T2, for 64 T1.
T1, T2, GIVE_UP = 0.5, 4.0, 32.0
HostPort = tuple[str, int]


class Conversation(Protocol):
    """What has a Call-ID of its own: a call or a registration. Both are called in the agent's thread."""

    def request(self, message: sip.Message) -> None:
        """Handle a request."""

    def response(self, message: sip.Message) -> None:
        """Handle a response to a request of ours."""


class Timer:
    """Something to be done later; `cancel()` before it is due stops it. Only touched by the agent's thread."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Never do it."""
        self.action = None


class Resending:
    """One message sent again and again until `stop()`, or until `gave_up` is called after 32 seconds."""

    def __init__(self, agent: Agent, data: bytes, to: HostPort, gave_up: Callable[[], None]) -> None:
        self._agent, self._data, self._to, self._gave_up = agent, data, to, gave_up
        self._interval, self._until = T1, time.monotonic() + GIVE_UP
        self._agent.send(data, to)
        self._timer = agent.later(T1, self._again)

    def _again(self) -> None:
        if time.monotonic() > self._until:
            self._gave_up()
            return
        self._agent.send(self._data, self._to)
        self._interval = min(2 * self._interval, T2)
        self._timer = self._agent.later(self._interval, self._again)

    def stop(self) -> None:
        """The answer is there."""
        self._timer.cancel()


class Agent:
    """A SIP user agent at an address of the loopback.

    :param host: 127.x.y.z; the port is the kernel's choice.
    :param invited: makes the call object for a fresh INVITE.
    """

    def __init__(self, name: str, host: str, invited: Callable[[sip.Message, HostPort], Call]) -> None:
        self.name = name
        self.host = host
        self._invited = invited
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self._socket.bind((host, 0))
        self.port: int = self._socket.getsockname()[1]
        self.tones = sound.Tones(host)
        self.calls: dict[str, Conversation] = {}
        self._answers: dict[tuple[str, str], tuple[float, bytes]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name=f"sip-{name}", daemon=True)

    @property
    def address(self) -> str:
        """`host:port` of its socket."""
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop at once, without a word to the other side."""
        self.post(self._quit)
        self._thread.join(5.0)
        self._socket.close()
        self.tones.close()

    def post(self, action: Callable[[], None]) -> None:
        """Have the agent's thread do something; from any thread. An empty datagram to ourselves wakes the thread up."""
        self._posted.put(action)
        self.send(b"", (self.host, self.port))

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Do something after so many seconds, in the agent's thread."""
        timer = Timer(action)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), timer))
        return timer

    def send(self, data: bytes, to: HostPort) -> None:
        """Send one datagram; whoever is not there any more misses it."""
        try:
            self._socket.sendto(data, to)
        except OSError as error:
            log.debug("%s: nothing sent to %s: %s", self.name, to, error)

    def resend(self, message: sip.Message, to: HostPort, gave_up: Callable[[], None]) -> Resending:
        """Send a message and keep sending it until the returned object is stopped."""
        return Resending(self, message.encode(), to, gave_up)

    def answer(self, request: sip.Message, reply: sip.Message, to: HostPort) -> None:
        """Send a response and remember it for when the request comes again."""
        self.remember(request, reply)
        self.send(reply.encode(), to)

    def remember(self, request: sip.Message, reply: sip.Message) -> None:
        """Answer `request` with `reply` whenever it comes again."""
        self._answers[(request.branch, request.method)] = (time.monotonic(), reply.encode())

    def _quit(self) -> None:
        self._stopping = True

    def _loop(self) -> None:
        while not self._stopping:
            self._socket.settimeout(self._run_timers())
            try:
                data, sender = self._socket.recvfrom(65535)
            except socket.timeout:
                continue
            except OSError as error:  # an ICMP "port unreachable" of an earlier datagram: the peer is down
                log.debug("%s: %s", self.name, error)
                continue
            # The posts are looked for at every datagram: the waking ones may be lost when the buffer is full.
            while not self._posted.empty():
                self._guarded(self._posted.get())
            if data.strip():
                self._guarded(functools.partial(self._received, data, sender))

    def _run_timers(self) -> float:
        """Do what is due; return the seconds until the next thing is, a quarter of a second at most."""
        while self._timers and self._timers[0][0] <= time.monotonic():
            timer = heapq.heappop(self._timers)[2]
            if timer.action is not None:
                self._guarded(timer.action)
        due = self._timers[0][0] - time.monotonic() if self._timers else 0.25
        return min(max(due, 0.001), 0.25)

    def _guarded(self, action: Callable[[], None]) -> None:
        """One broken message or call must not end the thread that all other calls live on."""
        try:
            action()
        except Exception:
            log.exception("%s: a SIP step failed", self.name)

    def _received(self, data: bytes, sender: HostPort) -> None:
        message = sip.parse(data)
        call = self.calls.get(message.get("call-id"))
        if message.status:
            if call is not None:
                call.response(message)
            return
        known = self._answers.get((message.branch, message.method))
        if known is not None and message.method != "ACK":
            self.send(known[1], sender)
            return
        if call is None and message.method == "INVITE":
            self._forget_answers()
            offered = self._invited(message, sender)
            self.calls[offered.record.call_id] = call = offered
        if call is not None:
            call.request(message)
        elif message.method != "ACK":
            status = 200 if message.method == "OPTIONS" else 481
            self.answer(message, sip.response(message, status, sip.token()), sender)

    def _forget_answers(self) -> None:
        """Drop remembered responses that nobody can ask for again."""
        if len(self._answers) > 2000:
            oldest = time.monotonic() - 2 * GIVE_UP
            self._answers = {key: kept for key, kept in self._answers.items() if kept[0] > oldest}
