"""Which message in a mailbox is a call's: Asterisk numbers messages anew when one is deleted or moved."""

from __future__ import annotations

import os
import re
import stat
from itertools import islice
from pathlib import Path
from typing import Sequence

from .recordings import SIGNIFICANT_DIGITS

MOST_MESSAGES = 1000  # of a mailbox; Asterisk's own default is 100 a folder
LARGEST_TEXT = 16_384  # bytes that app_voicemail writes of a message are some 400
EARLIER_SECONDS, LATER_SECONDS = 2.0, 5.0  # than the call; both clocks are this machine's

_TIME = re.compile(r"^origtime=(\d{1,12})\s*$", re.MULTILINE)
_CALLER = re.compile(r"^callerid=(.*)$", re.MULTILINE)


def of_call(name: str, number: str, since: float, until: float, folders: Sequence[Path]) -> str:
    """The name, without its ending, that a call's message has now; empty where it is in its mailbox no more.

    app_voicemail writes beside each message who left it and when (msgNNNN.txt): the channel's own word for the file,
    VM_MESSAGEFILE, may be another's by the time that it is read.

    :param name: VM_MESSAGEFILE: not trusted. :param number: the client's; where none is told the time decides.
    :param since, until: of the call, wall clock seconds. :param folders: nothing outside is looked at.
    """
    named = Path(name)
    for text in (Path(f"{name}.txt"), *_others(named, folders)):
        if _is_of(text, number, since - EARLIER_SECONDS, until + LATER_SECONDS, folders):
            return str(text.with_suffix(""))
    return ""


def _others(named: Path, folders: Sequence[Path]) -> list[Path]:
    """What tells of all messages of the mailbox, of its own folder first: a message that was heard is in another."""
    mailbox = named.parent.parent
    if not _below(mailbox, folders):
        return []
    found = islice(mailbox.glob("*/msg[0-9]*.txt"), MOST_MESSAGES)
    return sorted(found, key=lambda text: (text.parent != named.parent, text))


def _below(path: Path, folders: Sequence[Path]) -> bool:
    try:
        real = Path(os.path.realpath(path))
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False
    return any(Path(os.path.realpath(folder)) in real.parents for folder in folders)


def _is_of(text: Path, number: str, since: float, until: float, folders: Sequence[Path]) -> bool:
    try:
        if not _below(text, folders) or not stat.S_ISREG(text.lstat().st_mode):
            return False
        with text.open(encoding="utf-8", errors="replace") as file:
            said = file.read(LARGEST_TEXT)
    except (OSError, ValueError):
        return False
    left = _TIME.search(said)
    if left is None or not since <= int(left[1]) <= until:
        return False
    caller = _CALLER.search(said)
    told = caller[1].rpartition("<")[2] if caller else ""
    ours, theirs = (re.sub(r"\D", "", one)[-SIGNIFICANT_DIGITS:] for one in (number, told))
    return ours == theirs or min(len(ours), len(theirs)) < SIGNIFICANT_DIGITS
