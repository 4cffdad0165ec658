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
from typing import Iterator

import pytest

from freepbx_bx24 import __version__
from freepbx_bx24.cli.main import VERBS
from freepbx_bx24.sandbox.portal import Portal
from tests.support.agi_script import REPOSITORY
from tests.support.running_service import RunningService

ASTERISK = """echo "$2" >> "$(dirname "$0")/asked\""""


class Machine:
    """Folders, YAML and portal of a service that may run, and a PATH on which an asterisk may be."""

    def __init__(self, service: RunningService, folder: Path) -> None:
        self.service = service
        self.folder = folder

    def asterisk(self, script: str = ASTERISK) -> None:
        path = self.folder / "asterisk"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

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


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal() as one:
        yield one


@pytest.fixture
def machine(portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with RunningService(tmp_path_factory.mktemp("c"), portal) as service:
        yield Machine(service, tmp_path_factory.mktemp("path"))


# -- the command line ----------------------------------------------------------------------------------------


def test_help_names_every_verb(machine: Machine) -> None:
    done = machine.bx24("--help")
    assert done.returncode == 0
    for verb in ("serve", "check", "off", "on", "sandbox"):
        assert verb in done.stdout


def test_every_verb_is_described_somewhere_in_the_documents() -> None:
    documents = "".join(path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "docs").glob("*.md")))
    assert [verb for verb in VERBS if f"bx24 {verb}" not in documents and verb != "sandbox"] == []


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
    assert asked[:2] == ["database put bx24 off 1", "database del bx24 off"]


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
