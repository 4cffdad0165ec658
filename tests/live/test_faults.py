"""What can break breaks, under real calls: the phone rings within the budget, and the call reaches the CRM once."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import Callable, Iterator

import pytest

from freepbx_bx24.sandbox.pbx.record import CallRecord, answer
from tests.support import awful_servers
from tests.support.in_time import in_time
from tests.support.running_service import wait_until

from .world import SERVICE_SECONDS, World, p95

BUDGET = 2.0
SECRET_PATH = "/rest/1/abcdef0123456789/"
BARE_RUNS = 20

FILL_BACKLOG = """
import socket, sys, time
waiting = []
while True:
    one = socket.socket(socket.AF_UNIX)
    one.setblocking(False)
    try:
        one.connect("/run/freepbx-bx24/agi.sock")
    except BlockingIOError:
        break
    waiting.append(one)
print(len(waiting), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def bare(world: World) -> float:
    """p95 of a bare AGI script in this very Asterisk: what any script costs here."""
    return p95([world.time_agi("bare")[0] for _ in range(BARE_RUNS)])


@contextmanager
def deaf(world: World) -> Iterator[str]:
    with awful_servers.serving(awful_servers.deaf) as address:
        yield f"http://{address}{SECRET_PATH}"


@contextmanager
def dripping(world: World) -> Iterator[str]:
    with awful_servers.serving(awful_servers.dripping) as address:
        yield f"http://{address}{SECRET_PATH}"


@contextmanager
def stalling_in_tls(world: World) -> Iterator[str]:
    with awful_servers.serving(awful_servers.stalling) as address:
        yield f"https://{address}{SECRET_PATH}"


@contextmanager
def refusing(world: World) -> Iterator[str]:
    with awful_servers.refusing() as address:
        yield f"http://{address}{SECRET_PATH}"


@contextmanager
def not_resolving(world: World) -> Iterator[str]:
    resolver = world.pbx.root.outside("/etc/resolv.conf")
    kept = resolver.read_bytes()
    with awful_servers.dead_name_server() as address:
        resolver.write_text(f"nameserver {address}\n")
        try:
            yield f"https://portal.example{SECRET_PATH}"
        finally:
            resolver.write_bytes(kept)


OUTAGES = {one.__name__: one for one in (deaf, refusing, dripping, stalling_in_tls, not_resolving)}


@pytest.mark.parametrize("outage", OUTAGES)
def test_no_caller_waits_longer_than_the_budget_and_the_fourth_of_an_outage_does_not_wait(
    world: World, bare: float, outage: str
) -> None:
    with OUTAGES[outage](world) as url, world.pointed_to(url), world.served(scale="1"):
        runs = [world.time_agi("register") for _ in range(4)]
    print(f"{outage}: {[round(seconds, 3) for seconds, _ in runs]}, bare p95 {bare:.3f}")
    for seconds, status in runs:
        assert status == "PENDING"
        in_time(seconds, BUDGET + 3 * bare, runs)
    in_time(runs[3][0], 0.1, runs)
    assert SECRET_PATH.strip("/").split("/")[-1] not in world.log()


@pytest.mark.parametrize("outage", ["deaf", "not_resolving"])
def test_without_the_service_no_caller_waits_longer_than_the_budget_either(
    world: World, bare: float, outage: str
) -> None:
    with OUTAGES[outage](world) as url, world.pointed_to(url):
        seconds, status = world.time_agi("register")
    assert status == "PENDING"
    in_time(seconds, BUDGET + 3 * bare)


def ring_once(world: World, extension: str, number: str) -> tuple[CallRecord, float]:
    """A real call that is answered; returns the caller's record and how long the phone took to ring (seconds)."""
    phone = world.pbx.phone(extension)
    phone.behaviour = answer(0.3)
    known = len(phone.records)
    record = world.pbx.trunk.call(f"74957770{extension}", number, talk=1.2).wait(30)
    rang = phone.records[known]
    assert record.started and rang.started
    assert record.talk_seconds > 1
    return record, rang.started.monotonic - record.started.monotonic


def test_a_stopped_service_holds_no_call_and_none_is_lost(world: World) -> None:
    number = world.new_number()
    with world.served():
        assert world.product.service
        world.product.service.send_signal(signal.SIGSTOP)
        try:
            record, waited = ring_once(world, "140", number)
        finally:
            world.product.service.send_signal(signal.SIGCONT)
        in_time(waited, SERVICE_SECONDS)
        call = world.finished(number)
    assert abs(call["CALL_DURATION"] - record.talk_seconds) <= 1


def test_a_service_stopped_after_it_took_the_call_holds_it_no_longer_than_the_budget(world: World, bare: float) -> None:
    number = world.new_number()
    with world.served(), world.portal.gate("telephony.externalCall.register") as gate:
        service = world.product.service
        assert service
        stopper = threading.Thread(
            target=lambda: (world.wait_for_register(number), service.send_signal(signal.SIGSTOP))
        )
        stopper.start()
        try:
            record, waited = ring_once(world, "141", number)
        finally:
            stopper.join()
            service.send_signal(signal.SIGCONT)
            gate.release()
        in_time(waited, BUDGET + 3 * bare + 0.1)
        call = world.finished(number)
    assert abs(call["CALL_DURATION"] - record.talk_seconds) <= 1


def test_a_service_killed_in_mid_conversation_frees_the_call_at_once_and_loses_it_not(world: World) -> None:
    number = world.new_number()
    world.serve()
    with world.portal.gate("telephony.externalCall.register") as gate:
        killer = threading.Thread(target=lambda: (world.wait_for_register(number), world.product.stop(signal.SIGKILL)))
        killer.start()
        record, waited = ring_once(world, "142", number)
        killer.join()
        gate.release()
    in_time(waited, SERVICE_SECONDS)
    with world.served():
        call = world.finished(number)
    assert abs(call["CALL_DURATION"] - record.talk_seconds) <= 1


def test_a_full_backlog_holds_no_call_and_none_is_lost(world: World) -> None:
    number = world.new_number()
    with world.served():
        service = world.product.service
        assert service
        service.send_signal(signal.SIGSTOP)
        filler = world.pbx.root.popen(["python3", "-c", FILL_BACKLOG], user="asterisk", stdin=-1, stdout=-1)
        try:
            assert filler.stdout and int(filler.stdout.readline()) > 1000
            record, waited = ring_once(world, "143", number)
        finally:
            service.send_signal(signal.SIGCONT)
            filler.communicate("")
        in_time(waited, SERVICE_SECONDS)
        call = world.finished(number, 40)
    assert abs(call["CALL_DURATION"] - record.talk_seconds) <= 1


# -- the machine is not as it should be -------------------------------------------------------------------------------


def no_configuration(world: World, stack: ExitStack) -> None:
    stack.enter_context(world.yaml(None))


def broken_yaml(world: World, stack: ExitStack) -> None:
    stack.enter_context(world.yaml("portal: {webhook_file: [\n"))


def full_disk(world: World, stack: ExitStack) -> None:
    root = world.pbx.root
    root.mount_tmpfs("/var/lib/freepbx-bx24", "64k", "mode=0777")
    stack.callback(root.unmount, "/var/lib/freepbx-bx24")
    root.run(
        ["sh", "-c", "mkdir -m 777 /var/lib/freepbx-bx24/intake; cat /dev/zero > /var/lib/freepbx-bx24/fill"],
        check=False,
    )


def read_only_state(world: World, stack: ExitStack) -> None:
    root = world.pbx.root
    root.mount_read_only("/var/lib/freepbx-bx24")
    stack.callback(root.unmount, "/var/lib/freepbx-bx24")


TROUBLES: dict[str, tuple[Callable[[World, ExitStack], None], str]] = {
    "no configuration": (no_configuration, "configuration can't be used"),
    "a broken YAML": (broken_yaml, "configuration can't be used"),
    "a full disk": (full_disk, "can't be written down"),
    "a read-only state folder": (read_only_state, "can't be written down"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_phone_rings_as_if_nothing_was_installed_and_one_line_says_why(world: World, trouble: str) -> None:
    arrange, words = TROUBLES[trouble]
    mark = world.log_mark()
    with ExitStack() as stack:
        arrange(world, stack)
        # The hangup handler has nothing to say of its own where register could not even begin.
        _, waited = ring_once(world, "144", world.new_number())
        wait_until(lambda: words in world.log_since(mark), 5, world.explain)
        time.sleep(0.5)
    in_time(waited, SERVICE_SECONDS)
    lines = [line for line in world.log_since(mark).splitlines() if words in line and "finish" not in line]
    assert len(lines) == 1, world.log_since(mark)
