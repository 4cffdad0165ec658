"""What a scenario plays on: places calls, lets people answer, waits for what happens, and keeps what was heard."""

from __future__ import annotations

import contextlib
import math
import re
import signal
import time
from dataclasses import dataclass, field
from typing import Iterator, Mapping

from freepbx_bx24.sandbox.pbx.calls import Call
from freepbx_bx24.sandbox.pbx.phones import Endpoint, Phone, Trunk
from freepbx_bx24.sandbox.pbx.received import ReceivedCall
from freepbx_bx24.sandbox.pbx.record import Behaviour, CallRecord, answer, away, ring, unavailable
from tests.support.running_service import wait_until

from ..fire import tail
from ..world import World
from .seen import Heard
from .track import TWIN, Track

OFFERED_SECONDS = 20.0  # a hunt group rings others first
CARD_SECONDS = 4.0  # far more than a card takes, also on a busy machine
OVER_SECONDS = 15.0
LAST_SECONDS = 3.0
CLIENTS = ("client", "other client")
DISMISSED = 1198  # user of the portal


@dataclass
class Stage:
    """One scenario's part of the PBX: a track to itself, and clients whom nobody else has.

    All telephones ring until the scenario says something else. Numbers outside do so, too.

    :param numbers: of the clients by name, +7...
    :ivar complaints: what did not happen in time, and is a difference to what was expected.
    :ivar apart: since and until when the client hears music although telephones of ours are up (monotonic seconds).
    """

    world: World
    track: Track
    numbers: Mapping[str, str]
    complaints: list[str] = field(default_factory=list)
    apart: list[list[float]] = field(default_factory=list)
    _placed: list[tuple[str, Call]] = field(default_factory=list)
    _database: dict[str, str] = field(default_factory=dict)
    _desks: dict[str, str] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        for name in self.track.telephones:
            self.phone(name).calls.clear()
            self.phone(name).behaviour = ring()
        for name in self.outside:
            self.takes(name, ring())

    # -- who is who ---------------------------------------------------------------------------------------------------

    @property
    def outside(self) -> Mapping[str, str]:
        """Everybody who is reached through a trunk: clients and mobiles, with their numbers."""
        return {**self.numbers, **{f"mobile {number}": self.track.mobile(str(number)) for number in range(6, 10)}}

    @property
    def whose(self) -> Mapping[str, str]:
        """Telephones and mobiles by person."""
        own = {name: name[0] for name in self.track.telephones}
        return {**own, **self._desks, **self.track.owners}

    @property
    def trunks(self) -> tuple[Trunk, Trunk]:
        """The providers of both trunks."""
        return self.world.pbx.trunk, self.world.pbx.reserve_trunk

    def phone(self, telephone: str) -> Phone:
        """A telephone: "1" to "9", or the second one of person 8."""
        return self.world.pbx.phone(self.track.device(telephone))

    def national(self, client: str) -> str:
        """A client's number as it is dialled."""
        return "8" + self.numbers[client][2:]

    # -- how calls are taken ------------------------------------------------------------------------------------------

    def takes(self, who: str, behaviour: Behaviour) -> None:
        """Let a telephone, a client or a mobile take calls in its own way."""
        if who in self.track.telephones:
            self.phone(who).behaviour = behaviour
            return
        for trunk in self.trunks:
            trunk.on_number(self.outside[who], behaviour)

    def first_trunk_refuses(self, client: str = "client") -> None:
        """Let the provider of the first trunk know no way to a client."""
        self.trunks[0].on_number(self.numbers[client], unavailable())

    def offered(self, who: str, count: int = 1) -> Call:
        """The call that somebody's telephone is offered, once it is; the `count`-th of this scenario."""
        wait_until(lambda: len(self._offered(who)) >= count, OFFERED_SECONDS, lambda: f"no call reached {who}")
        return self._offered(who)[count - 1]

    def answer(self, who: str, count: int = 1, card: bool | None = None) -> Call:
        """Let somebody answer: a person when the card is there, or when it does not come in time.

        :param card: whether there has to be one; None: where a person of the portal is called.
        """
        call = self.offered(who, count)
        if card or (card is None and who in self.track.telephones):
            self.wait_for_card(who)
        assert isinstance(call, ReceivedCall)
        call.answer()
        call.wait_answered(OVER_SECONDS)
        return call

    def wait_for_card(self, person: str, shown: bool = True) -> None:
        """Until a person has a card, or none any more; it is a difference where that does not happen."""
        user, deadline = self.track.user(person), time.monotonic() + CARD_SECONDS
        while time.monotonic() < deadline:
            if self._has_card(user) is shown:
                return
            time.sleep(0.03)
        self.complaints.append(f"person {person} had {'no' if shown else 'still a'} card after {CARD_SECONDS:g} s")

    # -- calls --------------------------------------------------------------------------------------------------------

    def call_in(self, to: str, client: str = "client", give_up_after: float | None = None, sound: bool = False) -> Call:
        """A client calls a person or a feature (`track.FEATURES`)."""
        number, did = self.numbers[client], self.track.did(to)
        return self._keep(client, self.trunks[0].call(did, number, give_up_after=give_up_after, sound=sound))

    def call_from(self, number: str, to: str) -> Call:
        """Somebody calls from a number, or from what stands in its place."""
        return self._keep("client", self.trunks[0].call(self.track.did(to), number))

    def call_as_guest(self, to: str) -> Call:
        """The client calls from an address that the PBX does not know."""
        return self._keep("client", self.world.pbx.guest.call(self.track.did(to), self.numbers["client"]))

    def call_out(self, telephone: str, client: str = "client") -> Call:
        """Somebody calls a client."""
        return self.phone(telephone).call(self.national(client))

    def dial(self, telephone: str, what: str, sound: bool = False) -> Call:
        """Somebody dials a person, a group or queue, a mobile, or anything that is dialled as it is.

        :param sound: with it Asterisk connects him at once where it answers him itself; else after half a second.
        """
        return self.phone(telephone).call(self.track.dialled(what), sound=sound)

    def originate(self, client: str, then: str) -> None:
        """A program starts a call to a client, without saying for whom; he gets to an extension or application."""
        self.world.pbx.asterisk.rx(f"channel originate Local/{self.national(client)}@from-internal {then}")

    def park(self, call: Call) -> str:
        """Park whom somebody talks with; what is dialled to fetch him. One scenario may park somebody at a time."""
        call.transfer("70")
        wait_until(
            lambda: bool(self._parked()), OVER_SECONDS, lambda: self.world.pbx.asterisk.rx("parking show default")
        )
        return self._parked()[0]

    def _parked(self) -> list[str]:
        return re.findall(r"Space +: +(\d+)", self.world.pbx.asterisk.rx("parking show default"))

    def talk(self, seconds: float = 1.5) -> None:
        """Let them talk, ring or wait for a while."""
        time.sleep(seconds)

    def client_waits(self, waits: bool = True) -> None:
        """From now on, or no more, the client hears music while those he talked with talk to each other."""
        if waits:
            self.apart.append([time.monotonic(), math.inf])
        else:
            self.apart[-1][1] = time.monotonic()

    # -- the PBX and the portal ---------------------------------------------------------------------------------------

    def put(self, key: str, value: str) -> None:
        """Write into AstDB (`DND/1`: the name after the last slash may be a person's) until the scenario is over."""
        family, _, name = key.rpartition("/")
        name = self.track.dialled(name)
        known = self.world.pbx.asterisk.rx(f"database get {family} {name}")
        self._database.setdefault(f"{family} {name}", known.partition("Value: ")[2].strip())
        self.world.pbx.asterisk.rx(f"database put {family} {name} {value}")

    def night(self) -> None:
        """The time condition's night begins."""
        self.put(f"DAYNIGHT/C{self.track.index}", "NIGHT")

    def follow(self, person: str, mobile: str) -> None:
        """Let a person's follow-me ring a mobile after his own telephone."""
        extension, number = self.track.extension(person), self.track.mobile(mobile)
        self.put(f"AMPUSER/{extension}/followme/grplist", f"{extension}-{number}#")

    def log_in(self, desk: str, person: str) -> None:
        """Somebody logs in at a desk, until the scenario is over."""
        self._desks[desk] = person
        self.dial(desk, f"*11{self.track.extension(person)}").wait()

    def restart_service(self) -> None:
        """The service is killed and started again, and sees Asterisk's calls."""
        time.sleep(0.5)  # the journal knows by then which cards were shown
        self.world.product.stop(signal.SIGKILL)
        mark = self.world.log_mark()
        self.world.serve("1")
        self.world.wait_watched(mark)

    def is_client_of(self, person: str, client: str = "client") -> None:
        """Let the CRM know a client, whose manager is that person."""
        self._know("CONTACT", client, self.track.user(person))

    def has_open_lead(self, client: str) -> None:
        """Let the CRM have a lead of a client, which is open; its manager has left the company."""
        self._know("LEAD", client, DISMISSED)

    def _know(self, entity_type: str, client: str, manager: int) -> None:
        portal = self.world.portal
        with portal.lock:
            portal.world.create(entity_type, f"The {client}", self.numbers[client], assigned_by_id=manager)

    # -- the end ------------------------------------------------------------------------------------------------------

    def over(self) -> None:
        """Everybody hangs up who has not, and the PBX is as it was. Raise SandboxError where a call does not end."""
        try:
            self._hang_up()
            for desk in self._desks:
                self.dial(desk, "*12").wait(OVER_SECONDS)
            wait_until(lambda: not self._channels(), OVER_SECONDS, lambda: f"channels are left: {self._channels()}")
        finally:
            for name in self.track.telephones:
                self.phone(name).behaviour = away() if name == TWIN else answer()
            for key, value in self._database.items():
                self.world.pbx.asterisk.rx(f"database put {key} {value}" if value else f"database del {key}")

    def _hang_up(self) -> None:
        with contextlib.suppress(AssertionError):  # whoever is told of a hangup has ended his call in a moment
            wait_until(lambda: all(call.record.ended_how for _, call in self._calls()), LAST_SECONDS)
        for _, call in self._calls():
            if not call.record.ended_how:
                call.hang_up()
        for _, call in self._calls():
            call.wait(OVER_SECONDS)

    def heard(self) -> list[Heard]:
        """What all endpoints saw of this scenario's calls, in order of their beginning."""
        heard = [Heard(who, call.record) for who, call in self._calls()]
        return sorted(heard, key=lambda one: one.record.started.monotonic if one.record.started else 0.0)

    def _calls(self) -> Iterator[tuple[str, Call]]:
        yield from self._placed
        for name in self.track.telephones:
            for call in list(self.phone(name).calls):
                yield name, call
        for name in self.outside:
            for call in self._offered(name):
                yield name, call

    def _channels(self) -> list[str]:
        """Asterisk's channels of this track's telephones: the next scenario's groups leave out whoever has one."""
        devices = "|".join(self.track.device(name) for name in self.track.telephones)
        return re.findall(rf"^PJSIP/(?:{devices})-\w+", self.world.pbx.asterisk.rx("core show channels concise"), re.M)

    def _keep(self, who: str, call: Call) -> Call:
        self._placed.append((who, call))
        return call

    def _offered(self, who: str) -> list[Call]:
        """The calls of this scenario that somebody was offered, in order."""
        if who in self.track.telephones:
            return [call for call in list(self.phone(who).calls) if not call.record.placed]
        endpoints: tuple[Endpoint, ...] = self.trunks
        wanted = tail(self.outside[who])
        found = [call for endpoint in endpoints for call in list(endpoint.calls) if self._is_mine(call.record, wanted)]
        return sorted(found, key=lambda call: call.record.started.monotonic if call.record.started else 0.0)

    def _is_mine(self, record: CallRecord, wanted: str) -> bool:
        if record.placed or tail(record.request_user) != wanted or record.started is None:
            return False
        return record.started.monotonic >= self._began

    def _has_card(self, user: int) -> bool:
        """Whether the portal shows a person a card of a call of this scenario."""
        portal = self.world.portal
        with portal.lock:
            calls = {call.call_id for call in portal.state.calls if call.phone_number in self.numbers.values()}
            cards = [card for card in portal.state.cards if card["CALL_ID"] in calls and card["USER_ID"] == user]
        open_cards = {card["CALL_ID"]: card["action"] == "show" for card in cards}
        return any(open_cards.values())
