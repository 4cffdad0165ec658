"""What is owed of a call's recording once its end is known: an item of the journal, or a word why there is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..call import Outcome
from ..journal.records import ATTACH, Entry
from ..journal.store import Journal
from ..recording import MOST_FILES, Decision, Wanted, decide_recording
from . import legs_text, people

if TYPE_CHECKING:
    from .runtime import Runtime

RECORDING = "recording"  # the line of a call's story


def decide(runtime: Runtime, entry: Entry, outcome: Outcome, legs: str) -> Decision:
    """Whether the CRM gets the recording of a call with that end. :param legs: as the journal keeps them."""
    rules = runtime.settings.rules
    view = people.named(legs_text.read(legs), rules, runtime.directory)
    return decide_recording(rules, entry.registration, entry.ending, outcome, view)


def owe(journal: Journal, uniqueid: str, decision: Decision, due: float) -> None:
    """Owe the portal a recording, or tell why not, in the write of the call's end. It goes after the call's finish."""
    if isinstance(decision, Wanted):
        journal.owe(uniqueid, ATTACH, to_text(decision), due)
    elif decision.why:
        journal.tell_soon(uniqueid, RECORDING, f"none is sent: {decision.why}")


def to_text(wanted: Wanted) -> str:
    """What an item's payload says: the names of the files, and whether they are a voicemail message."""
    return json.dumps({"files": wanted.files, "message": wanted.message}, ensure_ascii=False)


def read(payload: str) -> Wanted | None:
    """What an item asks for; None where its payload makes no sense."""
    try:
        data = json.loads(payload)
        files = data["files"][:MOST_FILES]
        if not all(isinstance(name, str) and name for name in files) or not files:
            return None
        return Wanted(tuple(files), data["message"] is True)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
