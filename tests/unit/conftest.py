"""What one test does to the process, no other test sees."""

from __future__ import annotations

import logging
from typing import Iterator

import pytest


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Some tests run the product's own logging in this process, which keeps its lines from everybody else."""
    log = logging.getLogger("bx24")
    kept = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = kept[0], kept[1], kept[2]
