"""What processes have used so far: CPU seconds and memory, read from the kernel."""

from __future__ import annotations

import resource
import time
from pathlib import Path

MEGABYTE = 1e6


def processor_seconds(process: int) -> float:
    """User and system time that a running process, with all threads it ever had, has used: to the nanosecond.

    /proc counts in ticks of 10 ms, more than a call costs. The number is how Linux names another process's clock
    (clock_getcpuclockid(3), which Python does not have).
    """
    return time.clock_gettime((~process << 3) | 2)


def children_seconds() -> float:
    """User and system time of every child that has ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def resident_megabytes(process: int) -> float:
    """What a running process holds of the machine's memory."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kilobytes) * 1024 / MEGABYTE
