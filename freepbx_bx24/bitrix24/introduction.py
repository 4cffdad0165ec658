"""Who we are in the portal: as whom we act, what we may, what the portal's plan says, and what its clock shows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Iterable, Mapping

from ..errors import PORTAL, PortalError
from .client import Client, Urgency
from .replies import Result, harmless, whole_number

# Right -> what is missing without it.
RIGHTS: Mapping[str, str] = {
    "telephony": "no call can be registered",
    "user": "employees can't be found by their extensions: all calls are the default person's",
    "crm": "clients are neither found nor made",
}
_ALSO_USER = frozenset({"user", "user_basic", "user_brief"})
_MOST_SCOPES = 200


@dataclass(frozen=True)
class Introduction:
    """What the portal says of us.

    :ivar user_id: as whom we act, 0 where it does not say. :ivar admin: None where it does not say.
    :ivar scopes: what we may; empty where it does not say. :ivar licence: the plan's name, "" where it does not say.
    :ivar clock_ahead: seconds by which the portal's clock is ahead of this machine's; None where it shows none.
    """

    user_id: int = 0
    name: str = ""
    admin: bool | None = None
    scopes: tuple[str, ...] = ()
    licence: str = ""
    expired: bool = False
    clock_ahead: float | None = None


def introduced(client: Client, total_seconds: float) -> Introduction:
    """Ask for `profile`, `scope` and `app.info`, which every way in may use.

    What a portal does not answer for these methods alone is left unknown.

    :raises PortalError: nothing can be asked of the portal.
    """
    ends = time.monotonic() + total_seconds

    def ask(method: str) -> Result:
        try:
            left = ends - time.monotonic()
            return client.call(method, {}, total_seconds=left, urgency=Urgency.BACKLOG)
        except PortalError as error:
            if error.blame == PORTAL:
                raise
            return Result(None)

    began = time.time()
    who = ask("profile")
    ahead = clock_ahead(who.time, began, time.time())
    return introduction(who.result, ask("scope").result, ask("app.info").result, ahead)


def introduction(who: object, scopes: object, application: object, ahead: float | None) -> Introduction:
    """What the answers to the three methods say; what makes no sense in them is unknown."""
    profile = who if isinstance(who, dict) else {}
    about = application if isinstance(application, dict) else {}
    given = scopes if isinstance(scopes, list) else about.get("SCOPE")
    admin = profile.get("ADMIN")
    return Introduction(
        user_id=whole_number(profile.get("ID")) or 0,
        name=" ".join(filter(None, (harmless(profile.get(key), 60) for key in ("NAME", "LAST_NAME")))),
        admin=admin if isinstance(admin, bool) else None,
        scopes=tuple(filter(None, map(harmless, given[:_MOST_SCOPES]))) if isinstance(given, list) else (),
        licence=harmless(about.get("LICENSE"), 60),
        expired=about.get("PAYMENT_EXPIRED") == "Y",
        clock_ahead=ahead,
    )


def missing_rights(scopes: Iterable[str]) -> list[str]:
    """The rights of RIGHTS that are not among these; none where nothing is known of them."""
    given = set(scopes)
    return [right for right in RIGHTS if given and right not in given and not (right == "user" and given & _ALSO_USER)]


def clock_ahead(times: Mapping[str, object], before: float, after: float) -> float | None:
    """By how many seconds the portal's clock is ahead; 0.0 where it lies within the request's own time.

    :param times: `time` of its answer. :param before, after: this machine's wall clock around the request.
    """
    try:
        start = float(str(times["start"]))
    except (KeyError, ValueError):
        return None
    if not 0 < start < 1e11:
        return None
    return min(start - before, 0.0) or max(start - after, 0.0)
