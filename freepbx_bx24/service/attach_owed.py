"""What is owed of a call's recording once its end is known: an item of the journal, or a word why there is none."""

from __future__ import annotations

import json

from ..journal.records import ATTACH
from ..journal.store import Journal
from ..recording import MOST_FILES, Decision, Wanted

RECORDING = "recording"  # the line of a call's story


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
