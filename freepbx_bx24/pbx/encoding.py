"""Makes one file that the portal takes of a call's recordings, by an encoder of the system, niced and bounded."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Sequence

from ..errors import RecordingError

ENCODERS = ("ffmpeg",)
_TAIL = 200  # characters of what the encoder says


def encoder() -> str:
    """The encoder that is there; empty where there is none."""
    return next((name for name in ENCODERS if shutil.which(name)), "")


def encode(files: Sequence[Path], wanted: str, kbps: int, workspace: Path, seconds: float) -> Path:
    """Return a new file in `workspace`, mono: an mp3 or a wav of all files in order; a copy where nothing need be.

    :param wanted: "mp3" or "wav". :param seconds: the longest that it may take.
    :raises RecordingError: it can't be made.
    """
    name = encoder()
    if not name or (wanted == "wav" and len(files) == 1 and _is_wav(files[0])):
        return _as_it_is(files, workspace)
    made = workspace / f"recording.{wanted}"
    inputs = [argument for file in files for argument in ("-i", str(file))]
    joined = "".join(f"[{number}:a]" for number in range(len(files))) + f"concat=n={len(files)}:v=0:a=1[out]"
    bits = ["-b:a", f"{kbps}k"] if wanted == "mp3" else []
    command = [name, "-nostdin", "-v", "error", "-y", *inputs, "-filter_complex", joined, "-map", "[out]", "-ac", "1"]
    try:
        done = subprocess.run(
            [*command, *bits, str(made)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            preexec_fn=lambda: os.nice(19) and None,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RecordingError(f"the encoder did not end well: {type(error).__name__}") from error
    if done.returncode:
        raise RecordingError(f"the encoder failed: {done.stderr.decode('utf-8', 'replace').strip()[-_TAIL:]}")
    return made


def _as_it_is(files: Sequence[Path], workspace: Path) -> Path:
    file = max(files, key=lambda one: one.stat().st_size)
    if not _is_wav(file):
        raise RecordingError(f"a {file.suffix or 'file without a suffix'} needs an encoder", "Install ffmpeg.")
    made = workspace / "recording.wav"
    shutil.copyfile(file, made)
    return made


def _is_wav(file: Path) -> bool:
    with file.open("rb") as opened:
        head = opened.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WAVE"
