"""What is said of the AMI account: one thing after the other, up to the first that is not right, with what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from freepbx_bx24.pbx.ami_probe import Tried, attempts, main
from tests.support.ami_server import SECRET, USER, Peer, manager


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the manager's files are, and an asterisk command that knows the user's rights."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    rights(tmp_path, "call")
    return tmp_path


def rights(folder: Path, read: str) -> None:
    script = folder / "asterisk"
    script.write_text(f"#!/bin/sh\ntest \"$2\" = 'manager show user {USER}' && echo '  read perm: {read}'\n")
    script.chmod(0o755)


def files(folder: Path, port: int, secret: str = SECRET, enabled: str = "yes") -> Path:
    path = folder / "manager_bx24.conf"
    path.write_text(f"[{USER}]\nsecret = {secret}\n", encoding="utf-8")
    general = f"[general]\nenabled = {enabled}\nbindaddr = 127.0.0.1\nport = {port}\n"
    (folder / "manager.conf").write_text(general, encoding="utf-8")
    return path


def tried(folder: Path, port: int, **given: str) -> list[Tried]:
    found = list(attempts(files(folder, port, **given)))
    assert not any(SECRET in one.text + one.hint for one in found)
    assert all(one.right for one in found[:-1])
    assert all(one.hint for one in found if not one.right)
    return found


def test_a_user_that_logs_in_and_sees_calls_is_right(folder: Path) -> None:
    with manager(lambda peer: peer.welcome(["PJSIP/101-1", "PJSIP/102-2"])) as server:
        login, seen = tried(folder, server.port)
    assert login == Tried(True, f"the user {USER} logs in; 2 channels are up")
    assert (seen.right, seen.text) == (True, "it sees calls (read = call)")


@pytest.mark.parametrize(
    ("read", "right"),
    [("system,call,log", True), ("all", True), ("<none>", False), ("agent,callx", False), ("", False)],
)
def test_without_the_right_to_see_calls_the_line_to_write_is_said(folder: Path, read: str, right: bool) -> None:
    rights(folder, read)
    with manager(Peer.welcome) as server:
        seen = tried(folder, server.port)[-1]
    assert seen.right is right
    assert "read = call" in seen.hint and f"{folder}/manager_bx24.conf" in seen.hint


def test_an_asterisk_that_does_not_tell_the_rights_is_said(folder: Path) -> None:
    (folder / "asterisk").write_text("#!/bin/sh\necho no such command; exit 1\n")
    with manager(Peer.welcome) as server:
        assert "Asterisk refused" in tried(folder, server.port)[-1].text


def test_a_wrong_secret_is_said_with_the_user_and_the_place(folder: Path) -> None:
    with manager(Peer.welcome) as server:
        (login,) = tried(folder, server.port, secret="wrong")
        assert not login.right
        assert "Authentication failed" in login.text and f"user {USER}, 127.0.0.1:{server.port}" in login.text
    assert "manager reload" in login.hint


def test_a_user_that_may_not_ask_for_the_channels_is_said(folder: Path) -> None:
    def no_rights(peer: Peer) -> None:
        peer.log_in()
        action = peer.expect("CoreShowChannels")
        peer.say("Response: Error", f"ActionID: {action['ActionID']}", "Message: Permission denied")

    with manager(no_rights) as server:
        (login,) = tried(folder, server.port)
    assert "Permission denied" in login.text
    assert "manager show user" in login.hint


def test_nobody_at_the_port_is_said(folder: Path) -> None:
    with manager() as server:
        port = server.port
    (login,) = tried(folder, port)
    assert "can't be reached" in login.text
    assert "enabled=yes" in login.hint
    assert not login.reached


def test_an_interface_that_is_off_is_said_with_the_lines_to_write(folder: Path) -> None:
    (off,) = tried(folder, 5038, enabled="no")
    assert not off.right
    assert "`enabled = yes`" in off.hint and "asterisk -rx 'manager reload'" in off.hint


def test_a_missing_file_is_said_with_the_command_that_makes_it(tmp_path: Path) -> None:
    (missing,) = attempts(tmp_path / "manager_bx24.conf")
    assert (missing.right, missing.text) == (False, f"{tmp_path}/manager_bx24.conf: no such file")
    assert "./install.sh" in missing.hint


def test_as_a_command_it_prints_what_is_wrong_alone_and_says_so_with_its_exit_code(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with manager(Peer.welcome) as server:
        assert main([str(files(folder, server.port))]) == 0
        assert capsys.readouterr().out == ""
        assert main([str(files(folder, server.port, secret="wrong"))]) == 1
    assert main([str(files(folder, server.port))]) == 2
    capsys.readouterr()
    assert main([str(files(folder, 5038, enabled="no"))]) == 1
    assert capsys.readouterr().out.startswith("  Asterisk's manager interface is off\n    -> Write")
