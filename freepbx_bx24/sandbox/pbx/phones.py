"""The two sides around the PBX: extensions' phones and providers' trunks, as a test or the demo uses them."""

from __future__ import annotations

import threading
import time
from typing import Callable, Iterator, Sequence

from freepbx_bx24.errors import SandboxError
from freepbx_bx24.sandbox.pbx import sip
from freepbx_bx24.sandbox.pbx.agent import Agent, HostPort
from freepbx_bx24.sandbox.pbx.calls import Call
from freepbx_bx24.sandbox.pbx.configs import Account
from freepbx_bx24.sandbox.pbx.placed import PlacedCall
from freepbx_bx24.sandbox.pbx.received import ReceivedCall
from freepbx_bx24.sandbox.pbx.record import Behaviour, CallRecord, answer

# Numbers of one subscriber differ in front (8, 7, +7), never in the last digits.
SIGNIFICANT_DIGITS = 10
# What a trunk registers as its contact when the admin gives none (res_pjsip_outbound_registration, contact_user).
WITHOUT_DID = "s"


class Endpoint:
    """What a phone and a trunk have in common: the calls they have had, and waiting for the next one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: list[Call] = []
        self._changed = threading.Condition()

    @property
    def records(self) -> Sequence[CallRecord]:
        """What was seen of every call so far, in the order in which they began."""
        return [call.record for call in list(self.calls)]

    def received(self, count: int = 1, timeout: float = 10.0) -> Call:
        """The `count`-th call that this endpoint was offered; waits for it. Raise SandboxError after `timeout` s."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                offered = [call for call in self.calls if not call.record.placed]
                if len(offered) >= count:
                    return offered[count - 1]
                if not self._changed.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise SandboxError(f"{self.name} was offered {len(offered)} calls in {timeout:g} s, not {count}")

    def add(self, call: Call) -> None:
        """Keep a call; from any thread."""
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()


class Phone(Endpoint):
    """One extension's phone. All phones share one agent, as accounts of one SIP client do.

    :param behaviour: how it takes calls; may be changed at any time, for the calls that come after.
    """

    def __init__(self, account: Account, agent: Agent, pbx: Callable[[], HostPort]) -> None:
        super().__init__(account.name)
        self._account, self._agent, self._pbx = account, agent, pbx
        self.behaviour: Behaviour = answer()

    def call(
        self, number: str, give_up_after: float | None = None, talk: float | None = None, sound: bool = False
    ) -> PlacedCall:
        """Dial `number`. Give up after so many seconds, hang up after `talk` seconds of talk (None: never)."""
        placed = PlacedCall(
            self._agent,
            self.name,
            self._pbx(),
            self.name,
            number,
            f"Extension {self.name}",
            give_up_after,
            talk,
            sound,
            self._account.password,
        )
        self.add(placed)
        self._agent.post(placed.begin)
        return placed


class Phones:
    """All extensions' phones behind one socket, found by the user part of the request."""

    def __init__(self, extensions: Sequence[str], pbx: Callable[[], HostPort]) -> None:
        self.agent = Agent("phones", "127.0.0.1", self._invited)
        self.accounts = [Account(name, self.agent.address, f"secret-{sip.token()}") for name in extensions]
        self._phones = {account.name: Phone(account, self.agent, pbx) for account in self.accounts}

    def __getitem__(self, extension: int | str) -> Phone:
        return self._phones[str(extension)]

    def __iter__(self) -> Iterator[Phone]:
        return iter(self._phones.values())

    @property
    def records(self) -> Sequence[CallRecord]:
        """Every call of every phone."""
        return [record for phone in self._phones.values() for record in phone.records]

    def _invited(self, invite: sip.Message, sender: HostPort) -> Call:
        phone = self._phones[sip.user_of(invite.uri)]
        call = ReceivedCall(self.agent, phone.name, invite, sender, phone.behaviour)
        phone.add(call)
        return call


class Trunk(Endpoint):
    """A provider's side of one trunk: the outside world that calls in and is called.

    :param host: its own loopback address, by which the PBX knows it.
    :param behaviour: how outside numbers take calls that `on_number()` says nothing of.
    """

    def __init__(self, name: str, host: str, pbx: Callable[[], HostPort]) -> None:
        super().__init__(name)
        self.agent = Agent(name, host, self._invited)
        self.account = Account(name, self.agent.address)
        self._pbx = pbx
        self.behaviour: Behaviour = answer(1.0)
        self._by_number: dict[str, Behaviour] = {}

    def on_number(self, number: str, behaviour: Behaviour) -> None:
        """Let an outside number take calls in its own way; 8 916..., 7 916... and +7 916... are one number."""
        self._by_number[_significant(number)] = behaviour

    def call(
        self,
        did: str | None,
        number: str,
        name: str | bytes = "",
        give_up_after: float | None = None,
        talk: float | None = None,
        sound: bool = False,
    ) -> PlacedCall:
        """Call the PBX from outside.

        :param did: the number called, as the provider sends it; None or empty: it sends none, but calls `s`.
        :param number: the caller's number, any text (`anonymous` too).
        :param name: the caller's display name; bytes are sent exactly as given.
        :param give_up_after: seconds until the caller gives up when nobody has answered; None: never.
        :param talk: seconds from the answer until the caller hangs up; None: the other side does.
        """
        placed = PlacedCall(
            self.agent, self.name, self._pbx(), number, did or WITHOUT_DID, name, give_up_after, talk, sound
        )
        self.add(placed)
        self.agent.post(placed.begin)
        return placed

    def _invited(self, invite: sip.Message, sender: HostPort) -> Call:
        behaviour = self._by_number.get(_significant(sip.user_of(invite.uri)), self.behaviour)
        call = ReceivedCall(self.agent, self.name, invite, sender, behaviour)
        self.add(call)
        return call


def _significant(number: str) -> str:
    return "".join(sign for sign in number if sign.isdigit())[-SIGNIFICANT_DIGITS:]
