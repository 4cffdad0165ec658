"""What a POST to the events' handler must be, before anything is done about it: pure, and a status for all else."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Mapping
from urllib.parse import parse_qsl

from ..bitrix24.events import PortalEvent, read_form

LARGEST = 64 * 1024  # bytes of a body; a click is 2 kB
MOST_FIELDS = 200
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Refused:
    """No event of the portal's.

    :ivar status: HTTP status. :ivar why: for the log, and nothing that was sent; empty: it is worth no line.
    """

    status: int
    why: str


@dataclass(frozen=True)
class Post:
    """An event and what it came with, both secrets. :ivar access_token: empty where the portal sent none."""

    event: PortalEvent
    application_token: str = field(repr=False)
    access_token: str = field(repr=False)


def length_of(method: str, path: str, wanted_path: str, headers: Mapping[str, str]) -> int | Refused:
    """The length of the body that is to be read, or why nothing is. :param headers: by their names in any case."""
    if path.partition("?")[0] != wanted_path:
        return Refused(404, "another path")
    if method != "POST":
        return Refused(405, "not a POST")
    if headers.get("transfer-encoding"):
        return Refused(411, "a body without its length")
    length = headers.get("content-length") or ""
    if not (length.isascii() and length.isdigit()):
        return Refused(411, "a body without its length")
    if len(length) > 9 or int(length) > LARGEST:
        return Refused(413, f"a body of more than {LARGEST} bytes")
    if int(length) == 0:
        return Refused(400, "")  # `bx24 check`, which asks whether anybody is there
    if (headers.get("content-type") or "").partition(";")[0].strip().lower() != FORM:
        return Refused(415, "not a form")
    return int(length)


def same(given: str, known: str) -> bool:
    """Whether two tokens are the same; how long that takes tells nothing of where they differ."""
    return hmac.compare_digest(given.encode(), known.encode())


def read(body: bytes, known_token: str) -> Post | Refused:
    """The event in a form, or why it is none of the portal's.

    :param known_token: what the portal signs with; empty: none is known yet, so the portal will have to vouch for it.
    """
    try:
        fields = parse_qsl(
            body.decode("utf-8", "replace"), keep_blank_values=True, errors="replace", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        return Refused(400, f"a form of more than {MOST_FIELDS} fields")
    event, auth = read_form(fields)
    given = auth.get("application_token", "")
    if not given:
        return Refused(403, "no auth[application_token]")
    if known_token and not same(given, known_token):
        return Refused(403, "a wrong auth[application_token]")
    if not known_token and not auth.get("access_token"):
        return Refused(403, "no auth[access_token], by which the portal could be asked for its application_token")
    if event is None:
        return Refused(400, "no event")
    return Post(event, given, auth.get("access_token", ""))
