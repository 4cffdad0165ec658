"""What calls send as RTP, from one socket: a tune for every call that wants one, from one thread, so that recordings
have sound; and pressed keys (RFC 4733)."""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import threading
import time

FRAME_SECONDS = 0.02
FRAME_SAMPLES = 160
WAVE_HERTZ = 50  # one wave a frame: frames whose pitch is a multiple of it join without a click
# Pitch and loudness wander, so that no part of the tune is like another: what is missing or doubled is heard.
STEPS, STEP_FRAMES = 97, 5
# The payload type that sip.session() offers for telephone events, and how their codes are counted (RFC 4733, 3.2).
EVENT_PAYLOAD = 101
KEYS = "0123456789*#ABCD"
KEY_FRAMES = 6
# The last packet comes three times, since one may get lost (RFC 4733, 2.5.1.4).
KEY_ENDS = 3


def _ulaw(sample: int) -> int:
    """One linear 16-bit sample as G.711 mu-law (ITU-T G.711)."""
    sign, magnitude = (0x80, -sample) if sample < 0 else (0, sample)
    magnitude = min(magnitude, 32635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | (magnitude >> (exponent + 3)) & 0x0F) & 0xFF


def _frame(waves: int, loudness: int) -> bytes:
    """20 ms of so many waves."""
    turn = 2 * math.pi * waves / FRAME_SAMPLES
    return bytes(_ulaw(int(loudness * math.sin(turn * at))) for at in range(FRAME_SAMPLES))


# Remainders of powers by a prime jump about: the same tune for every call, without a table of notes.
TUNE = [_frame(4 + step * step % STEPS % 11, 3000 + step * step * step % STEPS * 50) for step in range(STEPS)]


def key_packets(key: str, stamp: int, sequence: int, identity: int) -> list[bytes]:
    """One pressed key as the RTP packets that say so, in order, to be sent 20 ms apart.

    :param key: one of 0-9, *, #, A-D. Raise ValueError for another.
    :param stamp, sequence, identity: RTP timestamp and first sequence number, and the SSRC.
    """
    event, packets = KEYS.index(key), []
    for step in range(KEY_FRAMES + KEY_ENDS):
        duration = min(step + 1, KEY_FRAMES) * FRAME_SAMPLES
        end = 0x80 if step >= KEY_FRAMES else 0
        kind = EVENT_PAYLOAD | (0x80 if step == 0 else 0)
        head = struct.pack("!BBHII", 0x80, kind, (sequence + step) & 0xFFFF, stamp & 0xFFFFFFFF, identity)
        packets.append(head + struct.pack("!BBH", event, end | 10, duration))
    return packets


class Tones:
    """The sound of one agent's calls. The thread runs from the first tone on.

    :param host: the loopback address to send from.
    """

    def __init__(self, host: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # What the other side sends is never read: a tiny buffer lets the kernel drop it.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self._socket.bind((host, 0))
        self.port: int = self._socket.getsockname()[1]
        self._targets: dict[str, tuple[str, int]] = {}
        self._running = False
        self._thread = threading.Thread(target=self._loop, name="rtp", daemon=True)

    def start(self, call_id: str, target: tuple[str, int]) -> None:
        """Send the tone to `target` until `stop(call_id)`."""
        self._targets[call_id] = target
        if not self._running:
            self._running = True
            self._thread.start()

    def stop(self, call_id: str) -> None:
        """End a call's tone; nothing happens when it has none."""
        self._targets.pop(call_id, None)

    def send(self, packet: bytes, target: tuple[str, int]) -> None:
        """Send one packet beside the tone."""
        with contextlib.suppress(OSError):  # the PBX has closed that port: the call is over
            self._socket.sendto(packet, target)

    def close(self) -> None:
        """End all tones."""
        if self._running:
            self._running = False
            self._thread.join(1.0)
        self._socket.close()

    def _loop(self) -> None:
        frame, due = 0, time.monotonic()
        while self._running:
            tone = TUNE[frame // STEP_FRAMES % STEPS]
            for call_id, target in list(self._targets.items()):
                # Version 2, payload type 0; one SSRC a call (RFC 3550, 5.1).
                identity = hash(call_id) & 0xFFFFFFFF
                stamp = frame * FRAME_SAMPLES & 0xFFFFFFFF
                packet = struct.pack("!BBHII", 0x80, 0, frame & 0xFFFF, stamp, identity) + tone
                try:
                    self._socket.sendto(packet, target)
                except OSError:  # the PBX has closed that port, or has died: the BYE will say so
                    continue
            frame += 1
            due = max(due + FRAME_SECONDS, time.monotonic() - 0.2)
            time.sleep(max(0.0, due - time.monotonic()))
