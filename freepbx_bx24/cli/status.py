"""`bx24 status`: how it goes, on one screen. Exit code 0 where calls reach the CRM, 1 where they do not, or wait."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import datetime, timedelta
from typing import Any

from ..errors import ServiceError
from ..pbx.console import console
from . import asking, words
from .switch import lines_off, switched_off
from .user import become_service_user

EVERY_SECONDS = 5.0
CLEAR = "\x1b[H\x1b[2J"
FINDINGS_SHOWN = 5
_PARTS = ("answered", "missed", "not_answered", "going_on", "left_out", "owed", "parked")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--watch`, `--json`."""
    parser.add_argument("--watch", action="store_true", help=f"again every {EVERY_SECONDS:.0f} s, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print it as JSON (docs/commands.md), a line each time")


def run(options: argparse.Namespace) -> int:
    """Print it once, or again and again."""
    become_service_user()
    while True:
        answer = asked()
        if options.json:
            print(words.as_json(answer), flush=True)
        else:
            clear = CLEAR if options.watch and sys.stdout.isatty() else ""
            print(clear + "\n".join(lines(answer, datetime.now().astimezone())), flush=True)
        if not options.watch:
            return 0 if works(answer) else 1
        time.sleep(EVERY_SECONDS)


def asked() -> dict[str, Any]:
    """What the service says, or its journal, and whether somebody has switched us off."""
    answer = asking.look("status", {})
    try:
        off, some = switched_off(console), lines_off(console)
    except ServiceError:
        off, some = None, []
    return {**answer, "off": off, "lines_off": some}


def works(answer: words.Value) -> bool:
    """Whether calls reach the CRM now."""
    live = answer["live"]
    if live is None or answer["off"]:
        return False
    return bool(live["callers_wait"] and live["portal"]["answers"] and live["login"]["state"] == "alive")


def lines(answer: words.Value, now: datetime) -> list[str]:
    """The screen."""
    live = answer["live"]
    said = []
    if answer["off"]:
        said += ["", "  OFF: ALL CALLS ARE LEFT ALONE.  Type `bx24 on` to register them again.", ""]
    if answer["lines_off"]:
        said += [f"OFF for lines: {', '.join(answer['lines_off'])}  (bx24 on --line LINE)"]
    rows = [*_service(live, now), *_register(live), *_calls(answer, now), *_trouble(live, now)]
    said += [words.cut(f"{name:<10}{words.harmless(text)}", words.WIDTH) for name, text in rows]
    return said


def _service(live: words.Value | None, now: datetime) -> list[tuple[str, str]]:
    if live is None:
        return [("service", "DOES NOT RUN: calls are registered by scripts alone (systemctl start freepbx-bx24)")]
    up = timedelta(seconds=live["up_seconds"])
    portal = live["portal"]
    answers = "answers" if portal["answers"] else "DOES NOT ANSWER: what is owed is kept"
    breaker = "" if live["callers_wait"] else "; breaker OPEN: callers do not wait"
    age = live["lists_age_seconds"]
    lists = f"{live['employees']} internal numbers, {live['lines']} lines"
    seen = "calls are watched" if live["manager_interface"] else "NOT CONNECTED: told by the channel's variables alone"
    return [
        ("service", f"runs since {up}, version {live['version']}"),
        ("portal", f"{portal['origin']} {answers}{breaker}"),
        ("login", _login(live["login"])),
        ("lists", f"{lists}; " + ("not read yet" if age is None else f"read {timedelta(seconds=age)} ago")),
        ("manager", seen),
    ]


def _login(login: words.Value) -> str:
    if login["kind"] == "webhook":
        return "webhook"
    if login["state"] != "alive":
        return f"local application: TOKEN {login['state'].upper()}: type `bx24 login`"
    return f"local application, user {login['user_id'] or 'unknown'}, token for {login['seconds_left'] // 60} minutes"


def _register(live: words.Value | None) -> list[tuple[str, str]]:
    if live is None:
        return []
    figures = live["register"]
    if not figures["registers"]:
        return [("register", "no call within the last hour")]
    states = ", ".join(f"{count} {status.lower()}" for status, count in figures["by_status"].items())
    allowed = figures["allowed_seconds"]
    return [
        (
            "register",
            f"last hour: callers waited {figures['p50_seconds'] * 1000:.0f} ms (p50),"
            f" {figures['p95_seconds'] * 1000:.0f} ms (p95); allowed {allowed['in']:g} s in, {allowed['out']:g} s out",
        ),
        ("", f"{figures['in_time_percent']:g} % within that time: {states}"),
    ]


def _calls(answer: words.Value, now: datetime) -> list[tuple[str, str]]:
    counts, owed = answer["calls"], answer["owed"]
    parts = [f"{counts[name]} {name.replace('_', ' ')}" for name in _PARTS if counts[name]]
    many = f"{counts['calls']}{' or more' if counts['more'] else ''}"
    states = [f"{owed[state]} {state}" for state in ("due", "parked", "held") if owed[state]]
    oldest = f", the oldest since {words.when(owed['oldest'], now)}" if owed["oldest"] else ""
    return [
        ("today", f"{many} calls{': ' if parts else ''}{', '.join(parts)}"),
        ("backlog", f"{', '.join(states)}{oldest}  (bx24 outbox list)" if states else "nothing is owed to the CRM"),
    ]


def _trouble(live: words.Value | None, now: datetime) -> list[tuple[str, str]]:
    if live is None:
        return []
    trouble = live["last_trouble"]
    said = (
        f"{words.when(trouble['at'], now)} {trouble['level']} {trouble['text']}" if trouble else "none since its start"
    )
    findings = [f"{one['what']}: {one['text']}" for one in live["findings"][:FINDINGS_SHOWN]]
    rows = [("trouble", said)]
    return rows + [("check" if place == 0 else "", text) for place, text in enumerate(findings)]
