"""Whether the CRM gets a call's recording, and which one: pure decisions over plain data, no I/O and no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from . import numbers
from .call import ALWAYS, INBOUND, NEVER, Ending, Outcome, Registration, View
from .outcome import ANSWERED, who_answered
from .policy import Rules

MOST_FILES = 20  # of one call; more are no call's recordings
LONGEST_NAME = 1000  # characters of a path
# BX24_RECORDING: the client has not agreed to be recorded.
_NO = frozenset({"no", "0", "off", "false"})
_LEFT = "SUCCESS"  # VMSTATUS of a message that was kept


@dataclass(frozen=True)
class Wanted:
    """A recording that the CRM is to get.

    :ivar files: its names as the channel said them, in order: not trusted. :ivar message: it is a voicemail message.
    """

    files: tuple[str, ...]
    message: bool = False


@dataclass(frozen=True)
class Unwanted:
    """The CRM gets no recording of this call; `why` is for the call's story, empty where nobody needs to be told."""

    why: str


Decision = Union[Wanted, Unwanted]


def decide_recording(
    rules: Rules,
    registration: Registration,
    ending: Ending | None,
    outcome: Outcome,
    view: View | None = None,
) -> Decision:
    """Whether a call's recording goes to the CRM.

    A word of the dialplan counts as the hangup handler saw it: nothing that is said later can be heard of.

    :param view: what Asterisk showed of the call: who talked.
    """
    refused = why_not(rules, registration, ending, outcome, view)
    if refused:
        return Unwanted(refused)
    if outcome.status_code == ANSWERED:
        return _named(ending.files if ending else ())
    if rules.recordings.voicemail and ending and ending.voicemail == _LEFT and ending.voicemail_file:
        return _named((ending.voicemail_file,), message=True)
    if registration.recordings == ALWAYS:
        return _named(ending.files if ending else ())
    return Unwanted("")


def why_not(
    rules: Rules, registration: Registration, ending: Ending | None, outcome: Outcome, view: View | None = None
) -> str:
    """Why no recording of a call may be sent, whatever there is; empty where one may. Asked again before each try."""
    if registration.recordings == NEVER:
        return "recordings of this line never go to the CRM"
    if ending and ending.recording.strip().lower() in _NO:
        return "BX24_RECORDING says no"
    if outcome.status_code != ANSWERED:
        return ""
    least = rules.recordings.min_seconds
    if outcome.talk_seconds < least:
        return f"the talk was shorter than {least} s"
    for name in who_talked(registration, ending, view):
        for pattern in rules.recordings.skip_extensions:
            if numbers.matches(pattern, name, rules.country, rules.area_code):
                return f"{name} talked, whose talks are never sent"
    return ""


def who_talked(registration: Registration, ending: Ending | None, view: View | None) -> tuple[str, ...]:
    """The extensions of ours who talked with the client, by every name that they have."""
    names: list[str] = []
    for leg in view.legs if view else ():
        if leg.talks and not leg.client:
            names += [leg.user, leg.device, leg.person.extension if leg.person else ""]
    if registration.direction == INBOUND:
        names += [who_answered(ending)[0]] if ending else []
    else:
        names += [person.extension for person in registration.people[:1]]
    return tuple(dict.fromkeys(filter(None, names)))


def _named(files: tuple[str, ...], message: bool = False) -> Decision:
    names = tuple(dict.fromkeys(name for name in files if 0 < len(name) <= LONGEST_NAME))[:MOST_FILES]
    return Wanted(names, message) if names else Unwanted("")
