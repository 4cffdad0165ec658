"""What an endpoint is to do with a call, and what it wrote down of it: the evidence that a ledger is compared with."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Mapping


@dataclass(frozen=True)
class Behaviour:
    """How an endpoint takes a call.

    :param status: the final SIP status; None: ring until the caller gives up.
    :param after: seconds from the INVITE to that status.
    :param talk: seconds from the answer until this side hangs up; None: the other side does.
    :param rings: send 180 at once.
    :param silent: send nothing at all, not even 100 Trying: a peer that is off.
    :param sound: send a tone while the call is up, so that a recording has sound in it.
    """

    status: int | None = 200
    after: float = 0.5
    talk: float | None = None
    rings: bool = True
    silent: bool = False
    sound: bool = False


def answer(after: float = 0.5, talk: float | None = None, sound: bool = False) -> Behaviour:
    """Ring `after` seconds, answer, hang up after `talk` seconds (None: wait for the other side)."""
    return Behaviour(200, after, talk, sound=sound)


def ring() -> Behaviour:
    """Ring and never answer."""
    return Behaviour(None)


def busy(after: float = 0.0) -> Behaviour:
    """486 Busy Here."""
    return Behaviour(486, after, rings=after > 0)


def decline(after: float = 0.0) -> Behaviour:
    """603 Decline."""
    return Behaviour(603, after, rings=after > 0)


def unavailable(after: float = 0.0) -> Behaviour:
    """503 Service Unavailable: what makes an outbound route try its next trunk."""
    return Behaviour(503, after, rings=False)


def away() -> Behaviour:
    """480 Temporarily Unavailable at once: a telephone that nobody has switched on, behind a proxy that says so."""
    return Behaviour(480, rings=False)


def dead() -> Behaviour:
    """Nothing comes back at all."""
    return Behaviour(None, silent=True, rings=False)


@dataclass(frozen=True)
class Moment:
    """An instant on both clocks, in seconds: `wall` since the epoch, `monotonic` for durations."""

    wall: float
    monotonic: float

    @classmethod
    def now(cls) -> Moment:
        """This instant."""
        return cls(time.time(), time.monotonic())


@dataclass
class CallRecord:
    """One call as one endpoint saw it. It may still grow until the call's `wait()` has returned.

    :param endpoint: who saw it: an extension or a trunk's name.
    :param placed: whether this endpoint was the caller.
    :param call_id: SIP Call-ID: one leg, not the whole call through the PBX.
    :param from_user, from_name: the caller's number and display name, as sent on this leg.
    :param request_user: whom this leg asks for: a DID, an extension or an outside number; empty for none.
    :param to_user: the same from the To header.
    :param moments: the first time of each thing sent or received: invite, 100, 180, 183, cancel, the final status
        ("200", "486"), ack, bye, refer, end.
    :param final_status: status of the final answer to the INVITE; 0 while there is none, 408 when none ever came.
    :param ended_by: "us" or "them": who sent the BYE, the CANCEL or the refusal.
    :param ended_how: "BYE", "CANCEL", "REFUSED" or "TIMEOUT"; empty while the call lasts.
    :param reason: the Reason header of the BYE or CANCEL that was received, as Asterisk writes its hangup cause.
    """

    endpoint: str
    placed: bool
    call_id: str
    from_user: str = ""
    from_name: str = ""
    request_user: str = ""
    to_user: str = ""
    moments: dict[str, Moment] = field(default_factory=dict)
    final_status: int = 0
    ended_by: str = ""
    ended_how: str = ""
    reason: str = ""

    def note(self, what: str) -> None:
        """Write down that `what` happens now, unless it has happened before."""
        self.moments.setdefault(what, Moment.now())

    def at(self, what: str) -> Moment | None:
        """When `what` first happened; None: never."""
        return self.moments.get(what)

    @property
    def started(self) -> Moment | None:
        """When the INVITE was sent or received."""
        return self.at("invite")

    @property
    def answered(self) -> Moment | None:
        """When 200 OK was sent or received; None for a call that was not answered."""
        return self.at("200")

    @property
    def ended(self) -> Moment | None:
        """When the BYE, the CANCEL or the refusal was sent or received."""
        return self.at("end")

    @property
    def talk_seconds(self) -> float:
        """Seconds from the answer to the BYE; 0.0 for a call that was not answered or is still up."""
        if self.answered is None or self.ended is None:
            return 0.0
        return self.ended.monotonic - self.answered.monotonic

    @property
    def ring_seconds(self) -> float:
        """Seconds from the first 180 to the answer or the end; 0.0 when it never rang."""
        rang, until = self.at("180"), self.answered or self.ended
        return until.monotonic - rang.monotonic if rang and until else 0.0

    def as_dict(self) -> Mapping[str, object]:
        """Everything above as plain JSON types, moments as wall clock seconds."""
        plain = {name: value for name, value in vars(self).items() if name != "moments"}
        seconds = {"talk_seconds": round(self.talk_seconds, 3), "ring_seconds": round(self.ring_seconds, 3)}
        return {**plain, **seconds, "moments": {what: moment.wall for what, moment in self.moments.items()}}
