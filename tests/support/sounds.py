"""Sound files as Asterisk writes them, in each of its codings, and how alike two sounds are."""

from __future__ import annotations

import math
import random
import struct
from array import array
from pathlib import Path
from typing import Sequence

RATE = 8000


def speech(seconds: float, seed: int = 1, rate: int = RATE) -> array[int]:
    """Something like a voice: a few tones whose loudness and pitch wander, so that no part is like another."""
    chance = random.Random(seed)
    samples = array("h")
    phase = 0.0
    pitch, loud = 200.0, 6000.0
    for at in range(int(seconds * rate)):
        if at % (rate // 10) == 0:
            pitch, loud = chance.uniform(150, 900), chance.uniform(1500, 9000)
        phase += 2 * math.pi * pitch / rate
        samples.append(int(loud * (math.sin(phase) + 0.3 * math.sin(3 * phase)) / 1.3))
    return samples


def wav(samples: bytes, rate: int = RATE, tag: int = 1, channels: int = 1, bits: int = 16, length: int = -1) -> bytes:
    """A RIFF file as MixMonitor's; `length` is what its header says, that of the samples where -1."""
    said = len(samples) if length < 0 else length
    width = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * width, width, bits)
    head = struct.pack("<4sI4s4sI", b"RIFF", 36 + said, b"WAVE", b"fmt ", 16) + form
    return head + struct.pack("<4sI", b"data", said) + samples


def samples_of(path: Path) -> array[int]:
    """The samples of a mono WAV file of 16 bits, read with nothing of the product's."""
    data = path.read_bytes()
    assert data[:4] == b"RIFF" and data[8:16] == b"WAVEfmt "
    assert struct.unpack("<HH", data[20:24]) == (1, 1)
    start = data.index(b"data", 12) + 8
    return array("h", data[start:])


def correlation(one: Sequence[int], other: Sequence[int], most_shift: int = 400) -> float:
    """How alike two sounds are, from -1 to 1, at the best of the small shifts that an encoder may add."""
    best = -1.0
    for shift in range(-most_shift, most_shift + 1, 2):
        left, right = (one[shift:], other) if shift >= 0 else (one, other[-shift:])
        pairs = list(zip(left, right))[::3]
        power = math.sqrt(sum(a * a for a, _ in pairs) * sum(b * b for _, b in pairs))
        best = max(best, sum(a * b for a, b in pairs) / power if power else -1.0)
    return best
