"""The AMI user that install.sh makes: it logs in, its secret stays, and what the admin has in these files is his."""

from __future__ import annotations

import re
from typing import Iterator, Mapping

import pytest

from tests.install.pbx_machine import SOURCE, Machine, differences

OURS = "/etc/asterisk/manager_bx24.conf"
CUSTOM = "/etc/asterisk/manager_custom.conf"
GENERAL = "/etc/asterisk/manager.conf"
INSTALL_LOG = "/var/log/freepbx-bx24-install.log"
PROBE = ["/opt/freepbx-bx24/venv/bin/python3", "-IB", "-m", "freepbx_bx24.pbx.ami_probe", OURS]


@pytest.fixture
def changed(new_machine: Machine) -> Iterator[Machine]:
    """The machine without the product; afterwards the manager's files are as they were."""
    new_machine.removed()
    kept = {path: new_machine.text(path) for path in (CUSTOM, GENERAL)}
    yield new_machine
    new_machine.removed()
    for path, text in kept.items():
        new_machine.write(path, text)
    new_machine.pbx.asterisk.rx("manager reload")


def without_log(changes: Mapping[str, tuple[str, str]]) -> Mapping[str, tuple[str, str]]:
    """A failed run leaves its log, which the next --uninstall takes away."""
    return {path: change for path, change in changes.items() if path != INSTALL_LOG}


def secret(machine: Machine) -> str:
    found = re.search(r"^secret = ([0-9a-f]{48})$", machine.text(OURS), re.MULTILINE)
    assert found
    return found[1]


def test_the_user_logs_in_as_the_service_will_and_has_no_right_to_change_anything(machine: Machine) -> None:
    machine.installed()
    done = machine.root.run(PROBE, user="asterisk", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    shown = machine.pbx.asterisk.rx("manager show user bx24")
    assert re.search(r"read perm: call\n", shown) and re.search(r"write perm: reporting\n", shown)
    # Nobody from elsewhere, in either family.
    assert re.findall(r"(deny|allow) - (\S+?)/", shown) == [
        ("deny", "0.0.0.0"),
        ("deny", "::"),
        ("allow", "127.0.0.1"),
        ("allow", "::1"),
    ]
    lines = machine.text(CUSTOM).splitlines()
    assert lines[0].startswith("; An admin's own AMI users") and lines[-2] == "#tryinclude manager_bx24.conf"


def test_the_secret_is_made_once_kept_over_upgrades_and_told_to_nobody(changed: Machine) -> None:
    changed.installed()
    made = secret(changed)
    assert made not in changed.text(INSTALL_LOG)
    changed.shell(f"echo '; newer' >>{SOURCE}/etc/manager_bx24.conf")
    try:
        done = changed.install()
    finally:
        changed.copy_source()
    assert (done.returncode, done.stderr) == (0, "")
    assert "The user [bx24] logs in" in done.stdout
    assert changed.text(OURS).endswith("; newer\n") and secret(changed) == made
    assert made not in done.stdout + changed.text(INSTALL_LOG)


def test_an_edited_user_stays_and_one_that_can_not_log_in_is_said_and_undoes_nothing(changed: Machine) -> None:
    changed.installed()
    made = secret(changed)
    changed.write(OURS, changed.text(OURS).replace("read = call", "read = agent"))
    done = changed.install()
    assert done.returncode == 0
    assert f"{OURS} was edited and stays as it is" in done.stderr
    assert "it does not see calls (read = agent)" in done.stderr and "read = call" in done.stderr
    assert made in changed.text(f"{OURS}.new") and made not in done.stdout + done.stderr
    assert "Nothing to change" in changed.install().stdout


@pytest.mark.parametrize("place", [CUSTOM, GENERAL, "/etc/asterisk/manager_mine.conf"])
def test_a_user_of_that_name_who_is_somebody_elses_is_refused_with_his_line(changed: Machine, place: str) -> None:
    if place not in (CUSTOM, GENERAL):
        changed.root.outside(place).write_text("", encoding="utf-8")
        changed.write(CUSTOM, changed.text(CUSTOM) + '#tryinclude "manager_mine.conf"\n')
    changed.write(place, changed.text(place) + "; a comment: [bx24]\n[BX24](!)\nsecret = his-secret\n")
    line = len(changed.text(place).splitlines()) - 1
    before = changed.tree()
    done = changed.install()
    assert (done.returncode, f"{place}:{line}:[BX24](!)" in done.stderr) == (3, True), done.stderr
    assert "his-secret" not in done.stderr
    assert not differences(before, changed.tree())
    changed.shell("rm -f /etc/asterisk/manager_mine.conf")


def test_a_login_that_fails_puts_everything_back_and_asterisk_forgets_the_user(changed: Machine) -> None:
    before = changed.tree()
    changed.shell(f"sed -i 's/^permit = 127.*/permit = 192.0.2.1/' {SOURCE}/etc/manager_bx24.conf")
    try:
        done = changed.install()
    finally:
        changed.copy_source()
    assert done.returncode == 1
    assert "does not do" in done.stderr and "Authentication failed" in done.stderr
    assert "bx24" not in changed.pbx.asterisk.rx("manager show users")
    assert not without_log(differences(before, changed.tree()))


def test_a_plain_asterisk_whose_manager_is_off_stays_off_until_the_admin_writes_the_lines(changed: Machine) -> None:
    # No last line end, on purpose.
    plain = changed.text(GENERAL).replace("enabled=yes", "enabled=no").replace("#include manager_custom.conf\n", "")
    changed.write(GENERAL, plain.rstrip("\n"))
    # By a new start: after a reload that switches it off the next reload now and then never returns, and no console
    # command after it (seen with Asterisk 22 on a busy machine).
    changed.pbx.asterisk.stop()
    changed.pbx.asterisk.start()
    before = changed.tree()
    for _ in range(2):
        done = changed.install()
        assert done.returncode == 0
        assert "  enabled = yes\n" in done.stderr and GENERAL in done.stderr
        assert "Yes" not in changed.pbx.asterisk.rx("manager show settings").splitlines()[3]
    assert "Nothing to change" in done.stdout
    assert changed.text(GENERAL).splitlines()[-2] == "#tryinclude manager_bx24.conf"
    changed.write(GENERAL, changed.text(GENERAL).replace("enabled=no", "enabled=yes"))
    done = changed.install()
    assert (done.returncode, done.stderr) == (0, "")
    changed.write(GENERAL, changed.text(GENERAL).replace("enabled=yes", "enabled=no"))
    assert changed.install("--uninstall").returncode == 0
    assert not without_log(differences(before, changed.tree()))
