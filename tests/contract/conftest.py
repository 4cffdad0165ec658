"""A running portal, and a client of it, for each test."""

from __future__ import annotations

from typing import Iterator

import pytest
from portal_client import Client

from freepbx_bx24.sandbox.portal import Portal


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal() as portal:
        yield portal


@pytest.fixture
def client(portal: Portal) -> Iterator[Client]:
    client = Client(portal)
    yield client
    client.session.close()
