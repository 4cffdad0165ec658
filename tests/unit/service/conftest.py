"""A real service process and a real HTTP portal for each test."""

from __future__ import annotations

from typing import Callable, Iterator

import pytest

from freepbx_bx24.sandbox.portal import Portal, Reply
from tests.support.running_service import RunningService


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal() as one:
        yield one


@pytest.fixture
def service(portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    one = RunningService(tmp_path_factory.mktemp("s"), portal)
    yield one
    if one.process is not None:
        one.process.kill()
        one.process.wait()


@pytest.fixture
def lost_once(portal: Portal) -> Callable[[str], None]:
    """Has the portal do what a method asks for, once, without anybody hearing of it."""

    def lose(_: Reply) -> Reply:
        raise ConnectionResetError

    return lambda method: portal.scripted_replies.add(method, lose)
