"""What the manager user's event filters keep back: nothing that is read, whatever a caller calls himself.

The bytes that they save are printed: `pytest -s`.
"""

from __future__ import annotations

import ast
import hashlib
import re
import socket
import subprocess
import time
from typing import Iterator, Sequence

import pytest

from freepbx_bx24.pbx.legs import Legs
from tests.install.pbx_machine import REPOSITORY, Machine

OURS = "/etc/asterisk/manager_bx24.conf"
CUSTOM = "/etc/asterisk/manager_custom.conf"
DIALPLAN = "/etc/asterisk/extensions_custom.conf"
CLIENT = "+79161234567"
HINTS = 50
# The same rights as ours, and no filter.
EVERYTHING = "\n[everything]\nsecret = of-the-tests\nread = call\nwrite = reporting\n"


def shell(commands: str) -> str:
    """What these commands print in a shell that has sourced install.sh."""
    done = subprocess.run(
        ["bash", "-c", f". {REPOSITORY}/install.sh; set +e; {commands}"], capture_output=True, text=True, check=True
    )
    return done.stdout


UNREAD = shell('printf "%s\\n" "${unread_events[@]}"').split()
FORMS = {"older": "echo 22.0", "newer": "echo 22.1"}


def filters(form: str) -> str:
    return shell(f"asterisk_version() {{ {FORMS[form]}; }}; event_filters")


class Heard:
    """Everything that one user of the manager interface is sent, from the login on."""

    def __init__(self, port: int, user: str, secret: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 5.0)
        self._socket.settimeout(0.2)
        self.data = b""
        self._send("Action: Challenge\r\nAuthType: MD5")
        challenge = re.search(r"Challenge: (\S+)", self.until("Challenge: [0-9]+\r\n"))
        assert challenge
        key = hashlib.md5(f"{challenge[1]}{secret}".encode(), usedforsecurity=False).hexdigest()
        self._send(f"Action: Login\r\nAuthType: MD5\r\nUsername: {user}\r\nKey: {key}\r\nEvents: call")
        self.until("Authentication accepted\r\n\r\n")
        self.data = b""

    def _send(self, action: str) -> None:
        self._socket.sendall(f"{action}\r\n\r\n".encode())

    def until(self, pattern: str, seconds: float = 20.0) -> str:
        """Read until that has come; return all that has."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.data.decode("utf-8", "replace")):
            assert time.monotonic() < deadline, (pattern, self.data[-2000:])
            try:
                self.data += self._socket.recv(65536)
            except socket.timeout:
                continue
        return self.data.decode("utf-8", "replace")

    def all_up_to_now(self) -> str:
        """All events up to this moment: what Asterisk queued before it answers a Ping is sent before the answer."""
        self._send("Action: Ping\r\nActionID: now")
        text = self.until("Ping: Pong\r\nTimestamp: [0-9.]+\r\n\r\n", 30.0)
        self.data = b""
        return text[: text.rindex("Response: Success\r\nActionID: now")]

    def close(self) -> None:
        self._socket.close()


def events(text: str) -> Sequence[str]:
    return re.findall(r"Event: .*?\r\n\r\n(?=Event: |\Z)", text, re.DOTALL)


def name_of(event: str) -> str:
    return event.partition("\r\n")[0][len("Event: ") :]


@pytest.fixture(params=["as installed", *FORMS])
def listening(request: pytest.FixtureRequest, machine: Machine) -> Iterator[tuple[Machine, Heard, Heard]]:
    """A machine, our user with the filters, and a user without any."""
    form = request.param
    if form == "newer" and machine.pbx.asterisk.settings.major < 18:
        form = "older"  # the newer one is none there, see below
    machine.installed()
    kept = {path: machine.text(path) for path in (OURS, CUSTOM, DIALPLAN)}
    if form != "as installed":
        without = re.sub(r"^eventfilter.*\n", "", kept[OURS], flags=re.MULTILINE)
        machine.write(OURS, without + filters(form))
    machine.write(CUSTOM, kept[CUSTOM] + EVERYTHING)
    hints = "".join(f"exten => h{one},hint,Custom:bx24h{one}\n" for one in range(HINTS))
    machine.write(DIALPLAN, kept[DIALPLAN] + f"\n[bx24-test-hints]\n{hints}")
    machine.pbx.asterisk.reload_dialplan()
    machine.pbx.asterisk.rx("manager reload")
    secret = re.search(r"^secret = (\S+)$", kept[OURS], re.MULTILINE)
    assert secret
    port = machine.pbx.ami_port
    ours, everything = Heard(port, "bx24", secret[1]), Heard(port, "everything", "of-the-tests")
    yield machine, ours, everything
    ours.close()
    everything.close()
    for path, text in kept.items():
        machine.write(path, text)
    machine.pbx.asterisk.reload_dialplan()
    machine.pbx.asterisk.rx("manager reload")


def states(state: str) -> str:
    return "; ".join(f"asterisk -rx 'devstate change Custom:bx24h{one} {state}'" for one in range(HINTS))


def compared(ours: Heard, everything: Heard) -> tuple[Sequence[str], int, int]:
    """Our events, which are all of the others but the unread ones, in the same order; and the bytes of both."""
    mine, theirs = ours.all_up_to_now(), everything.all_up_to_now()
    assert list(events(mine)) == [event for event in events(theirs) if name_of(event) not in UNREAD]
    return events(mine), len(mine.encode()), len(theirs.encode())


def test_nothing_that_is_read_is_kept_back() -> None:
    assert not set(UNREAD) & set(Legs()._handlers)
    # Not by the state machine, and not by anything else that could come to read events.
    for path in (REPOSITORY / "freepbx_bx24").rglob("*.py"):
        if "sandbox" not in path.parts:
            words = {
                node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant)
            }
            assert not words & set(UNREAD), path


def test_a_version_gets_the_form_that_it_knows_and_one_that_is_not_known_the_older() -> None:
    assert filters("older") == f"eventfilter = !^Event: ({'|'.join(UNREAD)})[[:cntrl:]]\n"
    assert filters("newer") == "".join(f"eventfilter(action(exclude),name({name})) =\n" for name in UNREAD)
    old, new = "16.28 18.25 19.8 20.10 21.5 22.0 08.09 certified/20.7", "18.26 20.11 21.6 22.1 22.10 23.0"
    told = shell(f'for one in {old} {new} ""; do filters_by_name "$one" && echo "$one"; done; true')
    assert told.split() == new.split()


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Asterisk 22.10.1+dfsg+~cs6.17 built by nobody @ buildd on a unknown running Linux", "22.10"),
        ("Asterisk 16.28.0~dfsg-0+deb11u4", "16.28"),
        ("Asterisk certified/20.7-cert4 built by", ""),
        ("Asterisk GIT-master-1234", ""),
        ("", ""),
    ],
)
@pytest.mark.parametrize("up", ["yes", "no"])
def test_the_version_is_that_of_the_running_asterisk_else_of_the_program(up: str, said: str, version: str) -> None:
    wanted = "-rx" if up == "yes" else "-V"
    program = f"timeout() {{ [[ $3 == {wanted} ]] && echo '{said}'; }}; asterisk_up={up}"
    assert shell(f"{program}; asterisk_version").strip() == version


def test_the_installed_filters_are_those_for_the_version(machine: Machine) -> None:
    machine.installed()
    form = "newer" if machine.pbx.asterisk.settings.major >= 22 else "older"
    assert filters(form) in machine.text(OURS)
    machine.pbx.asterisk.stop()
    try:  # also while Asterisk is not running: a run then changes nothing
        assert "Nothing to change" in machine.install().stdout
    finally:
        machine.pbx.asterisk.start()


def test_all_that_is_read_of_calls_comes_and_a_good_third_of_the_bytes_does_not(
    listening: tuple[Machine, Heard, Heard],
) -> None:
    machine, ours, everything = listening
    assert machine.pbx.trunk.call(did="74957770101", number=CLIENT, talk=0.5).wait().final_status == 200
    machine.pbx.settle()
    heard, fewer, all_bytes = compared(ours, everything)
    names = {name_of(event) for event in heard}
    assert {"Newchannel", "DialBegin", "DialEnd", "BridgeEnter", "BridgeLeave", "Hangup"} <= names
    print(f"one answered call: {all_bytes} bytes, {fewer} of them with the filters")
    assert fewer < all_bytes * 0.67
    # A queue, where wires stand between the caller and the telephones, and a call out.
    assert machine.pbx.trunk.call(did="74957770300", number=CLIENT, talk=0.5).wait().final_status == 200
    assert machine.pbx.phone(101).call("89161234567", talk=0.5).wait().final_status == 200
    machine.pbx.settle()
    heard, fewer, all_bytes = compared(ours, everything)
    assert "DialBegin" in {name_of(event) for event in heard}
    print(f"a queue's call and one out: {all_bytes} bytes, {fewer} of them with the filters")


@pytest.mark.parametrize(
    "name",
    [
        "Event: NewConnectedLine",
        'x\\"Event: Newstate',
        b"Event: Hangup\x01Event: DialState\x01",
        "Event: HangupRequest\t",
    ],
    ids=["a name", "a quote", "controls", "a tab"],
)
def test_a_caller_who_calls_himself_an_event_is_seen_all_the_same(
    listening: tuple[Machine, Heard, Heard], name: str | bytes
) -> None:
    machine, ours, everything = listening
    call = machine.pbx.trunk.call(did="74957770101", number=CLIENT, name=name, talk=0.3).wait()
    machine.pbx.settle()
    heard, _, _ = compared(ours, everything)
    assert call.final_status == 200
    with_name = {name_of(event) for event in heard if re.search(r"CallerIDName: .*Event: ", event)}
    assert {"Newchannel", "DialBegin", "Hangup"} <= with_name


def test_fifty_extensions_whose_state_changes_cost_nothing(listening: tuple[Machine, Heard, Heard]) -> None:
    machine, ours, everything = listening
    machine.shell(states("INUSE"))
    last = f"Exten: h{HINTS - 1}\r\n"
    everything.until(f"Event: ExtensionStatus\r\n(?:[^\r]+\r\n)*?{last}")
    assert everything.data.count(b"Event: ExtensionStatus\r\n") == HINTS
    heard, fewer, all_bytes = compared(ours, everything)
    print(f"{HINTS} hints: {all_bytes} bytes, {fewer} of them with the filters")
    assert all_bytes > HINTS * 100
    assert (fewer, heard) == (0, [])
    machine.shell(states("NOT_INUSE"))


def test_an_asterisk_that_does_not_know_the_newer_form_sends_everything(machine: Machine) -> None:
    if machine.pbx.asterisk.settings.major >= 18:
        assert "name(" in filters("newer")  # it knows it: what it does there is tested above
        return
    machine.installed()
    kept = {path: machine.text(path) for path in (OURS, CUSTOM)}
    machine.write(OURS, re.sub(r"^eventfilter.*\n", "", kept[OURS], flags=re.MULTILINE) + filters("newer"))
    machine.write(CUSTOM, kept[CUSTOM] + EVERYTHING)
    machine.pbx.asterisk.rx("manager reload")
    secret = re.search(r"^secret = (\S+)$", kept[OURS], re.MULTILINE)
    assert secret
    ours = Heard(machine.pbx.ami_port, "bx24", secret[1])
    everything = Heard(machine.pbx.ami_port, "everything", "of-the-tests")
    machine.pbx.trunk.call(did="74957770101", number=CLIENT, talk=0.2).wait()
    machine.pbx.settle()
    mine, theirs = ours.all_up_to_now(), everything.all_up_to_now()
    for path, text in kept.items():
        machine.write(path, text)
    machine.pbx.asterisk.rx("manager reload")
    assert events(mine) and events(mine) == events(theirs)
