"""Shapes of extensions_custom.conf and manager_custom.conf, as admins have them: what is added, refused, put back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.install.shell import Shell

OURS = {"extensions_custom.conf": "extensions_bx24.conf", "manager_custom.conf": "manager_bx24.conf"}
BLOCK = """; freepbx-bx24 begin (written by install.sh, taken out by install.sh --uninstall)
#tryinclude {ours}
; freepbx-bx24 end
"""
PASSING = {
    "empty": "",
    "one line": "[mine]\n",
    "no final newline": "[mine]\nexten => 1,1,NoOp()",
    "a final newline too many": "[mine]\n\n\n",
    "CRLF": "[mine]\r\nexten => 1,1,NoOp()\r\n",
    "CRLF without the last one": "[mine]\r\nexten => 1,1,NoOp()",
    "includes": '#include mine.conf\n#tryinclude "other.conf" ; theirs\n#exec /usr/bin/true\n',
    "our name in a comment": ";#include {ours}\n; see {ours}\n",
    "a name that ends like ours": "#include my_{ours}\n",
    "another letter case": "#INCLUDE mine.conf\n",
    "a byte order mark": "\ufeff[mine]\n",
    "other alphabets": "; Звонки\n[mine]\nexten => 1,1,NoOp(ё)\n",
    "a block comment": ";--\n[from-pstn]\n--;\n",
    "our last mark alone": "; something\n; freepbx-bx24 ended here\n",
}
INSTALLED = "check_includes {ours} $etc_dir/{file}; put_block $etc_dir/{file} '#tryinclude {ours}' root:root"
REMOVED = "take_block_out $etc_dir/{file}"


@pytest.fixture(params=sorted(OURS))
def names(request: pytest.FixtureRequest) -> dict[str, str]:
    """The name of the admin's file and of ours."""
    return {"file": request.param, "ours": OURS[request.param]}


def do(shell: Shell, commands: str, names: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return shell.run("set -e; " + commands.format(**names))


def written(shell: Shell, names: dict[str, str], text: str) -> Path:
    path = shell.etc / names["file"]
    path.write_bytes(text.replace("{ours}", names["ours"]).encode())
    return path


@pytest.mark.parametrize("shape", sorted(PASSING))
def test_one_line_is_added_behind_everything_and_every_byte_is_back_afterwards(
    shell: Shell, names: dict[str, str], shape: str
) -> None:
    file = written(shell, names, PASSING[shape])
    before = file.read_bytes()
    done = do(shell, f"{INSTALLED}; {INSTALLED}", names)
    assert (done.returncode, done.stderr) == (0, "")
    between = file.read_bytes()
    assert between.startswith(before)
    assert between.decode().endswith(f"\n#tryinclude {names['ours']}\n; freepbx-bx24 end\n")
    assert between.count(b"\n#tryinclude " + names["ours"].encode()) == 1
    assert do(shell, REMOVED, names).returncode == 0
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "line",
    ["#include {ours}", '  #include "{ours}" ; by hand', "#include /etc/asterisk/{ours}", "#include <{ours}>\r"],
)
def test_an_include_of_our_file_by_hand_is_refused_because_removing_the_file_would_stop_asterisk(
    shell: Shell, names: dict[str, str], line: str
) -> None:
    file = written(shell, names, f"[mine]\n{line}\n")
    before = file.read_bytes()
    done = do(shell, INSTALLED, names)
    assert done.returncode == 3
    assert f"{names['file']}:2: {line.format(**names).rstrip()}" in done.stderr
    assert file.read_bytes() == before


def test_an_include_of_our_file_in_a_file_that_is_included_is_refused_too(shell: Shell, names: dict[str, str]) -> None:
    written(shell, names, "#include mine.conf\n")
    (shell.etc / "mine.conf").write_text(f"\n#include {names['ours']}\n", encoding="utf-8")
    done = do(shell, INSTALLED, names)
    assert (done.returncode, "mine.conf:2: #include" in done.stderr) == (3, True)


def test_a_line_like_ours_that_somebody_wrote_himself_does_and_stays(shell: Shell, names: dict[str, str]) -> None:
    file = written(shell, names, "#tryinclude {ours}\n")
    before = file.read_bytes()
    assert do(shell, INSTALLED, names).returncode == 0
    assert file.read_bytes() == before


def test_a_restored_file_brings_the_line_and_not_the_file_and_is_as_good_as_new(
    shell: Shell, names: dict[str, str]
) -> None:
    # A backup of FreePBX 16 that is restored on 17: the block stands in the middle, nothing else of ours is there.
    file = written(shell, names, "[before]\n" + BLOCK + "[behind]\n")
    before = file.read_bytes()
    done = do(shell, INSTALLED + "; printf '%s\\n' \"${{records[@]}}\"", names)
    assert (done.returncode, done.stdout) == (0, f"block\t-\t{file}\n")
    assert file.read_bytes() == before
    assert do(shell, f"begin_changes; {REMOVED}", names).returncode == 0
    assert file.read_bytes() == b"[before]\n[behind]\n"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (BLOCK.replace("\n", "\r\n") + "[behind]\r\n", "[behind]\r\n"),
        (BLOCK.replace("; freepbx-bx24 end\n", "") + "[behind]\n", "[behind]\n"),
        (BLOCK.replace("#tryinclude {ours}\n", "[between]\n"), "[between]\n"),
        (BLOCK.replace("; freepbx-bx24 end\n", "[mine]\n") + BLOCK + "[behind]\n", "[mine]\n[behind]\n"),
        (BLOCK + "[mine]\n" + BLOCK, "[mine]\n"),
    ],
    ids=["CRLF", "without the end", "edited between the marks", "half of one before another", "twice"],
)
def test_a_block_that_somebody_has_changed_takes_nothing_of_his_with_it(
    shell: Shell, names: dict[str, str], text: str, left: str
) -> None:
    file = written(shell, names, "[before]\n" + text)
    assert do(shell, f"begin_changes; {REMOVED}", names).returncode == 0
    assert file.read_bytes().decode() == "[before]\n" + left


def test_a_file_that_has_become_a_link_is_not_written_through(shell: Shell, names: dict[str, str]) -> None:
    other = shell.directory / "other"
    other.write_text(BLOCK.format(**names), encoding="utf-8")
    (shell.etc / names["file"]).symlink_to(other)
    done = do(shell, f"begin_changes; {REMOVED}", names)
    assert (done.returncode, "is no plain file any more" in done.stderr) == (1, True)
    assert other.read_text(encoding="utf-8") == BLOCK.format(**names)


TEMPLATES = {
    "a template gives its lines": ("[mine](!)\nexten => s,1,A()\n[x](mine)\nexten => t,1,B()\n", "s t"),
    "several, and theirs": ("[a](!)\nexten => 1,1,A()\n[b](!,a)\nexten => 2,1,A()\n[x](b, a)\n", "1 2"),
    "a template alone is no context": ("[x](!)\nexten => s,1,A()\n", ""),
    "a context may be one's template": ("[y]\nexten => s,1,A()\n[x](y)\n", "s"),
    "added to": ("[x]\nexten => 1,1,A()\n[x](+)\nexten => 2,1,A()\n", "1 2"),
    "one that takes from itself": ("[x](x)\nexten => 1,1,A()\n", "1"),
    "one that is nowhere": ("[x](nowhere)\nexten => 1,1,A()\n", "1"),
}


@pytest.mark.parametrize("shape", sorted(TEMPLATES))
def test_templates_give_a_context_its_extensions(shell: Shell, shape: str) -> None:
    text, names = TEMPLATES[shape]
    (shell.etc / "extensions_custom.conf").write_text(text, encoding="utf-8")
    assert shell.run("admin_lines x | extension_names").stdout.split() == names.split()
