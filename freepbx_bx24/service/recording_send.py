"""Attempts to give the portal recordings, within a request or by an upload address, and what a failure means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Callable, Sequence

from ..bitrix24 import attachment, upload
from ..bitrix24.client import Client, Result, Urgency
from ..errors import (
    AGAIN,
    GIVE_UP,
    METHOD,
    PORTAL,
    Bx24Error,
    PortalError,
    RecordNotReady,
    TooLarge,
    UnknownRefusal,
    UploadStale,
)

# The portal gives a request up after 60 s; a slow line takes longer for what is large.
REQUEST_SECONDS = 75.0
SLOWEST_BYTES = 50_000  # a second
WAIT_SECONDS = 60.0  # for the portal's limits: nobody waits for a recording


@dataclass(frozen=True)
class Attempt:
    """One try. :ivar by_address: to an upload address, else within the request. :ivar scale: of time, in tests.

    :ivar together: how many recordings its request carries.
    """

    call_id: str
    name: str
    path: Path
    size: int
    by_address: bool
    scale: float = 1.0
    together: int = 1

    @property
    def seconds(self) -> float:
        """The longest that it may take."""
        return _seconds(self.size, self.scale)


def send(client: Client, attempt: Attempt, told: Callable[[int], object]) -> int:
    """Send a recording; returns the id of the file in the portal.

    :param told: hears how many percent are on their way.
    :raises PortalError: it is not there, or nobody knows. :raises OSError: the file can't be read.
    """
    if not attempt.by_address:
        told(0)
        parameters = attachment.content_parameters(attempt.call_id, attempt.name, attempt.path.read_bytes())
        return attachment.parse_attached(_ask(client, parameters, attempt.seconds))
    answer = _ask(client, attachment.address_parameters(attempt.call_id, attempt.name), attempt.seconds)
    address, field = upload.offered(answer)
    size = max(attempt.size, 1)
    with attempt.path.open("rb") as file:
        body = upload.Multipart(field, attempt.name, file, attempt.size, lambda sent: told(sent * 100 // size))
        stored = client.upload(address, body, total_seconds=attempt.seconds, wait_seconds=WAIT_SECONDS)
    return attachment.parse_attached(stored.result)


def send_together(client: Client, attempts: Sequence[Attempt]) -> list[Result | PortalError | OSError]:
    """Send recordings as one request; returns the answer to each, or why its file can't be read.

    :raises PortalError: where the request as a whole fails.
    """
    commands: dict[str, str] = {}
    unread: dict[str, OSError] = {}
    for number, one in enumerate(attempts):
        try:
            commands[str(number)] = attachment.content_command(one.call_id, one.name, one.path.read_bytes())
        except OSError as error:
            unread[str(number)] = error
    answers: dict[str, Result | PortalError] = {}
    if commands:
        seconds = _seconds(sum(one.size for one in attempts), attempts[0].scale)
        wait = min(WAIT_SECONDS, seconds)
        answers = client.batch(commands, total_seconds=seconds, urgency=Urgency.ATTACH, wait_seconds=wait)
    return [unread.get(str(number)) or answers[str(number)] for number in range(len(attempts))]


def _seconds(size: int, scale: float) -> float:
    return max(REQUEST_SECONDS * scale, 5.0) + size / SLOWEST_BYTES


def _ask(client: Client, parameters: dict[str, object], seconds: float) -> object:
    wait = min(WAIT_SECONDS, seconds)
    return client.call(
        attachment.METHOD, parameters, total_seconds=seconds, urgency=Urgency.ATTACH, wait_seconds=wait
    ).result


class Fate(Enum):
    """What becomes of a recording that could not be sent."""

    BY_ADDRESS = "goes to an upload address at once"
    LATER = "tried again, nobody's fault: all recordings wait"
    UNSURE = "tried again: the portal or this very recording"
    REFUSED = "tried again, each time later, and in the end left to a person"
    ONCE_MORE = "tried once more under another name, then left to a person"
    PARKED = "left to a person"


# Whatever is no row: by the error's own words.
_FATES: tuple[tuple[type[PortalError], Fate], ...] = (
    (RecordNotReady, Fate.REFUSED),  # the finish is settling: patience with an end
    (UploadStale, Fate.REFUSED),
    # In the portal's own language: a name that exists, a wrong type, a full disk (open question S14).
    (UnknownRefusal, Fate.ONCE_MORE),
)


def fate(error: Bx24Error | OSError, by_address: bool) -> Fate:
    """What an error means for the recording that was sent."""
    if not isinstance(error, PortalError):
        return Fate.REFUSED
    if isinstance(error, TooLarge):
        return Fate.PARKED if by_address else Fate.BY_ADDRESS
    for kind, what in _FATES:
        if isinstance(error, kind):
            return what
    if error.blame in (PORTAL, METHOD):
        return Fate.UNSURE if error.ambiguous else Fate.LATER
    if error.remedy == GIVE_UP:
        return Fate.PARKED
    return Fate.REFUSED if error.remedy == AGAIN else Fate.PARKED
