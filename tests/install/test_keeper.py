"""In a folder that Asterisk's user may change, everything is done as that user, and root is led nowhere by a link."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from tests.install.shell import Shell

# Somebody who is there on every system, in the place of Asterisk's user.
USER = "daemon"
UID = pwd.getpwnam(USER).pw_uid


@pytest.fixture
def theirs(shell: Shell) -> Path:
    """A folder of that user below one of that user's: `var/agi-bin`; the user may come as far as there."""
    shell.begin = f"set -e; asterisk_user={USER}; asterisk_group={USER}; begin_changes; echo ours >$work/ours"
    place = shell.directory / "var/agi-bin"
    place.mkdir(parents=True)
    for folder in (place.parent, place):
        os.chown(folder, UID, -1)
    for folder in shell.directory.parents:
        if folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    shell.directory.chmod(0o711)
    return place


def test_a_folder_is_theirs_where_one_above_it_is(shell: Shell, theirs: Path) -> None:
    (theirs / "made-by-root").mkdir()
    (shell.etc / "link").symlink_to(theirs)
    (shell.etc / "group").mkdir()
    os.chown(shell.etc / "group", 0, pwd.getpwnam(USER).pw_gid)
    (shell.etc / "group").chmod(0o775)
    paths = [theirs / "x", theirs / "made-by-root/x", shell.etc / "link/x", shell.etc / "group/x", shell.etc / "x"]
    done = shell.run("for path in " + " ".join(map(str, paths)) + '; do keeper_of "$path"; echo $keeper; done')
    assert done.stdout.split() == [USER, USER, USER, USER, "root"], done.stderr


def test_a_file_there_is_written_and_put_back_as_that_user(shell: Shell, theirs: Path) -> None:
    done = shell.run(
        f"""systemd_runs() {{ false; }}; asterisk_runs() {{ false; }}
        write_file $work/ours {theirs}/new root:root 0755; stat -c '%U %a' {theirs}/new; cat {theirs}/new
        put_dir {theirs}/folder root:root 0750; stat -c '%U %a' {theirs}/folder; put_back"""
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{USER} 755\nours\n") and f"\n{USER} 750\n" in done.stdout
    assert list(theirs.iterdir()) == []


def test_another_users_file_in_their_folder_has_its_owner_and_mode_again(shell: Shell) -> None:
    shell.begin = f"set -e; asterisk_user={USER}; begin_changes"
    os.chown(shell.etc, UID, -1)
    shell.etc.chmod(0o755)
    shell.directory.chmod(0o711)
    file = shell.etc / "extensions_custom.conf"
    file.write_text("[mine]\n", encoding="utf-8")
    file.chmod(0o644)
    done = shell.run(
        f"put_block {file} '#tryinclude extensions_bx24.conf' root:root; stat -c '%U %a' {file}; take_block_out {file}"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "root 644\n" in done.stdout
    assert (file.read_text(encoding="utf-8"), file.stat().st_uid, file.stat().st_mode & 0o777) == ("[mine]\n", 0, 0o644)


@pytest.mark.parametrize("what", ["write_file $work/ours {0}/file root:root 0644", "drop {0}/file"])
def test_a_folder_that_leads_to_one_of_roots_is_of_no_use(shell: Shell, theirs: Path, what: str) -> None:
    roots = shell.directory / "roots"
    roots.mkdir()
    (roots / "file").write_text("root's", encoding="utf-8")
    theirs.rmdir()
    theirs.symlink_to(roots)
    done = shell.run(what.format(theirs))
    assert done.returncode != 0
    assert [path.read_text(encoding="utf-8") for path in roots.iterdir()] == ["root's"]


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(shell: Shell, theirs: Path) -> None:
    secret = shell.directory / "secret"
    secret.write_text("root's", encoding="utf-8")
    secret.chmod(0o600)
    for name in ("script", "script.bx24-new"):
        (theirs / name).symlink_to(secret)
    done = shell.run(
        f"""systemd_runs() {{ false; }}; asterisk_runs() {{ false; }}
        write_file $work/ours {theirs}/script root:root 0755; cat {theirs}/script; put_back"""
    )
    assert done.stdout.startswith("ours\n"), done.stderr
    assert (secret.read_text(encoding="utf-8"), secret.stat().st_uid) == ("root's", 0)
    assert (theirs / "script").readlink() == secret


def test_what_that_user_may_not_read_root_does_not_read_for_them(shell: Shell, theirs: Path) -> None:
    (theirs / "file").write_text("root's", encoding="utf-8")
    (theirs / "file").chmod(0o600)
    done = shell.run(f"write_file $work/ours {theirs}/file root:root 0644")
    assert (done.returncode, "can't be read by daemon, whose folder it is in" in done.stderr) == (1, True)
