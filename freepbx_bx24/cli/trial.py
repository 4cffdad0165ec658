"""`bx24 test-call`: one call that nobody makes, told to the CRM step by step. Exit code 1: a step did not go."""

from __future__ import annotations

import argparse
import io
import math
import re
import struct
import time
import wave
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable, Iterator

from ..bitrix24 import attachment, telephony
from ..bitrix24.client import Client, Urgency
from ..bitrix24.directory import Directory
from ..bitrix24.portal import open_portal
from ..call import INBOUND, NEVER, Outcome, Person, Registration
from ..errors import Bx24Error, ServiceError
from ..outcome import ANSWERED
from ..pbx.console import console
from ..policy import Rules, external_id, person_named
from ..service import directory_file
from ..service.surroundings import state_directory, time_scale
from ..settings import Settings, load
from . import words
from .user import become_service_user

STEP_SECONDS = 15.0
SHOWN_SECONDS = 3.0  # how long a card stays where nobody is rung
RING_SECONDS = 25.0  # how long a telephone may take to ring and to be answered
LOOK_SECONDS = 0.5
NUMBER = "+00000000000"  # nobody's: the CRM finds no client by it, and CRM_CREATE 0 makes none
TALK_SECONDS = 1
_EXTENSION = re.compile(r"[0-9]{1,10}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--person`, `--ring`, `--json`."""
    parser.add_argument("--person", default="", help="whose screen: an extension or user:ID; else default_person")
    parser.add_argument("--ring", type=extension, metavar="EXTENSION", help="ring this telephone meanwhile, really")
    parser.add_argument("--json", action="store_true", help="print the steps as JSON (docs/commands.md)")


def extension(text: str) -> str:
    """An extension's digits. :raises argparse.ArgumentTypeError: they are none."""
    if not _EXTENSION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{words.harmless(text[:40])!r} is no extension")
    return text


@dataclass
class Step:
    """One step. `seconds` is how long it took; `error` is empty where it went."""

    what: str
    seconds: float
    text: str = ""
    error: str = ""
    hint: str = ""


@dataclass
class Trial:
    """The call so far: each step uses what the steps before it have brought.

    :ivar pause: seconds for which a card stays where nobody is rung.
    """

    client: Client
    directory: Directory
    registration: Registration
    ring: str
    pause: float
    call_id: str = ""
    user_id: int = 0
    steps: list[Step] = field(default_factory=list)

    def ask(self, method: str, parameters: dict[str, Any]) -> Any:
        """One request; waits for room in the budget like everything else."""
        return self.client.call(method, parameters, total_seconds=STEP_SECONDS, urgency=Urgency.BACKLOG).result


def run(options: argparse.Namespace) -> int:
    """Make the call, and print each step as it is done."""
    become_service_user()
    settings = load()
    with open_portal(settings.portal, state_directory()) as client:
        directory = known(client, settings)
        person = chosen(settings.rules, directory, options.person or options.ring or "")
        call = Trial(
            client, directory, registration(settings.rules, person), options.ring or "", SHOWN_SECONDS * time_scale()
        )
        if not options.json:
            print(f"A call of nobody ({NUMBER}) for {person}; nothing is made in the CRM but the call itself.")
        for step in made(call):
            call.steps.append(step)
            if not options.json:
                print("\n".join(lines(step)), flush=True)
    right = not any(step.error for step in call.steps)
    if options.json:
        print(
            words.as_json({"call_id": call.call_id or None, "right": right, "steps": [vars(one) for one in call.steps]})
        )
    elif right:
        print("All steps went: calls reach the CRM.")
    return 0 if right else 1


def known(client: Client, settings: Settings) -> Directory:
    """Who is who: as the service knows it, else as the portal says now."""
    directory = directory_file.read(state_directory())
    directory.belong_to(client.origin)
    if not directory.loaded:
        rules = settings.rules
        directory.load(client, total_seconds=STEP_SECONDS, country=rules.country, area_code=rules.area_code)
    return directory


def chosen(rules: Rules, directory: Directory, text: str) -> Person:
    """Whose screen it is to be. :raises ServiceError: nobody in the portal."""
    person = person_named(rules, text) if text else rules.default_person
    if person is None or not directory.user_id(person):
        raise ServiceError(
            f"{words.harmless(text or str(person))} is nobody active in the portal",
            "See `bx24 users`, or say --person.",
        )
    return person


def registration(rules: Rules, person: Person) -> Registration:
    """What register is told: an inbound call of nobody, which makes no lead and opens no card by itself."""
    began = datetime.now().astimezone()
    uniqueid = f"test-{began.timestamp():.3f}"
    return Registration(
        uniqueid, uniqueid, external_id(rules, uniqueid), INBOUND, NUMBER, rules.default_line, (person,), began, False,
        "CALL", False, cards=NEVER,
    )  # fmt: skip


def made(call: Trial) -> Iterator[Step]:
    """Each step in turn. Without a register there is nothing to go on with; what it began is finished in any case."""
    registered = timed("register", lambda: _register(call))
    yield registered
    if registered.error:
        return
    try:
        yield from _shown(call)
    finally:  # Ctrl-C, too: no call is left open in the portal
        finished = timed("finish", lambda: _finish(call))
    yield finished
    if not finished.error:
        yield timed("attach", lambda: _attach(call))


def _shown(call: Trial) -> Iterator[Step]:
    """A card opens and closes, while a telephone rings where that is wanted."""
    if call.ring:
        yield timed("ring", lambda: _begin_to_ring(call.ring))
    yield timed("show", lambda: _card(call, telephony.SHOW, "the card is open"))
    if call.ring:
        yield timed("answer", lambda: _answered(call.ring))
    else:
        time.sleep(call.pause)
    yield timed("hide", lambda: _card(call, telephony.HIDE, "the card is closed"))


def timed(what: str, do: Callable[[], str]) -> Step:
    """Do a step: how long it took, and what came of it."""
    began = time.monotonic()
    try:
        return Step(what, text=do(), seconds=round(time.monotonic() - began, 3))
    except Bx24Error as error:
        return Step(what, error=error.message, hint=error.hint, seconds=round(time.monotonic() - began, 3))


def _register(call: Trial) -> str:
    call.user_id = call.directory.user_id(call.registration.people[0])
    parameters = telephony.register_parameters(call.registration, call.user_id, "")
    call.call_id = telephony.parse_registered(call.ask(telephony.REGISTER, parameters)).call_id
    return f"CALL_ID {call.call_id}"


def _card(call: Trial, method: str, said: str) -> str:
    call.ask(method, telephony.card_parameters(call.call_id, [call.user_id]))
    name = call.directory.name(call.user_id)
    return f"{said}: {name or f'user {call.user_id}'}"


def _finish(call: Trial) -> str:
    outcome = Outcome(call.registration.uniqueid, call.registration.people, TALK_SECONDS, ANSWERED, "bx24 test-call")
    call.ask(telephony.FINISH, telephony.finish_parameters(call.call_id, call.user_id, "", outcome))
    return f"told as answered, {TALK_SECONDS} s, with the reason `bx24 test-call`"


def _attach(call: Trial) -> str:
    one = call.registration
    attempt = attachment.new_attempt(1)
    name = attachment.file_name(one.started, INBOUND, one.people[0].extension, "test", one.uniqueid, attempt, "wav")
    answer = call.ask(attachment.METHOD, attachment.content_parameters(call.call_id, name, tone()))
    return f"a second of a tone is its recording: file {attachment.parse_attached(answer)}"


def _begin_to_ring(ring: str) -> str:
    channel = f"Local/{ring}@from-internal"
    if "=>" not in console("dialplan show from-internal") and "Include" not in console("dialplan show from-internal"):
        channel = f"PJSIP/{ring}"  # a plain Asterisk
    console(f"channel originate {channel} application Wait 5")
    return f"{channel} is dialled"


def _answered(ring: str) -> str:
    """Wait until the telephone was answered or has rung for its time. :raises ServiceError: it did not even ring."""
    ends, rang = time.monotonic() + RING_SECONDS, False
    while time.monotonic() < ends:
        states = re.findall(
            rf"^[A-Za-z0-9]+/{ring}-[^!]*!(?:[^!]*!){{3}}([^!]*)!", console("core show channels concise"), re.M
        )
        if "Up" in states:
            return f"{ring} was answered"
        if rang and not states:
            return f"{ring} rang and was not answered"
        rang = rang or "Ringing" in states
        time.sleep(LOOK_SECONDS)
    if not rang:
        raise ServiceError(f"{ring} does not ring", f"Look at  asterisk -rx 'pjsip show endpoint {ring}'")
    return f"{ring} rings"


def tone() -> bytes:
    """One second of a quiet tone, a wav."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        samples = (round(3000 * math.sin(place * 440 * 2 * math.pi / 8000)) for place in range(8000))
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return content.getvalue()


def lines(step: Step) -> list[str]:
    """A step for a person."""
    said = step.error or step.text
    mark = "BAD" if step.error else "ok "
    first = f"{mark} {step.what:<9}{step.seconds:6.2f} s  {words.harmless(said)}"
    return [first] + ([f"    -> {words.harmless(step.hint)}"] if step.error else [])
