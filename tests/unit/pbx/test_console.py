"""Asterisk's console is asked one thing at a time; what keeps it from answering is said in words, with what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from freepbx_bx24.errors import ServiceError
from freepbx_bx24.pbx.console import console


@pytest.fixture
def asterisk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a command called asterisk is looked for first; a script put there is run as a real process."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "asterisk"


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_returns_what_asterisk_printed(asterisk: Path) -> None:
    script(asterisk, 'echo "$1|$2"')
    assert console("dialplan show bx24-in; rm -rf /") == "-rx|dialplan show bx24-in; rm -rf /\n"


def test_bytes_that_are_no_text_do_not_matter(asterisk: Path) -> None:
    script(asterisk, r"printf 'a\377b'")
    assert console("core show version") == "a\ufffdb"


def test_an_asterisk_that_is_not_installed_is_said(asterisk: Path) -> None:
    os.environ["PATH"] = str(asterisk.parent)
    with pytest.raises(ServiceError, match="no asterisk command") as caught:
        console("core show version")
    assert "systemctl start asterisk" in caught.value.hint


def test_an_asterisk_that_does_not_run_is_said_in_its_own_words(asterisk: Path) -> None:
    script(asterisk, "echo 'Unable to connect to remote asterisk' >&2; exit 1")
    with pytest.raises(ServiceError, match="Unable to connect"):
        console("core show version")
