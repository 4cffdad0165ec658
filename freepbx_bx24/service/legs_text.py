"""A call's legs as the journal keeps them: JSON, in wall clock seconds, and what can be told from them later."""

from __future__ import annotations

import json

from ..pbx.call_legs import CallLegs, Span

MOST_LEGS = 100  # of one call: a queue that rings for an hour rings its members hundreds of times


def write(story: CallLegs) -> str:
    """Return `{"unbroken": true, "legs": [...]}`; each leg has device, number, ended, rang and talks.

    `rang` is [SINCE, UNTIL] or null, `talks` a list of those; UNTIL is null while it lasts. Of many legs those that
    talked, and the latest others, are kept.
    """
    legs = sorted(story.legs, key=lambda leg: bool(leg.talks))[-MOST_LEGS:]
    rows = [
        {
            "device": leg.device,
            "number": leg.number,
            "ended": leg.ended,
            "rang": _span(leg.rang) if leg.rang else None,
            "talks": [_span(talk) for talk in leg.talks],
        }
        for leg in legs
    ]
    return json.dumps({"unbroken": story.unbroken, "legs": rows}, ensure_ascii=False)


def last_talk(text: str, ended: float) -> tuple[str, float]:
    """Return the device that talked last, and how many seconds all talked together; ("", 0.0) where nobody did.

    :param ended: wall clock seconds: until then a talk lasted whose end is not written down.
    """
    try:
        talks = sorted(
            (float(since), float(until) if until is not None else max(ended, since), str(leg["device"]))
            for leg in json.loads(text)["legs"]
            for since, until in leg["talks"]
        )
    except (ValueError, KeyError, TypeError, RecursionError):  # nothing is written down, or nothing that makes sense
        return "", 0.0
    seconds, reached = 0.0, 0.0
    for since, until, _ in talks:  # two who talk at once are one talk of the client
        seconds += max(0.0, until - max(since, reached))
        reached = max(reached, until)
    return (talks[-1][2], seconds) if talks else ("", 0.0)


def _span(span: Span) -> list[float | None]:
    return [round(span.since.wall, 3), round(span.until.wall, 3) if span.until else None]
