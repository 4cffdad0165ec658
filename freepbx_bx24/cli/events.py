"""`bx24 events`: which events the portal tells us of, and whether they would arrive; binds and unbinds them by hand."""

from __future__ import annotations

import argparse

from ..bitrix24 import event_checks, events
from ..bitrix24.client import Client
from ..bitrix24.portal import open_portal
from ..errors import ServiceError
from ..service import event_token
from ..service.surroundings import state_directory
from ..settings import Settings, load
from .user import become_service_user

SECONDS = 15.0
WHAT = {
    "list": "which events the portal tells us of, and how many wait there (the default)",
    "bind": "have exactly the events bound that the configuration needs; the portal's signature is learned anew",
    "unbind": "have none bound; a service with clicks or callbacks on binds them again",
    "test": "look at the whole way, and say what mends it",
}
_OFF = "Switch clicks or callbacks on in the configuration first."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is to be done."""
    parser.add_argument(
        "what", nargs="?", choices=tuple(WHAT), default="list", help="; ".join(f"{one}: {WHAT[one]}" for one in WHAT)
    )


def run(options: argparse.Namespace) -> int:
    """Do it; 0 where all is right.

    :raises PortalError: the portal refuses, or a webhook is the way in.
    """
    become_service_user()
    settings = load()
    with open_portal(settings.portal, state_directory()) as client:
        return DO[options.what](settings, client)


def _list(settings: Settings, client: Client) -> int:
    bound = sorted(events.bindings(client, SECONDS))
    for one in bound:
        print(f"{one.event}: {f'posted to {one.handler}' if one.handler else 'kept in the queue'}")
    if not bound:
        print("The portal tells us of no clicks and no callback forms.")
    waiting = events.waiting(client, SECONDS)
    print(f"{waiting} {'event waits' if waiting == 1 else 'events wait'} in the queue.")
    return 0


def _bind(settings: Settings, client: Client) -> int:
    wanted = events.wanted_bindings(settings)
    if not wanted:
        raise ServiceError("clicks and callbacks are off: no events are needed", _OFF)
    bound, unbound = events.settle(client, wanted, SECONDS)
    for word, some in (("Bound", bound), ("Unbound", unbound)):
        for one in sorted(some):
            print(f"{word}: {one.event}, {one.handler or 'the queue'}")
    if not bound | unbound:
        print("Nothing to do: all is bound as the configuration says.")
    if settings.events.address:
        event_token.forget(state_directory())
        print("The portal's signature is learned from the next event that the portal itself vouches for.")
    return 0


def _unbind(settings: Settings, client: Client) -> int:
    _, unbound = events.settle(client, (), SECONDS)
    for one in sorted(unbound):
        print(f"Unbound: {one.event}, {one.handler or 'the queue'}")
    if not unbound:
        print("Nothing to do: none is bound.")
    if events.wanted_events(settings):
        print("Clicks or callbacks are on: a running service binds them again within ten minutes.")
    return 0


def _test(settings: Settings, client: Client) -> int:
    if not events.wanted_events(settings):
        raise ServiceError("clicks and callbacks are off: no events are needed", _OFF)
    found = list(event_checks.looks(settings, client, SECONDS))
    if settings.events.address and not settings.portal.webhook_url:
        found.append(event_checks.reachable(settings, SECONDS))
        known = event_token.read(state_directory(), settings.portal.client_id)
        learned = "is known" if known else "is learned from the first event that the portal vouches for"
        found.append(event_checks.Look(True, f"the portal's signature {learned}"))
    for one in found:
        print(f"{'ok ' if one.right else 'BAD'} {one.text}")
        if not one.right and one.hint:
            print(f"    -> {one.hint}")
    return 0 if all(one.right for one in found) else 1


DO = {"list": _list, "bind": _bind, "unbind": _unbind, "test": _test}
