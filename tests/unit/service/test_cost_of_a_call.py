"""What a call costs, counted in what no machine's load changes: a change that makes it dearer is seen here first.

tests/bench measures seconds; the bounds here stand a little above what is needed, and are raised with a reason only.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from freepbx_bx24.sandbox.portal import Portal
from tests.bench.caller import call
from tests.support.agi_script import REPOSITORY, run_script
from tests.support.running_service import RunningService

FIRST, CALLS = 5, 20  # together fewer than what is taken for a flood of unknown callers
# Runs the service with every statement of its journal written down, a letter each: C commit, W write, R read.
TRACED = """
import os, sys
from freepbx_bx24.journal import database
said = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
connect = database.connect
def traced(path):
    opened = connect(path)
    def trace(text):
        word = text.split(None, 1)[0].upper()
        if not text.startswith("--") and word != "BEGIN":  # a trigger's own statements begin with two hyphens
            os.write(said, {"COMMIT": b"C", "SELECT": b"R"}.get(word, b"W"))
    opened.set_trace_callback(trace)
    return opened
database.connect = traced
from freepbx_bx24.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
# Counts calls of functions, Python's and built-in ones, from the guard's import to its exit.
COUNTED = """
import posix
count = 0
def one_more(frame, event, argument):
    global count
    count += event in ("call", "c_call")
leave = posix._exit
def said(code):
    sys.setprofile(None)
    descriptor = posix.open({path!r}, posix.O_WRONLY | posix.O_CREAT, 0o600)
    posix.write(descriptor, str(count).encode())
    leave(code)
posix._exit = said
sys.setprofile(one_more)
"""


@pytest.fixture
def traced(service: RunningService) -> Path:
    """A running service; the file has a letter for each statement."""
    trace = service.directory / "statements"
    service.start(sys.executable, "-c", "import os, sys; os.execv(sys.argv[1], [sys.argv[1], '-c', sys.argv[2], "
                  "sys.argv[3], *sys.argv[7:]])", sys.executable, TRACED, str(trace))  # fmt: skip
    return trace


def test_a_call_is_two_requests_and_a_handful_of_writes(traced: Path, service: RunningService, portal: Portal) -> None:
    for number in range(FIRST + CALLS):
        if number == FIRST:  # from here on nothing is done for the first time
            service.wait_until_all_is_told()
            before, mark = len(portal.ledger()["requests"]), traced.stat().st_size
        call(service.directory / "run", number)
    service.wait_until_all_is_told()
    statements = Counter(traced.read_bytes()[mark:].decode("ascii"))
    assert len(portal.ledger()["requests"]) - before <= 2 * CALLS
    assert statements["C"] <= 5 * CALLS, statements
    assert statements["W"] <= 40 * CALLS, statements
    assert statements["R"] <= 30 * CALLS, statements


@pytest.mark.parametrize(("kind", "most"), [("register", 1800), ("finish", 1800)])
def test_a_script_calls_few_functions(kind: str, most: int, service: RunningService) -> None:
    service.start()
    path = service.directory / "count"
    run_script(kind, service.directory, process_environment=service.environment, before=COUNTED.format(path=str(path)))
    assert 0 < int(path.read_text()) <= most


def test_a_script_without_the_service_imports_neither_its_threads_nor_its_database() -> None:
    code = "import sys; from freepbx_bx24.service import standalone; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "freepbx_bx24.service.portal_calls" in modules
    assert not modules & {
        "sqlite3",
        "freepbx_bx24.journal.store",
        "freepbx_bx24.service.runtime",
        "freepbx_bx24.pbx.ami",
    }
