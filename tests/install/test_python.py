"""Which Python install.sh takes, what it says where none will do, and where the packages come from."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.install.pbx_machine import REPOSITORY
from tests.install.shell import Shell

SEARCH = 'asterisk_user=pbx standalone_home=$etc_dir/none; find_python; echo "$python"'
# What runuser is asked of a Python: may they run it, and may they write it?
MAY_RUN = '[[ " $* " != *" test -w "* ]]'


def pythons(shell: Shell, **versions: str) -> None:
    """Programs of these names (`_` for `.`) that call themselves these versions; no other one is found."""
    shell.program("runuser", MAY_RUN)
    for name, version in versions.items():
        shell.program(name.replace("_", "."), f"echo {version}")
    found = " ".join(name.replace("_", ".") for name in versions)
    shell.begin = f"python_names=({found})"


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({"python3": "3.6.8", "python3_12": "3.12.1"}, "python3.12"),
        ({"python3": "3.15.0", "python3_13": "3.13.9"}, "python3.13"),
        ({"python3": "3.9.2"}, "python3"),
        ({"python3": "3.14.0"}, "python3"),
    ],
)
def test_the_first_python_from_3_9_to_3_14_is_taken(shell: Shell, there: dict[str, str], taken: str) -> None:
    pythons(shell, **there)
    assert shell.run(SEARCH).stdout == f"{shell.programs}/{taken}\n"


def test_on_the_freepbx_distro_the_commands_for_a_standalone_python_are_told_before_any_change(shell: Shell) -> None:
    pythons(shell, python3="3.6.8")
    done = shell.run(f'type() {{ [[ $2 != apt-get && $2 != dnf ]] && builtin type "$@"; }}; {SEARCH}')
    assert done.returncode == 3
    assert "nothing was changed" in done.stderr and f"  {shell.programs}/python3 is Python 3.6.8\n" in done.stderr
    commands = [line.strip() for line in done.stderr.splitlines() if line.startswith("  ")]
    assert [command.split()[0] for command in commands] == ["curl", "echo", "mkdir", "tar"]
    assert "/root/python.tar.gz 'https://" in commands[0] and commands[1].endswith("| sha256sum -c")
    assert not (shell.directory / "opt").exists()


def test_a_standalone_python_put_where_the_commands_put_it_is_found(shell: Shell) -> None:
    pythons(shell, python3="3.6.8")
    shell.program("../opt-python/bin/python3", "echo 3.12.12")
    done = shell.run(SEARCH.replace("$etc_dir/none", f"{shell.directory}/opt-python"))
    assert done.stdout == f"{shell.directory}/opt-python/bin/python3\n"


@pytest.mark.parametrize(
    ("program", "runuser", "said"),
    [
        ("echo 3.6.8", MAY_RUN, "is Python 3.6.8"),
        ("echo 3.15.0", MAY_RUN, "is Python 3.15.0"),
        ("exit 127", MAY_RUN, "does not start"),
        ("echo 3.11.2", "exit 126", "but pbx may not run it"),
        ("echo 3.11.2", "exit 0", "but pbx may write it: root must not run it"),
    ],
)
@pytest.mark.parametrize("way", ["searched", "named"])
def test_a_python_that_will_not_do_is_refused_with_the_reason(
    shell: Shell, program: str, runuser: str, said: str, way: str
) -> None:
    pythons(shell, python3="")
    shell.program("python3", program)
    shell.program("runuser", runuser)
    named = "" if way == "searched" else f"python_wanted={shell.programs}/python3; "
    done = shell.run(named + SEARCH)
    assert (done.returncode, said in done.stderr) == (3, True), done.stderr
    assert ("--python: " in done.stderr) is (way == "named")


def test_the_named_python_is_taken_although_others_are_on_path(shell: Shell) -> None:
    pythons(shell, python3="3.11.2", python3_12="3.12.1")
    done = shell.run(f"python_wanted={shell.programs}/python3.12; {SEARCH}")
    assert done.stdout == f"{shell.programs}/python3.12\n"


def test_the_next_run_takes_the_one_that_the_programs_run_on(shell: Shell) -> None:
    pythons(shell, python3="3.11.2", python3_12="3.12.1")
    used = shell.directory / "opt/venv/bin"
    used.mkdir(parents=True)
    (used / "python3").symlink_to(shell.programs / "python3.12")
    assert shell.run(SEARCH).stdout == f"{shell.programs}/python3.12\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--python", "--python needs a value"),
        ("--wheels", "--wheels needs a value"),
        ("--wheels /nowhere", "--wheels: there is no folder /nowhere"),
    ],
)
def test_a_place_that_is_not_there_is_refused(shell: Shell, options: str, said: str) -> None:
    done = shell.run(f"read_options {options}")
    assert (done.returncode, said in done.stderr) == (2, True)


def test_paths_are_those_of_where_the_command_was_typed(shell: Shell) -> None:
    (shell.etc / "wheels").mkdir()
    (shell.etc / "secret").write_text("S3cretS3cretS3cret\n", encoding="utf-8")
    done = shell.run(
        "called_from=$etc_dir; read_options --python bin/python3 --wheels wheels --client-secret-file secret\n"
        'echo "$python_wanted $wheels ${#client_secret}"'
    )
    assert done.stdout == f"{shell.etc}/bin/python3 {shell.etc}/wheels 18\n", done.stderr


def test_with_a_folder_of_wheels_the_packages_come_from_it_alone(shell: Shell) -> None:
    wheels = shell.directory / "wheels"
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--dest", str(wheels)]
    subprocess.run([*download, "-r", str(REPOSITORY / "requirements.lock")], check=True, timeout=300)
    # Nobody answers there.
    nowhere = (
        "export PIP_INDEX_URL=http://127.0.0.1:9/ PIP_EXTRA_INDEX_URL='' PIP_FIND_LINKS='' PIP_CONFIG_FILE=/dev/null"
    )
    build = f"python={sys.executable} wheels={wheels}; {nowhere}; set -e; build_program {shell.directory}/venv"
    done = shell.run(build)
    assert done.returncode == 0, done.stdout + done.stderr
    ask = [f"{shell.directory}/venv/bin/python3", "-IB", "-c", "import asterisk.agi, yaml, freepbx_bx24; print(1)"]
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "1\n"
