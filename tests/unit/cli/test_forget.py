"""`bx24 forget`: afterwards no file of ours holds the number, with the service and without it."""

from __future__ import annotations

import gzip
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from freepbx_bx24.cli.forget import pattern_of
from freepbx_bx24.journal.dialling import CALLBACK, CLICK, OVER, REFUSED, Row, add, is_double
from freepbx_bx24.journal.store import Journal
from freepbx_bx24.sandbox.portal import Portal
from tests.support.looking import MISSED, REFUSAL, REGISTER, Person
from tests.support.running_service import RunningService, wait_until

CLIENT, OTHER = "+79161230001", "+79161230002"


def holding(service: RunningService, digits: str) -> list[str]:
    """The files of the product that hold these digits."""
    files = [path for path in service.directory.rglob("*") if path.is_file()]
    return sorted(path.name for path in files if digits.encode() in path.read_bytes())


def called(service: RunningService, person: Person, uniqueid: str, number: str) -> None:
    service.register(uniqueid, environment={"callerid": number})
    service.finish(uniqueid, variables=MISSED)
    person.waits_for(uniqueid, "finished")


@pytest.mark.parametrize("runs", [True, False], ids=["with the service", "without it"])
def test_afterwards_no_file_holds_the_number_and_others_are_as_they_were(
    service: RunningService, person: Person, runs: bool
) -> None:
    service.start()
    called(service, person, "1.1", CLIENT)
    called(service, person, "1.2", OTHER)
    log = service.directory / "log"
    rotated, packed = log.with_name("log.1"), log.with_name("log.2.gz")
    rotated.write_text("yesterday 8916123000 and 89161230001 called\n")
    packed.write_bytes(gzip.compress(b"before: +79161230001.\n"))
    assert holding(service, "9161230001")
    if not runs:
        service.stop()
    size, inode = log.stat().st_size, log.stat().st_ino
    answer = person.asks("forget", "8 (916) 123-00-01")
    assert (answer["calls"], answer["left_out"], answer["kept"], answer["done"]) == (1, 0, 0, True)
    assert holding(service, "9161230001") == []
    assert rotated.read_text() == "yesterday 8916123000 and *********** called\n"
    assert gzip.decompress(packed.read_bytes()) == b"before: ************.\n"
    assert log.stat().st_ino == inode and log.stat().st_size >= size  # the service writes at its end
    assert person.types("why", CLIENT, code=1)
    assert OTHER in person.types("why", OTHER)
    assert person.asks("forget", CLIENT)["calls"] == 0


def test_what_the_crm_is_owed_stays_until_it_is_told_or_dropped(
    service: RunningService, person: Person, portal: Portal
) -> None:
    service.start()
    portal.scripted_replies.add(REGISTER, REFUSAL, times=50)
    service.register("1.1", environment={"callerid": CLIENT})
    service.finish("1.1", variables=MISSED)
    person.waits_for("1.1", "parked")
    said = person.types("forget", CLIENT, code=1)
    assert "1 calls go on, or the CRM is still owed of them: they stay." in said
    (register,) = [item for item in person.asks("outbox", "list")["items"] if item["kind"] == "register"]
    person.types("outbox", "drop", str(register["id"]))
    assert person.asks("forget", CLIENT)["calls"] == 1


def test_of_clicks_and_callbacks_that_are_over_the_number_goes_and_those_to_come_stay(
    service: RunningService, person: Person
) -> None:
    service.start()
    service.stop()
    refused = Row(CLICK, 1.0, "8 (916) 123-00-01", call_id="externalCall.1", state=REFUSED)
    over = Row(CALLBACK, 2.0, CLIENT, dial='{"dialled": "89161230001"}', state=OVER)
    others = Row(CALLBACK, 3.0, OTHER, dial='{"dialled": "89161230002"}', state=OVER)
    waits = Row(CALLBACK, 4.0, CLIENT, dial='{"dialled": "89161230001"}', due=4e9)
    with closing(Journal(service.directory / "state")) as journal:
        for row in (refused, over, others):
            journal.dialling(partial(add, row=row, now=time.time()))
    assert person.asks("forget", CLIENT)["done"]
    assert holding(service, "9161230001") == holding(service, "916) 123-00-01") == []
    assert holding(service, "89161230002") == ["journal.sqlite"]
    with closing(Journal(service.directory / "state")) as journal:
        assert journal.dialling(partial(is_double, call_id="externalCall.1", at=1.0))
        journal.dialling(partial(add, row=waits, now=time.time()))
    assert person.asks("forget", CLIENT, code=1)["kept"] == 1


def test_calls_that_were_left_out_are_forgotten_as_well(service: RunningService, person: Person) -> None:
    service.yaml.write_text(service.yaml.read_text() + f'skip: {{numbers: ["{CLIENT}"]}}\n')
    service.start()
    assert service.register("1.1", environment={"callerid": CLIENT}).variables["BX24_STATUS"] == "SKIPPED"
    wait_until(lambda: bool(person.asks("calls")["left_out"]), 10, service.log)
    assert person.asks("forget", CLIENT)["left_out"] == 1
    assert holding(service, "9161230001") == ["freepbx_bx24.yaml"]  # an admin's own line


def test_a_journal_that_was_put_aside_is_named_with_what_to_type(service: RunningService, person: Person) -> None:
    aside: Path = service.directory / "state" / "journal.sqlite.damaged-1"
    aside.write_bytes(b"...")
    service.start()
    assert f"rm {aside}" in "".join(person.types("forget", CLIENT, code=1).split("\n"))


@pytest.mark.parametrize("text", ["12345", "anything", "", "+7916123000100000000000", "101; rm -rf /"])
def test_what_is_no_whole_number_is_refused(person: Person, text: str) -> None:
    person.types("forget", text, code=2)


@pytest.mark.parametrize(
    "line, found",
    [
        (b"1790.1: +79161230001 called", True),
        (b"1790.1: 810 79161230001 called", True),
        (b"agi 89161230001", True),
        (b"agi 9161230001", True),
        (b"agi 91612300011", False),
        (b"agi 79161230002", False),
    ],
)
def test_how_a_number_may_stand_in_the_log(line: bytes, found: bool) -> None:
    assert bool(pattern_of([CLIENT]).search(line)) is found
