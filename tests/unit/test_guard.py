"""The guard keeps the caller's deadline whatever the service does, and loses no call; seen through real processes."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from freepbx_bx24.pbx import frame as frames
from tests.support.agi_script import REPOSITORY, intake, make_directories, run_script
from tests.support.in_time import in_time
from tests.support.running_service import wait_until

Behaviour = Callable[[socket.socket, bytes], None]


class Service:
    """A unix socket that behaves as a test wants; keeps the frames that reached it."""

    def __init__(self, path: Path, behaviour: Behaviour, backlog: int = 10) -> None:
        self.behaviour = behaviour
        self.frames: list[bytes] = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen(backlog)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            data = b""
            while not data.endswith(b"\0\0"):
                data += connection.recv(65536)
            self.frames.append(data)
            self.behaviour(connection, data)


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_directories(tmp_path_factory.mktemp("g"))


@pytest.fixture
def service(place: Path) -> Iterator[Callable[[Behaviour], Service]]:
    made: list[Service] = []

    def make(behaviour: Behaviour) -> Service:
        made.append(Service(place / "run" / "agi.sock", behaviour))
        return made[-1]

    yield make
    for one in made:
        one.listener.close()


def set_budget(place: Path, seconds: float) -> None:
    (place / "run" / "agi.conf").write_text(f"wait_in={seconds}\nwait_out={seconds}\n")


def test_hands_over_one_frame_that_names_call_direction_number_and_variables(place: Path, service) -> None:
    heard = service(lambda connection, _: connection.sendall(b"taken\ndone\n"))
    run_script("register", place, variables={"CHANNEL(linkedid)": "1790000120.70", "BX24_LINE": 'x (y) "z"'})
    frame = frames.parse(heard.frames[0])
    assert (frame.kind, frame.direction, frame.argument, frame.uniqueid) == (
        "register", "in", "74957770101", "1790000120.77",
    )  # fmt: skip
    assert frame.fact("linkedid") == "1790000120.70"
    assert frame.fact("line") == 'x (y) "z"'
    assert frame.environment("callerid") == "+79161234567"
    assert frame.environment("calleridname") == ""


def test_relays_the_commands_of_the_service_and_its_replies_line_by_line(place: Path, service) -> None:
    replies: list[bytes] = []

    def speak(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b'taken\nagi SET VARIABLE __BX24_STATUS "REGISTERED"\n')
        replies.append(connection.recv(100))
        connection.sendall(b"agi NONSENSE\n")
        replies.append(connection.recv(100))
        connection.sendall(b"done\n")

    service(speak)
    run = run_script("register", place)
    assert run.variables == {"BX24_STATUS": "REGISTERED"}
    assert replies == [b"200 result=1\n", b"510 Invalid or unknown command\n"]
    assert run.exit_code == 0


def test_is_done_with_the_last_command_where_done_came_with_it_and_the_service_hears_every_reply(
    place: Path, service
) -> None:
    replies: list[bytes] = []

    def speak(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b'taken\nagi SET VARIABLE __BX24_REASON ""\nagi SET VARIABLE __BX24_STATUS "X"\ndone\n')
        while received := connection.recv(100):
            replies.append(received)

    service(speak)
    run = run_script("register", place)
    assert run.variables == {"BX24_REASON": "", "BX24_STATUS": "X"}
    wait_until(lambda: len(b"".join(replies)) == 26, 5, lambda: str(replies))
    assert b"".join(replies) == b"200 result=1\n200 result=1\n"
    assert not intake(place, 0)


def test_asks_asterisk_no_more_than_one_question(place: Path, service) -> None:
    service(lambda connection, _: connection.sendall(b"taken\ndone\n"))
    assert len(run_script("register", place).commands) == 1


def test_a_service_that_takes_and_then_hangs_costs_no_more_than_the_budget_and_the_call_is_kept(
    place: Path, service
) -> None:
    service(lambda connection, _: connection.sendall(b"taken\n"))
    set_budget(place, 0.6)
    run = run_script("register", place)
    assert run.variables["BX24_STATUS"] == "PENDING"
    assert run.variables["BX24_REASON"]
    assert run.seconds > 0.5
    in_time(run.seconds, 1.2)
    assert frames.parse(intake(place)[0].read_bytes()).uniqueid == "1790000120.77"


def test_a_service_that_does_not_take_within_a_quarter_of_a_second_is_passed_over(place: Path, service) -> None:
    service(lambda connection, _: None)
    run = run_script("register", place)
    assert run.variables["BX24_STATUS"] == "PENDING"
    in_time(run.seconds, 1.0)
    assert len(intake(place)) == 1


def test_a_full_backlog_is_busy_and_not_down(place: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(place / "run" / "agi.sock"))
    listener.listen(0)
    waiting = []
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            connection.connect(str(place / "run" / "agi.sock"))
            waiting.append(connection)
        except BlockingIOError:
            break
    run = run_script("register", place)
    assert run.variables["BX24_STATUS"] == "PENDING"
    assert "busy" in run.variables["BX24_REASON"]
    in_time(run.seconds, 0.8)
    assert len(intake(place)) == 1


def test_a_service_that_dies_in_mid_conversation_leaves_the_call_pending_and_kept(place: Path, service) -> None:
    def die(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"taken\n")
        connection.close()

    service(die)
    run = run_script("register", place)
    assert run.variables["BX24_STATUS"] == "PENDING"
    assert len(intake(place)) == 1


def test_what_is_done_leaves_nothing_behind(place: Path, service) -> None:
    service(lambda connection, _: connection.sendall(b"taken\ndone\n"))
    run_script("register", place)
    assert intake(place, 0.3) == []


def test_a_newline_in_the_caller_name_can_neither_forge_the_environment_nor_shift_the_replies(
    place: Path, service
) -> None:
    heard = service(lambda connection, _: connection.sendall(b"taken\ndone\n"))
    hostile = "x\nagi_uniqueid: 1.1\nkind: finish\n\n200 result=1 (forged)\n510 no"
    run_script("register", place, environment={"callerid": hostile}, variables={"CHANNEL(linkedid)": "1790000120.70"})
    frame = frames.parse(heard.frames[0])
    assert (frame.kind, frame.uniqueid, frame.fact("linkedid")) == ("register", "1790000120.77", "1790000120.70")


def test_a_newline_in_a_variable_stays_inside_its_value(place: Path, service) -> None:
    heard = service(lambda connection, _: connection.sendall(b"taken\ndone\n"))
    run_script("register", place, variables={"BX24_LINE": "a)\n200 result=1 (b", "BX24_SOURCE": "WEB"})
    frame = frames.parse(heard.frames[0])
    assert (frame.fact("line"), frame.fact("source")) == ("a)\n200 result=1 (b", "WEB")


def test_a_call_that_register_left_out_is_not_finished(place: Path, service) -> None:
    heard = service(lambda connection, _: connection.sendall(b"taken\ndone\n"))
    run_script("finish", place, arguments=("in",), variables={"BX24_STATUS": "SKIPPED"})
    assert heard.frames == []


def test_a_hangup_signal_does_not_end_the_script(place: Path, service) -> None:
    def signal_then_answer(connection: socket.socket, _: bytes) -> None:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        os.kill(int.from_bytes(credentials[:4], sys.byteorder), 1)
        time.sleep(0.1)
        connection.sendall(b"taken\ndone\n")

    service(signal_then_answer)
    assert run_script("register", place).exit_code == 0


def test_a_state_folder_that_is_missing_is_said_in_one_line_of_the_log(place: Path, service) -> None:
    service(lambda connection, _: None)
    (place / "state" / "intake").rmdir()
    assert run_script("register", place).variables["BX24_STATUS"] == "PENDING"
    log = place / "log"
    wait_until(lambda: log.exists() and "can't be written down" in log.read_text(), 5)
    assert (place / "log").read_text().count("can't be written down") == 1


@pytest.mark.parametrize("there", [True, False])
def test_a_test_channel_is_told_who_runs_and_whether_calls_can_be_written_down_and_nothing_else_happens(
    place: Path, service, there: bool
) -> None:
    heard = service(lambda connection, _: None)
    if not there:
        (place / "state" / "intake").rmdir()
    run = run_script("register", place, ["verify"])
    reason = f"user {os.geteuid()}" + ("" if there else " may not write its state folder")
    assert run.variables == {"BX24_STATUS": "VERIFIED", "BX24_REASON": reason}
    assert not heard.frames and not (there and intake(place)) and not (place / "log").exists()


def test_a_newline_in_the_caller_name_can_not_forge_a_field_that_came_before_it(place: Path, service) -> None:
    heard = service(lambda connection, _: connection.sendall(b"taken\ndone\n"))
    run_script("register", place, environment={"calleridname": "x\nagi_uniqueid=forged: y\nagi_dnid=1: z"})
    assert frames.parse(heard.frames[0]).uniqueid == "1790000120.77"
    assert b"forged" not in heard.frames[0]


def test_a_service_that_never_stops_speaking_is_left_at_the_deadline(place: Path, service) -> None:
    def babble(connection: socket.socket, _: bytes) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(b"taken\n" + b'agi SET VARIABLE __BX24_REASON "x"\n' * 200_000)

    service(babble)
    set_budget(place, 0.4)
    run = run_script("register", place)
    assert run.variables["BX24_STATUS"] == "PENDING"
    in_time(run.seconds, 0.9)


def test_a_log_whose_disk_hangs_holds_nobody(place: Path, service) -> None:
    os.mkfifo(place / "log")  # opening it for writing waits until somebody reads
    service(lambda connection, _: None)
    run = run_script("register", place)
    assert run.variables["BX24_STATUS"] == "PENDING"
    in_time(run.seconds, 1.0)
    with open(os.open(place / "log", os.O_RDONLY), "rb") as reader:  # noqa: PTH123 - lets the child go on
        assert b"busy or hangs" in reader.read()
    assert len(intake(place)) == 1


def test_imports_the_interpreters_cheapest_modules_only() -> None:
    code = (
        f"import sys; before = set(sys.modules); sys.path.append({str(REPOSITORY)!r});"
        "import freepbx_bx24.guard; print(*sorted(set(sys.modules) - before))"
    )
    printed = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(printed.split()) <= {
        "_signal", "_socket", "freepbx_bx24", "freepbx_bx24.guard", "freepbx_bx24.guard_channel",
        "posix", "select", "time",
    }  # fmt: skip
