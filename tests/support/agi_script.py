"""Plays Asterisk to one AGI script over real pipes: environment, variables, what was set, how long it took."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Mapping, Sequence

REPOSITORY = Path(__file__).parents[2]
SCRIPT = """
import sys
sys.path += {paths!r}  # as /opt/freepbx-bx24/lib holds the package and what it needs
{before}
from freepbx_bx24.guard import main
main({kind!r})
"""


class Variables(Dict[str, str]):
    """A channel's variables: one that is not set reads as empty."""

    def __missing__(self, name: str) -> str:
        return ""


@dataclass
class AgiRun:
    """What one script did: variables set, commands as they came, exit code, seconds."""

    variables: dict[str, str] = field(default_factory=Variables)
    commands: list[str] = field(default_factory=list)
    exit_code: int = -1
    seconds: float = 0.0


def environment_lines(uniqueid: str, **values: str) -> str:
    """The agi_* lines in Asterisk's order, with its word for what it does not know."""
    known = {
        "request": "bx24_register.py",
        "channel": "PJSIP/trunk-00000001",
        "language": "en",
        "type": "PJSIP",
        "uniqueid": uniqueid,
        "version": "22.10.1",
        "callerid": "+79161234567",
        "calleridname": "unknown",
        "dnid": "74957770101",
        "context": "bx24-in",
        "extension": "s",
        "priority": "7",
        **values,
    }
    return "".join(f"agi_{name}: {value}\n" for name, value in known.items()) + "\n"


def run_script(
    kind: str,
    directory: Path,
    arguments: Sequence[str] = ("in", "74957770101"),
    uniqueid: str = "1790000120.77",
    variables: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    process_environment: Mapping[str, str] | None = None,
    before: str = "",
) -> AgiRun:
    """Run the guard as Asterisk would and answer it until it exits; `before` is Python that runs ahead of it."""
    run = AgiRun()
    code = SCRIPT.format(paths=[str(REPOSITORY), sysconfig.get_path("purelib")], kind=kind, before=before)
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-IS", "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={
            "BX24_RUN_DIR": str(directory / "run"),
            "BX24_STATE_DIR": str(directory / "state"),
            "BX24_LOG": str(directory / "log"),
            **(process_environment or {}),
        },
    )
    assert process.stdin and process.stdout
    process.stdin.write(environment_lines(uniqueid, **(environment or {})).encode("utf-8", "surrogateescape"))
    process.stdin.flush()
    for line in process.stdout:
        command = line.decode("utf-8").rstrip("\n")
        run.commands.append(command)
        try:
            process.stdin.write((answer(command, variables or {}, run) + "\n").encode("utf-8"))
            process.stdin.flush()
        except BrokenPipeError:
            break
    run.exit_code = process.wait(30)
    run.seconds = time.monotonic() - began
    return run


def answer(command: str, variables: Mapping[str, str], run: AgiRun) -> str:
    """Asterisk's reply to one command."""
    if command.startswith("GET FULL VARIABLE "):
        text = command[len("GET FULL VARIABLE ") :]
        while "${" in text:  # the innermost first, as the dialplan does
            text = re.sub(r"\$\{([^${}]*)\}", lambda match: variables.get(match[1], ""), text)
        return f"200 result=1 ({text})"
    match = re.fullmatch(r'SET VARIABLE _*(\w+) "([^"]*)"', command)
    if match:
        run.variables[match[1]] = match[2]
        return "200 result=1"
    return "510 Invalid or unknown command"


def intake(directory: Path, seconds: float = 5.0) -> list[Path]:
    """The intake files, waited for: the script writes them from a child."""
    folder = directory / "state" / "intake"
    deadline = time.monotonic() + seconds
    while True:
        files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        if files or time.monotonic() >= deadline:
            return files
        time.sleep(0.02)


def make_directories(directory: Path) -> Path:
    """The run and state folders of one test."""
    (directory / "run").mkdir(parents=True, exist_ok=True)
    (directory / "state" / "intake").mkdir(parents=True, exist_ok=True)
    os.environ.pop("BX24_RUN_DIR", None)
    return directory
