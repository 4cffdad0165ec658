"""What is owed of a call's recording once its end is known: an item of the journal, or a word why there is none."""

from __future__ import annotations

import json

from ..call import Outcome, View
from ..journal.records import ATTACH, Entry
from ..journal.store import Journal
from ..policy import Rules
from ..recording import MOST_FILES, Unwanted, Wanted, decide_recording

RECORDING = "recording"  # the line of a call's story


def owe(journal: Journal, rules: Rules, entry: Entry, outcome: Outcome, view: View, due: float) -> None:
    """Owe the portal the recording of a call that has ended, where the policy says so, in the write of its end.

    It can go when the portal has the call's finish.
    """
    decision = decide_recording(rules, entry.registration, entry.ending, outcome, view)
    if isinstance(decision, Unwanted):
        if decision.why:
            journal.tell_soon(entry.uniqueid, RECORDING, f"none is sent: {decision.why}")
        return
    journal.owe(entry.uniqueid, ATTACH, to_text(decision), due)


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
