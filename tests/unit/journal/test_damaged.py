"""A damaged journal is put aside and what can be read of it goes on: real files, cut, zeroed and overwritten."""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from freepbx_bx24.errors import JournalError
from freepbx_bx24.journal import whole
from freepbx_bx24.journal.records import ATTACH, FINISH, HIDE, REGISTER, SHOW, Delivery, Entry
from freepbx_bx24.journal.store import Journal
from tests.support.agi_script import REPOSITORY
from tests.support.journal_calls import ANSWER, call, end
from tests.unit.journal.test_schema import make_version_1

PAGE = 4096
FINISHED_CALLS = 60
UNFINISHED_CALLS = 40


def fill(journal: Journal) -> None:
    """Finished calls, then calls in every other state, each with something owed and a story."""
    for number in range(FINISHED_CALLS + UNFINISHED_CALLS):
        uniqueid = f"{1000 + number}.1"
        journal.begin(call(uniqueid, number=f"+7{number}"), due=float(number), rule="line Sales")
        journal.tell(uniqueid, "register", "asked", at=1.0)
        if number < FINISHED_CALLS or number % 4:
            journal.registered(uniqueid, ANSWER, "https://example.bitrix24.ru")
            journal.owe(uniqueid, SHOW, "[12]", 5.0)
        if number < FINISHED_CALLS or number % 4 > 1:
            journal.ended(end(uniqueid), due=float(number))
            journal.owe(uniqueid, HIDE, "[12]", 6.0)
        if number < FINISHED_CALLS:
            journal.finished(uniqueid)
    journal.owe("1000.1", ATTACH, '{"file": "a.wav"}', 7.0)
    journal.postpone(("1099.1", FINISH), 500.0, "the portal refused", refused=True)
    journal.park(("1096.1", REGISTER), "nobody knows 101")


def all_of(journal: Journal) -> tuple[dict[str, Entry], dict[int, Delivery]]:
    return (
        {entry.uniqueid: entry for entry in journal.calls(0, 1e12)},
        {item.id: item for item in journal.owed()},
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole journal, closed, all of it in the one file."""
    folder = tmp_path_factory.mktemp("sound")
    journal = Journal(folder)
    journal._file.database.execute("PRAGMA synchronous=OFF")
    fill(journal)
    journal.close()
    return folder


@pytest.fixture
def before(sound: Path) -> tuple[dict[str, Entry], dict[int, Delivery]]:
    journal = Journal(sound)
    try:
        return all_of(journal)
    finally:
        journal.close()


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy of the whole journal, to be damaged."""
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    return tmp_path


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def damaged_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("journal.sqlite.damaged-*") if not path.name.endswith(("-wal", "-shm")))


def no_leftovers(folder: Path) -> None:
    names = {path.name for path in folder.iterdir() if "damaged-" not in path.name}
    assert names <= {"journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "journal.lock", "journal.run"}


# -- one kind of damage after the other ----------------------------------------------------------------------


@pytest.mark.parametrize("borrowed", [100, PAGE], ids=["header", "first page"])
@pytest.mark.parametrize("garbage", [b"\0", b"\xa5"], ids=["zeros", "garbage"])
def test_a_journal_whose_beginning_is_overwritten_loses_nothing(
    folder: Path, before: tuple[dict[str, Entry], dict[int, Delivery]], borrowed: int, garbage: bytes
) -> None:
    overwrite(folder / "journal.sqlite", 0, garbage * borrowed)
    journal = Journal(folder)
    assert all_of(journal) == before
    assert [line.what for line in journal.story("1000.1")] == ["register"]
    assert journal.uncertain_before == pytest.approx(time.time(), abs=30)
    journal.close()
    assert len(damaged_files(folder)) == 1
    no_leftovers(folder)


@pytest.mark.parametrize("part", [0.6, 0.7, 0.8, 0.9, 0.99])
def test_of_a_journal_that_was_cut_off_what_is_left_goes_on(
    folder: Path,
    before: tuple[dict[str, Entry], dict[int, Delivery]],
    part: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = folder / "journal.sqlite"
    whole_file = path.read_bytes()
    cut = whole_file[: int(len(whole_file) * part)]
    path.write_bytes(cut)
    with caplog.at_level(logging.ERROR, "bx24.journal"):
        journal = Journal(folder)
    entries, items = all_of(journal)
    assert entries
    for uniqueid, entry in entries.items():
        assert entry.registration == before[0][uniqueid].registration
        assert entry.registered in (before[0][uniqueid].registered, None)  # where the cut goes through the row
        assert entry.outcome in (before[0][uniqueid].outcome, None)
    assert len(entries) > (part - 0.4) * 100  # the first third of so small a file is its indexes
    (aside,) = damaged_files(folder)
    assert aside.read_bytes() == cut
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert aside.name in line
    assert f"{len(entries)} calls of it" in line
    assert f"{len(items)} deliveries owed" in line
    assert journal.begin(call("new"), 0)
    journal.close()
    no_leftovers(folder)


def test_whichever_page_is_zeroed_calls_go_on_and_each_call_that_is_left_owes_what_it_owed(
    sound: Path, before: tuple[dict[str, Entry], dict[int, Delivery]], tmp_path: Path
) -> None:
    pages = (sound / "journal.sqlite").stat().st_size // PAGE
    carried = []
    unfinished = {uniqueid for uniqueid, entry in before[0].items() if not entry.finished}
    owed_before = {(item.uniqueid, item.kind) for item in before[1].values()}
    for page in range(1, pages):
        folder = tmp_path / str(page)
        shutil.copytree(sound, folder)
        overwrite(folder / "journal.sqlite", page * PAGE, bytes(PAGE))
        journal = Journal(folder)
        entries, items = all_of(journal)
        for uniqueid, entry in entries.items():
            assert entry.registration == before[0][uniqueid].registration
            assert (entry.registered, entry.outcome) == (before[0][uniqueid].registered, before[0][uniqueid].outcome)
        owed = {(item.uniqueid, item.kind) for item in items.values()}
        told = {(uniqueid, kind) for uniqueid, kind in owed_before if kind in (REGISTER, FINISH)}
        assert {one for one in told if one[0] in entries} <= owed, page
        assert not {uniqueid for uniqueid, kind in owed if kind != ATTACH} - unfinished, page
        assert journal.begin(call("new"), 0)
        journal.close()
        no_leftovers(folder)
        carried.append(len(entries))
        shutil.rmtree(folder)
    calls = len(before[0])
    lossless = sum(count == calls for count in carried)
    assert min(carried) in (0, *range(calls // 2, calls))  # all are lost with the root of their table alone
    assert carried.count(0) <= 1
    assert lossless > len(carried) / 3


@pytest.mark.parametrize("seed", range(25))
def test_whatever_bytes_are_overwritten_the_journal_opens_and_calls_go_on(folder: Path, seed: int) -> None:
    dice = random.Random(seed)
    path = folder / "journal.sqlite"
    for _ in range(dice.choice((1, 1, 2, 5))):
        size = dice.choice((1, 4, 50, 1000, PAGE))
        offset = dice.randrange(path.stat().st_size - size) if dice.random() < 0.7 else dice.randrange(PAGE)
        overwrite(path, offset, bytes(size) if dice.random() < 0.5 else dice.randbytes(size))
    journal = Journal(folder)
    for item in journal.owed():
        journal.entry(item.uniqueid)
    journal.begin(call("new", number="+7new"), 0)
    journal.registered("new", ANSWER)
    journal.ended(end("new"), 0)
    assert ("new", FINISH) in {(item.uniqueid, item.kind) for item in journal.deliverable(1e10, 1000)}
    assert "new" in {entry.uniqueid for entry in journal.calls(0, 1e12)}
    journal.close()
    no_leftovers(folder)


def test_where_pages_of_different_age_contradict_each_other_what_the_call_says_counts(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "journal.sqlite")) as database, database:
        database.execute("UPDATE deliveries SET state = 'due' WHERE uniqueid = '1000.1' AND kind = 'register'")
        database.execute("UPDATE deliveries SET state = 'due' WHERE uniqueid = '1097.1' AND kind = 'register'")
        database.execute("UPDATE deliveries SET state = 'done' WHERE uniqueid = '1098.1' AND kind = 'finish'")
        database.execute("DELETE FROM deliveries WHERE uniqueid IN ('1092.1', '1095.1')")
    zero_the_root_of(folder / "journal.sqlite", "story_of_call")
    journal = Journal(folder)
    owed = {(item.uniqueid, item.kind) for item in journal.owed()}
    assert not owed & {("1000.1", REGISTER), ("1097.1", REGISTER)}  # registered, and finished or still open
    assert {("1098.1", FINISH), ("1092.1", REGISTER), ("1095.1", FINISH)} <= owed
    assert ("1095.1", REGISTER) not in owed
    journal.close()


def test_a_text_that_is_none_is_damage_and_its_call_alone_is_lost(
    folder: Path, before: tuple[dict[str, Entry], dict[int, Delivery]]
) -> None:
    journal = Journal(folder)
    journal._file.database.execute("UPDATE calls SET registration = CAST(x'7b22ff' AS TEXT) WHERE uniqueid = '1099.1'")
    assert {entry.uniqueid for entry in journal.calls(0, 1e12)} == before[0].keys() - {"1099.1"}
    assert len(damaged_files(folder)) == 1
    journal.close()


def test_a_call_that_makes_no_sense_is_left_to_a_human_and_holds_up_no_other(
    folder: Path, before: tuple[dict[str, Entry], dict[int, Delivery]], caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(folder)
    journal._file.database.execute("UPDATE calls SET outcome = '[]' WHERE uniqueid = '1098.1'")
    with caplog.at_level(logging.ERROR, "bx24.journal"):
        assert journal.entry("1098.1") is None
    assert "1098.1: what the journal has of this call makes no sense" in caplog.text
    owed = {(item.kind, item.state) for item in journal.owed() if item.uniqueid == "1098.1"}
    assert owed == {(SHOW, "parked"), (HIDE, "parked"), (FINISH, "parked")}
    assert "1098.1" not in {item.uniqueid for item in journal.deliverable(1e10, 1000)}
    assert {entry.uniqueid for entry in journal.calls(0, 1e12)} == before[0].keys() - {"1098.1"}
    assert damaged_files(folder) == []
    journal.close()


def test_what_is_no_journal_at_all_is_put_aside_in_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = b"this is no database at all, but a text of some length\n" * 100
    (tmp_path / "journal.sqlite").write_bytes(text)
    with caplog.at_level(logging.ERROR, "bx24.journal"):
        journal = Journal(tmp_path)
    assert journal.begin(call("1.1"), 0)
    journal.close()
    assert [path.read_bytes() for path in damaged_files(tmp_path)] == [text]
    assert "nothing of it" in caplog.text
    no_leftovers(tmp_path)


def test_a_journal_without_its_tables_is_put_aside_too(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "journal.sqlite")) as database:
        database.execute("DROP TABLE deliveries")
    journal = Journal(folder)
    assert journal.begin(call("1.1"), 0)
    journal.close()
    assert len(damaged_files(folder)) == 1


def test_a_damaged_journal_of_version_1_is_carried_over_as_well(tmp_path: Path) -> None:
    make_version_1(tmp_path / "whole.sqlite")
    shutil.copy(tmp_path / "whole.sqlite", tmp_path / "journal.sqlite")
    with closing(sqlite3.connect(tmp_path / "whole.sqlite")) as database:
        root = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'deliveries_due'").fetchone()[0]
    (tmp_path / "whole.sqlite").unlink()
    overwrite(tmp_path / "journal.sqlite", (root - 1) * PAGE, bytes(PAGE))
    journal = Journal(tmp_path)
    assert len(journal.calls(0, 1e12)) == 5
    assert sorted((item.uniqueid, item.kind, item.attempts, item.state) for item in journal.owed()) == [
        ("1.1", REGISTER, 3, "due"),
        ("3.3", FINISH, 2, "due"),
        ("4.4", FINISH, 0, "due"),
        ("4.4", REGISTER, 8, "parked"),
    ]
    journal.close()
    assert len(damaged_files(tmp_path)) == 1


def test_two_journals_that_are_damaged_within_a_second_are_both_kept(folder: Path) -> None:
    for _ in range(2):
        overwrite(folder / "journal.sqlite", 0, b"\xa5" * 100)
        Journal(folder).close()
    assert len(damaged_files(folder)) == 2


def test_a_file_that_may_not_be_opened_is_refused_not_put_aside(folder: Path) -> None:
    (folder / "journal.sqlite").unlink()
    (folder / "journal.sqlite").mkdir()
    with pytest.raises(JournalError, match="can't be opened"):
        Journal(folder)
    assert damaged_files(folder) == []


# -- damage that shows while the service runs ----------------------------------------------------------------


def zero_pages(path: Path, first: int, count: int) -> None:
    """From another process: closing a file drops this process's locks on it."""
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={path}", f"bs={PAGE}", f"seek={first}", f"count={count}", "conv=notrunc"],
        check=True,
        capture_output=True,
    )


def zero_all_but_the_first_page(path: Path) -> None:
    zero_pages(path, 1, path.stat().st_size // PAGE - 1)


def zero_the_root_of(path: Path, name: str) -> None:
    with closing(sqlite3.connect(path)) as reader:
        root = reader.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]
    zero_pages(path, root - 1, 1)


def test_a_step_that_finds_the_file_damaged_is_done_in_the_new_one(folder: Path) -> None:
    journal = Journal(folder)
    zero_all_but_the_first_page(folder / "journal.sqlite")
    journal._file.database.execute("PRAGMA shrink_memory")
    assert journal.begin(call("new"), 0)
    assert journal.entry("new") == Entry(call("new"))
    assert journal.uncertain_before > 0
    assert len(damaged_files(folder)) == 1
    journal.close()
    again = Journal(folder)
    assert again.entry("new") == Entry(call("new"))
    again.close()
    no_leftovers(folder)


def test_so_is_one_that_only_reads_and_what_was_just_written_is_not_lost(folder: Path) -> None:
    journal = Journal(folder)
    journal.begin(call("just now", number="+79"), 3.0)
    with closing(sqlite3.connect(folder / "journal.sqlite")) as reader:
        reader.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    zero_the_root_of(folder / "journal.sqlite", "deliveries_owed")
    journal._file.database.execute("PRAGMA shrink_memory")
    assert ("just now", REGISTER) in {(item.uniqueid, item.kind) for item in journal.owed()}
    assert len(journal.calls(0, 1e12)) == FINISHED_CALLS + UNFINISHED_CALLS + 1
    assert len(damaged_files(folder)) == 1
    journal.close()


def test_damage_found_amid_several_steps_as_one_makes_all_of_them_in_the_new_file(folder: Path) -> None:
    journal = Journal(folder)

    def damage(journal: Journal) -> None:
        if not damaged_files(folder):
            raise sqlite3.DatabaseError("database disk image is malformed")

    journal.as_one([lambda journal: journal.begin(call("a"), 0), damage, lambda journal: journal.begin(call("b"), 0)])
    assert journal.entry("a") and journal.entry("b")
    assert len(damaged_files(folder)) == 1
    journal.close()


def test_while_there_is_no_room_for_a_new_one_steps_fail_in_words_and_the_damaged_one_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(folder)
    zero_all_but_the_first_page(folder / "journal.sqlite")
    journal._file.database.execute("PRAGMA shrink_memory")
    (folder / "journal.sqlite.new").mkdir()  # nothing can be written there
    with pytest.raises(JournalError, match="no new one can be written"):
        journal.begin(call("new"), 0)
    with pytest.raises(JournalError, match="the journal is damaged"):  # said at once, without reading it all again
        journal.begin(call("new"), 0)
    assert damaged_files(folder) == []
    (folder / "journal.sqlite.new").rmdir()
    monkeypatch.setattr(whole, "REPLACE_AGAIN_SECONDS", 0.0)
    journal._file._replace_from = 0.0
    assert journal.begin(call("new"), 0)
    journal.close()
    assert len(damaged_files(folder)) == 1


def test_on_a_disk_without_room_a_damaged_journal_stays_where_it_is_and_with_room_it_goes_on(
    sound: Path, tmp_path: Path
) -> None:
    code = f"""
import pathlib, shutil, subprocess
from tests.unit.journal.test_damaged import *
folder = pathlib.Path({str(tmp_path)!r})
subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1500k', 'tmpfs', str(folder)], check=True)
shutil.copytree({str(sound)!r}, folder, dirs_exist_ok=True)
overwrite(folder / 'journal.sqlite', 0, bytes(100))
try: (folder / 'ballast').write_bytes(b'x' * 10000000)
except OSError as error: print(error.strerror)
try: Journal(folder)
except JournalError as error: print(error)
print(len(damaged_files(folder)))
(folder / 'ballast').unlink()
journal = Journal(folder)
print(len(journal.calls(0, 1e12)), len(damaged_files(folder)))
"""
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "No space left on device"
    assert "no new one can be written" in lines[1]
    assert lines[2:] == ["0", f"{FINISHED_CALLS + UNFINISHED_CALLS} 1"]


# -- interrupted ---------------------------------------------------------------------------------------------


REPLACED_UNTIL = """
import os
from tests.unit.journal.test_damaged import *
folder, step = Path({folder!r}), {step}
journal = Journal(folder)
journal.begin(call("in the log of changes", number="+79"), 3.0)
zero_the_root_of(folder / "journal.sqlite", "story_of_call")
journal._file.database.execute("PRAGMA shrink_memory")
genuine, steps = Path.replace, []
def replace(self, target):
    steps.append(self.name)
    if len(steps) == step:
        os._exit(9)
    return genuine(self, target)
Path.replace = replace
journal.story("1000.1")
print(len(steps))
"""


def replaced_until(step: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """A process that finds its journal damaged and is killed before that step of putting it aside."""
    code = REPLACED_UNTIL.format(folder=str(folder), step=step)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )


def test_putting_aside_takes_five_steps(folder: Path) -> None:
    done = replaced_until(99, folder)
    assert (done.stdout, done.returncode) == ("5\n", 0), done.stderr


@pytest.mark.parametrize("step", range(1, 6))
def test_a_replacement_that_is_killed_before_any_step_is_finished_by_the_next_start(
    folder: Path, before: tuple[dict[str, Entry], dict[int, Delivery]], step: int
) -> None:
    done = replaced_until(step, folder)
    assert done.returncode == 9, done.stderr
    after = Journal(folder)
    entries, items = all_of(after)
    assert entries.keys() == {*before[0], "in the log of changes"}
    assert items.keys() >= before[1].keys()
    assert ("in the log of changes", REGISTER) in {(item.uniqueid, item.kind) for item in items.values()}
    after.close()
    no_leftovers(folder)
    assert len(damaged_files(folder)) == 1
