"""The command `bx24` as a person types it: what it prints, and with which exit code it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Iterator

import pytest

from freepbx_bx24 import __version__
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.sandbox.portal.world import Employee
from tests.support import awful_servers
from tests.support.agi_script import REPOSITORY
from tests.support.ami_server import SECRET, USER, Peer, manager
from tests.support.running_service import MANAGER_FILE, RunningService

GOOD_ASTERISK = """\
case "$2" in
    "dialplan show bx24-in" | "dialplan show bx24-out") echo "AGI(bx24_register.py,in)" ;;
    "dialplan show bx24-hangup") echo "AGI(bx24_finish.py,in)" ;;
    "database get bx24 off") echo "Database entry not found." ;;
    "manager show user bx24") echo "         read perm: call"; echo "        write perm: reporting" ;;
    *) echo "$2" >> "$(dirname "$0")/asked" ;;
esac
"""


class Machine:
    """Folders, YAML and portal of a service that may run, and a PATH on which an asterisk may be."""

    def __init__(self, service: RunningService, folder: Path) -> None:
        self.service = service
        self.folder = folder

    def asterisk(self, script: str = GOOD_ASTERISK) -> None:
        path = self.folder / "asterisk"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def manager(self, port: int, secret: str = SECRET) -> None:
        """Files of the manager interface as install.sh leaves them."""
        folder = self.service.directory
        (folder / "manager.conf").write_text(f"[general]\nenabled = yes\nport = {port}\n")
        (folder / MANAGER_FILE).write_text(f"[{USER}]\nsecret = {secret}\n")

    def bx24(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "freepbx_bx24.cli.main", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, **self.service.environment, "PATH": f"{self.folder}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def findings(self) -> dict[str, list[dict[str, Any]]]:
        """What `bx24 check --json` found, by what was looked at."""
        done = self.bx24("check", "--json")
        found: dict[str, list[dict[str, Any]]] = {}
        for finding in json.loads(done.stdout):
            found.setdefault(finding["what"], []).append(finding)
        right = all(finding["right"] for some in found.values() for finding in some)
        assert done.returncode == (0 if right else 1)
        return found


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal() as one:
        yield one


@pytest.fixture
def machine(portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    service = RunningService(tmp_path_factory.mktemp("c"), portal)
    yield Machine(service, tmp_path_factory.mktemp("path"))
    if service.process is not None:
        service.process.kill()
        service.process.wait()


# -- the command line ----------------------------------------------------------------------------------------


def test_help_names_every_verb(machine: Machine) -> None:
    done = machine.bx24("--help")
    assert done.returncode == 0
    for verb in ("serve", "check", "off", "on", "sandbox"):
        assert verb in done.stdout


def test_the_version_is_the_packages(machine: Machine) -> None:
    done = machine.bx24("--version")
    assert (done.returncode, done.stdout) == (0, f"bx24 {__version__}\n")


@pytest.mark.parametrize("arguments", [(), ("frobnicate",), ("check", "--frobnicate"), ("sandbox",), ("off", "now")])
def test_a_command_line_that_makes_no_sense_ends_with_2_and_says_how_it_goes(
    machine: Machine, arguments: tuple[str, ...]
) -> None:
    done = machine.bx24(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: bx24")
    assert "Traceback" not in done.stderr


def test_the_service_without_a_configuration_says_what_to_do(machine: Machine) -> None:
    machine.service.yaml.unlink()
    done = machine.bx24("serve")
    assert done.returncode == 78  # systemd does not start it again: only a person can mend this
    assert f"{machine.service.yaml}: no such file" in done.stderr
    assert "install.sh" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_state_folder_the_product_is_not_installed(machine: Machine) -> None:
    machine.service.environment["BX24_STATE_DIR"] = str(machine.folder / "nowhere")
    done = machine.bx24("check")
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert "./install.sh" in done.stderr


# -- check ---------------------------------------------------------------------------------------------------


def test_where_all_is_right_check_says_so_line_by_line_and_ends_with_0(machine: Machine) -> None:
    machine.asterisk()
    machine.service.start()
    with manager(Peer.welcome) as server:
        machine.manager(server.port)
        done = machine.bx24("check")
    assert done.returncode == 0, done.stdout
    assert "BAD" not in done.stdout
    assert all(line.startswith("ok  ") for line in done.stdout.splitlines())


def test_the_same_as_json(machine: Machine) -> None:
    machine.asterisk()
    machine.service.start()
    with manager(Peer.welcome) as server:
        machine.manager(server.port)
        found = machine.findings()
    looked_at = ["configuration", "portal", "employees", "person", "lines", "dialplan", "switch", "manager interface"]
    assert list(found) == [*looked_at, "recordings", "service"]
    assert all(finding["right"] for some in found.values() for finding in some)
    assert len(found["dialplan"]) == 3


def test_a_broken_yaml_is_said_with_file_and_line_and_what_else_can_be_looked_at_is(machine: Machine) -> None:
    machine.asterisk()
    machine.service.start()
    machine.service.yaml.write_text(machine.service.yaml.read_text().replace("default_person", "default_persn"))
    found = machine.findings()
    assert not any(finding["right"] for finding in found["configuration"])
    assert f"{machine.service.yaml}:3:" in " ".join(finding["text"] for finding in found["configuration"])
    assert "portal" not in found
    assert found["service"][0]["right"]
    assert found["dialplan"][0]["right"]


def test_a_portal_that_is_down_is_said_with_what_to_look_at_and_no_secret(machine: Machine) -> None:
    with awful_servers.refusing() as address:
        machine.service.write_yaml(f"http://{address}/rest/1/0123456789abcdef/")
        done = machine.bx24("check")
    assert done.returncode == 1
    assert "BAD portal: " in done.stdout
    assert "Connection refused" in done.stdout
    assert "0123456789abcdef" not in done.stdout + done.stderr


def test_a_webhook_that_was_deleted_is_said_with_how_to_make_a_new_one(machine: Machine, portal: Portal) -> None:
    machine.service.write_yaml(portal.webhook_url.replace(portal.webhook_url.split("/")[-2], "0123456789abcdef"))
    (finding,) = machine.findings()["portal"]
    assert not finding["right"]
    assert "INVALID_CREDENTIALS" in finding["text"]
    assert "Make a new webhook" in finding["hint"]


def test_a_bundle_of_certificates_that_can_not_be_used_is_a_finding_and_no_crash(machine: Machine) -> None:
    bundle = machine.folder / "bundle.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    machine.service.write_yaml("https://example.bitrix24.com/rest/1/0123456789abcdef/")
    text = machine.service.yaml.read_text()
    machine.service.yaml.write_text(text.replace("webhook, ", f"webhook, ca_bundle: {bundle}, "))
    (finding,) = machine.findings()["portal"]
    assert "holds no certificate" in finding["text"]


def test_a_person_whom_the_portal_does_not_know_is_said_with_the_place_in_the_yaml(machine: Machine) -> None:
    machine.service.yaml.write_text(machine.service.yaml.read_text().replace("person: 102", "person: 998"))
    unknown = [finding for finding in machine.findings()["person"] if not finding["right"]]
    assert len(unknown) == 1
    assert "998 (line +74957770101)" in unknown[0]["text"]
    assert "998" in unknown[0]["hint"]


def test_a_manager_user_that_is_not_there_or_does_not_log_in_is_said_with_what_to_type(machine: Machine) -> None:
    machine.manager(1)
    (machine.service.directory / MANAGER_FILE).unlink()
    (missing,) = machine.findings()["manager interface"]
    assert f"{machine.service.directory}/manager_bx24.conf: no such file" in missing["text"]
    assert "./install.sh" in missing["hint"]
    with manager(Peer.welcome) as server:
        machine.manager(server.port, secret="another-secret")
        (refused,) = machine.findings()["manager interface"]
    assert not refused["right"]
    assert "Authentication failed" in refused["text"] and "another-secret" not in refused["text"] + refused["hint"]


def test_an_extension_that_two_people_have_is_said_with_both_of_them(machine: Machine, portal: Portal) -> None:
    portal.world.employees += [Employee(3001, "New", extension="150"), Employee(3002, "Newer", extension="150")]
    good, shared = machine.findings()["employees"]
    assert good["right"]
    assert not shared["right"]
    assert "user:1150 and user:3001 and user:3002" in shared["text"]
    assert "calls of 150 go to user:1150" in shared["text"]
    assert "Bitrix24" in shared["hint"]


def test_people_without_an_extension_are_no_fault(machine: Machine, portal: Portal) -> None:
    portal.world.employees += [Employee(3001, "New"), Employee(3002, "Newer", extension="")]
    (good,) = machine.findings()["employees"]
    assert (good["right"], good["text"]) == (True, "101 active in the portal")


def test_lines_that_the_portal_does_not_have_yet_are_named_and_no_fault(machine: Machine, portal: Portal) -> None:
    listed, default = machine.findings()["lines"]
    assert listed["right"] and default["right"]
    assert listed["text"].startswith("not in the portal yet; the service adds each once")
    assert listed["text"].endswith(": +74957770101")
    assert default["text"] == "not in the portal yet; the portal makes it with its first call: +74957770000"
    for number in ("+74957770000", "+74957770101"):
        body = json.dumps({"NUMBER": number}).encode()
        address = portal.webhook_url + "telephony.externalLine.add"
        asked = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert "ID" in json.load(answer)["result"]
    (there,) = machine.findings()["lines"]
    assert (there["right"], there["text"]) == (True, "the portal has all 2 of the configuration")


def test_a_machine_without_asterisk_is_said_once(machine: Machine) -> None:
    found = machine.findings()
    assert [finding["text"] for finding in found["dialplan"]] == ["there is no asterisk command on this machine"]
    assert "switch" not in found


def test_a_dialplan_without_our_hooks_is_said_hook_by_hook(machine: Machine) -> None:
    machine.asterisk('echo "There is no existence of that context"')
    dialplan = machine.findings()["dialplan"]
    assert [finding["right"] for finding in dialplan] == [False, False, False]
    assert "./install.sh" in dialplan[0]["hint"]


def test_an_asterisk_that_goes_away_in_between_is_a_finding_and_no_crash(machine: Machine) -> None:
    machine.asterisk(GOOD_ASTERISK.replace('echo "Database entry not found."', "echo gone >&2; exit 1"))
    finding = machine.findings()["dialplan"][-1]
    assert not finding["right"]
    assert "gone" in finding["text"]


@pytest.mark.parametrize("ours, right", [("from-pstn-custom ext-did", True), ("ext-did", False)])
def test_a_mirror_of_the_inbound_context_that_leads_elsewhere_is_said(machine: Machine, ours: str, right: bool) -> None:
    def included(contexts: str) -> str:
        return "; ".join(
            f"""echo "  Include =>        '{context}'   [extensions.conf:1]\"""" for context in contexts.split()
        )

    machine.asterisk(
        GOOD_ASTERISK.replace(
            "    *)",
            f"""    "dialplan show from-pstn") echo "1. Goto(bx24-pstn,s,1)"; {included("from-pstn-custom ext-did")} ;;
    "dialplan show bx24-pstn") {included(ours)} ;;
    *)""",
        )
    )
    hook, mirror = machine.findings()["dialplan"][3:]
    assert hook["right"]
    assert mirror["right"] is right
    assert right or "./install.sh" in mirror["hint"]


def test_calls_that_are_switched_off_are_a_finding(machine: Machine) -> None:
    machine.asterisk(GOOD_ASTERISK.replace("Database entry not found.", "Value: 1"))
    (finding,) = machine.findings()["switch"]
    assert (finding["right"], finding["hint"]) == (False, "bx24 on")


def test_a_service_that_is_not_there_is_said_with_the_line_to_type(machine: Machine) -> None:
    (finding,) = machine.findings()["service"]
    assert not finding["right"]
    assert "systemctl restart freepbx-bx24" in finding["hint"]


def test_a_socket_on_which_somebody_else_answers_gives_no_sense(machine: Machine) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(machine.service.directory / "run" / "agi.sock"))
        listener.listen()
        listener.settimeout(30)
        process = subprocess.Popen(
            [sys.executable, "-m", "freepbx_bx24.cli.main", "check", "--json"],
            cwd=REPOSITORY,
            env={**os.environ, **machine.service.environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        printed, _ = process.communicate(timeout=30)
    finding = next(finding for finding in json.loads(printed) if finding["what"] == "service")
    assert (finding["right"], finding["text"]) == (False, "gives no sense")


# -- on, off, sandbox ----------------------------------------------------------------------------------------


def test_off_and_on_set_and_clear_a_flag_of_asterisks_own(machine: Machine) -> None:
    machine.asterisk()
    assert machine.bx24("off").returncode == 0
    assert machine.bx24("on").returncode == 0
    asked = (machine.folder / "asked").read_text().splitlines()
    assert asked == ["database put bx24 off 1", "database del bx24 off"]


def test_off_without_asterisk_says_so_and_does_not_claim_to_have_done_it(machine: Machine) -> None:
    done = machine.bx24("off")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no asterisk command" in done.stderr


def test_the_sandbox_portal_says_where_it_is_serves_its_ledger_and_stops_when_told_to(machine: Machine) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "freepbx_bx24.cli.main", "sandbox", "portal", "--port", "0"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    printed = [process.stdout.readline() for _ in range(3)]
    ledger = printed[2].split()[1]
    assert ledger.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(ledger, timeout=10) as answer:
        assert json.load(answer)["calls"] == []
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_a_port_that_is_taken_is_said(machine: Machine, portal: Portal) -> None:
    done = machine.bx24("sandbox", "portal", "--port", portal.url.rsplit(":", 1)[1])
    assert done.returncode == 1
    assert "cannot listen" in done.stderr
