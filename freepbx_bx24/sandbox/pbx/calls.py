"""What every call of a SIP endpoint has: dialog, hangup, transfers, waiting, and what is written down of them.

Everything except the methods marked "from any thread" runs in the agent's thread.
"""

from __future__ import annotations

import functools
import logging
import secrets
import threading
import urllib.parse
from typing import Callable, Sequence

from freepbx_bx24.errors import SandboxError
from freepbx_bx24.sandbox.pbx import sip, sound
from freepbx_bx24.sandbox.pbx.agent import Agent, HostPort, Resending, Timer
from freepbx_bx24.sandbox.pbx.record import CallRecord

log = logging.getLogger(__name__)
# How long an ended call waits for the other side's last word before `wait()` returns all the same.
LAST_WORD_SECONDS = 4.0
SDP: sip.Header = ("Content-Type", "application/sdp")


class Call:
    """What a placed and a received call have in common: the dialog, the hangup, transfers, waiting."""

    def __init__(self, agent: Agent, record: CallRecord, peer: HostPort, local: str, remote: str) -> None:
        self.agent, self.record, self.peer = agent, record, peer
        self.local, self.remote = local, remote  # From and To values as this side sends them, tags apart
        self.local_tag, self.remote_tag, self.remote_target = sip.token(), "", ""
        self.sequence = 0
        self.up = False
        self._media: HostPort | None = None  # where the other side wants its sound
        self._sending: dict[str, Resending] = {}
        self._timers: list[Timer] = []
        self._answered, self._ended = threading.Event(), threading.Event()

    # ---- from any thread

    def wait(self, timeout: float = 30.0) -> CallRecord:
        """Wait until the call is over; return what was seen. Raise SandboxError after `timeout` seconds."""
        if not self._ended.wait(timeout):
            raise SandboxError(f"the call is not over after {timeout:g} s: {self.record.as_dict()}")
        return self.record

    def wait_answered(self, timeout: float = 30.0) -> CallRecord:
        """Wait until the call is answered. Raise SandboxError after `timeout` seconds."""
        if not self._answered.wait(timeout):
            raise SandboxError(f"the call is not answered after {timeout:g} s: {self.record.as_dict()}")
        return self.record

    def hang_up(self) -> None:
        """End the call now: BYE when it is up, else CANCEL (caller) or 603 (called side)."""
        self.agent.post(self._hang_up)

    def transfer(self, number: str) -> None:
        """Blind transfer: REFER the other side to `number`."""
        self.agent.post(lambda: self._refer(f"<{sip.number_uri(number, self._pbx)}>"))

    def transfer_to(self, consultation: Call) -> None:
        """Attended transfer: connect the other side with the other side of `consultation`, a call of the same phone."""
        self.agent.post(lambda: self._refer(f"<{consultation.replaced_uri()}>"))

    def press(self, keys: str) -> None:
        """Press keys (0-9, *, #), each for a tenth of a second, with as long a pause between them.

        Raise ValueError for others. They go as RTP telephone events (RFC 4733), as trunks and telephones send them;
        nothing is sent when the call is not up.
        """
        if not keys or not set(keys) <= set(sound.KEYS):
            raise ValueError(f"not keys of a telephone: {keys!r}")
        self.agent.post(lambda: self._press(keys))

    # ---- in the agent's thread

    @property
    def _pbx(self) -> str:
        return f"{self.peer[0]}:{self.peer[1]}"

    def replaced_uri(self) -> str:
        """A Refer-To URI that replaces this dialog (RFC 3891: the tags as the PBX, its recipient, sees them)."""
        named = f"{self.record.call_id};to-tag={self.remote_tag};from-tag={self.local_tag}"
        target = self.record.request_user if self.record.placed else self.record.from_user
        return f"{sip.number_uri(target, self._pbx)}?Replaces={urllib.parse.quote(named, safe='')}"

    def request(self, message: sip.Message) -> None:
        """Handle a request of this call."""
        handlers: dict[str, Callable[[sip.Message], None]] = {
            "INVITE": self._invite,
            "ACK": self._ack,
            "BYE": self._bye,
            "CANCEL": self._cancel,
            "NOTIFY": self._notify,
        }
        handlers.get(message.method, self._agree)(message)

    def response(self, message: sip.Message) -> None:
        """Handle a response to a request of ours."""
        method = message.cseq[1]
        if message.status >= 200 and method in self._sending:
            self._sending.pop(method).stop()
        if method == "BYE" and message.status >= 200:
            self._over()
        if method == "REFER" and message.status >= 300:
            log.warning("%s: the PBX refused the transfer: %s", self.record.endpoint, message.start)

    def _via(self) -> sip.Header:
        return ("Via", f"SIP/2.0/UDP {self.agent.address};rport;branch=z9hG4bK{sip.token()}")

    def _contact(self) -> sip.Header:
        return ("Contact", f"<{sip.number_uri(self.record.endpoint, self.agent.address)}>")

    def _build(
        self, method: str, uri: str, sequence: int, extra: Sequence[sip.Header] = (), body: str = ""
    ) -> sip.Message:
        remote = self.remote + (f";tag={self.remote_tag}" if self.remote_tag else "")
        headers = [self._via(), ("From", f"{self.local};tag={self.local_tag}"), ("To", remote)]
        headers += [("Call-ID", self.record.call_id), ("CSeq", f"{sequence} {method}"), ("Max-Forwards", "70")]
        return sip.Message(f"{method} {uri} SIP/2.0", [*headers, self._contact(), *extra], body)

    def _ask(self, method: str, extra: Sequence[sip.Header] = (), gave_up: Callable[[], None] = lambda: None) -> None:
        """Send a request inside the dialog until it is answered."""
        self.sequence += 1
        message = self._build(method, self.remote_target, self.sequence, extra)
        self._sending[method] = self.agent.resend(message, self.peer, gave_up)

    def _agree(self, message: sip.Message, body: str = "") -> None:
        extra = [self._contact(), *([SDP] if body else [])]
        self.agent.answer(message, sip.response(message, 200, self.local_tag, extra, body), self.peer)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._timers.append(self.agent.later(seconds, action))

    def _sdp(self) -> str:
        return sip.session(self.agent.host, self.agent.tones.port)

    def _connected(self, body: str, talk: float | None, with_sound: bool) -> None:
        """The call is up: write it down, start the tone, plan the hangup."""
        self.up = True
        self.record.final_status = 200
        self.record.note("200")
        self._answered.set()
        self._media = sip.media_address(body)
        if with_sound and self._media:
            self.agent.tones.start(self.record.call_id, self._media)
        if talk is not None:
            self._later(talk, self._hang_up)

    def _press(self, keys: str) -> None:
        if not self.up or self._media is None:
            return
        target, identity = self._media, secrets.randbits(32)
        for place, key in enumerate(keys):
            start = place * 2 * sound.KEY_FRAMES
            packets = sound.key_packets(key, start * sound.FRAME_SAMPLES, start, identity)
            for step, packet in enumerate(packets):
                send = functools.partial(self.agent.tones.send, packet, target)
                self._later((start + step) * sound.FRAME_SECONDS, send)

    def _finish(self, by: str, how: str, status: int = 0) -> None:
        """Write down how the call ended; the first end counts."""
        if not self.record.ended_how:
            self.record.note("end")
            self.record.ended_by, self.record.ended_how = by, how
            self.record.final_status = self.record.final_status or status
        self.up = False
        self.agent.tones.stop(self.record.call_id)
        for timer in self._timers:
            timer.cancel()

    def _over(self) -> None:
        """Nothing more will come."""
        for sending in self._sending.values():
            sending.stop()
        self._sending.clear()
        self._ended.set()

    def _hang_up(self) -> None:
        if self.up:
            self.record.note("bye")
            self._finish("us", "BYE")
            self._ask("BYE", gave_up=self._over)
            self.agent.later(LAST_WORD_SECONDS, self._over)
        elif not self.record.ended_how:
            self._withdraw()

    def _withdraw(self) -> None:
        """End a call that is not up yet."""
        raise NotImplementedError

    def _refer(self, target: str) -> None:
        if self.up:
            self.record.note("refer")
            self._ask("REFER", [("Refer-To", target), ("Referred-By", self.local)])

    def _invite(self, message: sip.Message) -> None:
        """A re-INVITE (hold, media change): agree."""
        self._agree(message, self._sdp())

    def _ack(self, message: sip.Message) -> None:
        """An ACK of an answer to a re-INVITE: nothing to do."""

    def _bye(self, message: sip.Message) -> None:
        self.record.note("bye")
        self.record.reason = self.record.reason or message.get("reason")
        self._agree(message)
        self._finish("them", "BYE")
        self._over()

    def _cancel(self, message: sip.Message) -> None:
        self._agree(message)

    def _notify(self, message: sip.Message) -> None:
        """How a transfer goes (RFC 3515): a phone hangs up when it has succeeded."""
        self._agree(message)
        if "SIP/2.0 200" in message.body and self.record.at("refer"):
            self._hang_up()
