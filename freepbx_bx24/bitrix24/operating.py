"""The operating time of one method: what the portal says that it has used up, and when that will have passed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping

from .sizer import FIRST_GUESS, number, seconds_of, smoothed

# Seconds of execution per application (or webhook) and method within ten minutes, counted by the portal in buckets of
# a minute. 420 is the default in the code, 480 stands in the documentation, the cloud's own value is not published.
LIMIT = 420.0
WARN_AT = 300.0
BACKLOG_UP_TO = LIMIT / 2.0

_MINUTE = 60.0
_BUCKETS = 10
_WINDOW = _MINUTE * _BUCKETS
_MOST_SECONDS = 1e5


@dataclass
class Operating:
    """Our copy of the portal's buckets.

    The portal tells their sum alone, so this is reasoned: in the minute of a reply was used what that command took, and
    at least what the reply's sum has more than ours; what ours then has more has left from the oldest minutes. So each
    second stands in its true minute or in a later one, and leaves the window never too early (unless others use the
    same webhook); and all are gone eleven minutes after the last use, without asking the portal whether they are.

    :ivar used: minute of the clock -> seconds used up in it, oldest first.
    :ivar reset_at: when the portal's oldest bucket leaves, by its last word; 0.0: not said.
    :ivar command: seconds that one command usually takes.
    :ivar warned: the log has said that the method comes near to its limit.
    """

    used: dict[int, float] = field(default_factory=dict)
    reset_at: float = 0.0
    command: float = FIRST_GUESS
    warned: bool = False

    @property
    def total(self) -> float:
        """Return the seconds that are used up."""
        return sum(self.used.values())

    def as_of_zero(self, moment: float) -> Operating:
        """Return the same for a clock that began anew after `moment`: what is used counts as of its first minute."""
        used = {0: self.total} if self.used else {}
        return Operating(used, max(0.0, self.reset_at - moment), self.command, self.warned)


def leaves_at(minute: int) -> float:
    """Return when a minute's seconds have left the window for sure, wherever in it they were used."""
    return (minute + 1) * _MINUTE + _WINDOW


def heard(known: Operating, now: float, time: Mapping[str, object]) -> bool:
    """Take in a reply's `time`; True where it is to be said that the limit comes near.

    :param now: seconds of our clock. :param time: not trusted; without `operating` where the portal has no such limit.
    """
    taken = seconds_of(time)
    if taken:
        known.command = smoothed(known.command, taken)
    said = number(time.get("operating"))
    if said is None or said > _MOST_SECONDS:
        return False
    _forget(known, now)
    more = max(said - known.total, taken)
    if more > 0:
        minute = int(now // _MINUTE)
        known.used[minute] = known.used.get(minute, 0.0) + more
    for minute in sorted(known.used):
        gone = min(known.used[minute], max(0.0, known.total - said))
        known.used[minute] -= gone
        if known.used[minute] < 1e-6:
            del known.used[minute]
    known.reset_at = _reset_at(now, time)
    if said < BACKLOG_UP_TO:
        known.warned = False
    near = said >= WARN_AT and not known.warned
    known.warned = known.warned or near
    return near


def wait(known: Operating, now: float, flying: int, wanted: int) -> float:
    """Return the seconds until a backlog may use the method: half of the limit is kept for the calls of now.

    :param flying: commands of the method that are under way, whose seconds no reply has told yet.
    :param wanted: commands of it that are to go now. More than would ever fit go where nothing else counts.
    """
    _forget(known, now)
    left = known.total + (flying + wanted) * known.command
    until = now
    for minute in sorted(known.used):
        if left <= BACKLOG_UP_TO:
            break
        left -= known.used[minute]
        until = leaves_at(minute)
    if left <= BACKLOG_UP_TO or not flying:
        return until - now
    return max(until - now, 1.0)  # look again when some of what is under way was answered


def _forget(known: Operating, now: float) -> None:
    for minute in [minute for minute in known.used if leaves_at(minute) <= now]:
        del known.used[minute]


def _reset_at(now: float, time: Mapping[str, object]) -> float:
    """Return `operating_reset_at` by our clock: both of its ends are the portal's, so nobody's wall clock matters."""
    reset, finish = number(time.get("operating_reset_at")), number(time.get("finish"))
    if not reset or not finish or not 0 < reset - finish <= _WINDOW + _MINUTE:
        return 0.0
    return now + reset - finish
