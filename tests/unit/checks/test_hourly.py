"""The service looks every hour: it says what has gone wrong since, once, and what is over."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from freepbx_bx24.bitrix24.directory import Directory
from freepbx_bx24.checks import clone
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.service.hourly import HourlyThread
from freepbx_bx24.settings import load
from tests.support.prepared_machine import PreparedMachine


@pytest.fixture
def hourly(machine: PreparedMachine, portal: Portal) -> HourlyThread:
    machine.console_is_written()
    settings = load()
    runtime: Any = SimpleNamespace(
        state=machine.folder / "state",
        settings=settings,
        directory=Directory(),
        stopping=threading.Event(),
        findings=(),
    )
    return HourlyThread(cast(Any, runtime))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    caplog.clear()
    return found


def test_of_a_machine_in_order_nothing_is_logged(hourly: HourlyThread, caplog: pytest.LogCaptureFixture) -> None:
    hourly.step()
    assert warnings(caplog) == []
    assert hourly.runtime.findings == ()


def test_what_goes_wrong_is_said_once_with_its_remedy_and_again_when_it_is_over(
    hourly: HourlyThread, machine: PreparedMachine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bx24.check")
    machine.answers["database get bx24 off"] = "Value: 1\n"
    machine.console_is_written()
    hourly.step()
    assert warnings(caplog) == ["switch: calls are left alone -> bx24 on"]
    hourly.step()
    assert warnings(caplog) == []
    machine.answers["database get bx24 off"] = "Database entry not found.\n"
    machine.console_is_written()
    hourly.step()
    assert [record.getMessage() for record in caplog.records] == ["no longer true: switch: calls are left alone"]


def test_a_yaml_that_was_broken_is_noticed_before_the_next_start(
    hourly: HourlyThread, machine: PreparedMachine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.change_yaml("country", "cuntry")
    hourly.step()
    assert any(f"{machine.yaml}:2:" in text for text in warnings(caplog))


def test_the_portal_is_not_asked(hourly: HourlyThread, portal: Portal) -> None:
    hourly.step()
    assert portal.ledger()["requests"] == []


def test_the_first_look_marks_the_machine_so_that_a_copy_of_it_is_known(
    hourly: HourlyThread, machine: PreparedMachine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (machine.folder / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    monkeypatch.setattr(clone, "MACHINE_ID", machine.folder / "machine-id")
    hourly.step()
    hourly.step()
    assert warnings(caplog) == []
    (machine.folder / "machine-id").write_text("ffffffffffffffffffffffffffffffff\n")
    hourly.step()
    (text,) = warnings(caplog)
    assert text.startswith("pbx_id: this machine was copied")
    machine.change_yaml("pbx_id: pbx-test", "pbx_id: pbx-copy")
    hourly.runtime.settings = load()
    hourly.step()  # the copy has a name of its own now
    assert hourly.runtime.findings == ()
