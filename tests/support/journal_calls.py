"""Calls as the journal is told of them, for all tests that keep some."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from freepbx_bx24.call import INBOUND, Entity, Outcome, Person, Registration
from freepbx_bx24.journal.records import Registered

MOSCOW = timezone(timedelta(hours=3))
CALL = Registration(
    uniqueid="1.1",
    linkedid="1.0",
    external_id="pbx-1.1",
    direction=INBOUND,
    number="+79161234567",
    line="+74957770000",
    people=(Person("101"), Person(user_id=12)),
    started=datetime(2026, 9, 21, 17, 15, 20, 250000, tzinfo=MOSCOW),
    create=True,
    source="CALL",
    show=True,
    entity=Entity("CONTACT", 42),
)
ANSWER = Registered("externalCall.0123.1790000123", 12, Entity("LEAD", 7), 7)
END = Outcome("1.1", (Person("101"),), 35, "200", "меню 2")


def call(uniqueid: str, **different: Any) -> Registration:
    return replace(CALL, uniqueid=uniqueid, external_id=f"pbx-{uniqueid}", **different)


def end(uniqueid: str) -> Outcome:
    return replace(END, uniqueid=uniqueid)
