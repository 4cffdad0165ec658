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
from freepbx_bx24.sandbox.pbx.registered import Registration

# Numbers of one subscriber differ in front (8, 7, +7), never in the last digits.
SIGNIFICANT_DIGITS = 10
# What a trunk registers as its contact when the admin gives none (res_pjsip_outbound_registration, contact_user).
WITHOUT_DID = "s"
SECOND_CONTACT = "-2"


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

    :param account: the device that it is, by whose name and password it speaks.
    :param name: its own name, which is the user part of its contact; that of a device's second phone differs.
    :param behaviour: how it takes calls; may be changed at any time, for the calls that come after.
    """

    behaviour: Behaviour = answer()

    def __init__(self, account: Account, name: str, agent: Agent, pbx: Callable[[], HostPort]) -> None:
        super().__init__(name)
        self._account, self._agent, self._pbx = account, agent, pbx

    def call(
        self, number: str, give_up_after: float | None = None, talk: float | None = None, sound: bool = False
    ) -> PlacedCall:
        """Dial `number`. Give up after so many seconds, hang up after `talk` seconds of talk (None: never)."""
        device = self._account.name
        placed = PlacedCall(
            self._agent,
            self.name,
            self._pbx(),
            device,
            number,
            f"Extension {device}",
            give_up_after,
            talk,
            sound,
            self._account.password,
        )
        self.add(placed)
        self._agent.post(placed.begin)
        return placed


class SecondPhone(Phone):
    """A phone that is not always there: it rings while it is registered, which is from `switch_on()` on, or from the
    first `behaviour` that it is given."""

    _behaviour: Behaviour = answer()
    _registration: Registration | None = None

    @property
    def behaviour(self) -> Behaviour:
        """How it takes calls; to set it switches the phone on."""
        return self._behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.switch_on()

    def switch_on(self) -> None:
        """Register at the PBX. Raise SandboxError when it refuses; nothing happens when it is on."""
        if self._registration is None:
            one = Registration(self._agent, self._account.name, self._account.password, self.name, self._pbx())
            one.begin()
            self._registration = one

    def switch_off(self) -> None:
        """Take the registration back; nothing happens when it is off."""
        if self._registration is not None:
            self._registration.end()
            self._registration = None
        self._behaviour = answer()


class Phones:
    """All phones behind one socket, found by the user part of the request.

    `phones["991k8"]` is the second device of extension 1k8, `phones["1kn-2"]` a second telephone of the same device;
    both are off at first. Iteration gives the phones that are always there.

    :param extensions: names of the devices that are always there.
    :param twins: names of the devices that are not.
    """

    def __init__(self, extensions: Sequence[str], twins: Sequence[str], pbx: Callable[[], HostPort]) -> None:
        self.agent = Agent("phones", "127.0.0.1", self._invited)
        self.accounts = [
            *(Account(name, self.agent.address, f"secret-{sip.token()}") for name in extensions),
            *(Account(name, "", f"secret-{sip.token()}") for name in twins),
        ]
        self._phones: dict[str, Phone] = {}
        self.seconds: dict[str, SecondPhone] = {}
        for account in self.accounts:
            if account.address:
                self._phones[account.name] = Phone(account, account.name, self.agent, pbx)
                name = f"{account.name}{SECOND_CONTACT}"
                self.seconds[name] = SecondPhone(account, name, self.agent, pbx)
            else:
                self.seconds[account.name] = SecondPhone(account, account.name, self.agent, pbx)

    def __getitem__(self, name: int | str) -> Phone:
        return self._phones.get(str(name)) or self.seconds[str(name)]

    def __iter__(self) -> Iterator[Phone]:
        return iter(self._phones.values())

    @property
    def all(self) -> Sequence[Phone]:
        """The phones that are always there and those that are not."""
        return [*self._phones.values(), *self.seconds.values()]

    @property
    def records(self) -> Sequence[CallRecord]:
        """Every call of every phone."""
        return [record for phone in self.all for record in phone.records]

    def _invited(self, invite: sip.Message, sender: HostPort) -> Call:
        phone = self[sip.user_of(invite.uri)]
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
