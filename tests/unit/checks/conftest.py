"""A machine in order for each test to break, and what `bx24 check` finds of it."""

from __future__ import annotations

import json
import time
from typing import Any, Callable, Iterator

import pytest

from freepbx_bx24.cli.main import main
from freepbx_bx24.sandbox.portal import Portal
from tests.support.ami_server import Peer, manager
from tests.support.prepared_machine import PreparedMachine


@pytest.fixture(scope="module")
def one_portal() -> Iterator[Portal]:
    with Portal() as portal:
        yield portal


@pytest.fixture
def portal(one_portal: Portal) -> Iterator[Portal]:
    yield one_portal
    one_portal.reset()
    one_portal.clock = time.monotonic


@pytest.fixture(scope="module")
def ami_port() -> Iterator[int]:
    with manager(Peer.welcome) as server:
        yield server.port


@pytest.fixture
def machine(
    portal: Portal, ami_port: int, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PreparedMachine]:
    with PreparedMachine(tmp_path_factory.mktemp("m"), portal, ami_port) as one:
        for name, value in one.environment.items():
            monkeypatch.setenv(name, value)
        yield one


@pytest.fixture
def findings(machine: PreparedMachine, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """What `bx24 check --json` finds."""

    def look() -> list[dict[str, Any]]:
        machine.console_is_written()
        capsys.readouterr()
        code = main(["check", "--json"])
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        assert code == (1 if any(one["level"] == "failure" for one in found) else 0)
        return found

    return look
