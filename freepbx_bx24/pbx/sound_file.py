"""What a sound file of Asterisk's holds, and whether its writer has ended it: read from its name and its header."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

PCM, ULAW, ALAW, GSM, G722, G729, OTHER = "pcm", "ulaw", "alaw", "gsm", "g722", "g729", "other"
WAV_CODINGS = {1: PCM, 6: ALAW, 7: ULAW, 0x31: GSM}  # WAVEFORMATEX's wFormatTag

_SLN = {"sln": 8000, "sln12": 12000, "sln16": 16000, "sln24": 24000, "sln32": 32000, "sln44": 44100, "sln48": 48000}
# What Asterisk's format modules write without any header: coding, samples a second, bytes a second, by the name's end.
HEADERLESS = {
    **{name: (PCM, rate, 2 * rate) for name, rate in {**_SLN, "sln96": 96000, "sln192": 192000}.items()},
    **dict.fromkeys(("ulaw", "ul", "ulw", "mu", "pcm"), (ULAW, 8000, 8000)),
    **dict.fromkeys(("alaw", "al", "alw"), (ALAW, 8000, 8000)),
    "gsm": (GSM, 8000, 1650),
    "g722": (G722, 16000, 8000),
    "g729": (G729, 8000, 1000),
}
SUFFIXES = ("wav", "WAV", "mp3", *HEADERLESS)  # of all that may be a recording; the best first
MOST_CHUNKS = 64  # of a WAV file; Asterisk writes three at most


@dataclass(frozen=True)
class Sound:
    """What a file holds: samples of `bits` in `channels` at `rate` a second, `length` bytes from `offset` on.

    `whole` is False while its writer has not ended it: lengths are not written yet, or more stands behind than they
    say. `wav` is whether a RIFF header says all this. `seconds` is 0.0 where the coding does not tell.
    """

    coding: str
    rate: int = 8000
    channels: int = 1
    bits: int = 16
    offset: int = 0
    length: int = 0
    seconds: float = 0.0
    whole: bool = True
    wav: bool = False


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading. A link is not followed, and a pipe in its place is not waited for.

    :raises OSError: where it can't be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    return os.fdopen(descriptor, "rb")


def read(path: Path) -> Sound | None:
    """What a file holds now; None where there is nothing yet that could be told of, or it is no sound.

    :raises OSError: where it can't be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            return _wav(file, size)
    suffix = path.suffix[1:]
    if suffix == "mp3":
        return Sound(OTHER, length=size)
    known = HEADERLESS.get(suffix)
    if known is None:
        return None
    coding, rate, bytes_a_second = known
    return Sound(coding, rate, bits=16 if coding == PCM else 8, length=size, seconds=size / bytes_a_second)


def _wav(file: BinaryIO, size: int) -> Sound | None:
    """Walk the chunks of a RIFF file: it is whole where the walk ends exactly at the file's end."""
    place, sound, form = 12, None, None
    for _ in range(MOST_CHUNKS):
        if place >= size:
            break
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            break
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"fmt ":
            form = file.read(min(length, 40))
        elif head[:4] == b"data" and form is not None and len(form) >= 16 and sound is None:
            sound = _data(form, place + 8, length, size)
            if not length:  # its writer has not said yet; or it has, and nothing was heard
                return _ended(sound, size == place + 8, size - place - 8)
        place += 8 + length + length % 2
    # A last chunk of odd length may lack its byte of padding.
    return _ended(sound, size in (place, place - 1)) if sound else None


def _data(form: bytes, offset: int, length: int, size: int) -> Sound:
    number = [
        int.from_bytes(form[at : at + width], "little") for at, width in ((0, 2), (2, 2), (4, 4), (8, 4), (14, 2))
    ]
    tag, channels, rate, bytes_a_second, bits = number
    if tag == 0xFFFE and len(form) >= 26:  # WAVE_FORMAT_EXTENSIBLE: the tag proper begins its GUID
        tag = int.from_bytes(form[24:26], "little")
    there = min(length, size - offset)
    seconds = there / bytes_a_second if bytes_a_second else 0.0
    return Sound(WAV_CODINGS.get(tag, OTHER), rate, channels, bits, offset, there, seconds, wav=True)


def _ended(sound: Sound, whole: bool, behind: int | None = None) -> Sound:
    """The same sound with the word whether it is whole; `behind` bytes stand there though the header says none."""
    length = sound.length if behind is None else behind
    return Sound(
        sound.coding, sound.rate, sound.channels, sound.bits, sound.offset, length, sound.seconds, whole, wav=True
    )
