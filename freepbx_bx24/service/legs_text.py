"""A call's legs as the journal keeps them: JSON, in wall clock seconds, and what can be told from them later."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any, Mapping

from ..call import SeenLeg, View
from ..pbx.call_legs import CLIENT, CallLegs, Leg, Span

MOST_LEGS = 100  # of one call: a queue that rings for an hour rings its members hundreds of times


def write(story: CallLegs, users: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return `{"unbroken": true, "legs": [...]}`; each leg has device, number, ended, rang and talks.

    `rang` is [SINCE, UNTIL] or null, `talks` a list of those; UNTIL is null while it lasts. `"client": true` marks an
    external party, `"user"` is the extension that a device belonged to then, where that is another name. Beside the
    legs stand, where they are known, `external` (the uniqueid of the external party's channel), `answered` and `gone`.
    Of many legs those that talked, and the latest others, are kept.

    :param users: whose each channel was: extension by its uniqueid.
    """
    legs = sorted(story.legs, key=lambda leg: bool(leg.talks))[-MOST_LEGS:]
    rows = [
        {
            "device": leg.device,
            "number": leg.number,
            "ended": leg.ended,
            "rang": _span(leg.rang) if leg.rang else None,
            "talks": [_span(talk) for talk in leg.talks],
            **({"client": True} if leg.party == CLIENT else {}),
            **_user(leg, users),
        }
        for leg in legs
    ]
    moments = {"answered": story.answered, "gone": story.gone}
    return json.dumps(
        {
            "unbroken": story.unbroken,
            "legs": rows,
            **({"external": story.external} if story.external else {}),
            **{name: round(at.wall, 3) for name, at in moments.items() if at is not None},
        },
        ensure_ascii=False,
    )


def _user(leg: Leg, users: Mapping[str, str]) -> dict[str, str]:
    user = users.get(leg.channel, "")
    return {"user": user} if user and user != leg.device else {}


def joined(before: str, now: str, since: float) -> str:
    """Two views of one call as one, with a gap between them: what an earlier one kept, and the later one from `since`
    on (wall clock seconds). Who talked before the gap and talks after it has talked through it.
    """
    try:
        old, new = json.loads(before), json.loads(now)
        rows = [_through_the_gap(row, new["legs"], since) for row in old["legs"]]
        joined = {**old, **new, "unbroken": False, "legs": (rows + new["legs"])[-2 * MOST_LEGS :]}
        return json.dumps(joined, ensure_ascii=False)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return now or before


def _through_the_gap(row: dict[str, Any], later: list[dict[str, Any]], since: float) -> dict[str, Any]:
    """A leg of before the gap; what went on then is taken over from the later leg of the same one, or ends with it."""
    same = [one for one in later if all(one.get(name) == row.get(name) for name in ("device", "number", "client"))]
    talks = [list(talk) for talk in row["talks"]]
    if talks and talks[-1][1] is None:
        went_on = next((one for one in same if one["talks"]), None)
        talks[-1][1] = went_on["talks"].pop(0)[1] if went_on else since
    rang = row["rang"]
    if rang and rang[1] is None:
        went_on = next((one for one in same if one["rang"]), None)
        rang = [rang[0], went_on["rang"][1] if went_on else since]
        if went_on:
            went_on["rang"] = None
            row = {**row, "ended": went_on["ended"]}
    return {**row, "talks": talks, "rang": rang}


def read(text: str) -> View:
    """What `write` wrote, nobody's name resolved; an empty view for what is none of it."""
    try:
        data = json.loads(text)
        return View(
            legs=tuple(map(_seen, data["legs"][: 2 * MOST_LEGS])),
            whole=data["unbroken"] is True,
            external=str(data.get("external", "")),
            answered=float(data.get("answered", 0.0)),
            gone=float(data.get("gone", 0.0)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return View()


def _seen(row: dict[str, Any]) -> SeenLeg:
    return SeenLeg(
        device=str(row["device"]),
        number=str(row["number"]),
        user=str(row.get("user", "")),
        client=row.get("client") is True,
        rang=_times(row["rang"]) if row["rang"] else None,
        talks=tuple(map(_times, row["talks"])),
        ended=str(row["ended"]),
    )


def _times(span: list[float | None]) -> tuple[float, float | None]:
    since, until = span
    return float(since or 0.0), None if until is None else float(until)


def _span(span: Span) -> list[float | None]:
    return [round(span.since.wall, 3), round(span.until.wall, 3) if span.until else None]


def sentence(text: str) -> str:
    """Who rang and who talked, for people; empty where nothing is known. Times are whole seconds.

    `101 rang 4 s (ANSWER) and talked 35 s; 102 rang 4 s (CANCEL)`, and that the view was not whole where it was not.
    """
    try:
        data = json.loads(text)
        parts = [part for part in map(_leg, data["legs"]) if part]
        whole = data["unbroken"] is True
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    gap = "" if whole or not parts else " (the view of Asterisk was interrupted: there may be more)"
    return "; ".join(parts) + gap


def _leg(leg: dict[str, Any]) -> str:
    who = str(leg.get("user") or leg["device"])
    who += f" (at {leg['device']})" if leg.get("user") else f" (to {leg['number']})" if leg["number"] else ""
    rang, did = leg["rang"], []
    if rang:
        ended = f" ({leg['ended']})" if leg["ended"] else ""
        did.append(f"rang {_seconds(rang)}{ended}")
    if leg["talks"]:
        did.append("talked " + " and ".join(map(_seconds, leg["talks"])))
    return f"{who} {' and '.join(did)}" if did else ""


def _seconds(span: list[float | None]) -> str:
    since, until = span
    if since is None or until is None:
        return "until the end"
    return f"{max(0.0, until - since):.0f} s"
