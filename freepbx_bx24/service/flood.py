"""More unknown callers in a minute than a business has: somebody dials through its numbers, and makes leads."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from typing import Callable

MOST = 30  # unknown callers within WINDOW_SECONDS for whom leads may be made
WINDOW_SECONDS = 60.0
MOST_CALLS = 20_000
MOST_KNOWN = 20_000


class Flood:
    """Counts the client numbers of inbound calls for which a lead may be made; safe to use from every thread.

    It goes by when calls came, not by when they are told: an outage's backlog is no flood. Starts are wall clock
    seconds. Who is a client is left out as soon as that is known, so a busy day of known clients is no flood either;
    only callers who have been found to be unknown make one.

    Many calls are kept, since a backlog's are hours old: each takes 17 bytes, and numbers are told apart by their hash.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starts = array("d")  # of all calls, in order
        self._callers = array("q")
        self._unknown = bytearray()  # 1: the CRM knew nobody when they called
        self._clients: dict[int, None] = {}  # in the order in which they were last heard of
        self._last: float | None = None  # the start of the flood's last call, while there is one

    def note(self, number: str, start: float) -> None:
        """A call for which a lead may be made has come; a repeat changes nothing."""
        with self._lock:
            if self._place(number, start) is not None:
                return
            at = bisect_right(self._starts, start)
            self._starts.insert(at, start)
            self._callers.insert(at, hash(number))
            self._unknown.insert(at, False)
            if len(self._starts) > MOST_CALLS:
                del self._starts[0], self._callers[0], self._unknown[0]

    def learn(self, number: str, start: float, is_client: bool) -> None:
        """Whether the CRM knew the caller of that call."""
        with self._lock:
            if not is_client:
                at = self._place(number, start)
                if at is not None:
                    self._unknown[at] = True
                return
            self._clients.pop(hash(number), None)
            self._clients[hash(number)] = None
            if len(self._clients) > MOST_KNOWN:
                del self._clients[next(iter(self._clients))]

    def suspected(self, number: str, start: float) -> bool:
        """Whether it would be a flood if all those were unknown of whom it is not known yet."""
        with self._lock:
            if hash(number) in self._clients:
                return False
            return self._too_many(number, start, lambda at: self._unknown[at] or self._callers[at] not in self._clients)

    def flooded(self, number: str, start: float) -> bool:
        """Whether this call's unknown caller is one too many."""
        with self._lock:
            return self._too_many(number, start, self._unknown.__getitem__)

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

    def _place(self, number: str, start: float) -> int | None:
        """Where a call is in the arrays; None for one that was not noted, or long ago."""
        same = range(bisect_left(self._starts, start), bisect_right(self._starts, start))
        return next((at for at in same if self._callers[at] == hash(number)), None)

    def _too_many(self, number: str, start: float, counts: Callable[[int], object]) -> bool:
        """Whether more callers than MOST, with this one, have calls that count in the minute that ends with `start`.

        Calls of the same moment are of that minute. No more are looked at than decide it: a flood's minute has
        thousands, and to list them for each call would take more memory than all that is kept, and more time than the
        call itself.
        """
        first = bisect_right(self._starts, start - WINDOW_SECONDS)
        callers = {hash(number)}
        for at in reversed(range(first, bisect_right(self._starts, start))):
            if counts(at):
                callers.add(self._callers[at])
                if len(callers) > MOST:
                    return True
        return False
