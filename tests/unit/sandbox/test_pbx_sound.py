"""Pressed keys as RTP packets (RFC 4733)."""

from __future__ import annotations

import struct

import pytest

from freepbx_bx24.sandbox.pbx import sound


def test_a_key_is_one_event_that_grows_and_whose_end_is_said_three_times() -> None:
    packets = sound.key_packets("2", stamp=4000, sequence=0xFFFE, identity=7)
    heads = [struct.unpack("!BBHII", packet[:12]) for packet in packets]
    events = [struct.unpack("!BBH", packet[12:]) for packet in packets]
    assert {head[0] for head in heads} == {0x80}
    assert [head[1] for head in heads] == [0x80 | 101] + [101] * 8  # the marker begins it (RFC 4733, 2.5.1.1)
    assert [head[2] for head in heads] == [0xFFFE, 0xFFFF, *range(7)]
    assert {(head[3], head[4]) for head in heads} == {(4000, 7)}  # one event, one timestamp
    assert {event[0] for event in events} == {2}
    assert [event[1] >> 7 for event in events] == [0] * 6 + [1] * 3
    assert [event[2] for event in events] == [160, 320, 480, 640, 800, 960, 960, 960, 960]


@pytest.mark.parametrize(("key", "code"), [("0", 0), ("9", 9), ("*", 10), ("#", 11)])
def test_keys_have_the_codes_of_the_rfc(key: str, code: int) -> None:
    assert sound.key_packets(key, 0, 0, 0)[0][12] == code


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(ValueError):
        sound.key_packets("x", 0, 0, 0)
