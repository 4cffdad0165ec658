"""Asterisk's console, asked one thing at a time."""

from __future__ import annotations

import subprocess

from ..errors import ServiceError

SECONDS = 15.0


def console(command: str) -> str:
    """Run `asterisk -rx COMMAND` and return what it printed.

    :raises ServiceError: where Asterisk is not there, does not run or does not answer.
    """
    hint = "Start Asterisk (`systemctl start asterisk`, on FreePBX `fwconsole start`) and run this again as root."
    try:
        done = subprocess.run(
            ["asterisk", "-rx", command], capture_output=True, text=True, timeout=SECONDS, errors="replace", check=False
        )
    except FileNotFoundError:
        raise ServiceError("there is no asterisk command on this machine", hint) from None
    except subprocess.TimeoutExpired:
        raise ServiceError(f"Asterisk did not answer within {SECONDS:.0f} s", hint) from None
    if done.returncode != 0:
        raise ServiceError(f"Asterisk refused: {(done.stderr or done.stdout).strip()[:200]}", hint)
    return done.stdout
