"""Who calls, by the CRM: asked beside a call's register, remembered for some minutes, told to the dialplan in time."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Callable, NamedTuple, Optional

from ..bitrix24 import clients
from ..bitrix24.clients import Client
from ..errors import PortalError, PortalTimeout
from .breaker import Breaker
from .portal_calls import Ask
from .wishes import FRESH_SECONDS, Known, Wishes

LOG = logging.getLogger("bx24.clients")

KEPT_SECONDS = 300.0  # how old a name may be that is shown while it is asked for anew
MOST_KNOWN = 5000
THREADS = 8  # of their own: searches that hang must not take the threads that registers need
SEARCH_SECONDS = 3.0  # the most that one may take; nobody waits for it that long
# How long a caller who is registered already waits for the search that was begun with the register. Both usually take
# 0.2 to 0.4 s (bitrix24-telephony, 10), so it is nearly there, or in trouble: more would be paid by each caller.
GRACE_SECONDS = 0.5

Found = Optional[Client]


class Search(NamedTuple):
    """A search under way. :ivar began: on the monotonic clock."""

    future: Future[Found]
    began: float


class Clients:
    """The portal's answers by number as `numbers.canonical` writes it; safe to use from every thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, tuple[Client | None, float]] = OrderedDict()
        self._asked: dict[str, Future[Found]] = {}
        self._portal = ""
        self._patience = GRACE_SECONDS  # how long after its begin the last search that was too late was waited for
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="search")
        self.breaker = Breaker()  # after three searches in a row that were too slow nobody waits for one

    def belong_to(self, portal: str) -> None:
        """Say whose clients these are; another portal's are forgotten, with the answers that are still under way."""
        with self._lock:
            if portal != self._portal:
                self._answers.clear()
                self._asked = {}
                self._portal = portal

    def known(self, number: str) -> Known | None:
        """The last answer, if it is not older than `KEPT_SECONDS`."""
        with self._lock:
            client, at = self._answers.get(number, (None, -KEPT_SECONDS * 2))
            age = self._clock() - at
        return Known(client, age) if age <= KEPT_SECONDS else None

    def forget(self, number: str) -> None:
        """Know nothing of this number any more."""
        with self._lock:
            self._answers.pop(number, None)
            self._asked.pop(number, None)

    def forget_nobody(self, number: str) -> None:
        """A record was made of this number: that the CRM knew nobody is no longer true."""
        with self._lock:
            if self._answers.get(number, (Client, 0.0))[0] is None:
                del self._answers[number]

    def find(self, ask: Ask, number: str, seconds: float) -> Client | None:
        """Ask the portal now, or wait for the answer to whoever asks it for the same number just now.

        :raises PortalError: it can't be asked, or gave no answer in so many seconds.
        """
        with self._lock:
            under_way, portal = self._asked.get(number), self._portal
            mine: Future[Found] = Future()
            if under_way is None:
                self._asked[number] = mine
        if under_way is not None:
            try:
                return under_way.result(timeout=max(seconds, 0.0))
            except FutureTimeout:
                raise PortalTimeout("the search for a client takes too long") from None
        try:
            client = clients.found(ask(clients.METHOD, clients.parameters(number), seconds).result)
        except BaseException as error:
            self._settle(number, mine)
            mine.set_exception(error if isinstance(error, PortalError) else PortalTimeout("the search broke off"))
            raise
        self._settle(number, mine)
        with self._lock:
            if portal == self._portal:
                self._remember(number, client)
        mine.set_result(client)
        return client

    def begin(self, ask: Ask, number: str) -> Search:
        """Have the portal asked in another thread; a failure is in the future and in the log."""
        began = time.monotonic()

        def search() -> Client | None:
            left = SEARCH_SECONDS - (time.monotonic() - began)
            if left <= 0:  # all threads hang in searches: nobody waits for this one any more
                raise PortalTimeout("the portal is too slow for searches")
            client = self.find(ask, number, left)
            if time.monotonic() - began <= self._patience and self.breaker.answered():
                LOG.info("the portal finds clients in time again")
            return client

        future = self._threads.submit(search)
        future.add_done_callback(_log_failure)
        return Search(future, began)

    def too_late(self, search: Search) -> None:
        """A caller has waited for nothing. What takes no longer than that is in time again."""
        self._patience = time.monotonic() - search.began
        if self.breaker.failed():
            LOG.warning("three clients in a row were not found in time: callers no longer wait for searches")

    def stop(self) -> None:
        """Begin no more searches; what is under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _remember(self, number: str, client: Client | None) -> None:
        """Keep an answer, and no longer what is too old to be told. Needs the lock."""
        now = self._clock()
        self._answers[number] = (client, now)
        self._answers.move_to_end(number)
        while len(self._answers) > MOST_KNOWN or now - next(iter(self._answers.values()))[1] > KEPT_SECONDS:
            self._answers.popitem(last=False)

    def _settle(self, number: str, future: Future[Found]) -> None:
        with self._lock:
            if self._asked.get(number) is future:
                del self._asked[number]


def _log_failure(future: Future[Found]) -> None:
    error = None if future.cancelled() else future.exception()
    if isinstance(error, PortalError):
        LOG.info("a client could not be looked up: %s", error)
    elif error is not None:
        LOG.error("a search failed in an unforeseen way", exc_info=error)


def begin(known: Clients, wishes: Wishes, ask: Ask, number: str) -> Search | None:
    """Begin the search that a call's line wants; None where what is known is new enough."""
    answer = known.known(number)
    return None if not wishes or (answer and answer.age <= FRESH_SECONDS) else known.begin(ask, number)


def wait(known: Clients, wishes: Wishes, search: Search | None, number: str, seconds: float) -> None:
    """Wait for a search as long as it is worth it: not at all for a name that is remembered."""
    if search is None or search.future.done() or seconds <= 0 or known.breaker.open:
        return
    if known.known(number) and not wishes.responsible_seconds:
        return
    patience = min(seconds, GRACE_SECONDS)
    try:
        search.future.exception(timeout=patience)
    except CancelledError:
        pass  # the service stops
    except FutureTimeout:
        if patience >= GRACE_SECONDS:
            known.too_late(search)
