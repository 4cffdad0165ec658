"""A pytest plugin: whatever a test run logs, prints or leaves in its files holds no secret of a portal, or it fails.

Searched are log records, captured output, what child processes print to a test, the ledgers of portals, and each file
below a test's `tmp_path` and the run's base folder; tests hand in what lies elsewhere (`look_at_text`, `look_below`).
A finding names the test, the place and the kind of secret, and never shows the secret. Of a run in several processes
(pytest-xdist) each searches what its own tests did, and the first one says what all have found.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .known_secrets import KnownSecrets
from .secret_sources import tap_logs, tap_output, tap_portals

LARGEST = 5_000_000  # bytes looked at of a file
# Files whose purpose is to hold a secret, by their exact names. The YAML is none: it names files with secrets.
KEEPERS = re.compile(r"webhook|secret|freepbx_bx24\.webhook|.+\.secret|\.?token\.json|\.?application_token|.+\.pem")


class Sweep:
    """What is known, what was said since the last look, and what was found, as (test, place, kind)."""

    def __init__(self) -> None:
        self.secrets = KnownSecrets()
        self.findings: dict[tuple[str, str, str], None] = {}  # in order
        self.messages = self.files = self.bytes_of_files = 0
        self.test = "before the first test"
        self.known_elsewhere = 0  # secrets that other processes of the run searched for
        self._said: list[tuple[str, str]] = []
        self._seen: dict[Path, tuple[int, int]] = {}

    def hear(self, where: str, text: str) -> None:
        """Keep a message until the test ends; from any thread."""
        self._said.append((where, text))

    def look_at_said(self) -> None:
        """Search what was heard, place by place."""
        said, self._said = self._said, []
        self.messages += len(said)
        places: dict[str, list[str]] = {}
        for where, text in said:
            places.setdefault(where, []).append(text)
        for where, texts in places.items():
            self._search(where, "\n".join(texts).encode("utf-8", "replace"))

    def look_at_folder(self, folder: Path, shown_below: Path) -> None:
        """Search all regular files below a folder that were not searched as they are now."""
        for path in sorted(folder.rglob("*")):
            self.look_at_file(str(path.relative_to(shown_below)), path)

    def look_at_file(self, place: str, path: Path) -> None:
        """Search one file, where it is a regular one, is no keeper, and has changed since the last time."""
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or KEEPERS.fullmatch(path.name):
                return
            version = (status.st_size, status.st_mtime_ns)
            if self._seen.get(path) == version:
                return
            with path.open("rb") as file:
                content = file.read(LARGEST)
        except OSError:
            return  # it has gone, or is nobody's to read: a test made it so
        self._seen[path] = version
        self.files += 1
        self.bytes_of_files += len(content)
        self._search(place, content)

    def _search(self, place: str, content: bytes) -> None:
        for kind in sorted(self.secrets.kinds_in(content)):
            self.findings[self.test, place, kind] = None

    def report(self) -> list[str]:
        """The lines that end a run."""
        searched = (
            f"secrets: {len(self.secrets) + self.known_elsewhere} searched for in {self.messages} messages"
            f" and {self.files} files ({self.bytes_of_files / 1e6:.1f} MB)"
        )
        if not self.findings:
            return [f"{searched}: none found"]
        found = [f"secrets: {kind} in {place}, by {test}" for test, place, kind in self.findings]
        return [f"{searched}: {len(found)} FOUND", *found]


SWEEP = Sweep()
TAPS = pytest.MonkeyPatch()


def learn(kind: str, secret: str) -> None:
    """Search for a secret that no sandbox portal made; `kind` is what a finding calls it."""
    SWEEP.secrets.add(kind, secret)


def look_at_text(place: str, text: str) -> None:
    """Search what a test got by a way that the plugin does not know; `place` is what a finding calls it."""
    SWEEP.hear(place, text)


def look_below(place: str, path: Path) -> None:
    """Search a file, or all files of a folder, that are not below the run's base folder."""
    SWEEP.look_at_file(place, path)
    for inside in sorted(path.rglob("*")) if path.is_dir() else ():
        SWEEP.look_at_file(f"{place}: {inside.relative_to(path)}", inside)


def pytest_configure(config: pytest.Config) -> None:
    tap_portals(TAPS, learn, SWEEP.hear)
    tap_logs(TAPS, SWEEP.hear)
    tap_output(TAPS, SWEEP.hear)


def pytest_unconfigure(config: pytest.Config) -> None:
    TAPS.undo()


BASE = pytest.StashKey[Path]()
HANDED_OVER = "secret_sweep"


@pytest.fixture(scope="session", autouse=True)
def _base_folder(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> None:
    pytestconfig.stash[BASE] = tmp_path_factory.getbasetemp()


def pytest_runtest_logstart(nodeid: str) -> None:
    SWEEP.test = nodeid


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    yield  # what fixtures write when they end counts
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if folder:
        SWEEP.look_at_folder(folder, folder.parent)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":
        for name, text in report.sections:  # of all three phases; log records were heard as they came
            if not name.startswith("Captured log"):
                SWEEP.hear(name[:1].lower() + name[1:], text)
        SWEEP.look_at_said()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    SWEEP.test = "one of the tests"
    SWEEP.look_at_said()
    base = session.config.stash.get(BASE, None)
    if base:
        SWEEP.look_at_folder(base, base)
    output = getattr(session.config, "workeroutput", None)  # there in xdist's workers alone
    if output is not None:
        counts = [len(SWEEP.secrets), SWEEP.messages, SWEEP.files, SWEEP.bytes_of_files]
        output[HANDED_OVER] = {"counts": counts, "findings": [list(finding) for finding in SWEEP.findings]}
    if SWEEP.findings and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended; one that crashed hands nothing over, and has failed the run by that."""
    handed_over = getattr(node, "workeroutput", {}).get(HANDED_OVER)
    if handed_over:
        known, messages, files, in_files = handed_over["counts"]
        SWEEP.known_elsewhere += known
        SWEEP.messages += messages
        SWEEP.files += files
        SWEEP.bytes_of_files += in_files
        SWEEP.findings.update(dict.fromkeys(tuple(finding) for finding in handed_over["findings"]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in SWEEP.report():
        terminalreporter.write_line(line, red=bool(SWEEP.findings))
