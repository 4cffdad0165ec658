"""The guard's side of a conversation without a process for each: many calls through the service's own socket."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Mapping

from freepbx_bx24.guard_channel import FACTS
from tests.support.agi_script import environment_lines

ANSWERED = {
    "dial_status": "ANSWER",
    "hangup_cause": "16",
    "answered_seconds": "35",
    "dialled_peer_number": "101/sip:101@127.0.0.1",
}
WAIT_SECONDS = 30.0


def client_of(number: int) -> str:
    """The client's number of the call with that number."""
    return f"+7916{number:07d}"


def frame(kind: str, uniqueid: str, client: str, facts: Mapping[str, str]) -> bytes:
    """One frame as the guard makes it, every fact that it asks for included."""
    fields = {
        "kind": kind,
        "direction": "in",
        "argument": "74957770101" if kind == "register" else "",
        "deadline": repr(time.monotonic() + WAIT_SECONDS),
        "started": repr(time.time()),
    }
    lines = environment_lines(uniqueid, callerid=client).splitlines()
    fields.update(line.split(": ", 1) for line in lines if line)  # type: ignore[misc]
    fields.update({f"fact_{name}": facts.get(name, "") for name, _ in FACTS[kind]})
    return b"".join(f"{name}={value}\0".encode() for name, value in fields.items()) + b"\0"


def say(socket_file: Path, data: bytes) -> dict[str, str]:
    """Hand a frame over and answer until the service is done; returns the variables that it set.

    :raises AssertionError: where it went away before.
    """
    variables: dict[str, str] = {}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(WAIT_SECONDS)
        connection.connect(str(socket_file))
        connection.sendall(data)
        line = b""
        for line in connection.makefile("rb"):
            if line.startswith(b"agi SET VARIABLE "):
                name, value = line.decode().split(" ", 4)[3:]
                variables[name.lstrip("_")] = value.strip().strip('"')
            if line.startswith(b"agi "):
                connection.sendall(b"200 result=1\n")
    assert line == b"done\n", line
    return variables


def call(run_folder: Path, number: int, first: int = 1790000000) -> None:
    """One whole call: its register, which must succeed, and its finish."""
    uniqueid, client = f"{first + number}.{number}", client_of(number)
    said = say(run_folder / "agi.sock", frame("register", uniqueid, client, {"linkedid": uniqueid}))
    assert said["BX24_STATUS"] == "REGISTERED", said
    facts = {"linkedid": uniqueid, "status": "REGISTERED", "call_id": said["BX24_CALL_ID"], **ANSWERED}
    say(run_folder / "agi.sock", frame("finish", uniqueid, client, facts))
