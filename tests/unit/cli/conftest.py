"""A real service process, a real HTTP portal, and somebody who types `bx24`, for each test."""

from __future__ import annotations

from typing import Iterator

import pytest

from freepbx_bx24.sandbox.portal import Portal
from tests.support.looking import Person
from tests.support.running_service import RunningService


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal() as one:
        yield one


@pytest.fixture
def service(portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    one = RunningService(tmp_path_factory.mktemp("l"), portal)
    one.environment["BX24_TEST_TIME_SCALE"] = "0.005"  # eight refusals are over in a second
    with one:
        yield one


@pytest.fixture
def person(service: RunningService) -> Person:
    return Person(service)
