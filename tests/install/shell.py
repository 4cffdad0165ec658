"""install.sh's functions in a shell: sourced, with its places in a folder and recorders for the machine's programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.install.pbx_machine import REPOSITORY


class Shell:
    """A bash that has sourced install.sh; everything it would keep or change is below `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = directory / "bin"
        self.programs.mkdir()
        self.etc = directory / "etc"
        self.etc.mkdir()
        # Said before the commands of each run.
        self.begin = ""

    def program(self, name: str, text: str) -> None:
        """Put a program on PATH that writes down how it was called and then does as `text` says."""
        path = self.programs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>{self.directory}/calls\n{text}\n', encoding="utf-8")
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        path = self.directory / "calls"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def run(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Source install.sh, lead its places here, run `commands`."""
        places = {
            "program": "opt", "manifest": "opt/installed", "checkpoint": "opt/checkpoint", "log": "log", "work": "work",
            "asterisk_conf": "etc/asterisk.conf", "etc_dir": "etc", "config": "etc/freepbx_bx24.yaml",
        }  # fmt: skip
        lead = "\n".join(f"{name}={self.directory}/{place}" for name, place in places.items())
        script = (
            f'. {REPOSITORY}/install.sh\n{lead}\nmkdir -p "$work"\nPATH={self.programs}:$PATH\n{self.begin}\n{commands}'
        )
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60)
