"""The wall clock of a process of its own, set forward or back by a test while the process runs.

Only `time.time` goes wrong, as after a wrong NTP reply or a date set by hand; the monotonic clock goes on.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

OFFSET = "BX24_CLOCK_OFFSET"  # a file with the seconds by which the clock is wrong
IN_SCRIPT = "from tests.support import stepped_clock; stepped_clock.install()"


def install() -> None:
    """Have this process's wall clock be wrong from now on, by what the file says at each look."""
    true, offset = time.time, Path(os.environ[OFFSET])
    time.time = lambda: true() + float(offset.read_text())


def main() -> None:
    """`bx24 serve` with such a clock."""
    from freepbx_bx24.cli.main import main as bx24

    install()
    sys.exit(bx24(["serve"]))
