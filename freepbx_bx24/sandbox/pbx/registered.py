"""A telephone's registration: the REGISTER that tells the PBX where it is, with a digest, and the one that ends it."""

from __future__ import annotations

import threading

from freepbx_bx24.errors import SandboxError
from freepbx_bx24.sandbox.pbx import sip
from freepbx_bx24.sandbox.pbx.agent import Agent, HostPort, Resending

# Longer than any test, so that nothing has to be renewed.
EXPIRES_SECONDS = 7200


class Registration:
    """One contact of one device at the PBX (RFC 3261, 10).

    :param device: the name it registers, which is also its user for the digest.
    :param contact: the user part of the contact; that of a device's second telephone differs.
    """

    def __init__(self, agent: Agent, device: str, password: str, contact: str, pbx: HostPort) -> None:
        self._agent, self._device, self._password, self._pbx = agent, device, password, pbx
        self._contact = sip.number_uri(contact, agent.address)
        self._call_id, self._tag, self._sequence = f"{sip.token()}@{contact}", sip.token(), 0
        self._sending: Resending | None = None
        self._expires, self._proved, self._status = 0, False, 0
        self._over = threading.Event()

    def begin(self, timeout: float = 5.0) -> None:
        """Register and wait for the PBX's agreement; from any thread. Raise SandboxError when it does not come."""
        self._ask(EXPIRES_SECONDS, timeout)

    def end(self, timeout: float = 5.0) -> None:
        """Take the contact back, in the same way."""
        self._ask(0, timeout)

    def _ask(self, expires: int, timeout: float) -> None:
        self._over.clear()
        self._expires, self._proved, self._status = expires, False, 408
        self._agent.post(self._first)
        if not self._over.wait(timeout) or self._status != 200:
            raise SandboxError(f"the PBX did not register {self._device} at {self._contact}: {self._status}")

    # ---- in the agent's thread

    def _first(self) -> None:
        self._agent.calls[self._call_id] = self
        self._send("")

    def _send(self, proof: str) -> None:
        self._sequence += 1
        uri = f"sip:{self._pbx[0]}:{self._pbx[1]}"
        own = sip.number_uri(self._device, f"{self._pbx[0]}:{self._pbx[1]}")
        headers = [
            ("Via", f"SIP/2.0/UDP {self._agent.address};rport;branch=z9hG4bK{sip.token()}"),
            ("From", f"<{own}>;tag={self._tag}"),
            ("To", f"<{own}>"),
            ("Call-ID", self._call_id),
            ("CSeq", f"{self._sequence} REGISTER"),
            ("Max-Forwards", "70"),
            ("Contact", f"<{self._contact}>"),
            ("Expires", str(self._expires)),
        ]
        message = sip.Message(f"REGISTER {uri} SIP/2.0", [*headers, *([("Authorization", proof)] if proof else [])])
        self._sending = self._agent.resend(message, self._pbx, self._over.set)

    def response(self, message: sip.Message) -> None:
        """Answer the challenge once; the next final answer is the result."""
        if message.status < 200 or message.cseq[0] != self._sequence:
            return
        if self._sending is not None:
            self._sending.stop()
        challenge = message.get("www-authenticate")
        if message.status == 401 and challenge and not self._proved:
            self._proved = True
            uri = f"sip:{self._pbx[0]}:{self._pbx[1]}"
            self._send(sip.digest(challenge, "REGISTER", uri, self._device, self._password))
            return
        self._status = message.status
        self._over.set()

    def request(self, message: sip.Message) -> None:
        """Nobody asks anything within a registration."""
