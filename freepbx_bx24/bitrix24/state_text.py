"""The request budget's state as the text that processes share, and back from a text that nobody can be sure of."""

from __future__ import annotations

import json
from typing import Any

from .limits import LONGEST_NAME, LONGEST_PAUSE, MOST_METHODS, Method, Plan, State, since_boot
from .operating import Operating

_VERSION = 1
_MOST_MINUTES = 16
_MOST_SECONDS = 1e5
_LONGEST_UPTIME = 1e10  # seconds


def to_text(state: State) -> str:
    """Return the state as one line."""
    methods = {
        name: [
            round(known.resume_at, 3),
            round(known.operating.reset_at, 3),
            round(known.operating.command, 4),
            int(known.operating.warned),
            [[minute, round(seconds, 3)] for minute, seconds in known.operating.used.items()],
        ]
        for name, known in state.methods.items()
    }
    numbers = [state.at, state.level, state.backlog, state.refusals, state.refused_at, state.probe_at, state.resume_at]
    return json.dumps([_VERSION, *numbers, methods], separators=(",", ":")) + "\n"


def from_text(text: str, plan: Plan, now: float) -> State | None:
    """Return the state that a text tells; None for one that is torn, foreign or hostile.

    Only what stands before the first line end counts: a shorter text may have been written over a longer one. One of a
    later moment than now is of before the last reboot, and becomes the state as it was then.
    """
    try:
        values = json.loads(text.partition("\n")[0])
        if not isinstance(values, list) or len(values) != 9 or values[0] != _VERSION:
            return None
        _, at, level, backlog, refusals, refused_at, probe_at, resume_at, methods = values
        at = _number(at, _LONGEST_UPTIME)
        earlier_boot = at > now + 1.0
        moment = max(now, at)
        latest = moment + LONGEST_PAUSE
        state = State(
            at=at,
            level=min(_number(level, 1e6), float(plan.burst)),
            backlog=min(_number(backlog, 1e6), float(plan.burst)),
            refusals=int(_number(refusals, 10.0)),
            refused_at=_number(refused_at, moment + 1.0),
            probe_at=_number(probe_at, latest),
            resume_at=_number(resume_at, latest),
            methods=_methods(methods, moment, latest),
        )
        return since_boot(state) if earlier_boot else state
    except (ValueError, TypeError, RecursionError):
        return None


def _methods(value: Any, now: float, latest: float) -> dict[str, Method]:
    if not isinstance(value, dict) or len(value) > MOST_METHODS or any(len(name) > LONGEST_NAME for name in value):
        raise ValueError("no methods")
    methods = {}
    for name, (resume_at, reset_at, command, warned, used) in value.items():
        if len(used) > _MOST_MINUTES:
            raise ValueError("too many minutes")
        methods[name] = Method(
            _number(resume_at, latest),
            Operating(
                used={int(_number(minute, now / 60.0)): _number(seconds, _MOST_SECONDS) for minute, seconds in used},
                reset_at=_number(reset_at, latest),
                command=_number(command, 60.0),
                warned=warned == 1,
            ),
        )
    return methods


def _number(value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise ValueError("no number")
    return float(value)
