"""The service as a process: who may speak to it, how many at once, how it starts, reloads and stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Iterator

import pytest

from freepbx_bx24.sandbox.portal import Portal
from tests.support.agi_script import REPOSITORY
from tests.support.in_time import in_time
from tests.support.running_service import RunningService, asked, wait_until

REGISTER = "telephony.externalcall.register"
FINISH = "telephony.externalcall.finish"
NOBODY = 65534
ANSWERED = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "35", "DIALEDPEERNUMBER": "101/sip:101@127.0.0.1"}


def frame(uniqueid: str, deadline: float) -> bytes:
    fields = {
        "kind": "register",
        "direction": "in",
        "argument": "74957770101",
        "deadline": repr(deadline),
        "started": repr(time.time()),
        "agi_uniqueid": uniqueid,
        "agi_channel": "PJSIP/mts-00000001",
        "agi_callerid": "+79161234567",
    }
    return b"".join(f"{name}={value}\0".encode() for name, value in fields.items()) + b"\0"


def connected(service: RunningService) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(5)
    connection.connect(str(service.directory / "run" / "agi.sock"))
    return connection


def requests(service: RunningService, method: str) -> int:
    return asked(service.portal).count(method)


def descriptors(service: RunningService) -> int:
    assert service.process
    return len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))


# -- who may speak -------------------------------------------------------------------------------------------


@pytest.fixture
def open_service(portal: Portal) -> Iterator[RunningService]:
    """A service in a folder that every user can reach, as a careless admin may have left it."""
    with tempfile.TemporaryDirectory(prefix="bx24-") as directory:
        Path(directory).chmod(0o755)
        with RunningService(Path(directory), portal) as one:
            yield one


def as_nobody(code: str) -> subprocess.Popen[str]:
    drop = f"import os, socket, sys; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    return subprocess.Popen([sys.executable, "-c", drop + code], stdout=subprocess.PIPE, text=True)


def test_another_user_is_not_listened_to_even_where_the_socket_lets_it_in(open_service: RunningService) -> None:
    service = open_service.start()
    path = service.directory / "run" / "agi.sock"
    path.parent.chmod(0o755)
    path.chmod(0o666)
    code = (
        f"s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect({str(path)!r})\n"
        r"try: s.sendall(b'kind=ping\0\0'); print(s.recv(100))" + "\n"
        "except ConnectionError: print(b'')\n"
    )
    stranger = as_nobody(code)
    assert stranger.communicate(timeout=20)[0] == "b''\n"
    wait_until(lambda: f"user {NOBODY} may not speak" in service.log(), 5, service.log)
    assert service.answers()


def test_the_guard_hands_no_call_to_a_socket_of_another_user(open_service: RunningService) -> None:
    run = open_service.directory / "run"
    run.chmod(0o777)
    code = (
        f"s = socket.socket(socket.AF_UNIX); s.bind({str(run / 'agi.sock')!r}); s.listen(); print('up', flush=True)\n"
        "c, _ = s.accept(); print(c.recv(100), flush=True)\n"
    )
    impostor = as_nobody(code)
    assert impostor.stdout
    assert impostor.stdout.readline() == "up\n"
    (run / "agi.sock").chmod(0o777)
    registered = open_service.register()
    assert registered.variables["BX24_STATUS"] == "REGISTERED"  # by the script itself
    assert impostor.communicate(timeout=20)[0] == "b''\n"


def test_the_socket_and_what_the_guard_reads_are_for_our_own_group_alone(service: RunningService) -> None:
    service.start()
    modes = {name: (service.directory / "run" / name).stat().st_mode & 0o777 for name in ("agi.sock", "agi.conf")}
    assert modes == {"agi.sock": 0o660, "agi.conf": 0o640}
    assert (service.directory / "log").stat().st_mode & 0o007 == 0
    assert (service.directory / "state" / "journal.sqlite").stat().st_mode & 0o007 == 0


# -- what is worked on ---------------------------------------------------------------------------------------


def test_a_frame_whose_deadline_has_passed_is_not_worked_on(service: RunningService) -> None:
    service.start()
    with connected(service) as late:
        late.sendall(frame("1790000120.99", time.monotonic() - 1))
        assert late.recv(100) == b""
    wait_until(lambda: "1790000120.99: came too late" in service.log(), 5, service.log)
    assert service.calls() == []


def test_a_frame_whose_sender_has_gone_is_not_worked_on(service: RunningService) -> None:
    service.start()
    service.signal(signal.SIGSTOP)
    with connected(service) as gone:
        gone.sendall(frame("1790000120.98", time.monotonic() + 30))
    service.signal(signal.SIGCONT)
    wait_until(lambda: "an AGI script left" in service.log(), 5, service.log)
    time.sleep(0.2)
    assert service.calls() == []


@pytest.mark.parametrize(
    "junk",
    [b"\0\0", b"kind=register\0\0", b"GET / HTTP/1.1\r\n\r\n\0\0", b"\xff" * 300_000],
    ids=["nothing", "hardly anything", "HTTP", "too much"],
)
def test_nonsense_ends_its_own_conversation_and_nothing_else(service: RunningService, junk: bytes) -> None:
    service.start()
    with connected(service) as speaker:
        try:
            speaker.sendall(junk)
            assert speaker.recv(100) == b""
        except ConnectionError:
            pass
    assert service.answers()
    assert service.register().variables["BX24_STATUS"] == "REGISTERED"


def test_a_sender_who_stops_in_mid_frame_is_let_go(service: RunningService) -> None:
    service.start()
    with connected(service) as stuck:
        stuck.sendall(b"kind=register\0")
        assert stuck.recv(100) == b""


def test_more_callers_at_once_than_are_answered_wait_no_longer_and_are_all_registered_once(
    portal: Portal, service: RunningService
) -> None:
    callers = 80
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    service.write_yaml(portal.webhook_url, wait=8)
    service.start()
    with portal.gate(REGISTER) as gate, ThreadPoolExecutor(callers) as threads:
        runs = [threads.submit(service.register, f"17900001{number:02}.77") for number in range(callers)]
        wait_until(lambda: sum(run.done() for run in runs) >= callers - 64, 30, service.log)
        assert {run.result().variables["BX24_STATUS"] for run in runs if run.done()} == {"PENDING"}
        gate.release()
        statuses = [run.result().variables["BX24_STATUS"] for run in runs]
    assert set(statuses) == {"REGISTERED", "PENDING"}
    wait_until(lambda: len(service.calls()) >= callers, 60, service.log)
    time.sleep(0.5)
    assert len({call["EXTERNAL_CALL_ID"] for call in service.calls()}) == len(service.calls()) == callers


# -- one call, one registration ------------------------------------------------------------------------------


def test_a_call_that_ends_while_its_registration_is_under_way_is_not_registered_beside_it(
    portal: Portal, service: RunningService
) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    service.write_yaml(portal.webhook_url, wait=0.3)
    service.start()
    with portal.gate(REGISTER) as gate:
        assert service.register().variables["BX24_STATUS"] == "PENDING"
        gate.wait_for_arrival(1)
        service.finish(variables=ANSWERED)
        wait_until(lambda: not list((service.directory / "state" / "intake").iterdir()), 10, service.log)
        time.sleep(1)
        assert gate.arrived == 1
    (call,) = service.wait_for_calls()
    assert (call["CALL_DURATION"], call["STATUS_CODE"]) == (35, "200")
    assert (requests(service, REGISTER), requests(service, FINISH)) == (1, 1)


def test_the_same_script_run_twice_on_one_channel_is_one_call(service: RunningService) -> None:
    service.start()
    first, second = service.register(), service.register()
    assert first.variables["BX24_CALL_ID"] == second.variables["BX24_CALL_ID"]
    service.finish(variables=ANSWERED)
    service.finish(variables=ANSWERED)
    service.wait_for_calls()
    time.sleep(0.5)
    assert len(service.calls()) == 1
    assert requests(service, FINISH) == 1


def test_a_call_that_the_dialplan_leaves_out_is_not_told_though_register_never_ran(service: RunningService) -> None:
    service.start()
    service.finish(variables={**ANSWERED, "BX24_SKIP": "1"})
    wait_until(lambda: "BX24_SKIP is set" in service.log(), 5, service.log)
    assert service.calls() == []


def test_a_finish_without_a_register_knows_the_line_and_number_that_the_dialplan_named(service: RunningService) -> None:
    service.start()
    service.finish(variables={**ANSWERED, "BX24_LINE": "84957770101", "BX24_NUMBER": "84951112233"}, arguments=("in",))
    (call,) = service.wait_for_calls()
    assert (call["LINE_NUMBER"], call["PHONE_NUMBER"]) == ("+74957770101", "+74951112233")


# -- start, reload, stop -------------------------------------------------------------------------------------


def test_a_socket_that_a_dead_service_left_is_replaced(service: RunningService) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(str(service.directory / "run" / "agi.sock"))
    service.start()
    service.stop(signal.SIGKILL)
    service.start()
    assert service.register().variables["BX24_STATUS"] == "REGISTERED"


def test_a_second_service_is_refused_in_words_and_the_first_goes_on(service: RunningService) -> None:
    service.start()
    second = subprocess.run(
        [sys.executable, "-m", "freepbx_bx24.cli.main", "serve"],
        cwd=REPOSITORY,
        env={**os.environ, **service.environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert "another process holds" in second.stderr
    assert "systemctl status freepbx-bx24" in second.stderr
    assert "Traceback" not in second.stderr
    assert service.answers()


def second_start(service: RunningService) -> subprocess.Popen[str]:
    """A start whose end and words are of interest."""
    return subprocess.Popen(
        [sys.executable, "-m", "freepbx_bx24.cli.main", "serve"],
        cwd=REPOSITORY,
        env={**os.environ, **service.environment},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("attempt", range(3))
def test_of_starts_at_the_same_instant_one_serves_and_the_others_leave_its_socket_alone(
    service: RunningService, attempt: int
) -> None:
    starts = [second_start(service) for _ in range(4)]
    try:
        wait_until(lambda: sum(start.poll() is None for start in starts) == 1 and service.answers(), 30, service.log)
        (serving,) = [start for start in starts if start.poll() is None]
        for start in starts:
            if start is not serving:
                said = start.communicate(timeout=10)[1]
                assert start.returncode == 1
                assert "another process holds" in said and "Traceback" not in said
        assert serving_process(service) == serving.pid
    finally:
        for start in starts:
            start.kill()
            start.communicate()


def serving_process(service: RunningService) -> int:
    """The number of the process behind the socket; 0 where nobody is."""
    try:
        with connected(service) as connection:
            return int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)
    except OSError:
        return 0


def started_until_it_serves(service: RunningService) -> subprocess.Popen[str]:
    """Start again and again while another one holds the lock, as a supervisor does."""
    while True:
        one = second_start(service)
        wait_until(lambda: one.poll() is not None or serving_process(service) == one.pid, 20, service.log)  # noqa: B023
        if one.poll() is None:
            return one
        one.communicate()


def test_a_service_that_stops_does_not_remove_the_socket_of_the_next_one(
    portal: Portal, service: RunningService
) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    service.write_yaml(portal.webhook_url, wait=0.3)
    for number in range(3):
        service.start()
        leaving = service.process
        assert leaving
        with portal.gate(REGISTER):  # what is under way makes the end longer
            service.register(f"179000012{number}.77")
            leaving.send_signal(signal.SIGTERM)
            successor = started_until_it_serves(service)
            assert leaving.wait(20) == 0
        try:
            assert serving_process(service) == successor.pid and service.answers()
        finally:
            successor.terminate()
            successor.communicate(timeout=20)


def test_where_the_socket_belongs_is_a_link_the_link_is_replaced_and_its_target_left_alone(
    service: RunningService,
) -> None:
    precious = service.directory / "precious"
    precious.write_text("mine")
    path = service.directory / "run" / "agi.sock"
    path.symlink_to(precious)
    service.start()
    assert path.is_socket() and not path.is_symlink()
    assert precious.read_text() == "mine"


def test_a_directory_where_the_socket_belongs_is_refused_in_words(service: RunningService) -> None:
    path = service.directory / "run" / "agi.sock"
    path.mkdir()
    (path / "precious").write_text("mine")
    start = second_start(service)
    said = start.communicate(timeout=30)[1]
    assert start.returncode == 1
    assert f"{path}: Is a directory" in said and f"mv {path} {path}.old" in said and "Traceback" not in said
    assert (path / "precious").exists()


def test_a_folder_of_the_socket_that_belongs_to_somebody_else_is_refused_with_what_to_type(
    service: RunningService,
) -> None:
    run = service.directory / "run"
    os.chown(run, NOBODY, NOBODY)
    for options in ((), ("--supervised",)):
        done = subprocess.run(
            [sys.executable, "-m", "freepbx_bx24.cli.main", "serve", *options],
            cwd=REPOSITORY,
            env={**os.environ, **service.environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 1
        assert f"{run} belongs to user {NOBODY}, not to root" in done.stderr
        assert f"chown root: {run}" in done.stderr and "Traceback" not in done.stderr
    assert list(run.iterdir()) == []


def test_a_folder_of_the_socket_that_others_can_write_to_is_closed(service: RunningService) -> None:
    run = service.directory / "run"
    run.chmod(0o777)
    service.start()
    assert run.stat().st_mode & 0o777 == 0o750
    assert "its mode is 0750 now" in service.log()


def test_a_missing_folder_of_the_socket_is_made(service: RunningService) -> None:
    run = service.directory / "run"
    run.rmdir()
    service.start()
    assert run.stat().st_mode & 0o777 == 0o750


def test_a_reload_takes_a_new_wait_over_to_the_guard(portal: Portal, service: RunningService) -> None:
    service.start()
    service.write_yaml(portal.webhook_url, wait=0.4)
    service.signal(signal.SIGHUP)
    wait_until(lambda: "wait_in=0.4\n" in (service.directory / "run" / "agi.conf").read_text(), 5, service.log)
    with portal.gate(REGISTER):
        run = service.register()
    assert run.variables["BX24_STATUS"] == "PENDING"
    assert run.seconds > 0.3
    in_time(run.seconds, 1)


def test_a_reload_that_can_not_be_used_costs_the_service_nothing(portal: Portal, service: RunningService) -> None:
    service.start()
    good = service.yaml.read_text()
    bundle = service.directory / "bundle.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    service.write_yaml("https://example.bitrix24.com/rest/1/0123456789abcdef/")
    service.yaml.write_text(service.yaml.read_text().replace("webhook, ", f"webhook, ca_bundle: {bundle}, "))
    assert "ca_bundle" in service.yaml.read_text()
    service.signal(signal.SIGHUP)
    wait_until(lambda: "stays in force" in service.log(), 5, service.log)
    service.yaml.write_text(good)
    assert service.register().variables["BX24_STATUS"] == "REGISTERED"


def test_reloads_and_calls_leave_no_descriptors_open(service: RunningService) -> None:
    service.start()
    service.register("1790000100.1")
    before = descriptors(service)
    for number in range(10):
        lines = service.log().count("read again")
        service.signal(signal.SIGHUP)
        wait_until(lambda lines=lines: service.log().count("read again") > lines, 5, service.log)
        assert service.register(f"179000020{number}.1").variables["BX24_STATUS"] == "REGISTERED"
        service.finish(f"179000020{number}.1")
    service.wait_for_calls(10)
    wait_until(lambda: descriptors(service) <= before + 3, 5, lambda: f"{before} were open, now {descriptors(service)}")


def test_a_stop_lets_the_caller_who_waits_hear_the_answer(portal: Portal, service: RunningService) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    service.write_yaml(portal.webhook_url, wait=8)
    service.start()
    with portal.gate(REGISTER) as gate, ThreadPoolExecutor(1) as threads:
        run = threads.submit(service.register)
        gate.wait_for_arrival(1)
        threading.Timer(0.5, gate.release).start()
        assert service.stop() == 0
        assert run.result().variables["BX24_STATUS"] == "REGISTERED"
    assert "Traceback" not in service.log()


def test_what_the_portal_answers_during_a_stop_is_written_down(portal: Portal, service: RunningService) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    service.write_yaml(portal.webhook_url, wait=0.3)
    service.start()
    with portal.gate(REGISTER) as gate:
        assert service.register().variables["BX24_STATUS"] == "PENDING"
        gate.wait_for_arrival(1)
        threading.Timer(0.5, gate.release).start()
        assert service.stop() == 0
    assert "Traceback" not in service.log()
    service.start()
    service.finish(variables=ANSWERED)
    service.wait_for_calls()
    assert (requests(service, REGISTER), requests(service, FINISH)) == (1, 1)


def test_a_stop_with_deliveries_owed_is_quiet_and_the_next_start_makes_them(
    portal: Portal, service: RunningService
) -> None:
    service.start()
    with portal.gate(FINISH) as gate:
        service.register()
        service.finish(variables=ANSWERED)
        gate.wait_for_arrival(1)
        assert service.stop() == 0
    assert "Traceback" not in service.log()
    service.start()
    (call,) = service.wait_for_calls()
    assert call["CALL_DURATION"] == 35
    assert len(service.calls()) == 1


def test_a_stop_waits_for_a_portal_that_does_not_answer_no_longer_than_a_few_seconds(
    portal: Portal, service: RunningService
) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    service.write_yaml(portal.webhook_url, wait=0.3)
    service.start()
    with portal.gate(REGISTER):
        assert service.register().variables["BX24_STATUS"] == "PENDING"
        began = time.monotonic()
        assert service.stop() == 0
        in_time(time.monotonic() - began, 5)
    assert "Traceback" not in service.log()
