"""`bx24 check`: looks at everything that must be right, and says what is wrong and the line to type."""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Iterator, Sequence

from ..bitrix24 import event_checks
from ..bitrix24.directory import Directory
from ..bitrix24.portal import open_portal
from ..call import Person
from ..errors import Bx24Error, ConfigurationError, PortalError
from ..pbx.ami_probe import attempts
from ..pbx.console import console
from ..pbx.encoding import encoder
from ..service.recording_file import folders as recording_folders
from ..service.server import PING
from ..service.surroundings import run_directory, state_directory
from ..settings import Settings, load
from .user import become_service_user

PORTAL_SECONDS = 15.0
LINES_SHOWN = 10
LISTED_LINES = "the service adds each once, soon after its start or a reload, and its log says where the portal refuses"
OTHER_LINES = "the portal makes it with its first call"
INCLUDE = r"Include =>\s+'([^']+)'"
HOOKS = {  # what `dialplan show CONTEXT` must contain for calls to reach us
    "bx24-in": "bx24_register.py",
    "bx24-out": "bx24_register.py",
    "bx24-hangup": "bx24_finish.py",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `hint` says what to type where it is not right."""

    what: str
    right: bool
    text: str
    hint: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(options: argparse.Namespace) -> int:
    """Look at everything; 0 where all is right, 1 where something is not."""
    become_service_user()
    findings = list(look())
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=2))
    else:
        for finding in findings:
            print(f"{'ok ' if finding.right else 'BAD'} {finding.what}: {finding.text}")
            if not finding.right and finding.hint:
                print(f"    -> {finding.hint}")
    return 0 if all(finding.right for finding in findings) else 1


def look() -> Iterator[Finding]:
    """Every check in turn. Without a usable configuration the portal can't be asked."""
    settings: Settings | None = None
    try:
        settings = load()
    except ConfigurationError as error:
        for problem in error.problems:
            yield Finding("configuration", False, problem, error.hint)
    else:
        yield Finding("configuration", True, f"{settings.path} is right")
        yield from portal(settings)
    yield from hooks()
    if settings:
        yield from manager(settings.manager_file)
        if settings.dials:
            yield from dialling(settings.clicks_file)
        yield from recordings(settings)
    yield from service()


def recordings(settings: Settings) -> Iterator[Finding]:
    """What makes mp3s of recordings is there, and the service's user may read the folders they lie in."""
    if settings.rules.recordings.format == "mp3":
        found = encoder()  # without one recordings go all the same, four times as large: no fault, but good to know
        none = "nothing here makes mp3s, so they are sent as wav: `apt-get install ffmpeg`"
        yield Finding("recordings", True, f"mp3s are made by {found}" if found else none)
    for folder in recording_folders(settings):
        right = os.access(folder, os.R_OK | os.X_OK)
        why = "can be read" if right else "can't be read" if folder.exists() else "is not there"
        missing = not folder.exists() and not settings.rules.recordings.folders  # nobody has recorded anything yet
        text = f"{folder} {why}" + (" yet" if missing else "")
        yield Finding(
            "recordings", right or missing, text, "Let the service's user read it, or correct recordings.folders."
        )


def portal(settings: Settings) -> Iterator[Finding]:
    """The portal answers, lets us use telephony, and knows everybody whom the configuration names."""
    rules = settings.rules
    try:
        client = open_portal(settings.portal, state_directory())
        directory = Directory()
        directory.load_lines(client, total_seconds=PORTAL_SECONDS)  # the same right that register needs
        yield Finding("portal", True, f"{client.origin} answers and allows telephony")
        count = directory.load(client, total_seconds=PORTAL_SECONDS, country=rules.country, area_code=rules.area_code)
        yield Finding("employees", True, f"{count} active in the portal")
    except (ConfigurationError, PortalError) as error:
        yield Finding("portal", False, error.message, error.hint)
        return
    yield from (Finding("events", *one) for one in event_checks.looks(settings, client, PORTAL_SECONDS))
    yield from extensions(directory)
    yield from people(settings, directory)
    yield from lines(settings, directory)


def extensions(directory: Directory) -> Iterator[Finding]:
    """Nobody shares an extension: whose calls are whose would be left to chance."""
    for extension, ids in sorted(directory.duplicates().items()):
        everybody = " and ".join(f"user:{user_id}" for user_id in ids)
        yield Finding(
            "employees",
            False,
            f"{everybody} have the same internal number {extension}: calls of {extension} go to user:{ids[0]}",
            "Leave the number to one of them in Bitrix24, or name the person under people in the configuration.",
        )


def people(settings: Settings, directory: Directory) -> Iterator[Finding]:
    """Everybody whom the configuration names is somebody active in the portal."""
    rules = settings.rules
    named: dict[Person, str] = {rules.default_person: "default_person"}
    for line in rules.lines:
        if line.person:
            named.setdefault(line.person, f"line {line.number}")
    for device, person in rules.people.items():
        named.setdefault(person, f"people {device}")
    for person, where in named.items():
        right = bool(directory.user_id(person))
        yield Finding(
            "person",
            right,
            f"{person} ({where}) {'is known' if right else 'is nobody active'} in the portal",
            f"Give an employee of the portal the internal number {person}, or name another one in {settings.path}.",
        )


def lines(settings: Settings, directory: Directory) -> Iterator[Finding]:
    """The lines of the configuration that the portal has. Missing ones are made: no fault, but good to know.

    A mistyped number would otherwise be noticed only as a new line in the portal.
    """
    rules = settings.rules
    listed = dict.fromkeys(line.number for line in rules.lines)
    wanted = {**listed, rules.default_line: None} if rules.default_line else listed
    missing = [number for number in wanted if number not in directory.lines]
    texts = [f"the portal has all {len(wanted)} of the configuration"]
    if missing:
        made = (
            (LISTED_LINES, [number for number in missing if number in listed]),
            (OTHER_LINES, [number for number in missing if number not in listed]),
        )
        texts = [f"not in the portal yet; {how}: {_shown(numbers)}" for how, numbers in made if numbers]
    if wanted:
        for text in texts:
            yield Finding("lines", True, text)


def _shown(numbers: Sequence[str]) -> str:
    return ", ".join(numbers[:LINES_SHOWN]) + (", ..." if len(numbers) > LINES_SHOWN else "")


def hooks() -> Iterator[Finding]:
    """Asterisk has loaded our part of the dialplan, and calls are not switched off."""
    for context, wanted in HOOKS.items():
        try:
            loaded = wanted in console(f"dialplan show {context}")
            hint = "Run ./install.sh again, or `asterisk -rx 'dialplan reload'`."
            yield Finding("dialplan", loaded, f"{context} is {'loaded' if loaded else 'not loaded'}", hint)
        except Bx24Error as error:
            yield Finding("dialplan", False, error.message, error.hint)
            return
    try:
        yield from inbound_hook()
        off = "Value: 1" in console("database get bx24 off")
        yield Finding("switch", not off, "calls are left alone" if off else "calls are registered", "bx24 on")
    except Bx24Error as error:
        yield Finding("dialplan", False, error.message, error.hint)


def inbound_hook() -> Iterator[Finding]:
    """FreePBX: [from-pstn] runs through us, and our mirror of it still leads where it leads itself."""
    shown = console("dialplan show from-pstn")
    if "Include =>" not in shown:  # a plain Asterisk: the admin's own dialplan calls us
        return
    yield Finding(
        "dialplan",
        "bx24-pstn" in shown,
        f"inbound calls {'pass' if 'bx24-pstn' in shown else 'do not pass'} our hook in [from-pstn]",
        "Run ./install.sh again.",
    )
    ours, theirs = (re.findall(INCLUDE, text) for text in (console("dialplan show bx24-pstn"), shown))
    yield Finding(
        "dialplan",
        ours == theirs,
        f"[bx24-pstn] {'leads' if ours == theirs else 'does not lead'} where [from-pstn] leads",
        "FreePBX or you have changed [from-pstn]: run ./install.sh again.",
    )


def manager(path: Path) -> Iterator[Finding]:
    """The user of the manager interface is there, logs in, and may see calls."""
    for one in attempts(path):
        yield Finding("manager interface", one.right, one.text, one.hint)


def dialling(path: Path) -> Iterator[Finding]:
    """Clicks or callbacks are on: the user who may dial is there, and logs in."""
    for one in attempts(path, dials=True):
        yield Finding("clicks and callbacks", one.right, one.text, one.hint)


def service(path: Path | None = None) -> Iterator[Finding]:
    """The service answers on its socket."""
    path = path or run_directory() / "agi.sock"
    hint = "systemctl restart freepbx-bx24   (where there is no systemd: bx24 serve --supervised)"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            connection.connect(str(path))
            connection.sendall(PING)
            answered = connection.makefile("rb").read() == b"taken\ndone\n"
        yield Finding("service", answered, "answers" if answered else "gives no sense", hint)
    except OSError as error:
        yield Finding("service", False, f"{path}: {error.strerror or error}", hint)
