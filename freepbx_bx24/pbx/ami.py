"""The connection to Asterisk's manager interface (AMI) that never loses itself: what Asterisk says, whole and in order.

What the owner may assume:

- `on_connected(snapshot)`, then `on_event(event)` for each event, then `on_disconnected()`, then all over again; one at
  a time, in one thread that is theirs. They may call `action()`. A slow one delays the others, not the connection.
- Between `on_connected` and `on_disconnected` no event of the class `call` is missing, and none comes out of order.
- The snapshot holds the channels of `CoreShowChannels`, asked for after the login; the events begin at the login. So an
  event about a channel may already be reflected in the snapshot, and the first events may speak of channels that are
  not in it any more: each event is news about a state that may be known already. Events may also follow the `Hangup`
  of their channel (Asterisk 16 and 22 send NewCallerid then): what has hung up stays so.
- The snapshot says nothing of what went before: who dialled whom, and since when two are in a bridge (BridgeId says
  that they are). After `on_disconnected` the view of every call that was up is broken, also where the next snapshot
  has it.
- `event.received` says when it was read, whenever the owner comes to it.
- Values are as Asterisk wrote them, so a caller's name in them is hostile: `agi.harmless()` before it goes anywhere.
  Asterisk 16 and 22 write line ends in names as `\\r` and `\\n`, but not those in an account code: the first header of
  a name is the one that counts.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import Callable, Mapping, Sequence

from ..errors import AmiError, AmiRefused, AmiTimeout, AmiUnreachable
from .ami_delivery import MOST_EVENTS, Delivery
from .ami_session import TICK_SECONDS, Exchange, Session
from .ami_wire import Message, Values

LOG = logging.getLogger("bx24.ami")

CONNECT_SECONDS = 3.0
LOGIN_SECONDS = 5.0
REFUSAL_SECONDS = 2.0  # Asterisk takes 1 s to refuse a login: what is shorter would take that for silence
SNAPSHOT_SECONDS = 10.0
ACTION_SECONDS = 5.0
PING_SECONDS = 10.0
PONG_SECONDS = 5.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
STEADY_SECONDS = 10.0  # a connection that was up this long owes nothing to the failures before it
HELD_SECONDS = 30.0  # an owner who is this long in one callback is not well


def pause(failures: int, refused: bool, chance: float) -> float:
    """Seconds until the next try, after so many failures in a row, the last one included.

    :param refused: Asterisk does not take the user: nothing changes until somebody changes it.
    :param chance: from 0 to 1, so that many do not come at the same instant.
    """
    if refused:
        return LONGEST_PAUSE
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 16) * (1 + chance / 2), LONGEST_PAUSE)


class Ami:
    """One connection, made again for ever from `start()` to `stop()`.

    :param host, port: of the manager interface, on loopback: the wire is not encrypted.
    :param user, secret: with `read = call` and `write = reporting`; the secret goes into the login's digest alone.
    :param on_connected, on_event, on_disconnected: the owner; see above.
    :param beat: called at least every few seconds by the thread that reads, connected or not, unless the owner has
        been in one callback for 30 s; for a watchdog. It must not wait, nor call `action()`.
    :param scale: how much faster than usual pauses and time-outs run, for tests.
    :param snapshot: False for a user who may not ask what channels there are: `on_connected` is then given none.
    """

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        secret: str,
        on_connected: Callable[[Sequence[Message]], None],
        on_event: Callable[[Message], None],
        on_disconnected: Callable[[], None],
        beat: Callable[[], None] = lambda: None,
        scale: float = 1.0,
        snapshot: bool = True,
    ) -> None:
        self._host, self._port, self._user, self._secret = host, port, user, secret
        self._owners_beat = beat
        self._scale = scale
        self._wants_snapshot = snapshot
        self._delivery = Delivery(on_connected, on_event, on_disconnected)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ami", daemon=True)
        self._opened: Session | None = None  # from connect on, for stop()
        self._session: Session | None = None  # while it is up
        self._early: list[Message] | None = None  # events before the snapshot was whole; None afterwards
        self._up_since: float | None = None
        self._said = ""
        self.failure: AmiError | None = None  # why it is not up; None while it is, and before the first try

    @property
    def connected(self) -> bool:
        """Whether it is up now. The owner may still have older events before him."""
        return self._session is not None

    def start(self) -> None:
        """Begin to connect; returns at once, whether Asterisk is there or not."""
        self._delivery.start()
        self._thread.start()

    def stop(self, seconds: float = 3.0) -> None:
        """End the connection, and let the owner have what was seen before; at most that long for each of the two."""
        self._stopping.set()
        opened = self._opened
        if opened is not None:
            opened.break_off(AmiUnreachable("the connection was ended"))
        if self._thread.is_alive():
            self._thread.join(seconds)
        self._delivery.stop(seconds)

    def action(
        self, name: str, headers: Mapping[str, Values] | None = None, timeout: float = ACTION_SECONDS
    ) -> Message:
        """Have Asterisk do something, and return its response; never takes longer than `timeout` seconds.

        :raises AmiRefused: it answered with an error. :raises AmiTimeout: it did not answer in time, but may have done
            it. :raises AmiUnreachable: the connection is not up, or ended before the answer. :raises AmiError: headers
            that Asterisk could not read.
        """
        return self._ask(name, headers, timeout, False).result()

    def list_action(
        self, name: str, headers: Mapping[str, Values] | None = None, timeout: float = ACTION_SECONDS
    ) -> list[Message]:
        """The same for actions that answer with a list: its rows, once all of them are there."""
        exchange = self._ask(name, headers, timeout, True)
        exchange.result()
        return exchange.rows

    def _ask(self, name: str, headers: Mapping[str, Values] | None, timeout: float, is_list: bool) -> Exchange:
        session = self._session
        if session is None:
            raise AmiUnreachable("there is no connection to Asterisk's manager interface now")
        deadline = time.monotonic() + timeout
        exchange = session.begin(name, headers or {}, timeout, is_list)
        if not exchange.done.wait(max(deadline - time.monotonic(), 0.0)):
            session.forget(exchange)
            raise AmiTimeout(f"no answer to the AMI action {name} within {timeout:g} s")
        return exchange

    # -- the thread that reads ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._up_since = None
            failure = self._live()
            if self._stopping.is_set():
                break
            self._say(failure)
            steady = self._up_since is not None and time.monotonic() - self._up_since > STEADY_SECONDS * self._scale
            failures = 1 if steady else failures + 1
            self._rest(pause(failures, isinstance(failure, AmiRefused), random.random()) * self._scale)

    def _live(self) -> AmiError:
        """One connection from its beginning to its end; returns why it ended."""
        ended: AmiError = AmiUnreachable("the connection was ended")
        session: Session | None = None
        self._early = []
        try:
            session = self._opened = Session(self._host, self._port, self._take, self._beat, CONNECT_SECONDS)
            session.log_in(self._user, self._secret, max(LOGIN_SECONDS * self._scale, REFUSAL_SECONDS))
            self._come_up(session, self._snapshot(session) if self._wants_snapshot else ())
            self._watch(session)
        except AmiError as error:
            ended = error
        except Exception as error:  # whatever it is, the next connection may be better
            LOG.exception("the manager connection failed in an unforeseen way")
            ended = AmiError(f"the manager connection failed: {type(error).__name__}")
        self.failure = ended
        self._session = self._opened = None
        if session is not None:
            session.break_off(ended)
            session.close()
        self._delivery.disconnected()
        return ended

    def _snapshot(self, session: Session) -> Sequence[Message]:
        channels = session.ask("CoreShowChannels", {}, self._seconds(SNAPSHOT_SECONDS), is_list=True)
        channels.result()
        return channels.rows

    def _come_up(self, session: Session, channels: Sequence[Message]) -> None:
        early, self._early = self._early or [], None
        self._up_since = time.monotonic()
        self._session, self.failure, self._said = session, None, ""  # the owner may act from on_connected on
        known = f", {len(channels)} channels up" if self._wants_snapshot else " in order to dial"
        LOG.info("connected to Asterisk's manager interface (%s)%s", session.banner, known)
        self._delivery.connected(channels, early)

    def _watch(self, session: Session) -> None:
        """Read for ever, and ask from time to time whether anybody is there.

        :raises AmiError: it is over.
        """
        every, within = PING_SECONDS * self._scale, self._seconds(PONG_SECONDS)
        ping: Exchange | None = None
        asked = time.monotonic()
        while not self._stopping.is_set():
            came = session.pump(min(every, TICK_SECONDS))
            waited = time.monotonic() - asked
            if ping is not None and ping.done.is_set():
                ping = None
            if ping is None and waited >= every:
                asked = time.monotonic()
                ping = session.begin("Ping", {}, within)
            elif ping is not None and waited > within * (3 if came else 1):  # the answer may be behind many events
                raise AmiTimeout(f"Asterisk has not answered a Ping for {waited:.1f} s")

    def _take(self, event: Message) -> None:
        if self._early is None:
            self._delivery.event(event)
        elif len(self._early) < MOST_EVENTS:
            self._early.append(event)
        else:
            raise AmiError(f"{MOST_EVENTS} events came before the list of channels")

    def _beat(self) -> None:
        if self._delivery.held_seconds() > HELD_SECONDS * self._scale:
            return
        try:
            self._owners_beat()
        except Exception:  # the connection outlives a bug in it
            LOG.exception("the beat of the manager connection failed")

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stopping.is_set():
            self._beat()
            self._stopping.wait(min(max(until - time.monotonic(), 0.0), TICK_SECONDS))

    def _say(self, failure: AmiError) -> None:
        """One line for a failure, however often it repeats."""
        if failure.message != self._said:
            self._said = failure.message
            level = logging.ERROR if isinstance(failure, AmiRefused) else logging.WARNING
            LOG.log(level, "%s; it is tried again by itself. %s", failure.message, failure.hint)

    def _seconds(self, usual: float) -> float:
        """A time-out, never so short that a busy machine is taken for a dead one."""
        return max(usual * self._scale, 1.0)
