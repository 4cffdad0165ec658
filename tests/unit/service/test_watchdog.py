"""What the service tells its supervisor: by the protocol of systemd, at a socket of the test's own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Callable, Iterator

import pytest

from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.service.watchdog import Beats, Notifier, Watch, feed_seconds, status_line
from tests.support.agi_script import REPOSITORY
from tests.support.in_time import in_time
from tests.support.running_service import RunningService, wait_until

REGISTER = "telephony.externalcall.register"


class Listener:
    """The supervisor's end: every datagram, in order, with when it came."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.heard: list[tuple[float, list[str]]] = []

    def read(self, seconds: float = 0.0) -> list[str]:
        """All lines that come within so many seconds."""
        until, new = time.monotonic() + seconds, []
        while True:
            self.socket.settimeout(max(until - time.monotonic(), 0.001))
            try:
                lines = self.socket.recv(4096).decode().split("\n")
            except (socket.timeout, BlockingIOError):
                return new
            self.heard.append((time.monotonic(), lines))
            new += lines

    def lines(self) -> list[str]:
        self.read()
        return [line for _, lines in self.heard for line in lines]

    def wait_for(self, line: str, seconds: float = 10.0) -> None:
        wait_until(lambda: any(said.startswith(line) for said in self.lines()), seconds, lambda: str(self.lines()))

    def forget(self) -> None:
        self.read()
        self.heard.clear()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    one = Listener(str(tmp_path / "notify"))
    yield one
    one.socket.close()


@pytest.fixture
def watched(service: RunningService, listener: Listener) -> RunningService:
    """A service whose supervisor is the test; it has to beat every second."""
    service.environment["NOTIFY_SOCKET"] = listener.socket.getsockname()
    service.environment["WATCHDOG_USEC"] = "1000000"
    return service


# -- the loops -----------------------------------------------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_loop_has_its_own_bound_from_its_registration_on(clock: Clock) -> None:
    beats = Beats(clock)
    beats.register("delivery", 10)
    beats.register("agi", 60)
    clock.now += 10
    assert beats.late() == ()
    clock.now += 0.1
    assert beats.late() == ("delivery",)
    beats.beat("delivery")
    assert beats.late() == ()
    clock.now += 55
    assert beats.late() == ("agi", "delivery")


def test_a_loop_that_waits_knowingly_has_that_time_once(clock: Clock) -> None:
    beats = Beats(clock)
    beats.register("delivery", 10)
    beats.beat("delivery", waits_seconds=70)
    clock.now += 69
    assert beats.late() == ()
    beats.beat("delivery")
    clock.now += 11
    assert beats.late() == ("delivery",)


def test_a_shorter_wait_takes_nothing_from_a_loops_bound(clock: Clock) -> None:
    beats = Beats(clock)
    beats.register("delivery", 10)
    beats.beat("delivery", waits_seconds=1)
    clock.now += 9
    assert beats.late() == ()


def test_who_is_not_registered_or_has_ended_is_not_watched(clock: Clock) -> None:
    beats = Beats(clock)
    beats.beat("ami")
    beats.register("delivery", 10)
    beats.forget("delivery")
    clock.now += 1000
    assert beats.late() == ()


# -- the notifications ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["path", "abstract"])
def test_both_forms_of_a_socket_are_spoken_to(tmp_path: Path, form: str) -> None:
    path = str(tmp_path / "notify")
    listener = Listener(path if form == "path" else "\0" + path)
    environment = {"NOTIFY_SOCKET": path if form == "path" else "@" + path}
    Notifier(environment).send("READY=1", "STATUS=fine")
    assert listener.lines() == ["READY=1", "STATUS=fine"]
    assert environment == {}  # no child speaks in our name
    listener.socket.close()


@pytest.mark.parametrize("path", ["", "@", "/", "relative", "/no/such/socket", "/" + "x" * 300, "vsock:2:1"])
def test_a_socket_that_can_not_be_spoken_to_is_no_trouble(path: str) -> None:
    Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "10"}).ready()


def test_a_supervisor_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
            filler.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    filler.sendto(b"x", str(tmp_path / "notify"))
        began = time.monotonic()
        notifier.ready()
        in_time(time.monotonic() - began, 2)


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "1"}, 0.05),
        ({"WATCHDOG_USEC": "0"}, 0.0),
        ({"WATCHDOG_USEC": "-5"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "me"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time_and_only_where_it_is_ours(
    environment: dict[str, str], seconds: float
) -> None:
    assert feed_seconds(environment) == seconds


def test_the_status_tells_what_waits_how_the_portal_is_and_who_hangs() -> None:
    since = time.mktime((2026, 11, 25, 9, 44, 0, 0, 0, -1))
    assert status_line(0, True, since, ()) == "calls waiting: 0; portal up since 2026-11-25 09:44:00"
    assert status_line(12, False, since, ()) == "calls waiting: 12; portal down since 2026-11-25 09:44:00"
    assert status_line(-1, True, since, ()).startswith("calls waiting: unknown;")
    assert status_line(3, True, since, ("agi", "delivery")) == "hangs: no sign of life from agi, delivery"


# -- when the watchdog is fed --------------------------------------------------------------------------------


def counted(number: int) -> Callable[[], Future[int]]:
    def count() -> Future[int]:
        future: Future[int] = Future()
        future.set_result(number)
        return future

    return count


def watch(listener: Listener, beats: Beats, count: Callable[[], Future[int]] = counted(0)) -> Watch:
    notifier = Notifier({"NOTIFY_SOCKET": listener.socket.getsockname(), "WATCHDOG_USEC": "100000"})
    return Watch(notifier, beats, lambda: True, count)


def test_the_watchdog_is_fed_while_a_real_loop_turns_and_not_while_it_is_stuck_on_a_lock(listener: Listener) -> None:
    beats, lock, ended = Beats(), threading.Lock(), threading.Event()
    beats.register("delivery", 0.2)

    def loop() -> None:
        while not ended.wait(0.02):
            beats.beat("delivery")
            with lock:
                pass

    thread = threading.Thread(target=loop)
    thread.start()
    one = watch(listener, beats)
    try:
        time.sleep(0.3)
        assert one.look()
        assert "WATCHDOG=1" in listener.read()
        with lock:
            time.sleep(0.5)
            assert not one.look()
            assert listener.read() == ["STATUS=hangs: no sign of life from delivery"]
        wait_until(one.look, 5)
        assert "WATCHDOG=1" in listener.read()
    finally:
        ended.set()
        thread.join()


def test_a_journal_that_does_not_answer_holds_up_neither_the_look_nor_its_line(listener: Listener) -> None:
    never: Future[int] = Future()
    one = watch(listener, Beats(), lambda: never)
    assert one.look() and one.look()
    lines = listener.read()
    assert lines.count("WATCHDOG=1") == 2
    assert [line[:29] for line in lines if line.startswith("STATUS")] == ["STATUS=calls waiting: unknown"]


def test_a_count_that_failed_is_unknown_and_is_asked_for_again(listener: Listener) -> None:
    answers = iter([5, OSError("no disk"), 7, 7])

    def count() -> Future[int]:
        future: Future[int] = Future()
        answer = next(answers)
        if isinstance(answer, int):
            future.set_result(answer)
        else:
            future.set_exception(answer)
        return future

    one = watch(listener, Beats(), count)
    said = []
    for _ in range(4):
        one.look()
        said += [line.split(";")[0] for line in listener.read() if line.startswith("STATUS")]
    waiting = ["unknown", "5", "unknown", "7"]
    assert said == [f"STATUS=calls waiting: {number}" for number in waiting]


def test_a_line_that_has_not_changed_is_not_sent_again(listener: Listener) -> None:
    one = watch(listener, Beats(), counted(3))
    for _ in range(4):
        one.look()
    assert sum(line.startswith("STATUS") for line in listener.read()) == 2  # unknown, then 3


# -- the real service ----------------------------------------------------------------------------------------


def test_ready_is_said_when_the_socket_answers_and_not_before(watched: RunningService, listener: Listener) -> None:
    watched.start()
    listener.wait_for("READY=1")
    assert watched.answers()
    first = listener.lines()[0]
    assert first == "READY=1"


def test_whoever_hears_ready_may_call_at_once(watched: RunningService, listener: Listener) -> None:
    ping = b"kind=ping\0\0"
    path = str(watched.directory / "run" / "agi.sock")
    answers = []

    def call_when_ready() -> None:
        listener.socket.settimeout(20)
        assert listener.socket.recv(4096) == b"READY=1"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5)
            connection.connect(path)
            connection.sendall(ping)
            answers.append(connection.makefile("rb").read())

    caller = threading.Thread(target=call_when_ready)
    caller.start()
    watched.start()
    caller.join(20)
    assert answers == [b"taken\ndone\n"]


def test_a_configuration_that_can_not_be_used_is_never_ready(watched: RunningService, listener: Listener) -> None:
    watched.yaml.write_text("portal: nonsense\n")
    command = [sys.executable, "-m", "freepbx_bx24.cli.main", "serve"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **watched.environment}, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == os.EX_CONFIG
    assert listener.lines() == []


def test_the_watchdog_is_fed_at_half_of_its_time(watched: RunningService, listener: Listener) -> None:
    watched.start()
    listener.wait_for("READY=1")
    listener.read(3.2)
    fed = [when for when, lines in listener.heard if "WATCHDOG=1" in lines]
    assert 4 <= len(fed) <= 9
    assert max(after - before for before, after in zip(fed, fed[1:])) < 1.0


def test_a_reload_is_said_with_its_time_and_its_end(watched: RunningService, listener: Listener) -> None:
    watched.start()
    listener.wait_for("READY=1")
    listener.forget()
    before = time.monotonic_ns() // 1000
    watched.signal(signal.SIGHUP)
    listener.wait_for("READY=1")
    lines = [line for line in listener.lines() if not line.startswith(("STATUS", "WATCHDOG"))]
    assert [line.split("=")[0] for line in lines] == ["RELOADING", "MONOTONIC_USEC", "READY"]
    assert before <= int(lines[1].split("=")[1]) <= time.monotonic_ns() // 1000


def test_a_reload_of_a_broken_configuration_ends_as_well(watched: RunningService, listener: Listener) -> None:
    watched.start()
    listener.wait_for("READY=1")
    listener.forget()
    watched.yaml.write_text("portal: nonsense\n")
    watched.signal(signal.SIGHUP)
    listener.wait_for("READY=1")
    assert watched.answers()


def test_a_stop_is_said_before_it_begins(watched: RunningService, listener: Listener) -> None:
    watched.start()
    listener.wait_for("READY=1")
    assert watched.stop() == 0
    assert [line for line in listener.lines() if not line.startswith("WATCHDOG")][-2:] == ["STOPPING=1", "STATUS=stops"]


def test_the_status_follows_what_waits_and_how_the_portal_is(
    portal: Portal, watched: RunningService, listener: Listener
) -> None:
    watched.write_yaml(portal.webhook_url, wait=0.2)
    watched.start()
    listener.wait_for("STATUS=calls waiting: 0; portal up since 20")
    with portal.gate(REGISTER):
        for number in range(3):
            assert watched.register(f"179000013{number}.77").variables["BX24_STATUS"] == "PENDING"
        listener.wait_for("STATUS=calls waiting: 3; portal down since 20")
    listener.forget()
    watched.register("1790000140.77")  # callers wait again once a delivery was answered in time
    listener.wait_for("STATUS=calls waiting: 0; portal up since 20", 20)


def test_a_delivery_that_hangs_starves_the_watchdog_and_is_named(watched: RunningService, listener: Listener) -> None:
    watched.environment["BX24_TEST_TIME_SCALE"] = "0.01"
    watched.start()
    listener.wait_for("READY=1")
    log = watched.directory / "log"
    log.rename(watched.directory / "log.1")
    os.mkfifo(log)  # a log on a disk that hangs: opening it waits for ever
    (watched.directory / "state" / "intake" / "1-junk.frame").write_bytes(b"junk")
    listener.wait_for("STATUS=hangs: no sign of life from delivery", 30)
    listener.forget()
    assert "WATCHDOG=1" not in listener.read(2)
