"""`bx24 check`: looks at everything that must be right, and says what is wrong and the line to type."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..checks.finding import FAILURE, OK, WARNING, Finding
from ..checks.machine import Machine
from ..checks.table import look
from ..service.surroundings import log_path, run_directory, state_directory
from . import words
from .user import become_service_user

MARKS = {OK: "ok  ", WARNING: "warn", FAILURE: "BAD "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON (docs/commands.md)")


def run(options: argparse.Namespace) -> int:
    """Look at everything; 0 where there is no failure (warnings may be), 1 where there is one."""
    become_service_user()
    machine = Machine(state_directory(), run_directory(), Path(log_path()))
    findings = []
    for finding in look(machine):
        findings.append(finding)
        if not options.json:  # as it comes: a portal that does not answer takes its time
            print("\n".join(lines(finding)), flush=True)
    if options.json:
        print(words.as_json([finding.value() for finding in findings]))
    else:
        print(summary(findings))
    return 1 if any(finding.level == FAILURE for finding in findings) else 0


def lines(finding: Finding) -> list[str]:
    """A finding as a person reads it: how it is, and below it what mends it."""
    said = [f"{MARKS[finding.level]} {finding.what}: {words.harmless(finding.text)}"]
    return said + ([f"     -> {words.harmless(finding.hint)}"] if finding.hint else [])


def summary(findings: list[Finding]) -> str:
    """The last line."""
    counts = {level: sum(finding.level == level for finding in findings) for level in MARKS}
    if len(findings) == counts[OK]:
        return f"All {len(findings)} are in order."
    return f"{counts[FAILURE]} failures, {counts[WARNING]} warnings, {counts[OK]} in order."
