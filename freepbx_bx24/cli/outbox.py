"""`bx24 outbox`: what the CRM is still owed, and what to do with it. Exit code 0; 1: something was not done or read."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from typing import Any

from . import asking, why, words
from .user import become_service_user

HEADER = ("id", "what", "number", "state", "next", "tries", "said last")
MOST = (9, 8, 16, 6, 32, 5)
CHANGES = {
    "retry": "try items again now: parked, held back, put off or given up ones",
    "hold": "hold items back until they are released",
    "release": "let items that were held back go",
    "drop": "give items up: the CRM will not be told",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list`, `show ID`, and `retry`, `hold`, `release`, `drop` with their items."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="list|show|retry|hold|release|drop")
    _verb(verbs, "list", "everything that the CRM is still owed")
    _verb(verbs, "show", "one item and the story of its call").add_argument("id", type=item_id, metavar="ID")
    for name, text in CHANGES.items():
        verb = _verb(verbs, name, text)
        verb.add_argument("ids", nargs="*" if name == "retry" else "+", type=item_id, metavar="ID")
        if name == "retry":
            verb.add_argument("--all-parked", action="store_true", help="everything that waits for a person")


def _verb(verbs: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    parser.add_argument("--json", action="store_true", help="print it as JSON (docs/commands.md)")
    return parser


def item_id(text: str) -> int:
    """The number of an item, with or without the `#` that lists show.

    :raises argparse.ArgumentTypeError: it is none.
    """
    digits = text[1:] if text.startswith("#") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        raise argparse.ArgumentTypeError(f"{words.harmless(text[:40])!r} is no item's number")
    return int(digits)


def run(options: argparse.Namespace) -> int:
    """List, show or change."""
    become_service_user()
    now = datetime.now().astimezone()
    if options.what == "list":
        return _print(options, asking.look("outbox-list", {}), _listed, now)
    if options.what == "show":
        return _print(options, asking.look("outbox-show", {"id": str(options.id)}), _shown, now)
    return _change(options)


def _print(options: argparse.Namespace, answer: dict[str, Any], lines: Any, now: datetime) -> int:
    print(words.as_json(answer) if options.json else "\n".join(lines(answer, now)))
    return 0


def _listed(answer: words.Value, now: datetime) -> list[str]:
    rows = [
        (
            f"#{item['id']}",
            item["kind"],
            item["number"] or "-",
            item["state"],
            _next(item, now),
            str(item["attempts"]),
            item["last_error"] or "-",
        )
        for item in answer["items"]
    ]
    lines = words.table(HEADER, rows, MOST) if rows else []
    return [*lines, summary(answer, "Nothing is owed to the CRM.")]


def summary(answer: words.Value, nothing: str) -> str:
    """How many items there are in each state. :param nothing: what is said where there is none."""
    counts = answer["counts"]
    said = ", ".join(f"{counts[state]} {state}" for state in ("due", "parked", "held") if counts[state])
    more = f"; the first {len(answer['items'])} are shown" if answer["more"] else ""
    return f"{said}{more}" if said else nothing


def _next(item: words.Value, now: datetime) -> str:
    if item["state"] != "due":
        return f"{'release' if item['state'] == 'held' else 'retry'} or drop {item['id']}"
    due = datetime.fromisoformat(item["due"]).astimezone()
    return words.when(item["due"], now) if due > now else f"waits since {words.when(item['since'], now)}"


def _shown(answer: words.Value, now: datetime) -> list[str]:
    item, call = answer["item"], answer["call"]
    head = why.wrapped(why.owed(item, bool(call and call["call_id"]), now).strip(), 4)
    return [*head, "", *(why.story(call, now) if call else ["What the journal has of its call makes no sense."])]


def _change(options: argparse.Namespace) -> int:
    all_parked = getattr(options, "all_parked", False)
    if all_parked == bool(options.ids):
        print(
            "bx24 outbox retry: name items by their numbers (`bx24 outbox list`), or give --all-parked", file=sys.stderr
        )
        return 2
    arguments = {"parked": "1"} if all_parked else {"ids": ",".join(map(str, options.ids))}
    answer = asking.change(options.what, arguments)
    if options.json:
        print(words.as_json(answer))
    else:
        for one in answer["changed"]:
            what = f" {one['kind']} of {one['number'] or one['uniqueid']}" if one["kind"] else ""
            print("\n".join(why.wrapped(f"#{one['id']}{what}: {one['text']}", 4)))
        if not answer["changed"]:
            print("Nothing is parked.")
    return 0 if all(one["done"] for one in answer["changed"]) else 1
