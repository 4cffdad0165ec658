"""Services whose portal tells them of clicks and callback forms, and what was handed over there: a process, a lane."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from freepbx_bx24.bitrix24.events import PortalEvent
from freepbx_bx24.journal.store import Journal
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.service.event_lane import EventLane
from freepbx_bx24.service.runtime import Runtime
from freepbx_bx24.settings import load

from .application import let_in, portal_lines
from .running_service import MANAGER_FILE, YAML, RunningService, asked, wait_until

ON = "clicks: {enabled: yes}\ncallbacks: {target: 600}\n"
# Instead of what dials: each event that is handed over becomes a line; a file `kill-before` or `kill-after` has the
# process killed before or after that, as kill -9 does it.
PROGRAM = """
import dataclasses, json, os, signal, sys
from pathlib import Path
from freepbx_bx24.cli.main import main
from freepbx_bx24.service.runtime import Runtime

folder = Path({folder!r})

def die_if(wish):
    if (folder / wish).exists():
        (folder / wish).unlink()
        os.kill(os.getpid(), signal.SIGKILL)

def note(event):
    die_if("kill-before")
    with (folder / "events").open("a") as file:
        file.write(json.dumps(dataclasses.asdict(event)) + "\\n")
    die_if("kill-after")

Runtime.portal_event = property(lambda runtime: note, lambda runtime, given: None)
sys.exit(main(["serve"]))
"""


class EventsService(RunningService):
    """A running service that is let in as the portal's application."""

    def __init__(self, directory: Path, portal: Portal, more: str = ON) -> None:
        super().__init__(directory, portal)
        self.more = more
        self.environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        self.write(more)
        let_in(portal, directory / "state")

    def write(self, more: str) -> None:
        """The YAML, with clicks and callbacks as `more` says."""
        text = YAML.format(webhook="x", wait=2.0, plan="self-hosted", manager=self.directory / MANAGER_FILE)
        way = portal_lines(self.portal, self.directory)
        self.yaml.write_text("\n".join([way, *text.splitlines()[1:], more]))

    def start_noting(self) -> EventsService:
        """Start it with a note instead of what dials."""
        self.launch(sys.executable, "-c", PROGRAM.format(folder=str(self.directory)))
        wait_until(self.answers, 20, self.log)
        return self

    def events(self) -> list[dict[str, Any]]:
        """What was handed over."""
        path = self.directory / "events"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for_events(self, number: int = 1) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.events()) >= number, 30, self.log)
        return self.events()


class Lane:
    """The lane without its thread; what it hands over is in `events`."""

    def __init__(
        self, portal: Portal, folder: Path, monkeypatch: pytest.MonkeyPatch, more: str = ON, plan: str = "self-hosted"
    ) -> None:
        (folder / "state" / "intake").mkdir(parents=True)
        self.yaml = folder / "bx24.yaml"
        self.portal, self.folder = portal, folder
        self.write(more, plan)
        monkeypatch.setenv("BX24_CONFIG", str(self.yaml))
        let_in(portal, folder / "state")
        self.runtime = Runtime(load(), folder / "state", Journal(folder / "state"))
        self.events: list[PortalEvent] = []
        self.runtime.portal_event = self.events.append
        self.lane: EventLane = self.runtime.events

    def write(self, more: str, plan: str = "self-hosted") -> None:
        way = portal_lines(self.portal, self.folder, plan)
        self.yaml.write_text(f"{way}\ncountry: RU\ndefault_person: 101\npbx_id: pbx-test\n{more}")
        self.yaml.chmod(0o600)

    def stop(self) -> None:
        self.runtime.stopping.set()
        if self.lane.handler:
            self.lane.handler.stop()
        self.runtime.stop(1.0)

    def polls(self) -> int:
        return asked(self.portal).count("event.offline.get")
