"""One mono file is made of a call's recordings; without any encoder it is what Python alone can make."""

from __future__ import annotations

import stat
import subprocess
import threading
import time
import tracemalloc
from array import array
from pathlib import Path

import pytest

from freepbx_bx24.errors import RecordingError
from freepbx_bx24.pbx import encoding, sound_file
from freepbx_bx24.sandbox.pbx.sound import _ulaw
from tests.support.in_time import in_time
from tests.support.sounds import correlation, samples_of, speech, wav

TALK = speech(2.0)
OTHER = speech(1.0, seed=2)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without ffmpeg, sox and lame."""
    monkeypatch.setenv("PATH", "/nonexistent")


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def script(folder: Path, name: str, text: str) -> None:
    """A program of that name, first in a PATH of `folder`."""
    folder.mkdir(exist_ok=True)
    program = put(folder / name, f"#!/bin/sh\n{text}\n".encode())
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("wanted", ["mp3", "wav"])
def test_without_an_encoder_a_wav_has_the_samples_of_the_recording(
    tmp_path: Path, workspace: Path, alone: None, wanted: str
) -> None:
    file = put(tmp_path / "a.wav", wav(TALK.tobytes()))
    made = encoding.encode([file], wanted, 32, workspace, 60)
    assert made.suffix == ".wav" and made.parent == workspace
    assert samples_of(made) == TALK
    assert list(workspace.iterdir()) == [made]
    assert file.read_bytes() == wav(TALK.tobytes())


def test_recordings_are_joined_in_their_order(tmp_path: Path, workspace: Path, alone: None) -> None:
    one, two = put(tmp_path / "a.wav", wav(TALK.tobytes())), put(tmp_path / "b.sln", OTHER.tobytes())
    assert samples_of(encoding.encode([two, one], "wav", 32, workspace, 60)) == OTHER + TALK


def test_what_stands_behind_the_samples_is_left_out_of_what_is_joined(
    tmp_path: Path, workspace: Path, alone: None
) -> None:
    one = put(tmp_path / "a.wav", wav(TALK.tobytes()) + b"LIST\x04\0\0\0INFO")
    assert samples_of(encoding.encode([one, one], "wav", 32, workspace, 60)) == TALK + TALK


def test_of_two_channels_the_middle_is_kept(tmp_path: Path, workspace: Path, alone: None) -> None:
    both = array("h", [sample for pair in zip(TALK, TALK) for sample in pair])
    file = put(tmp_path / "a.wav", wav(both.tobytes(), channels=2))
    assert samples_of(encoding.encode([file], "wav", 32, workspace, 60)) == TALK


def test_mu_law_is_read_by_its_table(tmp_path: Path, workspace: Path, alone: None) -> None:
    coded = bytes(_ulaw(sample) for sample in TALK)
    for name, data in (("a.ulaw", coded), ("a.wav", wav(coded, tag=7, bits=8))):
        read = samples_of(encoding.encode([put(tmp_path / name, data)], "wav", 32, workspace, 60))
        assert len(read) == len(TALK)
        assert all(abs(heard - said) <= max(8, abs(said) // 16) for heard, said in zip(read, TALK))
    loud = put(tmp_path / "t.ulaw", bytes([_ulaw(8000)]))
    assert list(samples_of(encoding.encode([loud], "wav", 32, workspace, 60))) == [7932]  # 8000 as mu-law has it


@pytest.mark.parametrize(("byte", "sample"), [(0xD5, 8), (0x55, -8), (0xAA, 32256), (0x2A, -32256), (0x85, 4224)])
def test_a_law_is_read_by_its_table(tmp_path: Path, workspace: Path, alone: None, byte: int, sample: int) -> None:
    made = encoding.encode([put(tmp_path / "a.alaw", bytes([byte]))], "wav", 32, workspace, 60)
    assert list(samples_of(made)) == [sample]


def test_wav49_goes_as_it_is_and_gsm_needs_a_program_where_there_is_none(
    tmp_path: Path, workspace: Path, alone: None
) -> None:
    wav49 = wav(bytes(65 * 50), tag=0x31, bits=0)
    made = encoding.encode([put(tmp_path / "a.WAV", wav49)], "mp3", 32, workspace, 60)
    assert (made.suffix, made.read_bytes()) == (".wav", wav49)
    made.unlink()
    with pytest.raises(RecordingError) as refused:
        encoding.encode([put(tmp_path / "a.gsm", bytes(3300))], "mp3", 32, workspace, 60)
    assert "without ffmpeg or sox" in refused.value.message
    assert "apt install ffmpeg" in refused.value.hint
    assert list(workspace.iterdir()) == []


def test_what_cannot_be_joined_without_a_program_is_the_longest_alone(
    tmp_path: Path, workspace: Path, alone: None
) -> None:
    short = put(tmp_path / "a.wav", wav(OTHER.tobytes()))
    wide = put(tmp_path / "b.sln16", speech(3.0, rate=16000).tobytes())
    made = encoding.encode([short, wide], "wav", 32, workspace, 60)
    assert samples_of(made) == speech(3.0, rate=16000)


def test_nothing_and_what_is_no_sound_are_refused(tmp_path: Path, workspace: Path) -> None:
    for files in ([], [put(tmp_path / "a.wav", b"")], [put(tmp_path / "b.wav", wav(b""))]):
        with pytest.raises(RecordingError):
            encoding.encode(files, "mp3", 32, workspace, 60)
    assert list(workspace.iterdir()) == []


def test_a_link_in_a_recordings_place_is_not_followed(tmp_path: Path, workspace: Path) -> None:
    (tmp_path / "link.wav").symlink_to(put(tmp_path / "a.wav", wav(TALK.tobytes())))
    with pytest.raises(OSError):
        encoding.encode([tmp_path / "link.wav"], "wav", 32, workspace, 60)


def test_a_full_disk_is_said_before_it_is_full(
    tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "ROOM", 10**18)
    with pytest.raises(RecordingError) as refused:
        encoding.encode([put(tmp_path / "a.wav", wav(TALK.tobytes()))], "wav", 32, workspace, 60)
    assert "MB are free" in refused.value.message


def test_an_encoder_that_fails_is_quoted_and_leaves_nothing_behind(
    tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "bin", "lame", "echo 'no such thing' >&2; exit 3")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setattr(encoding, "ENCODERS", ("lame",))
    with pytest.raises(RecordingError) as refused:
        encoding.encode([put(tmp_path / "a.wav", wav(TALK.tobytes()))], "mp3", 32, workspace, 60)
    assert refused.value.message == "lame failed: no such thing"
    assert list(workspace.iterdir()) == []


@pytest.mark.parametrize(("ends", "said"), [("stopping", "the service stops"), ("limit", "took too long")])
def test_an_encoder_is_killed_with_all_that_it_started_at_its_limit_and_where_the_service_stops(
    tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, ends: str, said: str
) -> None:
    script(tmp_path / "bin", "lame", f"sh -c 'sleep 60; touch {tmp_path}/late' & echo $! > {tmp_path}/child; wait")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setattr(encoding, "ENCODERS", ("lame",))
    stopping = threading.Event()
    child = tmp_path / "child"

    def stop() -> None:
        while not (child.exists() and child.read_text().strip()):
            time.sleep(0.02)
        stopping.set()

    if ends == "stopping":
        threading.Thread(target=stop).start()
    began = time.monotonic()
    with pytest.raises(RecordingError) as refused:
        file = put(tmp_path / "a.wav", wav(TALK.tobytes()))
        encoding.encode([file], "mp3", 32, workspace, 30 if ends == "stopping" else 2, stopping)
    assert said in refused.value.message
    in_time(time.monotonic() - began, 20)
    status = Path(f"/proc/{child.read_text().strip()}/status")
    deadline = time.monotonic() + 10
    while status.exists() and "State:\tZ" not in status.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not status.exists() or "State:\tZ" in status.read_text()
    assert list(workspace.iterdir()) == []


def test_an_encoder_runs_niced_one_at_a_time(tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "note"
    script(tmp_path / "bin", "lame", f'echo "in $(nice)" >> {note}; sleep 0.5; echo out >> {note}')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setattr(encoding, "ENCODERS", ("lame",))
    file = put(tmp_path / "a.wav", wav(OTHER.tobytes()))
    threads = [threading.Thread(target=encoding.encode, args=([file], "mp3", 32, workspace, 60)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert note.read_text().splitlines() == ["in 19", "out"] * 3


def test_an_hour_is_joined_in_pieces(tmp_path: Path, workspace: Path, alone: None) -> None:
    file = tmp_path / "long.wav"
    with file.open("wb") as out:
        out.write(wav(b"", length=60_000_000))
        out.truncate(44 + 60_000_000)
    tracemalloc.start()
    try:
        made = encoding.encode([file, file], "wav", 32, workspace, 120)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made.stat().st_size == 44 + 120_000_000
    assert peak < 2_000_000


# Asterisk's own formats, made by sox and read by what is really there.
FORMATS = {
    "a.wav": ["-t", "wav", "-b", "16"],
    "a.WAV": ["-t", "wav", "-e", "gsm-full-rate"],
    "a.gsm": ["-t", "gsm"],
    "a.ulaw": ["-t", "ul"],
    "a.alaw": ["-t", "al"],
    "a.sln": ["-t", "raw", "-b", "16", "-e", "signed"],
}
MACHINES = {"ffmpeg": (("ffmpeg",), ("ffmpeg",)), "sox and lame": (("lame",), ("sox",))}


def by_sox(tmp_path: Path, arguments: list[str], name: str) -> Path:
    source, target = put(tmp_path / "source.wav", wav(TALK.tobytes())), tmp_path / name
    subprocess.run(["sox", str(source), *arguments, str(target)], check=True)
    source.unlink()
    return target


def heard(path: Path) -> array[int]:
    """What a player hears of a file: decoded by ffmpeg, with nothing of the product's."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-ac", "1", "-ar", "8000", "-f", "s16le", "-"]
    return array("h", subprocess.run(command, check=True, capture_output=True).stdout)


@pytest.mark.encoders
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("wanted", ["mp3", "wav"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_asterisks_is_heard_as_it_was_said(
    tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, machine: str, wanted: str, name: str
) -> None:
    encoders, decoders = MACHINES[machine]
    monkeypatch.setattr(encoding, "ENCODERS", encoders)
    monkeypatch.setattr(encoding, "DECODERS", decoders)
    made = encoding.encode([by_sox(tmp_path, FORMATS[name], name)], wanted, 32, workspace, 60)
    assert made.suffix == f".{wanted}"
    assert list(workspace.iterdir()) == [made]
    sound = heard(made)
    assert abs(len(sound) - len(TALK)) <= 0.2 * 8000
    assert correlation(sound, TALK) > 0.9


@pytest.mark.encoders
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kbps", [8, 16, 32, 64, 128, 320])
def test_every_bit_rate_gives_a_file_of_about_that_size(
    tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, machine: str, kbps: int
) -> None:
    encoders, decoders = MACHINES[machine]
    monkeypatch.setattr(encoding, "ENCODERS", encoders)
    monkeypatch.setattr(encoding, "DECODERS", decoders)
    file = put(tmp_path / "a.wav", wav((TALK * 5).tobytes()))
    made = encoding.encode([file], "mp3", kbps, workspace, 60)
    assert 0.8 < made.stat().st_size * 8 / 1000 / 10 / kbps < 1.3
    if kbps > 16:  # below that little of a voice is left, and lame has no room to say how long its delay is
        assert correlation(heard(made)[:16000], TALK) > 0.9


@pytest.mark.encoders
def test_recordings_of_different_rates_are_joined_where_a_program_is_there(tmp_path: Path, workspace: Path) -> None:
    narrow, wide = put(tmp_path / "a.wav", wav(TALK.tobytes())), tmp_path / "b.sln16"
    put(wide, speech(1.0, rate=16000).tobytes())
    made = encoding.encode([narrow, wide], "wav", 32, workspace, 60)
    sound = sound_file.read(made)
    assert sound is not None
    assert (sound.rate, round(sound.seconds, 1)) == (16000, 3.0)
