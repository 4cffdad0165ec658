"""Which message in a mailbox is a call's."""

from __future__ import annotations

from pathlib import Path

import pytest

from freepbx_bx24.pbx import voicemail

CLIENT = "+79161234567"
SINCE, UNTIL = 1_790_000_000.0, 1_790_000_030.0


def leave(mailbox: Path, name: str, at: int = 1_790_000_010, caller: str = f'"A" <{CLIENT}>') -> Path:
    path = mailbox / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f";\n[message]\norigmailbox=101\ncallerid={caller}\norigtime={at}\nduration=4\n")
    return path.with_suffix("")


def found(folder: Path, name: object, number: str = CLIENT) -> str:
    return voicemail.of_call(str(name), number, SINCE, UNTIL, [folder])


@pytest.fixture
def mailbox(tmp_path: Path) -> Path:
    return tmp_path / "voicemail" / "default" / "101"


@pytest.mark.parametrize(
    "caller", [f'"A" <{CLIENT}>', "<89161234567>", "Unknown", '"A" <anonymous>', f'"<1>" <{CLIENT}>']
)
def test_a_message_of_the_time_and_of_the_client_is_the_calls(mailbox: Path, caller: str) -> None:
    name = leave(mailbox, "INBOX/msg0000", caller=caller)
    assert found(mailbox.parent, name) == str(name)


@pytest.mark.parametrize(
    ("at", "caller"),
    [(1_789_999_900, f"<{CLIENT}>"), (1_790_000_100, f"<{CLIENT}>"), (1_790_000_010, "<+79167654321>")],
)
def test_one_of_another_time_or_client_is_not(mailbox: Path, at: int, caller: str) -> None:
    assert found(mailbox.parent, leave(mailbox, "INBOX/msg0000", at, caller)) == ""


def test_one_that_has_another_number_or_folder_by_now_is_found(mailbox: Path) -> None:
    leave(mailbox, "INBOX/msg0001", 1_789_999_000)
    mine = leave(mailbox, "Old/msg0000")
    assert found(mailbox.parent, mailbox / "INBOX/msg0001") == str(mine)


def test_nothing_outside_the_folders_is_looked_at(mailbox: Path, tmp_path: Path) -> None:
    outside = leave(tmp_path / "elsewhere", "INBOX/msg0000")
    (mailbox / "INBOX").mkdir(parents=True)
    (mailbox / "INBOX/msg0000.txt").symlink_to(f"{outside}.txt")
    for name in (outside, mailbox / "INBOX/msg0000", f"{mailbox}/../../../elsewhere/INBOX/msg0000", "\0", "a", "/"):
        assert found(mailbox.parent, name) == ""
