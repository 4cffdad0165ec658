"""Makes one mono file that the portal takes of a call's recordings: joined, decoded, encoded, niced and bounded."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

from ..errors import RecordingError
from . import sound_file, wav_writer
from .sound_file import GSM, OTHER, PCM, Sound

MP3, WAV = "mp3", "wav"
ENCODERS = ("ffmpeg", "lame")
DECODERS = ("ffmpeg", "sox")
ROOM = 200_000_000  # bytes that stay free on the disk of the state folder, where the journal is too
LOOK_SECONDS = 0.1
_TAIL = 200  # characters of what an encoder says
_INSTALL = "Install ffmpeg (or sox and lame): `apt install ffmpeg`."
# MP3 has few bit rates at few samples a second (ISO 11172-3, 13818-3 and MPEG 2.5).
_LEAST_RATES = ((64, 8000), (160, 16000), (320, 32000))
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_NICE = (("nice", "-n", "19"), ("ionice", "-c", "3"))
# How ffmpeg and sox are told of a file without a header; nothing where they see it.
_RAW = {
    "ffmpeg": {sound_file.G722: ["-f", "g722"], sound_file.G729: ["-f", "g729"], GSM: ["-f", "gsm"]},
    "sox": {GSM: ["-t", "gsm"]},
}
_TURN = threading.Lock()  # one at a time in this process


@dataclass(frozen=True)
class _Work:
    """One encoding's bounds: where it may write, until when (monotonic) it may last, and what ends it before."""

    folder: Path
    deadline: float
    stopping: threading.Event

    def check(self) -> None:
        """Raise RecordingError where it is over."""
        if self.stopping.is_set():
            raise RecordingError("the service stops")
        if time.monotonic() > self.deadline:
            raise RecordingError("the recording took too long to encode")


def encoder() -> str:
    """The program that makes mp3; empty where there is none."""
    return next((name for name in ENCODERS if shutil.which(name)), "")


def decoder() -> str:
    """The program that reads what Python does not (gsm, wav49, g722); empty where there is none."""
    return next((name for name in DECODERS if shutil.which(name)), "")


def encode(
    files: Sequence[Path],
    wanted: str,
    kbps: int,
    workspace: Path,
    seconds: float,
    stopping: threading.Event | None = None,
) -> Path:
    """Return a new file in `workspace`, mono: all files in order, as mp3, or as wav where that is wanted or there is no
    encoder. The files themselves are only read. Where they can't be joined it is the longest alone.

    :param wanted: "mp3" or "wav". :param kbps: of mp3; bounded by what MP3 has.
    :param seconds: the longest that it may take, waiting for another's end included.
    :raises RecordingError: it can't be made. :raises OSError: a file can't be read or written.
    """
    work = _Work(workspace, time.monotonic() + seconds, stopping or threading.Event())
    with _turn(work):
        made: list[Path] = []
        try:
            sounds = [(path, _sound(path)) for path in files]
            if not sounds:
                raise RecordingError("there is no recording to encode")
            _want_room(work, sounds)
            joined = _joined(work, sounds, made)
            if wanted != MP3 or not encoder():
                return _kept(joined, made)
            return _kept(_mp3(work, joined, kbps, made), made)
        finally:
            for path in made:
                path.unlink(missing_ok=True)


@contextmanager
def _turn(work: _Work) -> Iterator[None]:
    while not _TURN.acquire(timeout=LOOK_SECONDS):
        work.check()
    try:
        work.check()
        yield
    finally:
        _TURN.release()


def _kept(path: Path, made: list[Path]) -> Path:
    made.remove(path)
    return path


def _new(work: _Work, made: list[Path], suffix: str) -> Path:
    descriptor, name = tempfile.mkstemp(suffix=suffix, prefix="recording-", dir=work.folder)
    os.close(descriptor)
    made.append(Path(name))
    return made[-1]


def _sound(path: Path) -> Sound:
    sound = sound_file.read(path)
    if sound is None or not sound.length:
        raise RecordingError(f"{path.name} holds no sound")
    return sound


def _want_room(work: _Work, sounds: Sequence[tuple[Path, Sound]]) -> None:
    """Raise RecordingError where the disk would get full: gsm grows tenfold, and two copies stand side by side."""
    grows = sum(sound.length * (2 if sound.coding == PCM else 12) for _, sound in sounds)
    free = shutil.disk_usage(work.folder).free
    if free < grows + ROOM:
        raise RecordingError(
            f"encoding needs {(grows + ROOM) // 1_000_000} MB of disk, {free // 1_000_000} MB are free",
            "Make room on the disk of /var/lib/freepbx-bx24, then `bx24 recordings --retry`.",
        )


def _joined(work: _Work, sounds: Sequence[tuple[Path, Sound]], made: list[Path]) -> Path:
    """All sounds in order as one mono WAV file of 16 bits."""
    tool = decoder()
    same_rate = len({sound.rate for _, sound in sounds}) == 1
    if not tool and (len(sounds) == 1 or not same_rate or not all(wav_writer.reads(sound) for _, sound in sounds)):
        sounds = [max(sounds, key=lambda item: (wav_writer.reads(item[1]), item[1].seconds))]
        same_rate = True
    path, sound = sounds[0]
    if not tool and not wav_writer.reads(sound):
        # A WAV file of whatever coding is still one that the portal takes; a browser may not play it.
        if not sound.wav:
            raise RecordingError(f"{path.suffix[1:]} can't be read without ffmpeg or sox", _INSTALL)
        target = _new(work, made, ".wav")
        wav_writer.copy(path, target, work.check)
        return target
    rate = max(sound.rate for _, sound in sounds)
    ready: list[tuple[Path, Sound]] = []
    for path, sound in sounds:
        if not wav_writer.reads(sound) or not same_rate:
            path = _decoded(work, tool, path, sound, rate, made)
            sound = _sound(path)
        ready.append((path, sound))
    target = _new(work, made, ".wav")
    wav_writer.join(ready, target, work.check)
    return target


def _decoded(work: _Work, tool: str, path: Path, sound: Sound, rate: int, made: list[Path]) -> Path:
    """What only a program reads as a WAV file of 16 bits."""
    if sound.coding == OTHER and tool == "sox":
        raise RecordingError(f"sox does not read {path.name}", _INSTALL)
    source = path
    raw: list[str] = []
    if not sound.wav and wav_writer.reads(sound):  # its samples a second are to change: a header tells what they are
        source = _new(work, made, ".wav")
        wav_writer.join([(path, sound)], source, work.check)
    elif not sound.wav:
        raw = _RAW[tool].get(sound.coding, [])
    target = _new(work, made, ".wav")
    if tool == "ffmpeg":
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-protocol_whitelist", "file", *raw, "-i", str(source)]
        command += ["-map", "0:a:0", "-ac", "1", "-ar", str(rate), "-c:a", "pcm_s16le", "-f", "wav", str(target)]
    else:
        command = ["sox", "-V1", *raw, str(source), "-t", "wav", "-b", "16", "-e", "signed", "-c", "1"]
        command += ["-r", str(rate), str(target)]
    _run(work, command, made)
    return target


def _mp3(work: _Work, joined: Path, kbps: int, made: list[Path]) -> Path:
    sound = _sound(joined)
    if sound.coding != PCM:
        return joined
    least = next((rate for most, rate in _LEAST_RATES if kbps <= most), 32000)
    rate = next((one for one in _MP3_RATES if one >= max(least, sound.rate)), _MP3_RATES[-1])
    target = _new(work, made, ".mp3")
    if encoder() == "ffmpeg":
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-protocol_whitelist", "file", "-f", "wav", "-i"]
        command += [str(joined), "-ac", "1", "-ar", str(rate), "-c:a", "libmp3lame", "-b:a", f"{kbps}k"]
        command += ["-map_metadata", "-1", "-f", "mp3", str(target)]
    else:
        command = ["lame", "--quiet", "-m", "m", "-b", str(kbps), "--resample", f"{rate / 1000:g}"]
        command += [str(joined), str(target)]
    _run(work, command, made)
    return target


def _run(work: _Work, command: Sequence[str], made: list[Path]) -> None:
    """Run one program niced, in a group of its own that is killed whole where it may last no longer."""
    niced = [word for prefix in _NICE if shutil.which(prefix[0]) for word in prefix]
    said = _new(work, made, ".txt")
    with said.open("wb") as errors:
        running = subprocess.Popen(
            [*niced, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=work.folder,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            start_new_session=True,
        )
    try:
        while running.poll() is None:
            work.check()
            work.stopping.wait(LOOK_SECONDS)
    finally:
        if running.returncode is None:
            os.killpg(running.pid, 9)
            running.wait()
    if running.returncode:
        with said.open("rb") as told:
            told.seek(max(0, said.stat().st_size - _TAIL))
            tail = told.read(_TAIL).decode("utf-8", "replace").strip()
        raise RecordingError(f"{command[0]} failed: {' '.join(tail.split()) or running.returncode}")
