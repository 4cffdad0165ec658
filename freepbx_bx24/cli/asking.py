"""Asks the running service through its socket; where none runs, what can be read is read from the journal itself."""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import Any, Mapping

from ..errors import ChannelError, ConfigurationError, ServiceError
from ..journal.reading import read_only
from ..service import directory_file
from ..service.control import BEGINNING
from ..service.looking import Desk
from ..service.questions import LOOKS
from ..service.surroundings import run_directory, state_directory
from ..settings import load

TAKEN_SECONDS = 3.0
ANSWER_SECONDS = 300.0  # a thousand changes on a slow disk
LONGEST_ANSWER = 64 * 1024 * 1024
Value = dict[str, Any]
_RESTART = "systemctl restart freepbx-bx24   (where there is no systemd: bx24 serve)"


def look(verb: str, arguments: Mapping[str, str]) -> Value:
    """What a reading verb answers; `service` says whether the running service did, or the journal's file.

    :raises Bx24Error: neither can be read, or the question makes no sense.
    """
    try:
        return {"service": True, **ask(verb, arguments)}
    except ChannelError as absent:
        print(f"{absent.message}: this is what its journal says.", file=sys.stderr)
    try:
        rules = load().rules
    except ConfigurationError:
        rules = None  # numbers then have to be given as the CRM knows them
    state = state_directory()
    with read_only(state) as journal:
        desk = Desk(journal, directory_file.read(state), rules, time.time())
        return {"service": False, **LOOKS[verb](desk, arguments)}


def change(verb: str, arguments: Mapping[str, str]) -> Value:
    """What a changing verb answers: only the service writes the journal.

    :raises ServiceError: it does not run, or says that it can't.
    """
    try:
        return ask(verb, arguments)
    except ChannelError as absent:
        raise ServiceError(f"{absent.message}, so nothing was changed.", _RESTART) from None


def ask(verb: str, arguments: Mapping[str, str]) -> Value:
    """The service's answer.

    :raises ChannelError: nobody answers on the socket. :raises ServiceError: the service says no, or we may not ask.
    """
    fields = b"".join(_field(name, text) for name, text in {"verb": verb, **arguments}.items())
    taken = False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TAKEN_SECONDS)
            connection.connect(str(run_directory() / "agi.sock"))
            connection.sendall(BEGINNING + fields + b"\0")
            with connection.makefile("rb") as reader:
                taken = reader.readline(16) == b"taken\n"
                connection.settimeout(ANSWER_SECONDS)
                line = reader.readline(LONGEST_ANSWER) if taken else b""
                whole = taken and reader.readline(16) == b"done\n"
    except PermissionError as error:
        raise ServiceError(
            "only root and the service's own user may ask the service", "Type sudo before it."
        ) from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise ChannelError("The service is not running") from error
    except OSError as error:
        if taken:
            raise ServiceError(f"the service did not answer to the end: {error}") from error
        raise ChannelError("The service does not answer") from error
    if not taken:
        raise ChannelError("The service does not answer")
    try:
        value = json.loads(line) if whole else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ServiceError("the service's answer was cut")
    if "error" in value:
        raise ServiceError(str(value["error"]), str(value.get("hint", "")))
    return value


def _field(name: str, text: str) -> bytes:
    return f"{name}={text}".replace("\0", "").encode("utf-8", "replace") + b"\0"
