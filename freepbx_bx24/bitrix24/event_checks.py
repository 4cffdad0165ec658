"""What must be right so that clicks and callback forms arrive: each look with what mends it."""

from __future__ import annotations

from typing import Iterator, NamedTuple

from ..errors import PortalError
from ..settings import Settings
from . import events, exposure
from .client import Client
from .exposure import USUAL, Place
from .transport import Transport

ON_LOOPBACK = "127.0.0.1"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Look(NamedTuple):
    """One thing that was looked at. :ivar hint: what mends it, where it is not right."""

    right: bool
    text: str
    hint: str = ""


def looks(settings: Settings, client: Client, seconds: float, usual: tuple[Place, ...] = USUAL) -> Iterator[Look]:
    """Everything; nothing where no events are wanted. Asks the portal and this machine's web servers; changes nothing.

    :param seconds: for each request. :param usual: web servers that are asked whether they show what they must not.
    """
    if not events.wanted_events(settings):
        return
    if settings.portal.webhook_url:
        hint = "Make a local application (docs/portal.md), or switch clicks and callbacks off."
        yield Look(False, "clicks and callbacks are on, but a webhook gets no events", hint)
        return
    if settings.events.address:
        yield from _handler(settings, usual)
    try:
        yield from _portal(settings, client, seconds)
    except PortalError as error:
        yield Look(False, error.message, error.hint)


def _portal(settings: Settings, client: Client, seconds: float) -> Iterator[Look]:
    wanted, there = events.wanted_bindings(settings), events.bindings(client, seconds)
    way = f"posted to {settings.events.address}" if settings.events.address else "asked for by the service"
    missing = ", ".join(sorted(one.event for one in wanted - there))
    if missing:
        yield Look(False, f"the portal does not tell of {missing}", "bx24 events bind")
    else:
        yield Look(True, f"the portal tells of {', '.join(sorted(one.event for one in wanted))}: {way}")
    for one in sorted(there - wanted):
        where = one.handler or "the queue"
        yield Look(False, f"the portal also tells {where} of {one.event}, so it comes twice", "bx24 events bind")
    if not settings.events.address:
        reserves = events.may_reserve(client, seconds)
        lost = "" if reserves else "; its plan does not reserve them: what is read just before a crash is lost"
        yield Look(True, f"{events.waiting(client, seconds)} events wait in the portal{lost}")


def _handler(settings: Settings, usual: tuple[Place, ...]) -> Iterator[Look]:
    own = settings.events
    answers = exposure.MARK in exposure.ask(Place(own.port, False, ON_LOOPBACK), own.path, "POST")
    hint = "Is the service running, and does its log say why it does not listen? Another program may have the port."
    yield Look(answers, f"the handler {'listens' if answers else 'does not listen'} on {ON_LOOPBACK}:{own.port}", hint)
    open_ = list(exposure.exposed(own.address, usual))
    for place in open_:
        yield Look(
            False,
            f"the web server on port {place.port} shows FreePBX's pages and passes {own.path} on as well",
            "Give the events a virtual host and a port of their own, with that one location: see docs/events.md.",
        )
    if not open_:
        yield Look(True, f"no web server that shows FreePBX's pages passes {own.path} on")


def reachable(settings: Settings, seconds: float) -> Look:
    """Whether an unsigned post to the public address comes as far as the handler, which refuses it.

    From inside it may not be reached although it is from outside: not every router leads back.
    """
    transport = Transport()
    try:
        answer = transport.exchange("POST", settings.events.address, seconds, b"event=BX24TEST", FORM)
    except PortalError as error:
        why = f"{settings.events.address} is not reached from this machine: {error.message}"
        return Look(False, why, "Look from outside: curl -i -X POST ADDRESS must answer 403.")
    finally:
        transport.close()
    hint = "The web server must pass this one path on to the handler, with POST: see docs/events.md."
    return Look(answer.status == 403, f"{settings.events.address} answers {answer.status} to an unsigned post", hint)
