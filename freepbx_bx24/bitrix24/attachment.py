"""telephony.externalCall.attachRecord: a recording's name, which must be new at each attempt, and its parameters."""

from __future__ import annotations

import base64
import re
import secrets
from datetime import datetime
from typing import Any

from ..errors import PortalBroken
from . import batch
from .replies import whole_number

METHOD = "telephony.externalCall.attachRecord"
SUFFIXES = ("wav", "mp3")  # in lower case: the portal compares them exactly
LONGEST_NAME = 100

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.-]+")


def file_name(
    started: datetime, direction: str, extension: str, number: str, uniqueid: str, attempt: str, suffix: str
) -> str:
    """Return FILENAME for one attempt: another one for each, since a name that a lost attempt has used is refused.

    The portal keeps all recordings of a month in one folder and takes no name twice.

    :param attempt: never the same for two attempts, also of a process that was killed (`new_attempt`).
    :raises ValueError: for a kind of file that the portal does not take.
    """
    if suffix not in SUFFIXES:
        raise ValueError(f"the portal takes {' and '.join(SUFFIXES)} only")
    parts = (started.strftime("%Y%m%d-%H%M%S"), direction, extension or "none", number or "none", uniqueid, attempt)
    # The end tells calls and attempts apart.
    return "_".join(_NOT_IN_NAMES.sub("-", part.lstrip("+")) for part in parts)[-LONGEST_NAME:] + f".{suffix}"


def new_attempt(number: int) -> str:
    """Return what tells an attempt's name from all others: which one it is, and chance.

    A process that is killed in mid-upload has not written down that there was an attempt.
    """
    return f"{number}-{secrets.token_hex(3)}"


def address_parameters(call_id: str, name: str) -> dict[str, Any]:
    """Return the parameters that ask for an upload address; FILENAME is checked, the upload's own name counts."""
    return {"CALL_ID": call_id, "FILENAME": name}


def content_parameters(call_id: str, name: str, content: bytes) -> dict[str, Any]:
    """Return the parameters that send a recording within the request."""
    return {"CALL_ID": call_id, "FILENAME": name, "FILE_CONTENT": base64.b64encode(content).decode()}


def content_command(call_id: str, name: str, content: bytes) -> str:
    """Return the command of a batch that sends a recording: the batch refuses only the upload request itself.

    It is written here, since `quote` would take a list of all characters; of base64 these three mean something in a
    query, and it holds no reference to another command's result.
    """
    encoded = base64.b64encode(content).decode()
    for character, escaped in (("+", "%2B"), ("/", "%2F"), ("=", "%3D")):
        encoded = encoded.replace(character, escaped)
    return f"{batch.command(METHOD, address_parameters(call_id, name))}&FILE_CONTENT={encoded}"


def parse_attached(result: object) -> int:
    """Return the id of the stored file. :raises PortalBroken: there is none."""
    number = whole_number(result.get("FILE_ID")) if isinstance(result, dict) else None
    if number is None:
        raise PortalBroken("the portal stored a recording without saying where")
    return number
