"""Whether the portal answers, as whom we act there, what we may, and whom it knows."""

from __future__ import annotations

from typing import Iterator

from ..bitrix24.client import Client
from ..bitrix24.directory import Directory
from ..bitrix24.event_checks import looks
from ..bitrix24.introduction import RIGHTS, Introduction, introduced, missing_rights
from ..bitrix24.portal import open_portal
from ..errors import ConfigurationError, NeedsApplication, PortalAuthorisation, PortalError
from ..settings import Settings
from .finding import Finding, failure, judged, ok, warning
from .machine import Machine

PORTAL_SECONDS = 15.0
LARGEST_SKEW = 30.0  # seconds; a call's start in the portal's future prolongs its dedupe
NEW_WEBHOOK = "In Bitrix24: Developer resources, Inbound webhook: tick {}, save; its address stays the same."
NEW_LOGIN = "In Bitrix24: Developer resources, Local application: tick {}, save; then type `bx24 login`."


def portal(machine: Machine) -> Iterator[Finding]:
    """Ask the portal who we are, then for its lists; the first thing that keeps us out is the only one that is said."""
    settings = machine.settings
    assert settings
    try:
        with open_portal(settings.portal, machine.state) as client:
            who = introduced(client, PORTAL_SECONDS)
            yield ok("portal", f"{client.origin} answers")
            yield from introduction(who, bool(settings.portal.webhook_url))
            missing = missing_rights(who.scopes)
            if "telephony" not in missing and not who.expired:
                yield from _lists(machine, settings, client, "user" not in missing)
                yield from (
                    judged(one.right, "events", one.text, one.hint) for one in looks(settings, client, PORTAL_SECONDS)
                )
    except ConfigurationError as error:
        yield failure("portal", error.message, error.hint)
    except PortalError as error:
        yield refused(error)


def refused(error: PortalError) -> Finding:
    """What keeps us out: by whom we are, by what is not allowed, or by the way there."""
    what = "portal"
    if isinstance(error, NeedsApplication):
        what = "portal telephony"
    elif isinstance(error, PortalAuthorisation):
        what = "portal login"
    return failure(what, error.message, error.hint)


def introduction(who: Introduction, webhook: bool) -> Iterator[Finding]:
    """What the portal says of us."""
    hint = NEW_WEBHOOK if webhook else NEW_LOGIN
    way = "the webhook" if webhook else "the local application"
    named = f"{who.name or 'nameless'} (user {who.user_id or 'unknown'})"
    if who.admin is False:
        yield warning(
            "portal user",
            f"{way} acts as {named}, who is no administrator: call statistics and events are refused to that",
            "Make it as an administrator who stays, best one of its own for this PBX (docs/portal.md).",
        )
    else:
        yield ok("portal user", f"{way} acts as {named}: leave this user active")
    missing = missing_rights(who.scopes)
    for right in missing:
        yield failure("portal rights", f"{way} lacks the right {right}: {RIGHTS[right]}", hint.format(right))
    if not missing:
        yield ok("portal rights", ", ".join(who.scopes) or "the portal does not say what we may")
    if who.expired:
        yield failure("portal plan", "the portal's plan has expired", "In Bitrix24: Settings, My plan: extend it.")
    elif who.licence:
        yield ok("portal plan", who.licence)
    yield from clock(who.clock_ahead)


def clock(ahead: float | None) -> Iterator[Finding]:
    """This machine's clock and the portal's agree: calls are told with this machine's times."""
    if ahead is None:
        return
    if abs(ahead) > LARGEST_SKEW:
        side = "behind" if ahead > 0 else "ahead of"
        yield warning(
            "clock",
            f"this machine's clock is {abs(ahead):.0f} s {side} the portal's: calls are told with wrong times",
            "timedatectl set-ntp true   (see also: timedatectl status)",
        )
    else:
        yield ok("clock", "this machine's clock agrees with the portal's")


def _lists(machine: Machine, settings: Settings, client: Client, people: bool) -> Iterator[Finding]:
    rules, directory = settings.rules, Directory()
    directory.load_lines(client, total_seconds=PORTAL_SECONDS)  # the same right that register needs
    yield ok("portal telephony", "calls may be registered")
    if people:
        seconds, country, area = PORTAL_SECONDS, rules.country, rules.area_code
        count = directory.load(client, total_seconds=seconds, country=country, area_code=area)
        yield ok("employees", f"{count} active in the portal")
        machine.directory = directory
