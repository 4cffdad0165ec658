"""Answers one frame without the service: in a child of the AGI script, which imports the rest only then."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import time
from dataclasses import replace
from pathlib import Path

from ..bitrix24.client import Client, Urgency
from ..bitrix24.directory import Directory
from ..bitrix24.portal import open_portal
from ..call import Registration
from ..errors import GIVE_UP, Bx24Error, ChannelError, ConfigurationError, PortalError
from ..journal import records
from ..journal.records import Entry, Registered
from ..journal.store import intake_files
from ..log import log_to_file
from ..pbx import frame as frames
from ..pbx.agi import Conversation, conversation_over, harmless
from ..policy import Skip, decide_outcome, decide_registration
from ..settings import Settings, load
from . import directory_file, outputs, portal_calls
from .finish import rebuilt_registration
from .intake import FRAME, RESULT
from .people import resolved
from .runtime import request_seconds

LOG = logging.getLogger("bx24.standalone")


class Note:
    """An intake file of ours, locked while we work on it: the service leaves it alone until we are through or dead.

    A state folder that can't be written is said once; the call goes on without the note.
    """

    def __init__(self, frame: frames.Frame, data: bytes) -> None:
        folder = _state(frame) / "intake"
        name = f"{time.time_ns()}-{frame.kind}-{frame.uniqueid}"
        self.path = folder / (name + FRAME)
        self.descriptor = -1
        hidden = folder / ("." + name)
        try:
            self.descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            _write_all(self.descriptor, data)
            hidden.rename(self.path)
        except OSError as error:
            self.descriptor = -1
            LOG.warning("%s: %s can't be written down for later: %s", frame.uniqueid, frame.kind, error.strerror)
            _forget(hidden)

    def result(self, entry: Entry) -> None:
        """Replace the frame by what became of it."""
        if self.so_far(entry):
            self.drop()

    def so_far(self, entry: Entry) -> bool:
        """Write down beside the frame what became of it until now; False where that can't be."""
        if self.descriptor < 0:
            return False
        data = {
            "registration": records.registration_to_text(entry.registration),
            "registered": records.registered_to_text(entry.registered) if entry.registered else None,
            "outcome": records.outcome_to_text(entry.outcome) if entry.outcome else None,
            "finished": entry.finished,
        }
        path = self.path.with_suffix(RESULT)
        hidden = path.with_name("." + path.name)
        try:
            descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
            _write_all(descriptor, json.dumps(data, ensure_ascii=False).encode())
            os.close(descriptor)
            hidden.rename(path)
        except OSError as error:
            LOG.warning("%s: the result can't be written down: %s", entry.uniqueid, error.strerror)
            return False
        return True

    def drop(self) -> None:
        """The call is left out: nothing to keep."""
        _forget(self.path)


def _state(frame: frames.Frame) -> Path:
    """The state folder, as the guard knows it."""
    return Path(frame.fields.get("state") or "/var/lib/freepbx-bx24")


def _forget(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        LOG.debug("%s stays", path.name)  # a read-only disk has nothing to forget


def _write_all(descriptor: int, data: bytes) -> None:
    if os.write(descriptor, data) != len(data):
        raise OSError(28, "No space left on device")
    os.fsync(descriptor)


def answer(data: bytes, descriptor: int) -> None:
    """Answer the frame over the socket as the service would, and end; what fails is one line of the log."""
    with socket.socket(fileno=descriptor) as connection:
        connection.settimeout(10)
        try:
            frame = frames.parse(data)
            log_to_file(frame.fields.get("log", ""))
            with conversation_over(connection) as conversation:
                HANDLERS[frame.kind](frame, data, conversation)
            connection.sendall(b"done\n")
        except OSError:
            pass  # the guard has left at its deadline; what had to be kept is written down
        except Exception as error:
            LOG.exception("this call could not be handled: %s", error)
            raise


def _register(frame: frames.Frame, data: bytes, conversation: Conversation) -> None:
    note = Note(frame, data)
    try:
        settings = load()
        client, directory = _portal(settings, frame)
    except ConfigurationError as error:
        LOG.error("%s: register: the configuration can't be used: %s", frame.uniqueid, error)
        outputs.tell(conversation, outputs.FAILED, "the configuration can't be used: run bx24 check")
        return
    decision = decide_registration(settings.rules, frames.beginning(frame))
    if isinstance(decision, Skip):
        note.drop()
        outputs.tell(conversation, outputs.SKIPPED, decision.why)
        return
    try:
        ask = portal_calls.asking(client, Urgency.REGISTER)
        registered = portal_calls.register(ask, directory, resolved(decision, directory), request_seconds())
    except PortalError as error:
        LOG.warning("%s: register failed: %s", frame.uniqueid, error)
        status = outputs.FAILED if error.remedy == GIVE_UP else outputs.PENDING
        _tell(conversation, status, harmless(error.message), None)
        return
    LOG.info("%s: registered as %s without the service", frame.uniqueid, registered.call_id)
    note.result(Entry(decision, registered))
    _tell(conversation, outputs.REGISTERED, "", registered)


def _tell(conversation: Conversation, status: str, reason: str, registered: Registered | None) -> None:
    try:
        outputs.tell(conversation, status, reason, registered)
    except ChannelError as error:
        LOG.info("%s", error)


def _finish(frame: frames.Frame, data: bytes, conversation: Conversation) -> None:
    note = Note(frame, data)
    try:
        settings = load()
        entry = _what_register_left(settings, frame)
        if entry is None:
            note.drop()
            return
        outcome = decide_outcome(settings.rules, entry.registration, frames.ending(frame))
        client, directory = _portal(settings, frame)
        ask = portal_calls.asking(client, Urgency.FINISH)
        registered = entry.registered
        if registered is None:
            registered = portal_calls.register(
                ask, directory, replace(entry.registration, show=False), request_seconds()
            )
            # Before the finish: whoever comes after us would register a finished call as a new one (telephony 6.4).
            note.so_far(Entry(entry.registration, registered))
        finished = portal_calls.finish_and_settle(ask, directory, registered, outcome, request_seconds())
    except Bx24Error as error:
        LOG.warning("%s: finish is left to the service: %s", frame.uniqueid, error)
        return
    LOG.info("%s: finished without the service: %s, %d s", frame.uniqueid, outcome.status_code, outcome.talk_seconds)
    note.result(Entry(entry.registration, registered, outcome, finished))


def _what_register_left(settings: Settings, frame: frames.Frame) -> Entry | None:
    """The call as register left it: its result, else its frame, else what finish knows; None: it is left out."""
    for path in intake_files(_state(frame) / "intake"):
        if not path.stem.endswith(f"-{frames.REGISTER}-{frame.uniqueid}"):
            continue
        try:
            if path.suffix == FRAME:
                _wait_for_its_maker(path)
            result_path = path.with_suffix(RESULT)
            if result_path.exists():
                result = json.loads(result_path.read_bytes())
                return Entry(
                    records.registration_from_text(result["registration"]),
                    records.registered_from_text(result["registered"]),
                )
            decision = decide_registration(settings.rules, frames.beginning(frames.parse(path.read_bytes())))
            return Entry(decision) if isinstance(decision, Registration) else None
        except (OSError, ValueError, KeyError, TypeError, ChannelError) as error:
            LOG.warning("%s can't be used: %s", path.name, error)
    rebuilt = rebuilt_registration(settings.rules, frame)
    if isinstance(rebuilt, Skip):
        return None
    call_id = frame.fact("call_id")
    return Entry(rebuilt, Registered(call_id) if call_id else None)


def _wait_for_its_maker(path: Path) -> None:
    """Until the script that registers this call is through or dead: two registers at once could make two calls."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.close(descriptor)


def _portal(settings: Settings, frame: frames.Frame) -> tuple[Client, Directory]:
    """A client, and the employees as the service last read them; without that list the portal is asked by extension."""
    client, directory = (
        open_portal(settings.portal, _state(frame)),
        directory_file.read(_state(frame)),
    )
    directory.belong_to(client.origin)
    return client, directory


HANDLERS = {frames.REGISTER: _register, frames.FINISH: _finish}
