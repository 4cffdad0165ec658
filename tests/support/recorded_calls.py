"""Calls that have ended and left a recording, as an AGI script without the service leaves them for the next one."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from freepbx_bx24.call import INBOUND, Ending, Outcome, Person, Registration
from freepbx_bx24.journal import records

from .running_service import RunningService

FOLDER = "monitor"
RATE = 8000


def wav(samples: int, length: int | None = None) -> bytes:
    """A mono WAV of 16 bits. :param length: what its header says of the data; None: the truth."""
    size = samples * 2
    said = size if length is None else length
    head = (
        b"RIFF" + struct.pack("<I", 36 + said) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, RATE * 2, 2, 16)
    )
    return head + b"data" + struct.pack("<I", said) + bytes(size)


def configure(service: RunningService, options: str = "", line: str = "") -> Path:
    """Write the YAML with a folder of recordings of the test's own; returns that folder."""
    folder = service.directory / FOLDER
    folder.mkdir(exist_ok=True)
    text = service.yaml.read_text()
    if line:
        text = text.replace("name: Sales,", f"name: Sales, {line},")
    own = f"recordings: {{folders: [{folder}], format: wav{', ' + options if options else ''}}}\n"
    service.yaml.write_text(text + own)
    return folder


def recording(folder: Path, name: str = "in-a.wav", content: bytes | None = None) -> Path:
    """A file as MixMonitor leaves it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wav(8000) if content is None else content)
    return path


def leave_call(
    service: RunningService, uniqueid: str, *files: Path | str, answered: bool = True, **ending: Any
) -> None:
    """Have a call that ended just now taken in: its register, its finish and its recording are owed then."""
    now = datetime.now().astimezone()
    started = now - timedelta(seconds=40)
    number = "+7916" + uniqueid.partition(".")[0][-7:]
    people = (Person("102"),)
    registration = Registration(
        uniqueid,
        uniqueid,
        f"pbx-test-{uniqueid}",
        INBOUND,
        number,
        "+74957770101",
        people,
        started,
        False,
        "CALL",
        False,
    )
    if "recordings" in ending:
        registration = replace(registration, recordings=ending.pop("recordings"))
    outcome = Outcome(uniqueid, people, 35 if answered else 0, "200" if answered else "304", "")
    said = Ending(uniqueid, INBOUND, now, "ANSWER" if answered else "NOANSWER", files=tuple(map(str, files)), **ending)
    text = json.dumps(
        {
            "registration": records.registration_to_text(registration),
            "registered": None,
            "outcome": records.outcome_to_text(outcome),
            "finished": False,
            "ending": records.ending_to_text(said),
        }
    )
    folder = service.directory / "state" / "intake"
    hidden = folder / f".{uniqueid}"
    hidden.write_text(text)
    hidden.rename(folder / f"{int(now.timestamp() * 1e9)}-finish-{uniqueid}.result")
