"""More unknown callers in a minute than a business has: somebody dials through its numbers, and makes leads."""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections import OrderedDict

MOST = 30  # unknown callers within WINDOW_SECONDS for whom leads may be made
WINDOW_SECONDS = 60.0
MOST_CALLS = 20_000
MOST_KNOWN = 20_000

_Call = tuple[float, str]


class Flood:
    """Counts the client numbers of inbound calls for which a lead may be made; safe to use from every thread.

    It goes by when calls came, not by when they are told: an outage's backlog is no flood. Starts are wall clock
    seconds. Who is a client is left out as soon as that is known, so a busy day of known clients is no flood either;
    only callers who have been found to be unknown make one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[_Call] = []  # in order of start
        self._unknown: set[_Call] = set()  # those of whom the CRM knew nobody when they called
        self._clients: OrderedDict[str, None] = OrderedDict()
        self._last: float | None = None  # the start of the flood's last call, while there is one

    def note(self, number: str, start: float) -> None:
        """A call for which a lead may be made has come; a repeat changes nothing."""
        call = (start, number)
        with self._lock:
            at = bisect_right(self._calls, call)
            if at and self._calls[at - 1] == call:
                return
            insort(self._calls, call)
            if len(self._calls) > MOST_CALLS:
                self._unknown.discard(self._calls.pop(0))

    def learn(self, number: str, start: float, is_client: bool) -> None:
        """Whether the CRM knew the caller of that call."""
        with self._lock:
            if not is_client:
                at = bisect_right(self._calls, (start, number))
                if at and self._calls[at - 1] == (start, number):
                    self._unknown.add((start, number))
                return
            self._clients[number] = None
            self._clients.move_to_end(number)
            if len(self._clients) > MOST_KNOWN:
                self._clients.popitem(last=False)

    def suspected(self, number: str, start: float) -> bool:
        """Whether it would be a flood if all those were unknown of whom it is not known yet."""
        with self._lock:
            before = self._within_a_minute(start)
            doubtful = {one for at, one in before if (at, one) in self._unknown or one not in self._clients}
            return number not in self._clients and len(doubtful | {number}) > MOST

    def flooded(self, number: str, start: float) -> bool:
        """Whether this call's unknown caller is one too many."""
        with self._lock:
            unknown = {one for at, one in self._within_a_minute(start) if (at, one) in self._unknown}
            return len(unknown | {number}) > MOST

    def begins(self, start: float) -> bool:
        """Count a call of the flood; True for its first."""
        with self._lock:
            first = self._last is None or start > self._last + WINDOW_SECONDS
            self._last = start if self._last is None else max(start, self._last)
            return first

    def is_over(self, start: float) -> bool:
        """True once, for the first call that came a minute after the last of the flood."""
        with self._lock:
            over = self._last is not None and start > self._last + WINDOW_SECONDS
            if over:
                self._last = None
            return over

    def _within_a_minute(self, start: float) -> list[_Call]:
        """The calls of the minute that ends with this start, those of the same moment included."""
        first = bisect_right(self._calls, (start - WINDOW_SECONDS, "\U0010ffff"))
        last = bisect_right(self._calls, (start, "\U0010ffff"))
        return self._calls[first:last]
