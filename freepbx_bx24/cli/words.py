"""How calls and what is owed of them are said on a terminal: harmless text, columns, times, states in plain words."""

from __future__ import annotations

import json
import unicodedata
from datetime import datetime
from typing import Any, Callable, Mapping, Sequence

WIDTH = 100  # characters of a line
Value = Mapping[str, Any]


def harmless(text: object) -> str:
    """One line that no terminal takes for anything but text: what is not printable is a question mark."""
    return "".join(mark if mark.isprintable() else "?" for mark in str(text))


def as_json(value: object) -> str:
    """JSON for programs. Plain ASCII: a terminal of any locale can take it, and no escape code is in it."""
    return json.dumps(value, indent=2)


def width(text: str) -> int:
    """How many columns of a terminal a printable text takes: East Asian wide ones are two, combining ones none."""
    return sum(
        0 if unicodedata.combining(mark) else 2 if unicodedata.east_asian_width(mark) in "WF" else 1 for mark in text
    )


def cut(text: str, most: int) -> str:
    """A text of so many columns at most; what is cut ends with `..`."""
    if width(text) <= most:
        return text
    while text and width(text) > most - 2:
        text = text[:-1]
    return text + ".."


def table(header: Sequence[str], rows: Sequence[Sequence[str]], most: Sequence[int]) -> list[str]:
    """Lines of at most 100 columns, each column as wide as it must be; the last one gets what is left.

    :param most: columns that each but the last may take.
    """
    lines = [[harmless(cell) for cell in row] for row in (header, *rows)]
    widths = [min(max(width(line[place]) for line in lines), limit) for place, limit in enumerate(most)]
    rest = WIDTH - sum(widths) - len(widths)
    return [
        " ".join(
            [
                *(_padded(cell, size) for cell, size in zip(line, widths)),
                cut(line[-1], rest),
            ]
        ).rstrip()
        for line in lines
    ]


def _padded(text: str, size: int) -> str:
    text = cut(text, size)
    return text + " " * (size - width(text))


def when(moment: str, now: datetime, seconds: bool = True) -> str:
    """A time of day; with its date where that is not today's."""
    at = datetime.fromisoformat(moment).astimezone()
    of_day = at.strftime("%H:%M:%S" if seconds else "%H:%M")
    return (
        of_day if at.date() == now.date() else f"{at.strftime('%m-%d' if at.year == now.year else '%Y-%m-%d')} {of_day}"
    )


def duration(seconds: int | None) -> str:
    """Talk seconds as people read them; a dash where nobody talked or the call goes on."""
    if not seconds:
        return "-"
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def person(value: Value) -> str:
    """Extension and name, as far as they are known."""
    named = " ".join(part for part in (value["extension"], value["name"]) if part)
    return named or (f"user:{value['user_id']}" if value["user_id"] else "-")


_ORDER = ("parked", "held", "due")
_STATES = {"registering": "being registered", "open": "registered", "ended": "finishing"}


def crm(call: Value, now: datetime) -> str:
    """What the CRM knows of a call, in a few words: registered, finished, owed since when, parked."""
    owed = sorted(call["owed"], key=lambda item: (_ORDER.index(item["state"]), item["id"]))
    cards = ("show", "hide")
    telling = [item for item in owed if item["kind"] not in cards]
    if telling and not (call["state"] == "registering" and telling[0]["attempts"] == 0):
        item = telling[0]
        since = f", since {when(item['since'], now, seconds=False)}"
        word = "owed" if item["state"] == "due" else item["state"]
        said = since if word == "owed" else f": #{item['id']}"
        return f"{item['kind']} {word}{said}"
    return _STATES.get(call["state"], str(call["state"]))


def next_try(item: Value, registered: bool, now: datetime) -> str:
    """When an item is tried next, or what it waits for."""
    number = item["id"]
    words: Mapping[str, Callable[[], str]] = {
        "parked": lambda: f"parked, waits for you: `bx24 outbox retry {number}`, or drop",
        "held": lambda: f"held back: `bx24 outbox release {number}`",
        "done": lambda: "the portal has it",
        "dropped": lambda: "given up",
    }
    if item["state"] in words:
        return words[item["state"]]()
    if item["kind"] != "register" and not registered:
        return "as soon as the call is registered"
    due = datetime.fromisoformat(item["due"]).astimezone()
    return f"next try {when(item['due'], now)}" if due > now else "its turn has come"


def tries(item: Value) -> str:
    """How often an item was tried, and what was said last."""
    if not item["attempts"]:
        return "not tried yet"
    refused = f", refused {item['refusals']}" if item["refusals"] else ""
    last = f": {item['last_error']}" if item["last_error"] else ""
    return f"tried {item['attempts']}{refused}{last}"
