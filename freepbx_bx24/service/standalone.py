"""Answers one frame without the service: in a child of the AGI script, which imports the rest only then."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Callable, Iterator

from ..bitrix24.client import Client, Urgency
from ..bitrix24.directory import Directory
from ..bitrix24.portal import open_portal
from ..call import Entity, Registration
from ..errors import GIVE_UP, Bx24Error, ChannelError, ConfigurationError, PortalError
from ..journal import records
from ..journal.intake_folder import intake_files
from ..journal.records import Entry, Registered
from ..log import log_to_file
from ..outcome import decide_outcome
from ..pbx import frame as frames
from ..pbx.agi import Conversation, conversation_over, harmless
from ..policy import Skip
from ..settings import Settings, load
from . import clients, directory_file, outputs, portal_calls
from .note import FRAME, RESULT, Note
from .outputs import NOBODY, About
from .people import candidates, decided, resolved
from .rebuilt import rebuilt_registration
from .surroundings import request_seconds
from .wishes import about, wishes

LOG = logging.getLogger("bx24.standalone")


def _result(entry: Entry) -> str:
    """What became of a frame until now, as the intake reads it."""
    return json.dumps(
        {
            "registration": records.registration_to_text(entry.registration),
            "registered": records.registered_to_text(entry.registered) if entry.registered else None,
            "outcome": records.outcome_to_text(entry.outcome) if entry.outcome else None,
            "finished": entry.finished,
            "ending": records.ending_to_text(entry.ending) if entry.ending else None,
        },
        ensure_ascii=False,
    )


def _keep(keep: Callable[[str], None], entry: Entry) -> None:
    """Write down what became of a call, by one of the note's ways."""
    try:
        keep(_result(entry))
    except OSError as error:
        LOG.warning("%s: the result can't be written down: %s", entry.uniqueid, error.strerror)


def _state(frame: frames.Frame) -> Path:
    """The state folder, as the guard knows it."""
    return Path(frame.fields.get("state") or "/var/lib/freepbx-bx24")


def _forget(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        LOG.debug("%s stays", path.name)  # a read-only disk has nothing to forget


def answer(data: bytes, descriptor: int, note: Note) -> None:
    """Answer the frame over the socket as the service would, and end; what fails is one line of the log.

    :param note: the frame in the intake folder, which keeps every service off this call.
    """
    with socket.socket(fileno=descriptor) as connection:
        connection.settimeout(10)
        try:
            frame = frames.parse(data)
            log_to_file(frame.fields.get("log", ""))
            if note.problem:
                LOG.warning("%s: %s can't be written down for later: %s", frame.uniqueid, frame.kind, note.problem)
            with conversation_over(connection, frame.fresh) as conversation:
                HANDLERS[frame.kind](frame, note, conversation)
        except OSError:
            pass  # the guard has left at its deadline; what had to be kept is written down
        except Exception as error:
            LOG.exception("this call could not be handled: %s", error)
            raise


def _register(frame: frames.Frame, note: Note, conversation: Conversation) -> None:
    try:
        settings = load()
        client, directory = _portal(settings, frame)
    except ConfigurationError as error:
        LOG.error("%s: register: the configuration can't be used: %s", frame.uniqueid, error)
        outputs.tell(conversation, outputs.FAILED, "the configuration can't be used: run bx24 check")
        return
    beginning = frames.beginning(frame)
    decision = decided(settings.rules, directory, beginning)
    if isinstance(decision, Skip):
        note.drop()
        outputs.tell(conversation, outputs.SKIPPED, decision.why)
        return
    ask = portal_calls.asking(client, Urgency.REGISTER)
    wanted, known, number = wishes(settings.rules, beginning), clients.Clients(), decision.number
    search = clients.begin(known, wanted, ask, number)
    made: set[Entity] = set()
    try:
        noting = portal_calls.noting_made(ask, made)
        registered = portal_calls.register(noting, directory, resolved(decision, directory), request_seconds())
    except PortalError as error:
        LOG.warning("%s: register failed: %s", frame.uniqueid, error)
        status = outputs.FAILED if error.remedy == GIVE_UP else outputs.PENDING
        _tell(conversation, status, harmless(error.message), None)
        return
    LOG.info("%s: registered as %s without the service", frame.uniqueid, registered.call_id)
    _keep(note.result, Entry(decision, registered))
    clients.wait(known, wanted, search, number, frame.deadline - time.monotonic())
    client_is = about(known.known(number), wanted, settings.rules, directory, made)
    _tell(conversation, outputs.REGISTERED, "", registered, client_is)


def _tell(
    conversation: Conversation, status: str, reason: str, registered: Registered | None, about: About = NOBODY
) -> None:
    try:
        outputs.tell(conversation, status, reason, registered, about)
    except ChannelError as error:
        LOG.info("%s", error)


def _finish(frame: frames.Frame, note: Note, conversation: Conversation) -> None:
    try:
        settings = load()
        with _kept_by_register(frame) as kept:
            client, directory = _portal(settings, frame)
            entry = _what_register_left(settings, directory, frame, kept)
            if entry is None:
                note.drop()
                return
            ending = frames.ending(frame)
            outcome = decide_outcome(settings.rules, entry.registration, ending)
            ask = portal_calls.asking(client, Urgency.FINISH)
            registered = entry.registered
            if registered is None:
                registered = portal_calls.register(
                    ask, directory, replace(entry.registration, show=False), request_seconds()
                )
                # Before the finish: whoever comes after us would register a finished call as a new one (telephony 6.4).
                _keep(note.so_far, Entry(entry.registration, registered))
            elif not registered.user_id:  # a service that died has registered it: it had named the first, as we would
                shown_to = candidates(entry.registration.people, directory)[0][0]
                registered = replace(registered, user_id=shown_to)
            finished = portal_calls.finish_and_settle(ask, directory, registered, outcome, request_seconds())
            _keep(note.result, Entry(entry.registration, registered, outcome, finished, ending=ending))
            if kept and kept.suffix == FRAME and (finished or note.kept):
                _forget(kept)  # before its lock goes: the service would register it once more
    except Bx24Error as error:
        LOG.warning("%s: finish is left to the service: %s", frame.uniqueid, error)
        return
    LOG.info("%s: finished without the service: %s, %d s", frame.uniqueid, outcome.status_code, outcome.talk_seconds)


@contextmanager
def _kept_by_register(frame: frames.Frame) -> Iterator[Path | None]:
    """The file that register left, locked: the service leaves this call to us meanwhile. None: it left no file.

    Waited for is the script that may still be at it: two registers at once could make two calls.
    """
    wanted = f"-{frames.REGISTER}-{frame.uniqueid}"
    gone: set[Path] = set()
    while True:
        files = intake_files(_state(frame) / "intake")
        path = next(
            (one for one in files if one.suffix in (FRAME, RESULT) and one.stem.endswith(wanted) and one not in gone),
            None,
        )
        if path is None:
            yield None
            return
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            gone.add(path)
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                yield path
                return
            gone.add(path)  # taken in, or replaced by the result
        finally:
            os.close(descriptor)


def _what_register_left(
    settings: Settings, directory: Directory, frame: frames.Frame, kept: Path | None
) -> Entry | None:
    """The call as register left it: its result or its frame, else what finish knows; None: it is left out."""
    try:
        if kept and kept.suffix == RESULT:
            result = json.loads(kept.read_bytes())
            return Entry(
                records.registration_from_text(result["registration"]),
                records.registered_from_text(result["registered"]),
            )
        if kept:
            decision = decided(settings.rules, directory, frames.beginning(frames.parse(kept.read_bytes())))
            return Entry(decision) if isinstance(decision, Registration) else None
    except (OSError, ValueError, KeyError, TypeError, ChannelError) as error:
        LOG.warning("%s can't be used: %s", kept and kept.name, error)
    rebuilt = rebuilt_registration(settings.rules, directory, frame)
    if isinstance(rebuilt, Skip):
        return None
    call_id = frame.fact("call_id")
    return Entry(rebuilt, Registered(call_id) if call_id else None)


def _portal(settings: Settings, frame: frames.Frame) -> tuple[Client, Directory]:
    """A client, and the employees as the service last read them; without that list the portal is asked by extension."""
    client, directory = (
        open_portal(settings.portal, _state(frame)),
        directory_file.read(_state(frame)),
    )
    directory.belong_to(client.origin)
    return client, directory


HANDLERS = {frames.REGISTER: _register, frames.FINISH: _finish}
