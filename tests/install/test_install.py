"""What install.sh puts on a machine, that doing it twice is doing it once, and what --uninstall leaves: nothing."""

from __future__ import annotations

import re
from typing import Mapping

import pytest

from tests.install.pbx_machine import Machine, differences
from tests.support import secret_sweep

# What apt-get and dpkg write about every package that has come and gone.
APTS_OWN = ("/var/lib/dpkg", "/var/lib/apt", "/var/cache/apt", "/var/cache/debconf", "/var/log")
WEBHOOK = "https://example.bitrix24.com/rest/1/abcdef0123456789/"
secret_sweep.learn("webhook secret", WEBHOOK.split("/")[-2])


def without_apts_own(changes: Mapping[str, tuple[str, str]]) -> Mapping[str, tuple[str, str]]:
    return {path: change for path, change in changes.items() if not path.startswith(APTS_OWN)}


@pytest.fixture
def installed(machine: Machine) -> Machine:
    machine.installed()
    return machine


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(machine: Machine) -> None:
    machine.removed()
    before = machine.tree()
    done = machine.install("--dry-run", "--country", "RU")
    assert done.returncode == 0, done.stderr
    assert "would write /etc/freepbx_bx24.yaml" in done.stdout
    assert "would make /opt/freepbx-bx24/venv-" in done.stdout
    assert not differences(before, machine.tree())


def test_after_install_and_uninstall_the_tree_is_as_it_was_byte_by_byte_mode_by_mode_owner_by_owner(
    machine: Machine,
) -> None:
    machine.removed()
    had_venv = machine.exists("/usr/share/python-wheels") or "forky" in machine.pbx.suite
    before = machine.tree()
    done = machine.install()
    assert done.returncode == 0, done.stderr
    # Where Python comes without ensurepip, apt-get brings it; only --purge takes the packages away again.
    assert ("install the Debian package python3-venv" in done.stdout) is not had_venv
    machine.keep()
    done = machine.install("--uninstall", *([] if had_venv else ["--purge"]))
    assert done.returncode == 0, done.stderr
    assert not without_apts_own(differences(before, machine.tree()))
    assert "bx24" not in machine.pbx.asterisk.rx("dialplan show")


def test_a_second_run_changes_nothing_and_says_so(installed: Machine) -> None:
    before = installed.tree()
    done = installed.install()
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing to change" in done.stdout
    assert not differences(before, installed.tree())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/opt/freepbx-bx24", "root:root 755"),
        ("/opt/freepbx-bx24/installed", "root:root 644"),
        ("/opt/freepbx-bx24/lib/freepbx_bx24/guard.py", "root:root 644"),
        ("/etc/freepbx_bx24.yaml", "root:asterisk 640"),
        ("/etc/asterisk/extensions_bx24.conf", "asterisk:asterisk 640"),
        ("/etc/asterisk/manager_bx24.conf", "asterisk:asterisk 640"),
        ("/usr/share/asterisk/agi-bin/bx24_register.py", "root:root 755"),
        ("/usr/share/asterisk/agi-bin/bx24_finish.py", "root:root 755"),
        ("/var/lib/freepbx-bx24", "asterisk:asterisk 750"),
        ("/var/lib/freepbx-bx24/intake", "asterisk:asterisk 750"),
        ("/run/freepbx-bx24", "asterisk:asterisk 750"),
        ("/etc/logrotate.d/freepbx-bx24", "root:root 644"),
        ("/etc/tmpfiles.d/freepbx-bx24.conf", "root:root 644"),
        ("/etc/systemd/system/freepbx-bx24.service", "root:root 644"),
        ("/var/log/freepbx-bx24-install.log", "root:root 600"),
    ],
)
def test_each_thing_has_its_owner_and_mode(installed: Machine, path: str, expected: str) -> None:
    assert installed.owner_and_mode(path) == expected


def test_nothing_under_opt_is_writable_by_the_asterisk_user(installed: Machine) -> None:
    command = ["find", "/opt/freepbx-bx24", "!", "-type", "l", "-writable"]
    assert installed.root.run(command, user="asterisk").stdout == ""


def test_everything_is_compiled_because_the_asterisk_user_cannot_do_it_later(installed: Machine) -> None:
    missing = installed.shell("""cd -P /opt/freepbx-bx24/lib && find . -name '*.py' | while read -r file; do
        compgen -G "${file%/*}/__pycache__/$(basename "$file" .py).cpython-*.pyc" >/dev/null || echo "$file"; done""")
    assert missing == ""


def test_the_bx24_command_and_the_agi_scripts_paths_lead_to_the_package(installed: Machine) -> None:
    where = "import sys; sys.path.append('/opt/freepbx-bx24/lib'); import freepbx_bx24.guard as g; print(g.__file__)"
    command = ["/opt/freepbx-bx24/venv/bin/python3", "-IS", "-c", where]
    assert installed.root.run(command, user="asterisk").stdout.startswith("/opt/freepbx-bx24/lib/freepbx_bx24/")
    assert installed.shell("readlink -f /usr/local/bin/bx24").startswith("/opt/freepbx-bx24/venv-")


def test_setuptools_which_only_built_it_is_gone(installed: Machine) -> None:
    assert installed.shell("cd /opt/freepbx-bx24/lib && ls -d setuptools* *.pth", check=False) == ""


def test_the_pbx_gets_an_id_of_its_own_which_later_runs_keep(installed: Machine) -> None:
    found = re.search(r"^pbx_id: (pbx-[0-9a-f]{6})$", installed.text("/etc/freepbx_bx24.yaml"), re.MULTILINE)
    assert found
    assert installed.install().returncode == 0
    assert f"\npbx_id: {found[1]}\n" in installed.text("/etc/freepbx_bx24.yaml")


def test_the_hooks_are_in_the_loaded_dialplan(installed: Machine) -> None:
    show = installed.pbx.asterisk.rx
    assert "Goto(bx24-pstn" in show("dialplan show from-pstn")
    assert "Gosub(bx24-out" in show("dialplan show macro-dialout-trunk-predial-hook")
    assert "AGI(bx24_finish.py" in show("dialplan show bx24-hangup")


def test_the_line_in_the_admins_dialplan_stands_in_a_marked_block_behind_his_own_lines(installed: Machine) -> None:
    lines = installed.text("/etc/asterisk/extensions_custom.conf").splitlines()
    assert lines[-2] == "#tryinclude extensions_bx24.conf"
    assert "begin" in lines[-3] and "end" in lines[-1]
    assert lines[0].startswith("; An admin's own dialplan")


def test_without_answers_it_ends_with_the_lines_to_edit_and_the_check_command(new_machine: Machine) -> None:
    new_machine.removed()
    new_machine.installed()
    said = new_machine.install().stdout
    for line in re.findall(r"line (\d+):", said):
        assert "PUT_" in new_machine.text("/etc/freepbx_bx24.yaml").splitlines()[int(line) - 1]
    assert "default_person: PUT_" in said and "country: PUT_" in said
    assert "--webhook-url" in said and "bx24 check" in said


def test_answers_given_later_are_written_into_settings_that_nobody_has_edited(new_machine: Machine) -> None:
    new_machine.removed()
    new_machine.installed()
    identity = re.search(r"^pbx_id:.*$", new_machine.text("/etc/freepbx_bx24.yaml"), re.MULTILINE)
    assert new_machine.install("--country", "KZ").returncode == 0
    text = new_machine.text("/etc/freepbx_bx24.yaml")
    assert "\ncountry: KZ\n" in text
    assert identity and identity[0] in text


def test_answers_given_as_options_are_enough(new_machine: Machine) -> None:
    new_machine.removed()
    new_machine.installed()
    answers = ("--country", "RU", "--default-person", "100", "--default-line", "+74957770000")
    done = new_machine.install("--webhook-url", "-", *answers, input=f"{WEBHOOK}\n")
    assert done.returncode == 0, done.stderr
    assert "PUT_" not in done.stdout
    assert new_machine.text("/etc/freepbx_bx24.webhook") == f"{WEBHOOK}\n"
    assert new_machine.owner_and_mode("/etc/freepbx_bx24.webhook") == "root:asterisk 640"
    load = "from freepbx_bx24.settings import load; print(load().rules)"
    assert "74957770000" in new_machine.root.run(
        ["/opt/freepbx-bx24/venv/bin/python3", "-c", load], user="asterisk"
    ).stdout.replace("+", "")
    secret = WEBHOOK.split("/")[-2]
    assert secret not in done.stdout + done.stderr
    assert secret not in new_machine.text("/var/log/freepbx-bx24-install.log")
    # The same answers once more, and then none: nothing is left to do.
    for options in (("--webhook-url", "-", *answers), ()):
        assert "Nothing to change" in new_machine.install(*options, input=WEBHOOK).stdout


def test_a_local_application_is_installed_with_its_secret_and_goes_whole_with_purge(new_machine: Machine) -> None:
    new_machine.removed()
    before = new_machine.tree()
    options = ("--portal-url", "https://example.bitrix24.ru", "--client-id", "local.1.2", "--client-secret-file", "-")
    answers = ("--country", "RU", "--default-person", "100")
    done = new_machine.install(*options, *answers, input="S3cretS3cretS3cret\n")
    assert done.returncode == 0, done.stderr
    assert "sudo bx24 login" in done.stdout
    assert new_machine.text("/etc/freepbx_bx24.secret") == "S3cretS3cretS3cret\n"
    assert new_machine.owner_and_mode("/etc/freepbx_bx24.secret") == "root:asterisk 640"
    load = "from freepbx_bx24.settings import load; print(len(load().portal.client_secret), load().portal)"
    said = new_machine.root.run(["/opt/freepbx-bx24/venv/bin/python3", "-c", load], user="asterisk").stdout
    assert said.startswith("18 ") and "client_id='local.1.2'" in said
    status = new_machine.root.run(["bx24", "login", "--status"], check=False)
    assert status.returncode == 1 and "nobody has logged in yet" in status.stdout
    assert "S3cret" not in done.stdout + done.stderr + said + new_machine.text("/var/log/freepbx-bx24-install.log")
    # The same once more, and then nothing: nothing is left to do.
    for again, typed in ((options, "S3cretS3cretS3cret\n"), ((), None)):
        assert "Nothing to change" in new_machine.install(*again, input=typed).stdout
    # A login as root leaves files that the service's user owns; they go with the rest.
    token = "from freepbx_bx24.bitrix24.token_store import *; TokenStore(Path('/var/lib/freepbx-bx24')).keep(" + (
        "Tokens('a', 'b', 3600.0, application='c'))"
    )
    new_machine.root.run(["/opt/freepbx-bx24/venv/bin/python3", "-c", token], user="asterisk")
    assert new_machine.owner_and_mode("/var/lib/freepbx-bx24/token.json") == "asterisk:asterisk 600"
    assert new_machine.install("--uninstall", "--purge").returncode == 0
    assert not differences(before, new_machine.tree())


def test_edited_settings_are_never_overwritten(new_machine: Machine) -> None:
    new_machine.removed()
    new_machine.installed()
    edited = new_machine.text("/etc/freepbx_bx24.yaml") + "# mine\n"
    new_machine.write("/etc/freepbx_bx24.yaml", edited)
    done = new_machine.install("--country", "BY")
    assert done.returncode == 0
    assert "country: BY" in done.stderr
    assert new_machine.text("/etc/freepbx_bx24.yaml") == edited


def test_uninstall_keeps_edited_settings_and_kept_calls_until_purge(new_machine: Machine) -> None:
    new_machine.removed()
    before = new_machine.tree()
    assert new_machine.install("--webhook-url", "-", "--country", "BY", input=WEBHOOK).returncode == 0
    assert "\ncountry: BY\n" in new_machine.text("/etc/freepbx_bx24.yaml")
    new_machine.write("/etc/freepbx_bx24.yaml", new_machine.text("/etc/freepbx_bx24.yaml") + "# mine\n")
    new_machine.root.run(["touch", "/var/lib/freepbx-bx24/journal.sqlite3"], user="asterisk")
    done = new_machine.install("--uninstall")
    left = ("/etc/freepbx_bx24.yaml", "/etc/freepbx_bx24.webhook", "/var/lib/freepbx-bx24")
    assert all(f"Left in place: {path} " in done.stdout for path in left)
    kept = differences(before, new_machine.tree())
    assert set(kept) == {*left, "/var/lib/freepbx-bx24/intake", "/var/lib/freepbx-bx24/journal.sqlite3"}
    # Installed again it finds its settings and its calls; then all is thrown away.
    assert new_machine.install().returncode == 0
    assert new_machine.text("/etc/freepbx_bx24.yaml").endswith("# mine\n")
    assert new_machine.install("--uninstall", "--purge").returncode == 0
    assert not differences(before, new_machine.tree())


def test_an_edited_file_is_kept_with_ours_beside_it_and_one_warning(new_machine: Machine) -> None:
    new_machine.removed()
    new_machine.installed()
    dialplan, rotation = "/etc/asterisk/extensions_bx24.conf", "/etc/logrotate.d/freepbx-bx24"
    # logrotate would read a .new as well.
    edited = {dialplan: f"{dialplan}.new", rotation: f"{rotation}.dpkg-new"}
    shipped = {path: new_machine.text(path) for path in edited}
    for path, text in shipped.items():
        new_machine.write(path, f"{text}\n{'#' if path == rotation else ';'} mine\n")
    first, second = new_machine.install(), new_machine.install()
    assert (first.returncode, first.stderr.count("Warning")) == (0, 2)
    assert (second.stderr, "Nothing to change" in second.stdout) == ("", True)
    for path, beside in edited.items():
        assert new_machine.text(path).endswith("mine\n")
        assert new_machine.text(beside) == shipped[path]
        assert f"{path} was edited and stays as it is; the new version is {beside}" in first.stderr
    done = new_machine.install("--uninstall")
    for path, beside in edited.items():
        assert f"Left in place: {path}.bx24-saved" in done.stdout
        assert new_machine.text(f"{path}.bx24-saved").endswith("mine\n")
        assert not new_machine.exists(beside) and not new_machine.exists(path)
        new_machine.shell(f"rm {path}.bx24-saved")


def test_a_new_version_replaces_what_nobody_has_edited_and_drops_the_old_programs(new_machine: Machine) -> None:
    new_machine.removed()
    new_machine.installed()
    old = new_machine.shell("readlink /opt/freepbx-bx24/venv")
    new_machine.shell(
        "cd /root/freepbx_bx24 && echo '; newer' >>etc/extensions_bx24.conf && echo '#' >>freepbx_bx24/call.py"
    )
    try:
        done = new_machine.install()
        assert (done.returncode, done.stderr) == (0, "")
        assert new_machine.text("/etc/asterisk/extensions_bx24.conf").endswith("; newer\n")
        assert new_machine.shell("readlink /opt/freepbx-bx24/venv") != old
        assert new_machine.shell("ls -d /opt/freepbx-bx24/venv-*").count("\n") == 1
    finally:
        new_machine.copy_source()
        new_machine.removed()


def test_uninstall_on_a_machine_without_it_does_nothing(new_machine: Machine) -> None:
    new_machine.removed()
    before = new_machine.tree()
    done = new_machine.install("--uninstall")
    assert (done.returncode, "nothing to remove" in done.stdout) == (0, True)
    assert not differences(before, new_machine.tree())
