"""Bounds on how long something takes by the wall clock, of which a busy machine may break any one once.

What waits for the wrong thing is late each time. So a test whose bound is broken is run again from its beginning, and
fails where no run keeps it (`--only-rerun` in setup.cfg); every other failure is one at once.
"""

from __future__ import annotations


class TookTooLong(AssertionError):
    """Something took longer than its bound; pytest-rerunfailures knows it by this name."""


def in_time(seconds: float, most: float, why: object = "") -> None:
    """:raises TookTooLong: where it took so many seconds or more."""
    if seconds >= most:
        raise TookTooLong(f"{seconds:.3f} s instead of less than {most:g} s; {why}")
