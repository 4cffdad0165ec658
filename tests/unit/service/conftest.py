"""A real service process and a real HTTP portal for each test."""

from __future__ import annotations

from typing import Callable, Iterator

import pytest

from freepbx_bx24.sandbox.portal import Portal, Reply
from tests.support.ami_server import SECRET, USER
from tests.support.running_service import MANAGER_FILE, RunningService
from tests.support.shown_asterisk import Asterisk


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal() as one:
        yield one


@pytest.fixture
def service(portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("s"), portal) as one:
        yield one


@pytest.fixture
def lost_once(portal: Portal) -> Callable[[str], None]:
    """Has the portal do what a method asks for, once, without anybody hearing of it."""

    def lose(_: Reply) -> Reply:
        raise ConnectionResetError

    return lambda method: portal.scripted_replies.add(method, lose)


@pytest.fixture
def asterisk(service: RunningService) -> Iterator[Asterisk]:
    one = Asterisk()
    one.server.start()
    files = {
        "manager.conf": f"[general]\nenabled = yes\nport = {one.server.port}\nbindaddr = 127.0.0.1\n",
        MANAGER_FILE: f"[{USER}]\nsecret = {SECRET}\n",
    }
    for name, text in files.items():
        (service.directory / name).write_text(text)
        (service.directory / name).chmod(0o600)
    yield one
    one.server.stop()
