"""Writes mono WAV files of 16 bits from sounds that need no program to be read: PCM, mu-law and A-law, in pieces."""

from __future__ import annotations

import struct
import sys
from array import array
from pathlib import Path
from typing import Callable, Sequence

from ..errors import RecordingError
from .sound_file import ALAW, PCM, ULAW, Sound, open_regular

PIECE = 1 << 16  # bytes; small, so that no other thread waits for the interpreter longer than it would anyway
MOST = 0xFFFFFFFF - 64  # bytes of samples that a RIFF header can tell of


def _ulaw(byte: int) -> int:
    """One byte of G.711 mu-law as a linear sample of 16 bits (ITU-T G.711)."""
    byte = ~byte & 0xFF
    magnitude = (((byte & 0x0F) << 3) + 132 << (byte >> 4 & 7)) - 132
    return -magnitude if byte & 0x80 else magnitude


def _alaw(byte: int) -> int:
    """One byte of G.711 A-law as a linear sample of 16 bits (ITU-T G.711)."""
    byte ^= 0x55
    exponent, mantissa = byte >> 4 & 7, (byte & 0x0F) << 4
    magnitude = mantissa + 8 if exponent == 0 else mantissa + 0x108 << exponent - 1
    return magnitude if byte & 0x80 else -magnitude


_TABLES = {ULAW: [_ulaw(byte) for byte in range(256)], ALAW: [_alaw(byte) for byte in range(256)]}


def reads(sound: Sound) -> bool:
    """Whether a sound can be written by `join`."""
    return sound.channels in (1, 2) and (sound.coding in _TABLES or (sound.coding == PCM and sound.bits == 16))


def join(sounds: Sequence[tuple[Path, Sound]], target: Path, check: Callable[[], None]) -> None:
    """Write sounds of the same rate one after another.

    :param check: called before each piece; what it raises ends the writing.
    :raises RecordingError: longer than a WAV file can be. :raises OSError: a file can't be read or written.
    """
    with target.open("wb") as out:
        out.write(_header(sounds[0][1].rate, 0))
        written = 0
        for path, sound in sounds:
            with open_regular(path) as file:
                file.seek(sound.offset)
                left = sound.length
                while left > 0:
                    check()
                    piece = file.read(min(PIECE, left))
                    if not piece:
                        break
                    left -= len(piece)
                    written += out.write(_samples(piece, sound))
                    if written > MOST:
                        raise RecordingError("the recordings are longer than a WAV file can be")
        out.seek(0)
        out.write(_header(sounds[0][1].rate, written))


def copy(source: Path, target: Path, check: Callable[[], None]) -> None:
    """Copy a file as it is, in pieces. :raises OSError: it can't be read or written."""
    with open_regular(source) as file, target.open("wb") as out:
        while True:
            check()
            piece = file.read(PIECE)
            if not piece:
                return
            out.write(piece)


def _header(rate: int, length: int) -> bytes:
    form = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", 36 + length, b"WAVE", b"fmt ", 16)
        + form
        + struct.pack("<4sI", b"data", length)
    )


def _samples(piece: bytes, sound: Sound) -> bytes:
    """A piece as mono samples of 16 bits, little-endian; of two channels the middle."""
    if sound.coding == PCM and sound.channels == 1:
        return piece[: len(piece) // 2 * 2]
    if sound.coding == PCM:
        samples = array("h", piece[: len(piece) // 4 * 4])
        if sys.byteorder == "big":
            samples.byteswap()
    else:
        samples = array("h", map(_TABLES[sound.coding].__getitem__, piece))
    if sound.channels == 2:
        samples = array("h", [(left + right) // 2 for left, right in zip(samples[::2], samples[1::2])])
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()
