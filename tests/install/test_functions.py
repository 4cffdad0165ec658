"""install.sh's functions one by one: sourced into a shell, with recorders in place of the machine's programs."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from typing import Mapping

import pytest

from tests.install.pbx_machine import REPOSITORY
from tests.install.shell import Shell

SCRIPTS = [REPOSITORY / "install.sh", *sorted((REPOSITORY / "etc/install").glob("*.sh"))]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_main_is_the_last_line_and_sourcing_does_nothing(shell: Shell) -> None:
    assert (REPOSITORY / "install.sh").read_text(encoding="utf-8").splitlines()[-1] == 'main "$@"'
    done = shell.run("echo sourced")
    assert (done.returncode, done.stdout, done.stderr) == (0, "sourced\n", "")


@pytest.mark.parametrize(
    ("conf", "expected"),
    [
        ("[directories](!)\nastagidir => /usr/share/asterisk/agi-bin\n", "/usr/share/asterisk/agi-bin"),
        ("[directories]\nastagidir=/srv/agi ; ours\n", "/srv/agi"),
        ("[directories]\n  astagidir  =>  /srv/agi  \r\n", "/srv/agi"),
        ("[directories]\n;astagidir => /srv/agi\n[options]\nastagidir => /elsewhere\n", "/var/lib/asterisk/agi-bin"),
        (None, "/var/lib/asterisk/agi-bin"),
    ],
    ids=["template", "equals", "spaces", "commented out", "no file"],
)
def test_directories_are_read_from_asterisk_conf(shell: Shell, conf: str, expected: str) -> None:
    if conf is not None:
        (shell.etc / "asterisk.conf").write_text(conf, encoding="utf-8")
    done = shell.run("asterisk_setting directories astagidir /var/lib/asterisk/agi-bin")
    assert done.stdout.strip() == expected


@pytest.mark.parametrize(
    ("line", "included"),
    [
        ("#include extensions_custom.conf", True),
        ('  #tryinclude "extensions_custom.conf" ; admin', True),
        ("#include /etc/asterisk/extensions_custom.conf", True),
        ("#include <extensions_custom.conf>", True),
        (";#include extensions_custom.conf", False),
        ("#include my_extensions_custom.conf", False),
    ],
)
def test_an_include_is_recognised_in_every_form_that_asterisk_takes(shell: Shell, line: str, included: bool) -> None:
    (shell.etc / "extensions.conf").write_text(f"[x]\n{line}\n", encoding="utf-8")
    done = shell.run('includes_file "$etc_dir/extensions.conf" extensions_custom.conf && echo yes')
    assert (done.stdout == "yes\n") is included


@pytest.mark.parametrize("text", ["", "one\n", "no line end", "[a]\nexten => 1,1,NoOp()\n\n"], ids=repr)
def test_a_block_put_in_and_taken_out_leaves_every_byte_as_it_was(shell: Shell, text: str) -> None:
    file = shell.etc / "extensions_custom.conf"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o604)
    done = shell.run(
        'put_block "$etc_dir/extensions_custom.conf" "#tryinclude extensions_bx24.conf" root:root\n'
        'cp "$etc_dir/extensions_custom.conf" "$etc_dir/with"; take_block_out "$etc_dir/extensions_custom.conf"'
    )
    assert done.returncode == 0, done.stderr
    assert "\n#tryinclude extensions_bx24.conf\n" in (shell.etc / "with").read_text(encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text
    assert file.stat().st_mode & 0o777 == 0o604


def test_a_file_that_was_not_there_is_made_for_the_asterisk_user_and_goes_again_when_nothing_else_is_in_it(
    shell: Shell,
) -> None:
    file = shell.etc / "extensions_custom.conf"
    done = shell.run(
        """f=$etc_dir/extensions_custom.conf; put_block "$f" "#tryinclude extensions_bx24.conf" daemon:daemon
        stat -c '%U:%G %a' "$f"
        remove_one block - "$f"; remove_one made - "$f"; printf '%s\n' "${records[@]}" """
    )
    assert done.returncode == 0, done.stderr
    assert "daemon:daemon 640\n" in done.stdout
    assert f"made\t-\t{file}\nblock\t-\t{file}\n" in done.stdout
    assert not file.exists()


def test_lines_that_the_admin_adds_behind_the_block_stay_when_it_is_taken_out(shell: Shell) -> None:
    file = shell.etc / "extensions_custom.conf"
    file.write_text("no line end", encoding="utf-8")
    done = shell.run(
        'f=$etc_dir/extensions_custom.conf; put_block "$f" "#tryinclude extensions_bx24.conf" root:root\n'
        'echo "[mine]" >>"$f"; take_block_out "$f"'
    )
    assert done.returncode == 0, done.stderr
    assert file.read_text(encoding="utf-8") == "no line end\n[mine]\n"


def test_everything_changed_since_the_checkpoint_is_put_back(shell: Shell) -> None:
    (shell.etc / "old").write_text("before", encoding="utf-8")
    (shell.etc / "link").symlink_to("old")
    done = shell.run(
        """echo new >"$work/new"; begin_changes; systemd_runs() { false; }; asterisk_runs() { false; }
        write_file "$work/new" "$etc_dir/old" root:root 0600; write_file "$work/new" "$etc_dir/created" root:root 0600
        put_dir "$etc_dir/folder" root:root 0700; remember "$etc_dir/link"; ln -sfn /dev/null "$etc_dir/link"
        put_back"""
    )
    assert done.returncode == 0, done.stderr
    assert (shell.etc / "old").read_text(encoding="utf-8") == "before"
    assert (shell.etc / "link").readlink() == Path("old")
    assert sorted(path.name for path in shell.etc.iterdir()) == ["link", "old"]
    assert not (shell.directory / "opt").exists()


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("https://example.bitrix24.com/rest/1/abc123/", True),
        ("https://crm.example.com:8443/bitrix/rest/12/abc123", True),
        ("http://127.0.0.1:8066/rest/1/abc123/", True),
        ("http://example.com/rest/1/abc123/", False),
        ("http://127.0.0.1.example.com/rest/1/abc123/", False),
        ("https://user:pass@example.com/rest/1/abc123/", False),
        ("https://example.com/rest/1/abc123/\n- x", False),
        ("example.com/rest/1/abc123/", False),
    ],
)
def test_a_webhook_url_is_known_by_its_form(shell: Shell, url: str, right: bool) -> None:
    done = shell.run(f"is_webhook {url!r} && echo yes" if "\n" not in url else f"is_webhook ${url!r} && echo yes")
    assert (done.stdout == "yes\n") is right


PORTAL = "https://example.bitrix24.ru"
CLIENT = "local.fedcba987654.76543210"
SECRET = "S3cretS3cretS3cretS3cretS3cretS3cretS3cretS3cretS3"
ASKS = f"--portal-url {PORTAL} --client-id {CLIENT}"
# Where root would be needed and the manifest would be read.
AS_ANYBODY = """
secret=$etc_dir/freepbx_bx24.secret webhook=$etc_dir/freepbx_bx24.webhook asterisk_group=asterisk
write_file() { cp -- "$1" "$2"; echo "$2 $3 $4" >>"$etc_dir/../written"; }
begin_changes() { :; }
"""


def portal_lines(text: str) -> list[str]:
    """The members of portal: that are in force."""
    inside = text.partition("\nportal:\n")[2].partition("\n\n")[0]
    return [line.strip() for line in inside.splitlines() if not line.strip().startswith("#")]


def configured(shell: Shell, options: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run the part of install.sh that writes the settings."""
    return shell.run(
        f"{AS_ANYBODY}\nread_options {options} <<<{typed!r}\ninstall_config; printf '%s\\n' \"${{records[@]}}\""
    )


@pytest.mark.parametrize("given", ["-", "FILE"])
def test_a_local_application_is_written_into_the_settings_and_its_secret_into_a_file(shell: Shell, given: str) -> None:
    (shell.directory / "mine").write_text(f"{SECRET}\r\nmore\n", encoding="utf-8")
    file = "-" if given == "-" else str(shell.directory / "mine")
    done = configured(shell, f"--portal-url {PORTAL}/ --client-id {CLIENT} --client-secret-file {file}", SECRET)
    assert done.returncode == 0, done.stderr
    assert (shell.etc / "freepbx_bx24.secret").read_text(encoding="utf-8") == f"{SECRET}\n"
    assert portal_lines((shell.etc / "freepbx_bx24.yaml").read_text(encoding="utf-8")) == [
        f"url: {PORTAL}",
        f"client_id: {CLIENT}",
        f"client_secret_file: {shell.etc}/freepbx_bx24.secret",
    ]
    written = (shell.directory / "written").read_text(encoding="utf-8")
    assert f"{shell.etc}/freepbx_bx24.secret root:asterisk 0640\n" in written
    assert f"\t{shell.etc}/freepbx_bx24.secret\n" in done.stdout  # in the manifest, so that --uninstall finds it
    assert "S3cret" not in done.stdout + done.stderr


def test_a_webhook_takes_the_place_of_an_application_and_the_other_way_round(shell: Shell) -> None:
    config = shell.etc / "freepbx_bx24.yaml"
    unedited = 'recorded() { hash_of "$config"; }\n'
    (shell.directory / "mine").write_text("https://example.bitrix24.ru/rest/1/abc123abc123/\r\n", encoding="utf-8")
    webhook = f"--webhook-url {shell.directory}/mine"
    assert configured(shell, webhook).returncode == 0
    as_webhook = config.read_text(encoding="utf-8")
    assert portal_lines(as_webhook) == [f"webhook_file: {shell.etc}/freepbx_bx24.webhook"]
    application = f"{ASKS} --client-secret-file -"
    for options, expected in ((application, 3), (webhook, 1), (application, 3)):
        done = shell.run(f"{AS_ANYBODY}{unedited}read_options {options} <<<{SECRET}\ninstall_config")
        assert done.returncode == 0, done.stderr
        assert len(portal_lines(config.read_text(encoding="utf-8"))) == expected
    done = shell.run(f"{AS_ANYBODY}{unedited}read_options {webhook}\ninstall_config")
    lines = config.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line not in as_webhook.splitlines()] == [
        f"  #url: {PORTAL}",
        f"  #client_id: {CLIENT}",
        f"  #client_secret_file: {shell.etc}/freepbx_bx24.secret",
    ]


def test_settings_of_an_earlier_version_get_the_lines_that_they_do_not_have(shell: Shell) -> None:
    config = shell.etc / "freepbx_bx24.yaml"
    config.write_text("portal:\n  # Old.\n  webhook_file: /etc/freepbx_bx24.webhook\ncountry: RU\n", encoding="utf-8")
    unedited = 'recorded() { hash_of "$config"; }\n'
    done = shell.run(f"{AS_ANYBODY}{unedited}read_options {ASKS} --client-secret-file - <<<{SECRET}\ninstall_config")
    assert done.returncode == 0, done.stderr
    assert config.read_text(encoding="utf-8") == (
        f"portal:\n  url: {PORTAL}\n  client_id: {CLIENT}\n  client_secret_file: {shell.etc}/freepbx_bx24.secret\n"
        "  # Old.\n  #webhook_file: /etc/freepbx_bx24.webhook\ncountry: RU\n"
    )


def test_edited_settings_stay_and_what_was_answered_is_told_without_the_secret(shell: Shell) -> None:
    config = shell.etc / "freepbx_bx24.yaml"
    config.write_text(f"portal:\n  url: {PORTAL}\n", encoding="utf-8")
    done = configured(shell, f"{ASKS} --client-secret-file -", SECRET)
    assert done.returncode == 0, done.stderr
    assert config.read_text(encoding="utf-8") == f"portal:\n  url: {PORTAL}\n"
    assert f"  client_id: {CLIENT}\n" in done.stderr
    assert f"url: {PORTAL}" not in done.stderr
    assert "S3cret" not in done.stderr


def test_a_new_secret_alone_leaves_the_settings_as_they_are(shell: Shell) -> None:
    config = shell.etc / "freepbx_bx24.yaml"
    config.write_text("# mine\n", encoding="utf-8")
    done = configured(shell, "--client-secret-file -", SECRET)
    assert (done.returncode, done.stderr) == (0, "")
    assert config.read_text(encoding="utf-8") == "# mine\n"
    assert (shell.etc / "freepbx_bx24.secret").read_text(encoding="utf-8") == f"{SECRET}\n"


@pytest.mark.parametrize(
    ("options", "typed", "said"),
    [
        (ASKS, "", "need --client-secret-file"),
        (f"--portal-url {PORTAL} --client-secret-file -", SECRET, "--portal-url goes with --client-id"),
        (f"--client-id {CLIENT} --client-secret-file -", SECRET, "--client-id goes with --portal-url"),
        (f"{ASKS} --webhook-url -", f"{PORTAL}/rest/1/S3cretS3cret/", "give one"),
        (f"--webhook-url {PORTAL}/rest/1/S3cretS3cret/", "", "does not belong on the command line"),
        ("--webhook-url -", "http://example.com/rest/1/S3cretS3cret/", "this is not https://"),
        ("--webhook-url -", "", "this is not https://"),
        ("--webhook-url /nowhere", "", "no file /nowhere"),
        (
            f"--portal-url {PORTAL}/rest/1/S3cretS3cret/ --client-id x --client-secret-file -",
            SECRET,
            "without anything",
        ),
        (f"--portal-url http://example.bitrix24.ru --client-id {CLIENT} --client-secret-file -", SECRET, "http is for"),
        (f"--portal-url {PORTAL} --client-id 'a b' --client-secret-file -", SECRET, "allowed: the application's"),
        (f"{ASKS} --client-secret-file -", "S3cret S3cret", "no client_secret"),
        (f"{ASKS} --client-secret-file -", "S3cret", "no client_secret"),
        (f"{ASKS} --client-secret-file -", f"{PORTAL}/rest/1/S3cretS3cret/", "no client_secret"),
        (f"{ASKS} --client-secret-file -", "", "no client_secret"),
        (f"{ASKS} --client-secret-file /nowhere", "", "no file /nowhere"),
        (f"{ASKS} --client-secret-file /dev/null", "", "no file /dev/null"),
        ("--client-secret-file", "", "needs a value"),
    ],
)
def test_half_an_application_or_a_wrong_one_is_refused_without_telling_it(
    shell: Shell, options: str, typed: str, said: str
) -> None:
    done = configured(shell, options, typed)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert "S3cret" not in done.stdout + done.stderr
    assert not list(shell.etc.iterdir())


def test_at_a_terminal_a_secret_is_asked_for_and_not_shown(shell: Shell) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, f"{SECRET}\n".encode())
    command = f". {REPOSITORY}/install.sh; read_options --client-secret-file -; echo ${{#client_secret}}"
    done = subprocess.run(
        ["bash", "-c", command], stdin=theirs, capture_output=True, text=True, timeout=60, start_new_session=True
    )
    assert (done.returncode, done.stdout) == (0, f"{len(SECRET)}\n")
    assert done.stderr == "Paste the application's client_secret (it is not shown) and press Enter: \n"


def test_what_was_found_out_is_said_in_one_line(shell: Shell) -> None:
    web = shell.etc / "admin/modules/framework"
    web.mkdir(parents=True)
    (web / "module.xml").write_text("<module>\n\t<version>14.0.3</version>\n</module>\n", encoding="utf-8")
    done = shell.run(
        """sed() { command sed "${@//\\/var\\/www\\/html/$etc_dir}"; }; asterisk_version() { echo 22.10; }
        systemd_runs() { true; }; shape=freepbx asterisk_up=yes asterisk_user=pbx agi_dir=/agi python=/python
        say_what_is_here"""
    )
    assert done.stdout == (
        f"Found: FreePBX 14.0.3, Asterisk 22.10 (running) as pbx, {shell.etc}, /agi, /python, systemd\n"
    )
    assert "this is FreePBX 14.0.3; freepbx_bx24 is made for 15, 16 and 17" in done.stderr


def test_what_is_next_is_the_login_until_somebody_has_logged_in(shell: Shell) -> None:
    machine = 'state=$etc_dir; changes=1; touch "$config" "$secret"; systemd_runs() { true; }'
    ask = f"{AS_ANYBODY}{machine}; say_what_is_next"
    assert "sudo bx24 login" in shell.run(ask).stdout
    (shell.etc / "token.json").touch()
    assert "bx24 login" not in shell.run(ask).stdout


def test_uninstall_keeps_an_edited_secret_until_purge(shell: Shell) -> None:
    (shell.etc / "freepbx_bx24.secret").write_text("mine\n", encoding="utf-8")
    keep = 'state=$etc_dir/state; decide_what_stays; remove_file - "$secret"; printf "%s\\n" "${left[@]}"'
    done = shell.run(f"{AS_ANYBODY}left=(); action=uninstall; {keep}")
    assert "freepbx_bx24.secret (to remove it as well: --uninstall --purge)" in done.stdout
    assert (shell.etc / "freepbx_bx24.secret").exists()
    done = shell.run(f"{AS_ANYBODY}left=(); purge=yes; remember() {{ :; }}; {keep}")
    assert not (shell.etc / "freepbx_bx24.secret").exists()


@pytest.mark.parametrize(
    ("bound", "permitted"),
    [
        ("", ["127.0.0.1/255.255.255.255", "::1/128"]),
        ("bindaddr = 0.0.0.0", ["127.0.0.1/255.255.255.255", "::1/128"]),
        ("bindaddr=127.0.0.1 ; here", ["127.0.0.1/255.255.255.255", "::1/128"]),
        ("bindaddr = 192.0.2.7", ["127.0.0.1/255.255.255.255", "::1/128", "192.0.2.7/255.255.255.255"]),
        ("bindaddr = 192.0.2.7/0", ["127.0.0.1/255.255.255.255", "::1/128"]),
    ],
)
def test_the_manager_user_may_come_from_this_machine_alone(shell: Shell, bound: str, permitted: list[str]) -> None:
    (shell.etc / "manager.conf").write_text(f"[general]\n{bound}\n[other]\nbindaddr = 192.0.2.9\n", encoding="utf-8")
    shell.program("asterisk", "echo Asterisk 16.28.0")
    begin = "asterisk_up=no manager_file=$etc_dir/manager_bx24.conf"
    rendered = shell.run(f'{begin}; render_manager >"$manager_file"; render_manager')
    lines = rendered.stdout.splitlines()
    assert [line.partition(" = ")[2] for line in lines if line.startswith("permit")] == permitted
    # The second time the secret is the one that the file has.
    assert rendered.stdout == (shell.etc / "manager_bx24.conf").read_text(encoding="utf-8")
    assert "@" not in rendered.stdout
    assert lines[-1].startswith("eventfilter = !^Event: (NewConnectedLine|")
    # No program is told the secret: everybody could read it on its command line.
    assert shell.calls == ["asterisk -V"] * 2


@pytest.mark.parametrize(
    ("answer", "edited", "expected", "said"),
    [
        (0, "no", 0, "logs in to Asterisk's manager interface"),
        (1, "no", 1, "the new user [bx24] of Asterisk's manager interface does not do:"),
        (1, "yes", 0, "which was edited, does not do:"),
        (2, "no", 0, "is on but does not answer"),
    ],
)
def test_only_a_login_that_asterisk_refuses_to_an_unedited_user_undoes_the_installation(
    shell: Shell, answer: int, edited: str, expected: int, said: str
) -> None:
    done = shell.run(
        f"""dry=no asterisk_up=yes begun=yes manager_file=$etc_dir/manager_bx24.conf
        echo shipped >"$work/manager_bx24.conf"; [[ {edited} == yes ]] || cp "$work/manager_bx24.conf" "$manager_file"
        [[ {edited} == no ]] || echo mine >"$manager_file"
        asterisk_says() {{ [[ $1 != *settings ]] || echo "  Manager (AMI):             Yes            "; }}
        manager_problems() {{ echo why; return {answer}; }}; set -e; verify_manager"""
    )
    assert (done.returncode, said in done.stdout + done.stderr) == (expected, True), done.stderr
    assert ("why\n" in done.stderr) is bool(answer)


def test_a_manager_secret_is_48_random_digits_each_time_one_is_made(shell: Shell) -> None:
    made = shell.run("manager_file=$etc_dir/none; manager_secret; echo; manager_secret").stdout.split()
    assert [len(one) for one in made] == [48, 48] and made[0] != made[1]
    assert all(set(one) <= set("0123456789abcdef") for one in made)


SYSTEMD: Mapping[str, str] = {
    "a new unit": "case $1 in is-enabled) exit 1 ;; esac",
    "an enabled unit": "exit 0",
}


@pytest.mark.parametrize(
    ("state", "begun", "expected"),
    [
        ("a new unit", "yes", ["daemon-reload", "enable --now freepbx-bx24.service"]),
        ("an enabled unit", "yes", ["daemon-reload", "restart freepbx-bx24.service"]),
        ("an enabled unit", "no", []),
    ],
)
def test_the_service_is_enabled_once_and_restarted_after_a_change(
    shell: Shell, state: str, begun: str, expected: list[str]
) -> None:
    shell.program("systemctl", SYSTEMD[state])
    begin = "begin_changes" if begun == "yes" else ":"
    done = shell.run(f"systemd_runs() {{ true; }}; {begin}; start_service")
    assert done.returncode == 0, done.stderr
    asked = [call.removeprefix("systemctl ") for call in shell.calls if " is-" not in call]
    assert asked == expected


def test_a_new_service_that_has_to_be_put_back_is_disabled_before_its_unit_goes(shell: Shell) -> None:
    shell.program("systemctl", f"[[ $1 != disable ]] || test -e {shell.etc}/unit || exit 5")
    done = shell.run(
        """systemd_runs() { true; }; asterisk_runs() { false; }; unit=$etc_dir/unit; echo unit >"$work/unit"
        begin_changes; write_file "$work/unit" "$unit" root:root 0644; undo_line service - freepbx-bx24.service
        put_back"""
    )
    assert done.returncode == 0, done.stderr
    assert shell.calls == ["systemctl disable --now freepbx-bx24.service", "systemctl daemon-reload"]
    assert not (shell.etc / "unit").exists()


def test_without_systemd_the_last_words_name_the_supervisor(shell: Shell) -> None:
    machine = 'state=$etc_dir; changes=1; asterisk_user=pbx; touch "$config" "$webhook"; systemd_runs() { false; }'
    done = shell.run(f"{AS_ANYBODY}{machine}; say_what_is_next")
    command = f"runuser -u pbx -- {shell.directory}/opt/venv/bin/bx24 serve --supervised"
    assert done.stdout.splitlines()[-1].strip() == command


SUPERVISOR = """systemd_runs() { false; }; runtime=$etc_dir; change() { echo "$*"; }
(flock 9; echo "$BASHPID" >&9; exec sleep 60) 9<>"$etc_dir/supervisor.pid" & held=$!
until supervisor_process | grep -qx "$held"; do sleep 0.02; done
"""


def test_without_systemd_uninstall_stops_the_supervisor_and_waits_for_it(shell: Shell) -> None:
    done = shell.run(f"{SUPERVISOR} stop_service; kill -0 $held && echo still; echo held $held")
    assert done.returncode == 0, done.stderr
    process = done.stdout.split()[-1]
    assert f"stop bx24 serve --supervised, process {process}" in done.stdout
    assert "still" not in done.stdout


def test_a_number_that_a_killed_supervisor_has_left_is_not_stopped(shell: Shell) -> None:
    done = shell.run(
        """systemd_runs() { false; }; runtime=$etc_dir; sleep 60 & other=$!; echo $other >"$etc_dir/supervisor.pid"
        stop_service; kill -0 $other && echo alive; kill $other"""
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_without_systemd_an_update_says_that_the_former_version_still_runs(shell: Shell) -> None:
    done = shell.run(f"{SUPERVISOR} begun=yes dry=no; start_service; kill $held; echo held $held")
    assert f"still runs the former version; to restart it: kill {done.stdout.split()[-1]}" in done.stdout


def test_the_files_get_the_user_that_this_asterisk_runs_as(shell: Shell) -> None:
    done = shell.run(
        """asterisk_user=pbx asterisk_group=voice; put_file() { cat "$1"; }
        for name in service logrotate tmpfiles; do
            put_for_user "$source_tree/etc/freepbx-bx24.$name" "/x/$name"
        done"""
    )
    assert "\nUser=pbx\nGroup=voice\n" in done.stdout
    assert "    su pbx voice\n" in done.stdout and "create 0640 pbx voice\n" in done.stdout
    assert "d /run/freepbx-bx24 0750 pbx voice -\n" in done.stdout
    assert "asterisk asterisk" not in done.stdout


def test_the_demo_is_refused_beside_a_running_asterisk(shell: Shell) -> None:
    shell.program("asterisk", "echo Asterisk 22")
    done = shell.run("demo")
    assert (done.returncode, "an Asterisk is running" in done.stderr) == (3, True)


def test_the_demo_gets_its_packages_its_python_and_then_its_options(shell: Shell) -> None:
    shell.program("asterisk", "exit 1")
    shell.program("dpkg-query", "case $* in *debootstrap*) exit 1 ;; *) echo 'ii ' ;; esac")
    shell.program(
        "apt-get", "case $* in *--simulate*) printf 'Inst debootstrap (1.0 Debian)\\nInst dpkg [1] (2)\\n' ;; esac"
    )
    shell.program("env", "exit 0")
    done = shell.run(f"sandbox={shell.directory}/cache; demo_make_venv() {{ :; }}; demo_options=(--once); demo")
    assert done.returncode == 0, done.stderr
    assert any(call.startswith("apt-get install") and call.endswith(" debootstrap") for call in shell.calls)
    assert (shell.directory / "cache/packages-demo").read_text(encoding="utf-8") == "debootstrap\n"
    python = f"{shell.directory}/cache/venv-demo/bin/python3"
    assert shell.calls[-1] == f"env PYTHONPATH={REPOSITORY} {python} -B -m freepbx_bx24.sandbox.demo --once"
