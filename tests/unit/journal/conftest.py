"""A journal in a folder of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from freepbx_bx24.journal.store import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    one = Journal(tmp_path)
    yield one
    one.close()
