"""`bx24 calls`: a call a line, whatever became of it, with and without the service."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from freepbx_bx24.cli import words
from freepbx_bx24.cli.calls import since
from freepbx_bx24.sandbox.portal import Portal
from tests.support.agi_script import REPOSITORY
from tests.support.in_time import in_time
from tests.support.looking import ANSWERED, HOSTILE, MISSED, REFUSAL, REGISTER, Person
from tests.support.running_service import RunningService, wait_until

CALL_KEYS = {
    *("uniqueid", "external_id", "direction", "number", "line", "started", "person", "outcome", "talk_seconds"),
    *("status_code", "reason", "state", "call_id", "crm", "created_lead", "rule", "owed"),
}
COUNTS = {
    *("calls", "answered", "missed", "not_answered", "going_on", "finished", "owed", "parked", "left_out"),
}


def line_with(out: str, text: str) -> str:
    (line,) = [line for line in out.splitlines() if text in line]
    return line


def one_of_each(service: RunningService, portal: Portal) -> int:
    """An answered call, a missed one, one going on, one dialled, one left out, one refused; the second they began."""
    now = int(time.time())
    service.register(f"{now}.1", environment={"callerid": "84951230001"})
    service.finish(f"{now}.1", variables=ANSWERED)
    service.register(f"{now}.2", environment={"callerid": "84951230002"})
    service.finish(f"{now}.2", variables=MISSED)
    service.register(f"{now}.3", environment={"callerid": "84951230003"})
    service.register(
        f"{now}.4",
        arguments=("out", "84951230004"),
        environment={"callerid": "74957770101"},
        variables={"AMPUSER": "103"},
    )
    service.finish(f"{now}.4", arguments=("out",), variables={"DIALSTATUS": "BUSY"})
    service.register(f"{now}.5", environment={"callerid": "anonymous"})
    portal.scripted_replies.add(REGISTER, REFUSAL, times=8)
    service.register(f"{now}.6", environment={"callerid": "84951230006"})
    return now


def test_each_call_is_a_line_that_says_who_how_long_and_what_the_crm_knows(
    service: RunningService, portal: Portal, person: Person
) -> None:
    service.start()
    now = one_of_each(service, portal)
    for number in (1, 2, 4):
        person.waits_for(f"{now}.{number}", "finished")
    wait_until(lambda: "is parked for you" in service.log(), 30, service.log)
    out = person.types("calls", "--since", "2h")
    assert re.search(r"in +\+74951230001 \+74957770101 101 Anton Belov +0:35 answered +finished$", out, re.M)
    assert re.search(r"in +\+74951230002 \+74957770101 102 Boris Belov +- +missed +finished$", out, re.M)
    assert re.search(r"in +\+74951230003 .* - +going on +registered$", out, re.M)
    assert re.search(r"out +\+74951230004 \+74957770101 103 .* - +not answered finished$", out, re.M)
    assert re.search(r"in +anonymous .* left out +the caller hides the number$", out, re.M)
    assert re.search(r"in +\+74951230006 .* going on +register parked: #[0-9]+$", out, re.M)
    assert out.splitlines()[-1] == ("5 calls: 1 answered, 1 missed, 1 not answered, 2 going on, 1 parked, 1 left out")


def test_the_same_as_json_has_the_documented_keys(service: RunningService, portal: Portal, person: Person) -> None:
    service.start()
    now = one_of_each(service, portal)
    person.waits_for(f"{now}.1", "finished")
    answer = person.asks("calls", "--since", "2h")
    assert set(answer) == {"service", "since", "calls", "left_out", "counts", "more"}
    assert answer["service"] is True
    assert all(set(call) == CALL_KEYS for call in answer["calls"])
    assert set(answer["counts"]) == COUNTS
    call = answer["calls"][0]
    assert (call["uniqueid"], call["outcome"], call["talk_seconds"]) == (f"{now}.1", "answered", 35)
    assert call["person"] == {"extension": "101", "user_id": 1101, "name": "Anton Belov"}
    assert call["crm"] == {"type": "LEAD", "id": call["created_lead"]}
    assert datetime.fromisoformat(call["started"]).timestamp() == pytest.approx(now, abs=10)
    (left_out,) = answer["left_out"]
    assert set(left_out) == {"uniqueid", "direction", "number", "started", "why"}
    document = (Path(__file__).parents[3] / "docs" / "commands.md").read_text(encoding="utf-8")
    for key in CALL_KEYS | COUNTS | set(answer):
        assert f"`{key}`" in document, key


def test_only_one_clients_calls_in_whatever_form_the_number_is_typed(service: RunningService, person: Person) -> None:
    service.start()
    now = int(time.time())
    service.register(f"{now}.1", environment={"callerid": "84951230001"})
    service.register(f"{now}.2", environment={"callerid": "84951230002"})
    for typed in ("+74951230001", "8 (495) 123-00-01", "84951230001"):
        calls = person.asks("calls", "--since", "2h", "--number", typed)["calls"]
        assert [call["number"] for call in calls] == ["+74951230001"], typed
    assert person.types("calls", "--since", "2h", "--number", "+74950000000") == "no calls\n"


def test_a_day_without_calls_is_said(service: RunningService, person: Person) -> None:
    service.start()
    assert person.types("calls") == "no calls\n"


def test_calls_before_the_time_that_was_asked_for_are_not_shown(service: RunningService, person: Person) -> None:
    service.start()
    service.register(f"{int(time.time())}.1")
    tomorrow = (datetime.now() + timedelta(days=1)).date().isoformat()
    assert person.asks("calls", "--since", tomorrow)["calls"] == []
    assert len(person.asks("calls", "--since", "1w")["calls"]) == 1


@pytest.mark.parametrize(("text", "ago"), [("90m", 5400), ("8h", 28800), ("2d", 172800), ("1w", 604800)])
def test_a_time_ago_is_read(text: str, ago: int) -> None:
    assert time.time() - since(text) == pytest.approx(ago, abs=3700)  # an hour: clocks are put forward and back


def test_a_date_is_midnight_of_this_machines_zone() -> None:
    assert since("2026-09-21") == datetime(2026, 9, 21).timestamp()
    assert since("2026-09-21T14:30") == datetime(2026, 9, 21, 14, 30).timestamp()


@pytest.mark.parametrize("text", ["yesterday", "8", "-1h", "999999w\x1b[2J", "2026-13-01", ""])
def test_what_is_no_time_ends_with_2_and_says_what_is(service: RunningService, person: Person, text: str) -> None:
    person.types("calls", f"--since={text}", code=2)
    assert "neither like 8h nor like 2026-09-21" in person.out


def test_a_hostile_caller_is_text_in_every_line(service: RunningService, person: Person) -> None:
    service.start()
    now = int(time.time())
    service.register(f"{now}.1", environment={"callerid": "+79161234567" + HOSTILE, "calleridname": HOSTILE})
    service.finish(f"{now}.1", variables={"DIALSTATUS": "BUSY", "BX24_NOTE": HOSTILE})
    service.register(f"{now}.2", environment={"callerid": HOSTILE, "calleridname": HOSTILE})
    calls = person.asks("calls", "--since", "2h")["calls"]
    assert calls
    for arguments in (
        ("calls", "--since", "2h"),
        *(("why", call["number"]) for call in calls),
        ("why", f"{now}.1"),
        ("why", f"{now}.2"),
        ("outbox", "list"),
    ):
        person.types(*arguments)  # which looks at each character and at each line's length
    raw = json.dumps(person.asks("calls", "--since", "2h"))
    assert "\x1b" not in raw


# -- without the service -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_without_the_service_the_journal_is_read_and_that_is_said(
    service: RunningService, person: Person, number: int
) -> None:
    service.start()
    now = int(time.time())
    service.register(f"{now}.1", environment={"callerid": "84951230001"})
    service.finish(f"{now}.1", variables=ANSWERED)
    person.waits_for(f"{now}.1", "finished")
    running = person.types("calls", "--since", "2h")
    service.stop(number)
    before = (service.directory / "state" / "journal.sqlite").read_bytes()
    assert person.types("calls", "--since", "2h") == running
    assert "The service is not running: this is what its journal says." in person.out
    assert (service.directory / "state" / "journal.sqlite").read_bytes() == before
    service.start()  # nothing that was left behind is in its way
    assert person.types("calls", "--since", "2h") == running


def test_a_service_that_hangs_does_not_keep_the_journal_to_itself(service: RunningService, person: Person) -> None:
    service.start()
    service.register(f"{int(time.time())}.1", environment={"callerid": "84951230001"})
    person.waits_for("84951230001", "open")
    service.signal(signal.SIGSTOP)
    began = time.monotonic()
    assert "+74951230001" in person.types("calls", "--since", "2h")
    assert "The service does not answer: this is what its journal says." in person.out
    in_time(time.monotonic() - began, 8)
    service.signal(signal.SIGCONT)


def test_without_a_journal_it_is_said_that_there_is_none(service: RunningService, person: Person) -> None:
    person.types("calls", code=1)
    assert "there is no journal" in person.out


def test_a_journal_that_is_none_is_said_with_what_saves_it(service: RunningService, person: Person) -> None:
    (service.directory / "state" / "journal.sqlite").write_bytes(os.urandom(100_000))
    person.types("calls", code=1)
    assert "damaged" in person.out
    assert "Start the service" in person.out


def test_a_broken_configuration_keeps_nobody_from_looking(service: RunningService, person: Person) -> None:
    service.start()
    service.register(f"{int(time.time())}.1", environment={"callerid": "84951230001"})
    service.stop()
    service.yaml.write_text("portal: [\n")
    assert "+74951230001" in person.types("calls", "--since", "2h")


def test_another_user_is_told_to_be_root(service: RunningService, person: Person) -> None:
    """With the rights that install.sh gives: run and state folders are the service's own."""
    for name in ("run", "state"):
        (service.directory / name).chmod(0o750)
    for folder in (service.directory, *service.directory.parents):
        if folder.owner() == "root" and str(folder).startswith(tempfile.gettempdir() + "/"):
            folder.chmod(0o755)
    for started in ("never", "now", "with a run folder that is gone"):
        if started == "now":
            service.start()
        elif started != "never":
            service.stop()
            (service.directory / "run").rename(service.directory / "gone")
        done = subprocess.run(
            [sys.executable, "-m", "freepbx_bx24.cli.main", "calls"],
            cwd=REPOSITORY,
            env={**os.environ, **service.environment, "PYTHONDONTWRITEBYTECODE": "1"},
            user="nobody",
            group="nogroup",
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        assert "sudo" in done.stderr
        assert "Traceback" not in done.stderr


# -- the service's side --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        b"kind=control\0verb=calls\0since=nan\0\0",
        b"kind=control\0verb=calls\0since=1e400\0\0",
        b"kind=control\0verb=calls\0since=" + b"9" * 150 + b"\0\0",
        b"kind=control\0verb=why\0text=" + b"\xff" * 100 + b"\0\0",
        b"kind=control\0verb=why\0text=" + b"x" * 1000 + b"\0\0",
        b"kind=control\0verb=outbox-show\0id=\xd9\xa3\0\0",
        b"kind=control\0verb=retry\0ids=1,,2\0\0",
        b"kind=control\0verb=retry\0ids=" + b",".join(b"%d" % one for one in range(2000)) + b"\0\0",
        b"kind=control\0verb=__class__\0\0",
        b"kind=control\0\0",
        b"kind=control\0" + b"a" * 100_000 + b"\0\0",
    ],
)
def test_a_frame_that_makes_no_sense_is_refused_and_the_service_goes_on(service: RunningService, frame: bytes) -> None:
    service.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(service.directory / "run" / "agi.sock"))
        connection.sendall(frame)
        try:
            answer = connection.makefile("rb").read()
        except ConnectionResetError:
            answer = b""
    if answer not in (b"", b"taken\n"):
        taken, line, done, *rest = answer.split(b"\n")
        assert (taken, done, rest) == (b"taken", b"done", [b""])
        assert isinstance(json.loads(line), dict)
    assert "Traceback" not in service.log()
    assert service.register().variables["BX24_STATUS"] == "REGISTERED"


# -- columns -------------------------------------------------------------------------------------------------


def test_no_line_is_longer_than_a_terminal_whatever_is_in_it() -> None:
    rows = [tuple("ЯЖ日本" * 50 for _ in range(4)), ("a\u0301" * 30, "\x1b[1m", "", "end")]
    lines = words.table(("a", "b", "c", "d"), rows, (10, 20, 30))
    assert all(words.width(line) <= words.WIDTH for line in lines)
    assert "\x1b" not in "".join(lines)
    assert lines[1].count("..") == 4


@pytest.mark.parametrize(("seconds", "said"), [(None, "-"), (0, "-"), (5, "0:05"), (65, "1:05"), (3725, "1:02:05")])
def test_talk_time_is_said_as_people_read_it(seconds: int | None, said: str) -> None:
    assert words.duration(seconds) == said
