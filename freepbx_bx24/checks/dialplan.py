"""Whether calls reach us: Asterisk has loaded our hooks, they lead on as before, and the scripts behind them start."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Iterator

from ..errors import JournalError
from ..journal.reading import read_only
from ..pbx.freepbx import Shown
from .finding import Finding, failure, judged, listed, ok, warning
from .machine import Machine

HOOKS = {  # what `dialplan show CONTEXT` must contain for calls to reach us
    "bx24-in": "bx24_register.py",
    "bx24-out": "bx24_register.py",
    "bx24-hangup": "bx24_finish.py",
}
SCRIPTS = ("bx24_register.py", "bx24_finish.py")
PREDIAL = "macro-dialout-trunk-predial-hook"
INSTALL = "Run ./install.sh again."
START_SECONDS = 20.0
MANY_CALLS = 100  # of which one at least should be a client's
FOREVER = 1e11  # wall clock seconds
_INTERPRETER = re.compile(r"#!(/\S+)")
_LIBRARY = re.compile(r'sys\.path\.append\("([^"\n]+)"\)')
_IMPORT = "import sys; sys.path.append(sys.argv[1]); import freepbx_bx24.guard"


def asterisk(machine: Machine) -> Iterator[Finding]:
    """Asterisk answers at all."""
    error = machine.asterisk_error
    if error is not None:
        yield failure("dialplan", error.message, error.hint)


def hooks(machine: Machine) -> Iterator[Finding]:
    """Asterisk has loaded our part of the dialplan, and FreePBX's calls run through it."""
    shown = machine.asterisk
    assert shown
    missing = [context for context, wanted in HOOKS.items() if wanted not in shown.says(f"dialplan show {context}")]
    if missing:
        text = f"not loaded: {listed(missing)}"
        yield failure("dialplan", text, "asterisk -rx 'dialplan reload'   (where that does not help: ./install.sh)")
        return
    yield ok("dialplan", f"loaded: {listed(list(HOOKS))}")
    if shown.includes("from-pstn"):  # FreePBX; on a plain Asterisk the admin's own dialplan calls us
        yield from _freepbx(shown)


def _freepbx(shown: Shown) -> Iterator[Finding]:
    inbound = "bx24-pstn" in shown.says("dialplan show from-pstn")
    said = "pass" if inbound else "do not pass"
    yield judged(inbound, "inbound hook", f"inbound calls {said} our hook in [from-pstn]", INSTALL)
    outbound = "bx24-out" in shown.says(f"dialplan show {PREDIAL}")
    yield judged(
        outbound,
        "outbound hook",
        f"outbound calls {'pass' if outbound else 'do not pass'} our hook in [{PREDIAL}]",
        f"Somebody else has defined [{PREDIAL}]: add  Gosub(bx24-out,s,1)  to it in extensions_custom.conf, before its"
        " last line, then: fwconsole reload",
    )
    same = shown.includes("bx24-pstn") == shown.includes("from-pstn")
    yield judged(
        same,
        "inbound mirror",
        f"[bx24-pstn] {'leads' if same else 'does not lead'} where [from-pstn] leads",
        "FreePBX or you have changed [from-pstn]: run ./install.sh again.",
    )


def switch(machine: Machine) -> Iterator[Finding]:
    """Nobody has switched us off."""
    shown = machine.asterisk
    assert shown
    off = "Value: 1" in shown.says("database get bx24 off")
    yield judged(not off, "switch", "calls are left alone" if off else "calls are registered", "bx24 on")


def scripts(machine: Machine) -> Iterator[Finding]:
    """The scripts are where Asterisk looks for them, and the Python and the programs that they name are there."""
    shown = machine.asterisk
    assert shown
    folder = shown.agi_folder()
    if not folder:
        return
    for name in SCRIPTS:
        trouble = script_trouble(Path(folder, name))
        if trouble:
            hint = INSTALL if not trouble.endswith("may not run it") else f"chmod 0755 {Path(folder, name)}"
            yield failure("scripts", f"{Path(folder, name)}: {trouble}", hint)
            return
    yield ok("scripts", f"those in {folder} start")


def executed(machine: Machine) -> Iterator[Finding]:
    """Of the calls since Asterisk started at least one has come by: hooks are not only loaded, but run."""
    shown = machine.asterisk
    assert shown
    calls, seconds = shown.calls_since_start()
    if calls < MANY_CALLS or not (machine.state / "journal.sqlite").exists():
        return
    since = time.time() - seconds
    try:
        with read_only(machine.state) as journal:
            seen = bool(journal.calls(since, FOREVER) or journal.left_out(since, FOREVER))
    except JournalError:  # said where the journal is looked at
        return
    if seen:
        yield ok("calls", "calls have come by since Asterisk started")
        return
    yield warning(
        "calls",
        f"of {calls} calls since Asterisk started {seconds / 3600:.0f} hours ago none has come by",
        "Watch one with  asterisk -rvvv : a client's call passes [bx24-in] or [bx24-out] (docs/troubleshooting.md).",
    )


def script_trouble(path: Path) -> str:
    """What keeps a script from starting as this user; empty where nothing does. It is not run: no call is there."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")[:4000]
    except OSError as error:
        return (error.strerror or str(error)).lower()
    if not os.access(path, os.X_OK):
        return "Asterisk's user may not run it"
    interpreter, library = _INTERPRETER.match(text), _LIBRARY.search(text)
    if not interpreter or not library:
        return "it is not the one that install.sh puts there"
    try:
        done = subprocess.run(
            [interpreter[1], "-ISc", _IMPORT, library[1]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=START_SECONDS,
            check=False,
        )
    except OSError:
        return f"its Python {interpreter[1]} is gone"
    except subprocess.TimeoutExpired:
        return f"its Python {interpreter[1]} does not start within {START_SECONDS:.0f} s"
    if done.returncode:
        return f"{library[1]} can't be used by {interpreter[1]}"
    return ""
