"""The manager's files as admins, FreePBX and install.sh write them: who logs in, and where."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from freepbx_bx24.pbx.manager_conf import ManagerAccount, read_account
from tests.support.agi_script import REPOSITORY

USER = "[bx24]\nsecret = 0123456789abcdef\n"
GENERAL = "[general]\nenabled = yes\nport = 5039\nbindaddr = 127.0.0.1\n"


def account(folder: Path, user: str = USER, general: str = GENERAL) -> ManagerAccount:
    (folder / "manager_bx24.conf").write_text(user, encoding="utf-8")
    (folder / "manager.conf").write_text(general, encoding="utf-8")
    found, reason = read_account(folder / "manager_bx24.conf")
    assert found is not None, reason
    assert reason == ""
    return found


def reason(folder: Path) -> str:
    found, why = read_account(folder / "manager_bx24.conf")
    assert found is None
    return why


def test_user_secret_and_place_are_read_and_the_secret_does_not_print(tmp_path: Path) -> None:
    found = account(tmp_path)
    assert found == ManagerAccount("bx24", "0123456789abcdef", "127.0.0.1", 5039, True)
    assert "0123456789abcdef" not in repr(found)


def test_the_file_that_install_sh_ships_is_one_of_these(tmp_path: Path) -> None:
    shipped = (REPOSITORY / "etc/manager_bx24.conf").read_text(encoding="utf-8")
    found = account(tmp_path, shipped.replace("@SECRET@", "feedfacefeedface"))
    assert (found.user, found.secret) == ("bx24", "feedfacefeedface")


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("[bx24]\nsecret=a\\;b ; a comment\n", "a;b"),
        ("[bx24]\nSecret => abc\r\n", "abc"),
        ("[bx24]\nsecret = one\nsecret = two\n", "two"),
        ('[bx24]\nsecret = "quoted"\n', '"quoted"'),
        ("[bx24]\n;secret = old\n;-- secret = older\nsecret = oldest --; secret = new\n", "new"),
        ("[bx24]\nsecret = a;--b\n--;\n", "a"),
        ("[bx24]\nsecret = ;--- no comment block\nsecret = c\n", "c"),
        ("\ufeff[bx24]\nsecret = with=equals\n", "with=equals"),
        ("[base](!)\nsecret = inherited\n[bx24](base)\nread = call\n", "inherited"),
        ("[bx24]\nread = call\n[bx24](+)\nsecret = added\n", "added"),
        ("[general]\nsecret = none\n[other]\nread = call\n[bx24]\nsecret = mine\n", "mine"),
        ("secret = of nobody\n[bx24]\nnonsense\nsecret = mine\n[later]\nsecret = x\n", "mine"),
    ],
)  # what Asterisk 16 and 22 make of these was tried with logins
def test_values_are_what_asterisk_takes_them_for(tmp_path: Path, user: str, expected: str) -> None:
    assert account(tmp_path, user).secret == expected


@pytest.mark.parametrize(
    ("general", "host", "port", "enabled"),
    [
        ("", "127.0.0.1", 5038, False),
        ("[general]\nenabled = no\n", "127.0.0.1", 5038, False),
        ("[GENERAL]\nENABLED => On\nbindaddr=0.0.0.0\n", "127.0.0.1", 5038, True),
        ("[general]\nenabled=1\nbindaddr=::\n", "::1", 5038, True),
        ("[general]\nenabled=true\nbindaddr=192.0.2.7\nport=70000\n", "192.0.2.7", 5038, True),
        ("[general]\nenabled=y\nbindaddr=pbx.example.com\nport=x\n", "127.0.0.1", 5038, True),
        ("[general]\nenabled=yes\n[general]\nport=1\n", "127.0.0.1", 5038, True),
        ("[general]\nenabled=yes\n[general](+)\nport=5040\n", "127.0.0.1", 5040, True),
        ("[general]\nenabled=yes\n[someone]\nport=1\n", "127.0.0.1", 5038, True),
    ],
)
def test_where_it_listens_is_told_by_the_first_general_section_and_what_adds_to_it(
    tmp_path: Path, general: str, host: str, port: int, enabled: bool
) -> None:
    found = account(tmp_path, general=general)
    assert (found.host, found.port, found.enabled) == (host, port, enabled)


def test_includes_are_followed_as_freepbx_writes_them_and_missing_ones_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "manager_custom.conf").write_text("[general](+)\nport = 5055\n", encoding="utf-8")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.conf").write_text("[general](+)\nbindaddr = 192.0.2.1\n", encoding="utf-8")
    general = (
        '[general]\n#include "nothere.conf"\n#include d/*.conf\nenabled = yes\n#tryinclude <manager_custom.conf> ; x\n'
    )
    found = account(tmp_path, general=general)
    # A line behind an include goes on in the section that the include has ended with, as in Asterisk.
    assert (found.host, found.port, found.enabled) == ("192.0.2.1", 5055, True)


def test_files_that_include_each_other_come_to_an_end(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("#include manager.conf\n#include more.conf\n", encoding="utf-8")
    assert account(tmp_path, general=GENERAL + "#include more.conf\n").port == 5039


def test_what_is_missing_is_said_with_its_name(tmp_path: Path) -> None:
    assert reason(tmp_path) == f"{tmp_path}/manager_bx24.conf: no such file"
    (tmp_path / "manager_bx24.conf").write_text(USER, encoding="utf-8")
    assert reason(tmp_path) == f"{tmp_path}/manager.conf: no such file"


@pytest.mark.parametrize("user", ["", "[bx24]\n", "[bx24](!)\nsecret = a\n", "secret = a\n", "[bx24]\nsecret =\n"])
def test_a_file_without_a_user_is_said(tmp_path: Path, user: str) -> None:
    (tmp_path / "manager_bx24.conf").write_text(user, encoding="utf-8")
    (tmp_path / "manager.conf").write_text(GENERAL, encoding="utf-8")
    assert "no section in it has a secret" in reason(tmp_path)


def test_what_is_no_file_or_far_too_long_is_refused_without_waiting(tmp_path: Path) -> None:
    path = tmp_path / "manager_bx24.conf"
    os.mkfifo(path)
    assert "not a regular file" in reason(tmp_path)
    path.unlink()
    path.write_bytes(b"[bx24]\n" + b"\x00\xff" * 1_000_000)
    assert "longer than" in reason(tmp_path)


def test_any_bytes_are_read_or_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "manager.conf").write_text(GENERAL, encoding="utf-8")
    for seed in range(200):
        noise = bytes((seed * 7 + index * index * 31) % 256 for index in range(60))
        (tmp_path / "manager_bx24.conf").write_bytes(b"[x](+,!\n#include \xff*[\n;-- --; ]=>" + noise)
        found, why = read_account(tmp_path / "manager_bx24.conf")
        assert (found is None) == bool(why)
