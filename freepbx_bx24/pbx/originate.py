"""Has Asterisk ring somebody and then run the dialplan: by a user of the manager interface who may do nothing else."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Mapping, Sequence

from ..errors import AmiError, AmiUnreachable
from .agi import harmless
from .ami import Ami
from .ami_wire import Message
from .manager_conf import read_account

LOG = logging.getLogger("bx24.originate")

CLICK_CONTEXT, PERSON, MOBILE, TARGET = "bx24-click", "bx24-click-person", "bx24-click-mobile", "bx24-callback-target"
CALLBACK_CONTEXT = "bx24-callback"
ANSWERED = "4"  # OriginateResponse's Reason (asterisk/frame.h)
ACTION_SECONDS = 3.0


@dataclass(frozen=True)
class Order:
    """One call that is to begin: `ringing` rings in the context `ring`, and when it was answered `context` runs.

    :ivar uniqueid: of the channel that runs `context`, which is also the extension there: known before it exists.
    :ivar seconds: how long it rings at most. :ivar caller: the caller id (number) of that channel.
    :ivar variables: of both of its ends; the first character of a name may be an underscore or two, to be inherited.
    """

    uniqueid: str
    ringing: str
    ring: str
    context: str
    seconds: float
    caller: str
    variables: Mapping[str, str] = field(default_factory=dict)


def headers(order: Order) -> dict[str, str | Sequence[str]]:
    """The action's headers. `/n` keeps the wire for the call's whole life, so that its uniqueid stays the call's.

    Commas would begin another variable, whatever stands before them.
    """
    values = (f"{name}={harmless(value)}" for name, value in order.variables.items())
    return {
        "Channel": f"Local/{order.ringing}@{order.ring}/n",
        "Context": order.context,
        "Exten": order.uniqueid,
        "Priority": "1",
        "CallerID": f"<{order.caller}>",
        "Timeout": str(round(order.seconds * 1000)),
        "Async": "true",
        "ChannelId": order.uniqueid,
        "OtherChannelId": f"{order.uniqueid}-2",
        "Variable": list(values),
    }


class Originator:
    """One connection for dialling alone; safe to use from every thread.

    :param answered: gets the uniqueid and OriginateResponse's Reason of each order once it is answered or has failed
        (ANSWERED, or why not), in a thread of the connection's. Of orders that were given before a connection was lost
        nothing may come.
    """

    def __init__(self, answered: Callable[[str, str], None], scale: float = 1.0) -> None:
        self._answered = answered
        self._scale = scale
        self._lock = threading.Lock()
        self._ami: Ami | None = None
        self._orders: set[str] = set()

    def start(self, file: Path) -> None:
        """Begin to connect as the user of a file; a second time begins anew. What is wrong is said in the log."""
        self.stop(0.5)
        account, why = read_account(file)
        if account is None:
            LOG.error("nothing can be dialled for the portal: %s. Run ./install.sh again", why)
            return
        nothing: Callable[..., None] = lambda *_: None  # noqa: E731
        ami = Ami(
            account.host,
            account.port,
            account.user,
            account.secret,
            nothing,
            self._event,
            nothing,
            scale=self._scale,
            snapshot=False,
        )
        ami.start()
        with self._lock:
            self._ami = ami

    def stop(self, seconds: float) -> None:
        """End the connection."""
        with self._lock:
            ami, self._ami = self._ami, None
        if ami is not None:
            ami.stop(seconds)

    @property
    def connects(self) -> bool:
        """Whether there is no connection yet, and the first try is still under way."""
        ami = self._ami
        return ami is not None and not ami.connected and ami.failure is None

    def begin(self, order: Order) -> None:
        """Give an order; returns when Asterisk has taken it.

        :raises AmiError: it has not, or (AmiTimeout) may have.
        """
        ami = self._ami
        if ami is None:
            raise AmiUnreachable("there is no user of the manager interface who may dial", "Run ./install.sh again.")
        with self._lock:
            self._orders.add(order.uniqueid)
        try:
            ami.action("Originate", headers(order), ACTION_SECONDS)
        except AmiError:
            with self._lock:
                self._orders.discard(order.uniqueid)
            raise

    def _event(self, event: Message) -> None:
        if event.get("Event") != "OriginateResponse":
            return
        uniqueid = event.get("Exten", "")
        with self._lock:
            if uniqueid not in self._orders:  # another program's
                return
            self._orders.discard(uniqueid)
        self._answered(uniqueid, ANSWERED if event.get("Response") == "Success" else event.get("Reason", "0"))
