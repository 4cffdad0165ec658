"""An admin's own dialplan for the length of a test, and what Asterisk's log says since it began."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Iterator, Sequence

from freepbx_bx24.sandbox.pbx.harness import SandboxPbx

CUSTOM = "/etc/asterisk/extensions_custom.conf"
LOG = "/var/log/asterisk/full"


class Log:
    """Asterisk's full log from here on."""

    def __init__(self, path: Path) -> None:
        self._path, self._begins = path, path.stat().st_size

    def text(self) -> str:
        """Everything since."""
        with self._path.open("rb") as file:
            file.seek(self._begins)
            return file.read().decode("utf-8", "replace")

    def said(self, mark: str) -> Sequence[str]:
        """What the dialplan has said since by `Log(NOTICE,<mark> ...)`."""
        return re.findall(rf": {re.escape(mark)} (.*)$", self.text(), re.MULTILINE)

    def dials(self, caller: str) -> Sequence[str]:
        """What channels whose name begins so have dialled: the arguments of each Dial()."""
        return re.findall(rf'\bDial\("{re.escape(caller)}[^"]*", "(.*)"\) in new', self.text())


@contextlib.contextmanager
def admins_dialplan(pbx: SandboxPbx, text: str) -> Iterator[Log]:
    """Have it in extensions_custom.conf; gives the log from then on."""
    path = pbx.root.outside(CUSTOM)
    kept = path.read_text(encoding="utf-8")
    path.write_text(f"{kept}\n{text}\n", encoding="utf-8")
    pbx.asterisk.reload_dialplan()
    try:
        yield Log(pbx.root.outside(LOG))
    finally:
        path.write_text(kept, encoding="utf-8")
        pbx.asterisk.reload_dialplan()
