"""When a callback is dialled, tried again, or given up."""

from __future__ import annotations

import sqlite3
import time
from datetime import datetime, tzinfo

from .. import clicks
from ..clicks import MISSED, CallbackRules, Refused
from ..journal import dialling
from ..journal.dialling import CALLBACK, Row
from ..journal.store import Journal
from ..policy import Rules
from . import click_calls
from .click_watch import Running

NOBODY = Refused(MISSED, "NOBODY")


def due(rules: CallbackRules, now: float) -> float:
    """From when on it may be dialled that comes now: wall clock seconds within the hours."""
    here = datetime.fromtimestamp(now, _zone(rules.timezone))
    opens = clicks.opens(rules.hours, here)
    return now if opens <= here else opens.timestamp()


def next_attempt(rules: CallbackRules, row: Row, now: float, scale: float) -> float | None:
    """When it is tried again; None: it was tried often enough. :param scale: how much faster pauses are, in tests."""
    return due(rules, now + rules.pause * scale) if row.attempts < rules.attempts else None


def keep(journal: Journal, rules: Rules, running: Running, later: float | None) -> str:
    """Write down that an attempt has failed; returns the uniqueid of the next one, empty where that was the last.

    Where no attempt has got as far as the client, the CRM learns at the end that he was not called back.
    """
    row, now = running.row, time.time()

    def write(database: sqlite3.Connection) -> str:
        if later is not None:
            uniqueid = click_calls.uniqueid_of(CALLBACK, row.id, now, row.attempts)
            dialling.name(database, row.id, uniqueid)
            dialling.put_off(database, row.id, later)
            return uniqueid
        dialling.over(database, row.id)
        if journal.entry(row.uniqueid) is None:
            began = click_calls.given_up(rules, row, running.dial, datetime.fromtimestamp(now).astimezone())
            journal.begin(began, now, 0, began.rule)
            journal.ended(click_calls.outcome(rules, began, NOBODY), now)
        return ""

    return journal.dialling(write)


def _zone(name: str) -> tzinfo | None:
    if not name:
        return None
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):  # the system's list has gone since the YAML was read
        return None
