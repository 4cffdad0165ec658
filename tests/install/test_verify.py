"""The proof that the hooks are executed: which way the test channel goes, and what is made of its answer."""

from __future__ import annotations

import pytest

from tests.install.pbx_machine import REPOSITORY
from tests.install.shell import Shell

BEGIN = "dry=no asterisk_up=yes begun=yes shape=freepbx asterisk_user=root; sleep() { :; }; set -e"
DIALPLAN = (REPOSITORY / "etc/extensions_bx24.conf").read_text(encoding="utf-8")


def way(shell: Shell, dialplan: str) -> list[str]:
    """Where the two test channels go."""
    (shell.etc / "shown").write_text(dialplan, encoding="utf-8")
    rendered = shell.run('lead_the_test_channel <"$etc_dir/shown"').stdout
    lines = rendered.partition("[bx24-verify]")[2].splitlines()
    return [line.partition(",")[2] for line in lines if line.startswith(" same")][:2]


def test_the_test_channel_goes_through_hooks_that_are_ours(shell: Shell) -> None:
    assert way(shell, DIALPLAN) == ["Goto(from-pstn,bx24verify,1)", "Gosub(macro-dialout-trunk-predial-hook,s,1)"]


def test_it_never_goes_through_what_an_admin_has_at_the_place_of_a_hook(shell: Shell) -> None:
    theirs = DIALPLAN.replace("exten => _[a-zA-Z].,1,Gosub(bx24-in", ";").replace("[macro-dialout-trunk-", "[x")
    assert way(shell, theirs) == ["Gosub(bx24-in,s,1(s))", "Gosub(bx24-out,s,1)"]


def console(shell: Shell, answer: str, originate: str = "") -> None:
    """An Asterisk whose AstDB has this value after a test channel."""
    (shell.etc / "extensions_bx24.conf").write_text(DIALPLAN, encoding="utf-8")
    shell.program(
        "asterisk",
        f"""case $2 in channel*) printf '%s\\n' '{originate}' ;; *get*) printf '%s\\n' '{answer}' ;; esac""",
    )


def test_what_the_script_says_of_itself_is_the_proof(shell: Shell) -> None:
    console(shell, "Value: SUCCESS VERIFIED user 0")
    done = shell.run(f"{BEGIN}; verify_hooks")
    assert (done.returncode, "the script ran as root" in done.stdout) == (0, True), done.stderr
    assert [call for call in shell.calls if "originate" in call] == [
        f"asterisk -rx channel originate Local/{way}@bx24-verify/n application Wait 1" for way in ("in", "out")
    ]
    # Nothing of it stays in AstDB.
    assert shell.calls[-1] == "asterisk -rx database del bx24 verify-out"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Value: NOTFOUND  ", "did not do on a test channel: NOTFOUND"),
        ("Value: FAILURE  ", "did not do on a test channel: FAILURE"),
        ("Value: SUCCESS VERIFIED user 105", "it should have said: SUCCESS VERIFIED user 0"),
        ("Value: SUCCESS VERIFIED user 0 may not write its state folder", "may not write its state folder; it should"),
        ("Database entry not found.", "it was not executed"),
    ],
)
def test_any_other_word_undoes_the_installation(shell: Shell, answer: str, said: str) -> None:
    console(shell, answer)
    done = shell.run(f"{BEGIN}; verify_hooks")
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr


def test_an_asterisk_without_test_channels_is_warned_of_and_undoes_nothing(shell: Shell) -> None:
    console(shell, "Database entry not found.", "No such command channel originate")
    done = shell.run(f"{BEGIN}; verify_hooks")
    assert (done.returncode, "could not be tried" in done.stderr) == (0, True)


@pytest.mark.parametrize("how", ["dry=yes", "asterisk_up=no", "begun=no", 'echo mine >"$etc_dir/extensions_bx24.conf"'])
def test_nothing_is_tried_where_nothing_was_changed_or_can_be_asked(shell: Shell, how: str) -> None:
    console(shell, "")
    assert shell.run(f"{BEGIN}; {how}; verify_hooks").returncode == 0
    assert shell.calls == []


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("echo 'SET VARIABLE __BX24_REASON \"user 0\"'", 0),
        ("echo 'SET VARIABLE __BX24_REASON \"user 0 may not write its state folder\"'", 1),
        ("echo 'ModuleNotFoundError: yaml' >&2; exit 1", 1),
        ("exit 126", 1),
    ],
)
def test_the_script_is_run_as_asterisk_runs_it(shell: Shell, said: str, code: int) -> None:
    shell.program("bx24_register.py", said)
    shell.program("runuser", 'shift 3; exec "$@"')
    done = shell.run(f"{BEGIN}; agi_dir={shell.programs}; verify_program")
    assert done.returncode == code
    assert ("does not run as root" in done.stderr) is bool(code)
