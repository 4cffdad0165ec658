"""`bx24 why`: the whole story of a call in plain words. Exit code 0; 1: nothing is known of it, or it can't be read."""

from __future__ import annotations

import argparse
import textwrap
from datetime import datetime
from typing import Iterator

from . import asking, calls, words
from .user import become_service_user

OTHERS = ("time", "", "number", "talk", "outcome", "CRM", "uniqueid")
_OTHERS_MOST = (14, 3, 16, 7, 12, 26)
_NOTHING = (
    "Nothing is known of {what}. That is so where no call with it passed our hook in the dialplan, where calls are"
    " switched off, or where it is older than the journal keeps. Look at `bx24 calls` and `bx24 check`."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The call, and `--json`."""
    parser.add_argument("call", metavar="NUMBER|UNIQUEID", help="the client's number in any form, or a call's uniqueid")
    parser.add_argument("--json", action="store_true", help="print it as JSON (docs/commands.md)")


def run(options: argparse.Namespace) -> int:
    """Tell the newest call in full, the others a line each."""
    become_service_user()
    now = datetime.now().astimezone()
    answer = asking.look("why", {"text": options.call.strip()[:150]})
    known = bool(answer["call"] or answer["left_out"])
    if options.json:
        print(words.as_json(answer))
    elif known:
        print("\n".join(words.harmless(line) for line in told(answer, now)))
    else:
        print("\n".join(wrapped(_NOTHING.format(what=words.harmless(options.call[:40])), 0)))
    return 0 if known else 1


def told(answer: words.Value, now: datetime) -> Iterator[str]:
    """The lines of an answer."""
    for call in answer["left_out"]:
        number = call["number"] or "a hidden number"
        when = words.when(call["started"], now)
        yield from wrapped(f"{when}  {number} ({call['uniqueid']}) was left out: {call['why']}", 10)
    if answer["call"]:
        yield from [""] * bool(answer["left_out"])
        yield from story(answer["call"], now)
    if answer["others"]:
        yield from ["", "Other calls of this number, the newest first:"]
        rows = [(*calls.line(call, now), call["uniqueid"]) for call in answer["others"]]
        yield from words.table(OTHERS, [(*row[:3], *row[5:]) for row in rows], _OTHERS_MOST)
    if answer["more"]:
        yield "Older ones are not shown."


def story(call: words.Value, now: datetime) -> Iterator[str]:
    """One call in full."""
    from_to = "from" if call["direction"] == "in" else "to"
    yield f"Call {call['uniqueid']} {from_to} {call['number']}"
    for name, text in facts(call, now):
        yield from wrapped(f"  {name:<9}{text}", 11)
    yield ""
    yield from wrapped("What happened:", 0)
    if not call["story"]:
        yield "  nothing was written down"
    for line in call["story"]:
        yield from wrapped(f"  {words.when(line['at'], now)}  {line['what']:<9} {line['detail']}", 22)
    yield ""
    if not call["owed"]:
        yield "Nothing is owed to the CRM." if call["state"] == "finished" else "Nothing is owed to the CRM now."
        return
    yield "Still owed to the CRM:"
    for item in call["owed"]:
        yield from wrapped(owed(item, call["call_id"] is not None, now), 6)


def facts(call: words.Value, now: datetime) -> Iterator[tuple[str, str]]:
    """What is known of a call, a name and a text each."""
    yield "began", words.when(call["started"], now)
    yield "line", call["line"] or "none"
    yield "person", words.person(call["person"])
    yield "rule", call["rule"] or "not known"
    code = f" (code {call['status_code']})" if call["status_code"] else ""
    talk = f", {words.duration(call['talk_seconds'])} of talk" if call["talk_seconds"] else ""
    reason = f": {call['reason']}" if call["reason"] else ""
    yield "outcome", f"{call['outcome']}{talk}{code}{reason}"
    bound = f", {call['crm']['type']} {call['crm']['id']}" if call["crm"] else ""
    call_id = f", {call['call_id']}" if call["call_id"] else ""
    lead = f", lead {call['created_lead']} was made" if call["created_lead"] else ""
    yield "CRM", f"{words.crm(call, now)}{call_id}{bound}{lead}"


def owed(item: words.Value, registered: bool, now: datetime) -> str:
    """One item that is owed, and when it is tried next."""
    return f"  #{item['id']} {item['kind']}: {words.next_try(item, registered, now)} ({words.tries(item)})"


def wrapped(text: str, indent: int) -> list[str]:
    """A text in lines of 100 characters, the second one and those after it moved in."""
    return textwrap.wrap(words.harmless(text), words.WIDTH, subsequent_indent=" " * indent, drop_whitespace=True) or [
        ""
    ]
