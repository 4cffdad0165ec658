"""Runs a command under the system call rules of our systemd unit, as systemd would: `python unit_cage.py COMMAND...`.

systemd itself needs to be process 1 for that; the filter it would load is made here by the same libseccomp.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

UNIT = Path(__file__).parents[2] / "etc/freepbx-bx24.service"
ALLOW, EPERM = 0x7FFF0000, 0x00050000 | 1  # seccomp_init(3): SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(EPERM)
MASKED_EQUAL = 7
WRITE_AND_EXECUTE, EXECUTE = 0x6, 0x4  # of mmap(2)


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp of seccomp.h."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def option(name: str) -> str:
    """The value that the unit gives to an option."""
    (value,) = (line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith(name + "="))
    return value


def refused_calls() -> list[str]:
    """The names of all system calls that SystemCallFilter= refuses, groups within groups included."""
    names, groups = [], option("SystemCallFilter").removeprefix("~").split()
    while groups:
        shown = subprocess.run(
            ["systemd-analyze", "syscall-filter", "--no-pager", groups.pop()],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "SYSTEMD_COLORS": "0"},
        ).stdout
        lines = [line.strip() for line in shown.splitlines()[1:]]
        groups += [line for line in lines if line.startswith("@")]
        names += [line for line in lines if line and line[0] not in "@#"]
    return names


def close_the_cage() -> None:
    """Load the filter into this process; whatever it executes keeps it.

    :raises OSError: where the kernel does not take it.
    """
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ALLOW))
    for name in refused_calls():
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # below: not of this architecture
            library.seccomp_rule_add_array(context, ctypes.c_uint32(EPERM), number, 0, None)
    if option("MemoryDenyWriteExecute") == "yes":
        for name, bits in (("mmap", WRITE_AND_EXECUTE), ("mprotect", EXECUTE), ("pkey_mprotect", EXECUTE)):
            number = library.seccomp_syscall_resolve_name(name.encode())
            rule = (Comparison * 1)(Comparison(2, MASKED_EQUAL, bits, bits))
            library.seccomp_rule_add_array(context, ctypes.c_uint32(EPERM), number, 1, rule)
    failed = library.seccomp_load(context)
    if failed:
        raise OSError(-failed, os.strerror(-failed))


if __name__ == "__main__":
    close_the_cage()
    os.execvp(sys.argv[1], sys.argv[1:])
