"""`bx24 recordings`: what the CRM does not have yet, and why. Exit code 0; 1: something was not done or read."""

from __future__ import annotations

import argparse
from datetime import datetime

from ..errors import ServiceError
from . import asking, why, words
from .outbox import item_id, summary
from .user import become_service_user

HEADER = ("id", "number", "state", "next", "tries", "said last")
MOST = (9, 16, 6, 30, 5)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--retry [ID...]` and `--json`."""
    retry = "try recordings again now: those that are named, or all that wait for a person"
    parser.add_argument("--retry", nargs="*", type=item_id, metavar="ID", help=retry)
    parser.add_argument("--json", action="store_true", help="print it as JSON (docs/commands.md)")


def run(options: argparse.Namespace) -> int:
    """List, or try again."""
    become_service_user()
    if options.retry is not None:
        return _retry(options)
    answer = asking.look("recordings", {})
    print(words.as_json(answer) if options.json else "\n".join(_listed(answer, datetime.now().astimezone())))
    return 0


def _listed(answer: words.Value, now: datetime) -> list[str]:
    rows = [
        (
            f"#{item['id']}",
            item["number"] or "-",
            item["state"],
            _next(item, now),
            str(item["attempts"]),
            item["last_error"] or "-",
        )
        for item in answer["items"]
    ]
    lines = words.table(HEADER, rows, MOST) if rows else []
    for item in answer["items"]:  # why a person has to decide is told whole
        if item["state"] == "parked" and item["last_error"]:
            lines += why.wrapped(f"#{item['id']}: {item['last_error']}", 4)
    return [*lines, summary(answer, "The CRM has every recording that it is to have.")]


def _next(item: words.Value, now: datetime) -> str:
    """What is being done of a recording, or when it is tried next."""
    if item["doing"]:
        return str(item["doing"]) + (f" {item['percent']}%" if item["percent"] is not None else "")
    if item["state"] != "due":
        return f"--retry {item['id']}"
    if item["waits_for"]:
        return f"after {item['waits_for']}"
    due = datetime.fromisoformat(item["due"]).astimezone()
    return words.when(item["due"], now) if due > now else "its turn has come"


def _retry(options: argparse.Namespace) -> int:
    ids = options.retry
    if not ids:
        items = asking.look("recordings", {})["items"]
        ids = [item["id"] for item in items if item["state"] == "parked"]
    else:
        _expect_recordings(ids)
    answer = asking.change("retry", {"ids": ",".join(map(str, ids))}) if ids else {"changed": []}
    if options.json:
        print(words.as_json(answer))
    else:
        for one in answer["changed"]:
            print(
                "\n".join(why.wrapped(f"#{one['id']} of {one['number'] or one['uniqueid'] or '-'}: {one['text']}", 4))
            )
        if not ids:
            print("No recording waits for a person.")
    return 0 if all(one["done"] for one in answer["changed"]) else 1


def _expect_recordings(ids: list[int]) -> None:
    """Other items have a command of their own: `bx24 outbox`. :raises ServiceError: one of these is such an item."""
    for one in ids:
        kind = asking.look("outbox-show", {"id": str(one)})["item"]["kind"]
        if kind != "attach":
            raise ServiceError(f"#{one} is no recording but a {kind}", f"Type `bx24 outbox retry {one}`.")
