"""A call that an endpoint is offered, and takes as its behaviour says."""

from __future__ import annotations

from freepbx_bx24.sandbox.pbx import sip
from freepbx_bx24.sandbox.pbx.agent import Agent, HostPort, Resending
from freepbx_bx24.sandbox.pbx.calls import SDP, Call
from freepbx_bx24.sandbox.pbx.record import Behaviour, CallRecord

# Longer than the 32 s after which a caller whom nobody answers gives up by itself (RFC 3261, timer B).
SILENT_SECONDS = 36.0


class ReceivedCall(Call):
    """A call that this endpoint is offered.

    :param invite: the INVITE; it is handled by the first `request()`.
    """

    def __init__(
        self, agent: Agent, endpoint: str, invite: sip.Message, sender: HostPort, behaviour: Behaviour
    ) -> None:
        caller, called = sip.address(invite.get("from")), sip.address(invite.get("to"))
        record = CallRecord(
            endpoint, False, invite.get("call-id"), caller.user, caller.name, sip.user_of(invite.uri), called.user
        )
        remote = sip.name_address(caller.name, caller.uri)
        super().__init__(agent, record, sender, f"<{called.uri}>", remote)
        self.remote_tag = caller.tag
        self.remote_target = sip.address(invite.get("contact")).uri or caller.uri
        self._behaviour, self._first = behaviour, invite
        self._final: Resending | None = None

    def answer(self) -> None:
        """Answer now, where its behaviour has not decided yet; from any thread."""
        self.agent.post(lambda: self._decide(200))

    def _invite(self, message: sip.Message) -> None:
        if self.record.at("200"):
            super()._invite(message)
        elif not self.record.at("invite"):
            self._offered()

    def _offered(self) -> None:
        self.record.note("invite")
        behaviour = self._behaviour
        if behaviour.silent:
            self._later(SILENT_SECONDS, self._unheard)
            return
        self._reply(100)
        if behaviour.rings:
            self._reply(180)
        if behaviour.status is not None:
            self._later(behaviour.after, lambda: self._decide(behaviour.status or 0))

    def _reply(self, status: int) -> None:
        self.record.note(str(status))
        tag = "" if status == 100 else self.local_tag
        self.agent.answer(self._first, sip.response(self._first, status, tag, [self._contact()]), self.peer)

    def _decide(self, status: int) -> None:
        """Send the final answer, again and again until it is acknowledged."""
        if self.record.final_status:
            return
        body = self._sdp() if status == 200 else ""
        extra = [self._contact(), *([SDP] if body else [])]
        message = sip.response(self._first, status, self.local_tag, extra, body)
        self.agent.remember(self._first, message)
        self._final = self.agent.resend(message, self.peer, self._unheard)
        if status == 200:
            self._connected(self._first.body, self._behaviour.talk, self._behaviour.sound)
        else:
            self.record.note(str(status))
            self._finish("us", "REFUSED", status)

    def _ack(self, message: sip.Message) -> None:
        self.record.note("ack")
        if self._final is not None:
            self._final.stop()
        if self.record.ended_how:
            self._over()

    def _cancel(self, message: sip.Message) -> None:
        self._agree(message)
        if self.record.final_status:
            return
        self.record.note("cancel")
        self.record.reason = message.get("reason")
        self._finish("them", "CANCEL", 487)
        refusal = sip.response(self._first, 487, self.local_tag)
        self.agent.remember(self._first, refusal)
        self._final = self.agent.resend(refusal, self.peer, self._unheard)

    def _withdraw(self) -> None:
        self._decide(603)

    def _unheard(self) -> None:
        self._finish("them", "TIMEOUT", 408)
        self._over()

    def _over(self) -> None:
        if self._final is not None:
            self._final.stop()
        super()._over()
