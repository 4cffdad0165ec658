"""Whether this machine lets the service work: the service itself, its folders, disk, log, backlog, recordings."""

from __future__ import annotations

import os
import shutil
import socket
import time
from datetime import timedelta
from pathlib import Path
from typing import Iterator

from ..errors import JournalError
from ..journal.reading import read_only
from ..journal.records import DUE, PARKED
from ..pbx.encoding import encoder
from ..pbx.frame import PING
from ..pbx.recordings import folders_of
from .finding import Finding, failure, judged, ok, warning
from .machine import Machine

RESTART = "systemctl restart freepbx-bx24   (where there is no systemd: bx24 serve --supervised)"
PING_SECONDS = 2.0
LEAST_FREE = 100 * 1024 * 1024  # bytes; below it a journal that has to grow may not
OLDEST_OWED = 900.0  # seconds; what is owed for longer did not just have to wait for its turn


def service(machine: Machine) -> Iterator[Finding]:
    """The service answers on its socket."""
    path = machine.run / "agi.sock"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PING_SECONDS)
            connection.connect(str(path))
            connection.sendall(PING)
            answered = connection.makefile("rb").read() == b"taken\ndone\n"
        yield judged(answered, "service", "answers" if answered else "gives no sense", RESTART)
    except OSError as error:
        yield failure("service", f"{path}: {error.strerror or error}", RESTART)


def state(machine: Machine) -> Iterator[Finding]:
    """The service's folder can be written, and its disk has room."""
    folder = machine.state
    if not folder.is_dir():
        yield failure("state folder", f"there is no {folder}", "Run ./install.sh again.")
        return
    for place in (folder, folder / "intake", folder / "journal.sqlite"):
        if place.exists() and not os.access(place, os.W_OK):
            yield failure("state folder", f"{place} can't be written", f"chown -R asterisk:asterisk {folder}")
            return
    yield from room(folder, shutil.disk_usage(folder).free)


def room(folder: Path, free: int) -> Iterator[Finding]:
    """Whether the disk has room. :param free: bytes."""
    said = f"{free // 1024 // 1024} MB free for {folder}"
    if free < LEAST_FREE:
        yield failure("disk", said, f"Make room: df -h {folder}; du -xh --max-depth=2 / | sort -h | tail")
    else:
        yield ok("disk", said)


def log(machine: Machine) -> Iterator[Finding]:
    """The log can be written."""
    place = machine.log if machine.log.exists() else machine.log.parent
    right = os.access(place, os.W_OK)
    hint = f"chown asterisk:asterisk {place}"
    yield judged(right, "log", f"{machine.log} {'can be' if right else 'can not be'} written", hint)


def backlog(machine: Machine) -> Iterator[Finding]:
    """What the CRM is owed is young, and nothing waits for a person."""
    if not (machine.state / "journal.sqlite").exists():  # the service has never run, which is said where it is
        return
    try:
        with read_only(machine.state) as journal:
            counts, owed = journal.count_owed(), journal.outbox((DUE,))
    except JournalError as error:
        yield failure("backlog", error.message, error.hint)
        return
    yield from owing(counts, time.time() - min((one.since for one in owed), default=time.time()))


def owing(counts: dict[str, int], oldest_seconds: float) -> Iterator[Finding]:
    """What the CRM is owed. :param counts: items by state. :param oldest_seconds: for how long the first is owed."""
    parked, waiting = counts.get(PARKED, 0), counts.get(DUE, 0)  # what is held back is so by somebody's wish
    if parked:
        yield warning("backlog", f"{parked} items wait for a person: the portal refused them too often", _OUTBOX)
    elif waiting and oldest_seconds > OLDEST_OWED:
        age = timedelta(seconds=round(oldest_seconds))
        yield warning("backlog", f"{waiting} items are owed to the CRM, the oldest for {age}", _OUTBOX)
    else:
        yield ok("backlog", f"{waiting} items are owed to the CRM")


_OUTBOX = "bx24 outbox list   (then: bx24 outbox retry --all-parked, or drop ID)"


def recordings(machine: Machine) -> Iterator[Finding]:
    """What makes mp3s of recordings is there, and the service's user may read the folders they lie in."""
    settings = machine.settings
    assert settings
    rules = settings.rules.recordings
    if rules.format == "mp3":
        found = encoder()  # without one recordings go all the same, four times as large
        if found:
            yield ok("encoder", f"mp3s are made by {found}")
        else:
            text = "nothing here makes mp3s, so recordings are sent as wav, four times as large"
            yield warning("encoder", text, "apt-get install ffmpeg   (or lame)")
    for folder in folders_of(rules.folders, settings.manager_file.with_name("asterisk.conf")):
        right = os.access(folder, os.R_OK | os.X_OK)
        missing = not folder.exists() and not rules.folders  # nobody has recorded anything yet
        why = "can be read" if right else "can't be read" if folder.exists() else "is not there"
        hint = f"Let the service's user read {folder}, or correct recordings.folders in {settings.path}."
        yield judged(right or missing, "recordings", f"{folder} {why}{' yet' if missing else ''}", hint)
