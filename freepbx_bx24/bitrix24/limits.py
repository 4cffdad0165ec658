"""What the portal's limits allow at this moment: requests a second, back-off, each method's operating time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Mapping, Sequence

from ..errors import METHOD, PORTAL
from . import operating
from .operating import Operating


class Urgency(IntEnum):
    """What a request is for; the smaller, the more urgent."""

    REGISTER = 0  # register and search while a caller waits
    CARD = 1  # show and hide
    FINISH = 2
    ATTACH = 3
    BACKLOG = 4  # late registers, old finishes, lists of employees
    EVENTS = 5  # the question whether there are any: asked every second, so it goes behind all calls


# The part of the burst that each class of urgency may fill: what is above it is kept for those more urgent.
_SHARES: Mapping[Urgency, float] = MappingProxyType(
    {
        Urgency.REGISTER: 1.0,
        Urgency.CARD: 0.85,
        Urgency.FINISH: 0.75,
        Urgency.ATTACH: 0.6,
        Urgency.BACKLOG: 0.5,
        Urgency.EVENTS: 0.4,
    }
)
BACKLOG_SHARE = 0.5  # of the drain: in the long run a backlog takes at most half of the requests

# Where registers alone use up the drain, nobody else ever finds room below their own mark. So after that many registers
# that went past a waiting card or finish, the next place is theirs: one request can carry fifty finishes.
REGISTERS_IN_A_ROW = 8
TAKE_TURNS = (Urgency.CARD, Urgency.FINISH)

LONGEST_PAUSE = 660.0  # seconds; a minute more than any window or block of the portal's that passes by itself
LONGEST_BACK_OFF = 60.0
MOST_METHODS = 64
LONGEST_NAME = 100
_LEAST_ROOM = 1e-9  # what floats lose is no reason to wait


@dataclass(frozen=True)
class Plan:
    """The rate limit of a kind of portal: a leaky bucket per portal and source address.

    :ivar drain: requests that leave the bucket in a second; 0: no limit.
    :ivar limit: the portal refuses what would fill it above that.
    :ivar burst: how far we fill it. The rest is for requests that the net holds back and then brings all at once.
    """

    drain: float
    limit: int
    burst: int

    def mark(self, urgency: Urgency) -> float:
        """Return how far this class of urgency may fill the bucket."""
        return self.burst * _SHARES[urgency]


PLANS: Mapping[str, Plan] = MappingProxyType(
    {"ordinary": Plan(2.0, 50, 40), "enterprise": Plan(5.0, 250, 200), "self-hosted": Plan(0.0, 0, 0)}
)


class Turn(Enum):
    """Whose the next place in a full bucket is."""

    NOBODYS = "nobody's"  # the marks decide
    OURS = "ours"  # we may fill it as far as a register
    ANOTHERS = "another's"  # one place is kept for another


@dataclass
class Method:
    """What is known of one method. :ivar resume_at: it pauses until then (seconds of the clock)."""

    resume_at: float = 0.0
    operating: Operating = field(default_factory=Operating)


@dataclass
class State:
    """Where this machine stands with the portal; all times in seconds of a clock that all processes share.

    :ivar at: when the levels were true. :ivar level: of the bucket. :ivar backlog: of the backlog's own bucket.
    :ivar refusals: in a row. :ivar refused_at: the last one. :ivar probe_at: from then one register may try.
    :ivar resume_at: from then all may.
    """

    at: float
    level: float
    backlog: float
    refusals: int = 0
    refused_at: float = 0.0
    probe_at: float = 0.0
    resume_at: float = 0.0
    methods: dict[str, Method] = field(default_factory=dict)

    def method(self, name: str) -> Method:
        """Return what is known of a method, to be changed; beyond the bound the one longest known is forgotten."""
        name = name.lower()[:LONGEST_NAME]
        if name not in self.methods:
            if len(self.methods) >= MOST_METHODS:
                del self.methods[next(iter(self.methods))]
            self.methods[name] = Method()
        return self.methods[name]


@dataclass(frozen=True)
class Wait:
    """How long a request has to wait. :ivar seconds: 0: it may go. :ivar blame: PORTAL or METHOD.

    :ivar certain: nothing can make it shorter. :ivar method: the one to blame, else "".
    """

    seconds: float
    blame: str = PORTAL
    certain: bool = True
    method: str = ""


NONE = Wait(0.0)


def unknown(plan: Plan, now: float) -> State:
    """Return the state of somebody who does not know what was sent a moment ago (a torn file, or none to be had).

    The bucket may be as full as we ever fill it; then what we add must still be below the portal's limit.
    """
    return State(at=now, level=max(0.0, 2.0 * plan.burst - plan.limit), backlog=plan.mark(Urgency.BACKLOG))


def nothing_sent(now: float) -> State:
    """Return the state of a machine that has sent nothing yet: all of the burst is free."""
    return State(at=now, level=0.0, backlog=0.0)


def since_boot(state: State) -> State:
    """Return what a state of before the last boot means by the clock that began with it, as of its zero.

    Nothing was sent between; so what was pending then still is, and the seconds since count as drained.
    """
    before = state.at
    for known in state.methods.values():
        known.resume_at = max(0.0, known.resume_at - before)
        known.operating = known.operating.as_of_zero(before)
    state.refused_at = 0.0
    state.probe_at, state.resume_at = (max(0.0, moment - before) for moment in (state.probe_at, state.resume_at))
    state.at = 0.0
    return state


def drained(state: State, plan: Plan, now: float) -> State:
    """Return the state at a later moment; where the clock went back, the machine was started anew since."""
    if state.at > now + 1.0:
        return unknown(plan, now)
    passed = max(0.0, now - state.at)
    state.level = max(0.0, state.level - plan.drain * passed)
    state.backlog = max(0.0, state.backlog - plan.drain * BACKLOG_SHARE * passed)
    state.at = max(state.at, now)
    return state


def scarcity(state: State, plan: Plan) -> float:
    """Return how scarce requests are: 0.0 up to a half-full bucket, 1.0 where a recording would find no room.

    So who shares the more the scarcer they are leaves room for recordings, however long that lasts.
    """
    if not plan.drain:
        return 0.0
    half, full = plan.burst / 2.0, plan.mark(Urgency.ATTACH)
    return min(max((state.level - half) / (full - half), 0.0), 1.0)


def has_room(state: State, plan: Plan, urgency: Urgency) -> bool:
    """Return whether the bucket has room for one more request of this class."""
    return not plan.drain or state.level + 1.0 <= plan.mark(urgency)


def wait(
    state: State,
    plan: Plan,
    methods: Sequence[str],
    urgency: Urgency,
    flying: Mapping[str, int],
    turn: Turn = Turn.NOBODYS,
) -> Wait:
    """Return how long a request has to wait, by the rule that makes it wait longest.

    :param state: drained to this moment. :param flying: method -> commands that were sent and are not answered yet.
    :param turn: who has the next place in the bucket, where registers have had enough of them in a row.
    """
    waits = [Wait((state.probe_at if urgency is Urgency.REGISTER else state.resume_at) - state.at, certain=False)]
    if plan.drain:
        mark = plan.mark(Urgency.REGISTER if turn is Turn.OURS else urgency)
        ahead = 1.0 if turn is Turn.ANOTHERS else 0.0
        # A turn that comes may make it shorter.
        certain = urgency not in TAKE_TURNS
        waits.append(Wait((state.level + ahead + 1.0 - mark) / plan.drain - _LEAST_ROOM, certain=certain))
        if urgency is Urgency.BACKLOG:
            own = state.backlog + 1.0 - plan.mark(urgency)
            waits.append(Wait(own / (plan.drain * BACKLOG_SHARE) - _LEAST_ROOM))
    for name, wanted in Counter(name.lower() for name in methods).items():
        known = state.methods.get(name)
        if known is None:
            continue
        waits.append(Wait(known.resume_at - state.at, METHOD, True, name))
        if urgency >= Urgency.BACKLOG:
            seconds = operating.wait(known.operating, state.at, flying.get(name, 0), wanted)
            waits.append(Wait(seconds, METHOD, False, name))
    longest = max(waits, key=lambda one: one.seconds)
    return longest if longest.seconds > 0 else NONE


def take(state: State, urgency: Urgency, plan: Plan) -> None:
    """Count one request as sent now."""
    if plan.drain:
        state.level += 1.0
        if urgency is Urgency.BACKLOG:
            state.backlog += 1.0
    if state.at < state.resume_at:  # it was the one that may try before all others
        state.probe_at = state.resume_at


def nothing_in_the_way(state: State, plan: Plan, methods: Sequence[str], urgency: Urgency, now: float) -> bool:
    """Return whether a request may go and changes nothing by that: no limit, no back-off, no method that pauses."""
    if plan.drain or state.refusals or state.resume_at > now or urgency >= Urgency.BACKLOG:
        return False
    known = (state.methods.get(name.lower()) for name in methods)
    return not any(method.resume_at > now for method in known if method)


def heard(state: State, method: str, time: Mapping[str, object]) -> bool:
    """Take in a reply's `time`; True where the method has just come to the mark at which to warn."""
    return operating.heard(state.method(method).operating, state.at, time)


def refused(state: State, plan: Plan, sent_at: float, pause_seconds: float, jitter: float) -> None:
    """The portal had too much of this address: the bucket is full, and everybody stays away, longer each time.

    :param sent_at: when that request was admitted: those of one burst, refused one after the other, are one refusal.
    :param jitter: from 0 to 1, so that machines behind one address do not come back together.
    """
    state.level = max(state.level, float(plan.burst))
    if state.refusals and sent_at <= state.refused_at:
        return
    back_off = min(2.0**state.refusals, LONGEST_BACK_OFF) * (0.75 + 0.5 * jitter)
    pause = min(max(back_off, pause_seconds), LONGEST_PAUSE)
    state.refusals = min(state.refusals + 1, 10)
    state.refused_at = state.at
    state.probe_at, state.resume_at = state.at + pause / 2.0, state.at + pause


def method_refused(state: State, method: str, said_seconds: float, usual_seconds: float) -> None:
    """A method has used up its operating time: it pauses until the portal has said that some of it comes free.

    :param said_seconds: until then, by the refusal itself; 0.0: it does not say, so the last good reply's word counts.
    :param usual_seconds: where neither says.
    """
    known = state.method(method)
    pause = said_seconds or max(0.0, known.operating.reset_at - state.at) or usual_seconds
    known.resume_at = state.at + min(max(pause, 1.0), LONGEST_PAUSE)


def answered(state: State, sent_at: float) -> bool:
    """The portal answers: no back-off any more, unless the request is older than the refusal; True where that ended."""
    if not state.refusals or sent_at <= state.refused_at:
        return False
    state.refusals, state.probe_at, state.resume_at = 0, 0.0, 0.0
    return True


def joined(shared: State, own: State, unshared: float, plan: Plan) -> State:
    """Return the machine's state with what a process did while it could not have it.

    :param unshared: level of the requests that it sent meanwhile.
    """
    shared.level = min(shared.level + unshared, max(shared.level, float(plan.burst)))
    if own.refused_at > shared.refused_at:
        shared.refusals, shared.refused_at = own.refusals, own.refused_at
        shared.probe_at, shared.resume_at = own.probe_at, own.resume_at
    for name, known in own.methods.items():
        if name in shared.methods or len(shared.methods) < MOST_METHODS:
            mine = shared.methods.setdefault(name, known)
            mine.resume_at = max(mine.resume_at, known.resume_at)
    return shared
