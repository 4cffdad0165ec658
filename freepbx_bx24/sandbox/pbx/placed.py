"""A call that an endpoint makes: INVITE, digest, CANCEL and the acknowledgements, as RFC 3261 wants them."""

from __future__ import annotations

from typing import Sequence

from freepbx_bx24.sandbox.pbx import sip
from freepbx_bx24.sandbox.pbx.agent import Agent, HostPort
from freepbx_bx24.sandbox.pbx.calls import SDP, Call
from freepbx_bx24.sandbox.pbx.record import CallRecord


class PlacedCall(Call):
    """A call that this endpoint makes.

    :param name: display name; bytes go out exactly as given.
    :param give_up_after: seconds until a CANCEL when nobody has answered; None: never.
    :param talk: seconds from the answer to our BYE; None: the other side hangs up.
    :param password: answers a digest challenge with the caller's number as user; empty: a challenge ends the call.
    """

    def __init__(
        self,
        agent: Agent,
        endpoint: str,
        pbx: HostPort,
        number: str,
        target: str,
        name: str | bytes = "",
        give_up_after: float | None = None,
        talk: float | None = None,
        sound: bool = False,
        password: str = "",
    ) -> None:
        shown = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
        record = CallRecord(endpoint, True, f"{sip.token()}@{endpoint}", number, shown, target, target)
        self._uri = sip.number_uri(target, f"{pbx[0]}:{pbx[1]}")
        local = sip.name_address(name, sip.number_uri(number, agent.host))
        super().__init__(agent, record, pbx, local, f"<{self._uri}>")
        self._give_up_after, self._talk, self._sound, self._password = give_up_after, talk, sound, password
        self._number = number
        self._wants_cancel = self._trying = False
        self._sent = self._offer()

    def begin(self) -> None:
        """Send the INVITE. In the agent's thread."""
        self.record.note("invite")
        self.agent.calls[self.record.call_id] = self
        self._send_invite()
        if self._give_up_after is not None:
            self._later(self._give_up_after, self._withdraw)

    def _offer(self, extra: Sequence[sip.Header] = ()) -> sip.Message:
        self.sequence += 1
        return self._build("INVITE", self._uri, self.sequence, [SDP, *extra], self._sdp())

    def _send_invite(self) -> None:
        self._sending["INVITE"] = self.agent.resend(self._sent, self.peer, self._nobody_there)

    def response(self, message: sip.Message) -> None:
        """Responses to the INVITE move the call on; the rest is common."""
        number, method = message.cseq
        if method != "INVITE":
            super().response(message)
            return
        if "INVITE" in self._sending:
            self._sending.pop("INVITE").stop()
        if message.status < 200:
            self._provisional(message.status)
        elif message.status < 300:
            self._accepted(message)
        else:
            self.agent.send(self._acknowledge(message).encode(), self.peer)
            if number == self.sequence:
                self._refused(message)

    def _provisional(self, status: int) -> None:
        self.record.note(str(status))
        self._trying = True
        if self._wants_cancel:
            self._withdraw()

    def _accepted(self, message: sip.Message) -> None:
        to, contact = sip.address(message.get("to")), sip.address(message.get("contact"))
        self.remote_tag, self.remote_target = to.tag, contact.uri or self._uri
        ack = self._build("ACK", self.remote_target, message.cseq[0])
        self.agent.send(ack.encode(), self.peer)
        if self.record.at("200"):
            return
        self._connected(message.body, self._talk, self._sound)
        self.record.note("ack")
        if self._wants_cancel:  # our CANCEL and the answer crossed on the wire
            self._hang_up()

    def _acknowledge(self, message: sip.Message) -> sip.Message:
        """The ACK of a refusal belongs to the INVITE's own transaction (RFC 3261, 17.1.1.3)."""
        same = self._same("Via", "From", "Call-ID", "Max-Forwards")
        own = [("To", message.get("to")), ("CSeq", f"{message.cseq[0]} ACK")]
        return sip.Message(f"ACK {self._uri} SIP/2.0", [*same, *own])

    def _same(self, *names: str) -> Sequence[sip.Header]:
        """Those headers of the INVITE as they were sent."""
        return [header for header in self._sent.headers if header[0] in names]

    def _refused(self, message: sip.Message) -> None:
        challenge = message.get("www-authenticate") or message.get("proxy-authenticate")
        if challenge and self._password and not self.record.ended_how:
            header = "Authorization" if message.status == 401 else "Proxy-Authorization"
            proof = sip.digest(challenge, "INVITE", self._uri, self._number, self._password)
            self._password = ""
            self._sent = self._offer([(header, proof)])
            self._send_invite()
            return
        self.record.note(str(message.status))
        self.record.reason = message.get("reason")
        cancelled = self.record.at("cancel")
        self._finish("us" if cancelled else "them", "CANCEL" if cancelled else "REFUSED", message.status)
        if cancelled:
            self.record.moments["end"] = cancelled
        self._over()

    def _withdraw(self) -> None:
        if self.up or self.record.at("cancel"):
            return
        self._wants_cancel = True
        if not self._trying:  # RFC 3261, 9.1: not before a provisional response
            return
        self.record.note("cancel")
        same = self._same("Via", "From", "To", "Call-ID", "Max-Forwards")
        cancel = sip.Message(f"CANCEL {self._uri} SIP/2.0", [*same, ("CSeq", f"{self.sequence} CANCEL")])
        self._sending["CANCEL"] = self.agent.resend(cancel, self.peer, self._nobody_there)

    def _nobody_there(self) -> None:
        self._finish("them", "TIMEOUT", 408)
        self._over()
