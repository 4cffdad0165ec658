"""A recording is found below the configured folders alone, and is whole once its writer has closed it."""

from __future__ import annotations

import os
import threading
import time
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from freepbx_bx24.pbx import recordings, sound_file
from freepbx_bx24.pbx.recordings import Complete, Found, GaveUp
from tests.support.in_time import in_time
from tests.support.sounds import speech, wav

SAMPLES = speech(1.0).tobytes()
NAME = "in-74957770101-79161234567-20261125-101500-1790000120.77.wav"


class RealClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


CLOCK = RealClock()


@pytest.fixture
def monitor(tmp_path: Path) -> Path:
    folder = tmp_path / "spool/monitor"
    (folder / "2026/11/25").mkdir(parents=True)
    return folder


def put(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["{day}/" + NAME, "2026/11/25/" + NAME, NAME])
def test_a_file_is_found_by_its_path_by_its_path_below_a_folder_and_by_its_bare_name(monitor: Path, name: str) -> None:
    file = put(monitor / "2026/11/25" / NAME)
    found = recordings.locate([name.format(day=monitor / "2026/11/25")], [monitor.parent / "voicemail", monitor])
    assert found == Found(files=(file,))


def test_a_file_of_two_names_is_found_once_and_names_of_nothing_are_said(monitor: Path) -> None:
    file = put(monitor / "2026/11/25" / NAME)
    found = recordings.locate([str(file), NAME, "no-such.wav"], [monitor])
    assert found == Found(files=(file,), missing=("no-such.wav",))


def test_a_message_has_no_ending_in_its_name_and_is_found_in_the_best_of_its_formats(tmp_path: Path) -> None:
    inbox = tmp_path / "voicemail/default/105/INBOX"
    for ending in ("txt", "gsm", "WAV", "wav"):
        put(inbox / f"msg0000.{ending}")
    put(inbox / "msg0001.WAV")
    names = [str(inbox / "msg0000"), str(inbox / "msg0001")]
    found = recordings.locate(names, [tmp_path / "voicemail"])
    assert found.files == (inbox / "msg0000.wav", inbox / "msg0001.WAV")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../../etc/passwd.wav", "upwards"),
        ("{monitor}/../secret.wav", "upwards"),
        ("{monitor}/2026/11/25/../25/in.wav", "upwards"),
        ("{outside}/secret.wav", "leads out"),
        ("{monitor}/link.wav", "leads out"),
        ("link.wav", "leads out"),
        ("{monitor}/linked/secret.wav", "leads out"),
        ("{monitor}-beside/secret.wav", "leads out"),
        ("{monitor}/circle.wav", "can't be looked at"),
        ("{monitor}/nowhere.wav", "can't be looked at"),
        ("{monitor}/folder.wav", "it is no file"),
        ("{monitor}/pipe.wav", "it is no file"),
        ("{monitor}/secret.conf", "not named as a recording"),
        ("/etc/passwd", ""),
        ("", "no plain path"),
        ("a\nb.wav", "no plain path"),
        ("a\0b.wav", "no plain path"),
        ("\ud800.wav", "no plain path"),
        ("x" * 2000, "no plain path"),
    ],
)
def test_what_leads_out_of_the_folders_or_is_no_recording_is_refused_with_the_reason(
    monitor: Path, name: str, why: str
) -> None:
    outside = monitor.parent.parent
    put(outside / "secret.wav")
    put(monitor / "secret.conf")
    put(Path(f"{monitor}-beside") / "secret.wav")
    (monitor / "link.wav").symlink_to(outside / "secret.wav")
    (monitor / "linked").symlink_to(outside)
    (monitor / "circle.wav").symlink_to(monitor / "circle.wav")
    (monitor / "nowhere.wav").symlink_to(monitor / "not-there.wav")
    (monitor / "folder.wav").mkdir()
    os.mkfifo(monitor / "pipe.wav")
    found = recordings.locate([name.format(monitor=monitor, outside=outside)], [monitor])
    assert found.files == ()
    if why:
        [(_, said)] = found.refused
        assert why in said
    else:
        assert found.missing == (name,)


def test_a_folder_may_itself_be_a_link_and_a_link_may_lead_to_another_configured_folder(monitor: Path) -> None:
    other = monitor.parent / "other-disk"
    file = put(other / "2025" / NAME)
    (monitor / "2025").symlink_to(other / "2025")
    linked = monitor.parent / "linked-monitor"
    linked.symlink_to(monitor)
    name = str(linked / "2025" / NAME)
    assert recordings.locate([name], [linked, other]).files == (file,)
    assert recordings.locate([name], [linked]).files == ()


@given(name=some.text(max_size=60))
def test_no_name_whatever_it_is_finds_anything_outside(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    found = recordings.locate([name, f"/{name}", f"{folder}/{name}"], [folder / "empty"])
    assert found.files == ()


def test_recordings_of_other_channels_are_found_by_the_uniqueids_in_their_names_in_the_order_of_time(
    monitor: Path,
) -> None:
    day = monitor / "2026/11/25"
    late = put(day / "external-102-79161234567-20261125-101600-1790000180.80.wav")
    soon = put(day / NAME)
    for other in ("1790000120.7", "1790000120.777", "11790000120.77"):
        put(day / f"in-1-2-20261125-101500-{other}.wav")
    put(day / "in-1-2-20261125-101500-1790000120.77.txt")
    days = [date(2026, 11, 25), date(2026, 11, 26)]
    found = recordings.of_channels(["1790000180.80", "1790000120.77", ".*", ""], days, [monitor, monitor / "not-there"])
    assert found == Found(files=(soon, late))


def test_a_persons_own_recording_is_found_by_extension_number_and_time_and_no_other_calls_is(monitor: Path) -> None:
    began = datetime(2026, 11, 25, 10, 15, 0).astimezone()
    day = monitor / "2026/11/25"
    own = put(day / "external-102-89161234567-20261125-101504-1790000124.80.wav")
    for other in (
        "external-1020-89161234567-20261125-101504-1790000124.81.wav",  # another person's
        "external-102-89161234568-20261125-101504-1790000124.82.wav",  # another client's
        "external-102-89161234567-20261125-101459-1790000119.83.wav",  # the same two, before
        "external-102-89161234567-20261125-101701-1790000221.84.wav",  # and after
        "external-102-89161234567-20261125-101504-1790000124.80.txt",
    ):
        put(day / other)
    until = began + timedelta(minutes=2)
    assert recordings.of_people(["102", ".*"], "+79161234567", began, until, [monitor]) == Found(files=(own,))
    assert recordings.of_people(["102"], "anonymous", began, until, [monitor]) == Found()
    assert recordings.of_people([], "+79161234567", began, until, [monitor]) == Found()


def test_of_recordings_at_the_same_time_the_longest_is_kept_and_those_one_after_another_all() -> None:
    queue, member = Path("q.wav"), Path("external-102.wav")
    after = Path("transferred.wav")
    assert recordings.apart(
        [
            (after, Complete(1, 20.0, ended=1060.0)),
            (member, Complete(1, 28.0, ended=1039.9)),
            (queue, Complete(1, 30.0, ended=1040.0)),
        ]
    ) == (queue, after)


def test_a_file_that_is_closed_is_whole_and_its_seconds_are_told(tmp_path: Path) -> None:
    file = put(tmp_path / "a.wav", wav(SAMPLES))
    state = recordings.wait_complete(file, CLOCK.now() + 5, threading.Event(), CLOCK)
    assert state == Complete(44 + len(SAMPLES), 1.0, file.stat().st_mtime)


def test_a_file_is_waited_for_until_its_writer_writes_its_length(tmp_path: Path) -> None:
    file = put(tmp_path / "a.wav", wav(b"", length=0))

    def write() -> None:
        with file.open("r+b") as out:
            out.seek(44)
            for at in range(0, len(SAMPLES), 1600):
                out.write(SAMPLES[at : at + 1600])
                out.flush()
                time.sleep(0.1)
            time.sleep(1.2)  # still and unfinished: longer than two looks
            out.seek(0)
            out.write(wav(SAMPLES)[:44])

    writer = threading.Thread(target=write)
    writer.start()
    state = recordings.wait_complete(file, CLOCK.now() + 30, threading.Event(), CLOCK)
    assert not writer.is_alive() or file.read_bytes()[:44] == wav(SAMPLES)[:44]
    writer.join()
    assert isinstance(state, Complete) and state.size == 44 + len(SAMPLES)


def test_a_file_that_is_appended_to_is_not_whole_though_its_header_has_a_length(tmp_path: Path) -> None:
    file = put(tmp_path / "a.wav", wav(SAMPLES) + SAMPLES)
    state = recordings.wait_complete(file, CLOCK.now(), threading.Event(), CLOCK)
    assert state == GaveUp("its length was never written: it is not whole")


def test_a_file_that_never_stops_to_grow_is_given_up(tmp_path: Path) -> None:
    file = put(tmp_path / "a.gsm")
    ended = threading.Event()

    def write() -> None:
        with file.open("ab", buffering=0) as out:
            while not ended.wait(0.05):
                out.write(bytes(33))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        state = recordings.wait_complete(file, CLOCK.now() + 1, threading.Event(), CLOCK)
    finally:
        ended.set()
        writer.join()
    assert state == GaveUp("it is still being written")


@pytest.mark.parametrize(
    ("name", "data"), [("a.wav", b""), ("a.wav", wav(b"")), ("a.gsm", b""), ("a.WAV", wav(b"", tag=0x31, bits=0))]
)
def test_empty_files_and_headers_alone_are_no_recording(tmp_path: Path, name: str, data: bytes) -> None:
    state = recordings.wait_complete(put(tmp_path / name, data), CLOCK.now(), threading.Event(), CLOCK)
    assert state == GaveUp("it holds no sound", empty=True)


def test_a_wav_file_that_holds_something_else_is_given_up(tmp_path: Path) -> None:
    state = recordings.wait_complete(put(tmp_path / "a.wav", b"no sound" * 9), CLOCK.now(), threading.Event(), CLOCK)
    assert state == GaveUp("it is no sound that Asterisk writes")


def test_a_file_that_went_away_and_a_link_in_its_place_are_given_up(tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to(put(tmp_path / "a.wav", wav(SAMPLES)))
    assert recordings.wait_complete(tmp_path / "no.wav", CLOCK.now(), threading.Event(), CLOCK) == GaveUp(
        "it can't be read: No such file or directory"
    )
    state = recordings.wait_complete(tmp_path / "link.wav", CLOCK.now(), threading.Event(), CLOCK)
    assert isinstance(state, GaveUp)


def test_waiting_ends_at_once_where_the_service_stops(tmp_path: Path) -> None:
    file = put(tmp_path / "a.wav", wav(SAMPLES, length=0))
    stopping = threading.Event()
    stopping.set()
    began = time.monotonic()
    assert recordings.wait_complete(file, CLOCK.now() + 60, stopping, CLOCK) == GaveUp("the service stops")
    in_time(time.monotonic() - began, 1)


@pytest.mark.parametrize(
    ("name", "data", "coding", "seconds"),
    [
        ("a.wav", wav(SAMPLES), sound_file.PCM, 1.0),
        ("a.wav", wav(SAMPLES) + b"LIST\x04\0\0\0INFO", sound_file.PCM, 1.0),
        ("a.wav", wav(bytes(8000), tag=7, bits=8), sound_file.ULAW, 1.0),
        ("a.ulaw", bytes(8000), sound_file.ULAW, 1.0),
        ("a.alaw", bytes(4000), sound_file.ALAW, 0.5),
        ("a.gsm", bytes(3300), sound_file.GSM, 2.0),
        ("a.sln", bytes(16000), sound_file.PCM, 1.0),
        ("a.sln16", bytes(16000), sound_file.PCM, 0.5),
        ("a.g722", bytes(8000), sound_file.G722, 1.0),
    ],
)
def test_every_format_of_asterisks_tells_its_coding_and_its_seconds(
    tmp_path: Path, name: str, data: bytes, coding: str, seconds: float
) -> None:
    sound = sound_file.read(put(tmp_path / name, data))
    assert sound is not None
    assert (sound.coding, sound.seconds, sound.whole) == (coding, seconds, True)


@given(junk=some.binary(max_size=200))
def test_no_bytes_break_the_reading_of_a_header(junk: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "junk.wav"
    for data in (junk, b"RIFF\0\0\0\0WAVE" + junk, wav(SAMPLES)[:36] + junk):
        file.write_bytes(data)
        sound = sound_file.read(file)
        assert sound is None or 0 <= sound.length <= len(data)


def test_the_folders_of_the_spool_are_those_of_asterisks_own_configuration(tmp_path: Path) -> None:
    conf = tmp_path / "asterisk.conf"
    conf.write_text("[directories](!)\nastetcdir => /etc/asterisk\nastspooldir => /data/spool ; moved\n")
    assert recordings.spool_folders(conf) == (Path("/data/spool/monitor"), Path("/data/spool/voicemail"))
    usual = (Path("/var/spool/asterisk/monitor"), Path("/var/spool/asterisk/voicemail"))
    assert recordings.spool_folders(tmp_path / "not-there") == usual
