"""install.sh beside an admin's own dialplan: what he has defined stays his, and he is told the lines to merge."""

from __future__ import annotations

import re
from typing import Iterator, NamedTuple, Sequence

import pytest

from tests.install.pbx_machine import KEPT, Machine, differences

CUSTOM = "/etc/asterisk/extensions_custom.conf"
OURS = "/etc/asterisk/extensions_bx24.conf"
OWN_OUTBOUND = "\n[macro-dialout-trunk-predial-hook]\nexten => s,1,NoOp(mine)\n same => n,%s\n"
OWN_INBOUND = "\n[from-pstn]\nexten => s,1,Goto(ext-did,s,1)\nexten => 555,1,Goto(from-did-direct,101,1)\n"
OWN_INCLUDE = "include => my-own\n[my-own]\nexten => 42,1,Busy()\n"
PLAIN = """[general]
[globals]
[from-pstn]
; the name is only by chance FreePBX's
include => lines
[lines]
exten => _X!,1,Dial(${PJSIP_DIAL_CONTACTS(101)},20)
[phones]
exten => _8X.,1,Dial(PJSIP/${EXTEN}@city,20)"""


@pytest.fixture
def machine(new_machine: Machine) -> Iterator[Machine]:
    new_machine.removed()
    files = {path: new_machine.text(path) for path in (CUSTOM, "/etc/asterisk/extensions.conf")}
    yield new_machine
    new_machine.removed()
    new_machine.shell("rm -f /etc/asterisk/extensions_mine.conf")
    for path, text in files.items():
        new_machine.write(path, text)
    new_machine.pbx.asterisk.reload_dialplan()


def test_own_hooks_stay_and_the_lines_to_merge_are_told_until_they_are_there(machine: Machine) -> None:
    machine.root.outside("/etc/asterisk/extensions_mine.conf").write_text(OWN_OUTBOUND % "Return()", encoding="utf-8")
    machine.shell("chown asterisk: /etc/asterisk/extensions_mine.conf")
    machine.write(CUSTOM, machine.text(CUSTOM) + OWN_INBOUND + OWN_INCLUDE + "#include extensions_mine.conf\n")
    machine.pbx.asterisk.reload_dialplan()
    before = machine.tree()
    done = machine.install()
    assert done.returncode == 0, done.stderr
    assert "exten => s,1,Gosub(bx24-out,s,1)" in done.stderr
    assert "exten => s,1,Gosub(bx24-in,s,1(${EXTEN}))" in done.stderr
    assert "exten => 555,1,Gosub(bx24-in,s,1(${EXTEN}))" in done.stderr
    outbound = machine.pbx.asterisk.rx("dialplan show macro-dialout-trunk-predial-hook")
    assert "NoOp(mine)" in outbound and "bx24-out" not in outbound
    inbound = machine.pbx.asterisk.rx("dialplan show s@from-pstn")
    assert "Goto(ext-did,s,1)" in inbound and "Goto(bx24-pstn,s,1)" not in inbound
    # The other ways in are hooked, and lead on to all that this PBX has there.
    assert "'my-own'" in machine.pbx.asterisk.rx("dialplan show bx24-pstn")
    assert "Goto(bx24-pstn" in machine.pbx.asterisk.rx("dialplan show 74957770101@from-pstn")
    assert "Nothing to change" in machine.install().stdout

    mine = machine.text("/etc/asterisk/extensions_mine.conf").replace("NoOp(mine)", "Gosub(bx24-out,s,1)")
    machine.write("/etc/asterisk/extensions_mine.conf", mine)
    machine.write(
        CUSTOM, machine.text(CUSTOM).replace("s,1,Goto(ext", "s,1,Gosub(bx24-in,s,1(s))\n same => n,Goto(ext")
    )
    merged = machine.install()
    assert merged.returncode == 0
    assert len(merged.stderr.splitlines()) == 3 and "you have an extension 555 of your own" in merged.stderr
    machine.write("/etc/asterisk/extensions_mine.conf", mine.replace("Gosub(bx24-out,s,1)", "NoOp(mine)"))
    machine.write(CUSTOM, machine.text(CUSTOM).replace("s,1,Gosub(bx24-in,s,1(s))\n same => n,", "s,1,"))
    assert machine.install("--uninstall").returncode == 0
    assert not differences(before, machine.tree())


HOOK = "macro-dialout-trunk-predial-hook"
OVERRIDE = "/etc/asterisk/extensions_override_freepbx.conf"
OUTBOUND = "exten => s,1,Gosub(bx24-out,s,1)"


class Shape(NamedTuple):
    """What an admin has: `text` of `file`, with his steps in `context`.

    :ivar told: the lines that he is to merge; none: nothing is in his way. :ivar merged: his text when he has done so.
    """

    text: str
    told: Sequence[str] = ()
    merged: str = ""
    context: str = HOOK
    file: str = CUSTOM


SHAPES = {
    "another hook": Shape(
        "[macro-dialout-dundi-predial-hook]\nexten => s,1,NoOp(mine)\n same => n,Return()\n",
        context="macro-dialout-dundi-predial-hook",
    ),
    "an include": Shape(
        f"[{HOOK}]\ninclude => my-hook\n[my-hook]\nexten => s,1(top),NoOp(mine)\n same => n,Return()\n",
        (OUTBOUND, " same => n(top),NoOp(mine)"),
        f"[{HOOK}]\ninclude => my-hook\n[my-hook]\n{OUTBOUND}\n same => n(top),NoOp(mine)\n same => n,Return()\n",
        "my-hook",
    ),
    "an include of what is nowhere": Shape(
        f"[{HOOK}]\ninclude => my-hook\n", (OUTBOUND, " same => n,ExecIf($[${LEN(${MACRO_CONTEXT})} = 0]?Return())")
    ),
    "same alone, which Asterisk does not take": Shape(f"[{HOOK}]\n same => n,NoOp(mine)\n"),
    "line ends of another system": Shape(
        f"[{HOOK}]\r\nexten => s,1,NoOp(mine)\r\n same => n,Return()\r\n", (OUTBOUND, " same => n,NoOp(mine)")
    ),
    "comments": Shape(
        f"[{HOOK}] ; Gosub(bx24-out,s,1)\n;exten => s,1,Gosub(bx24-out,s,1)\n"
        ";-- exten => s,1,Gosub(bx24-out,s,1)\nexten => s,1,Gosub(bx24-out,s,1)\n[elsewhere]\n--;\n"
        "exten = s,1,NoOp(mine\\;2) ; Gosub(bx24-out,s,1)\n same => n,Return() ;;\n",
        (OUTBOUND, " same => n,NoOp(mine\\;2)"),
    ),
    "comments alone": Shape(f";[{HOOK}]\n;exten => s,1,NoOp(mine)\n;--\n[{HOOK}]\nexten => s,1,NoOp(it)\n--;\n"),
    "written twice": Shape(
        f"[{HOOK}]\nexten => s,1,NoOp(mine)\n[other]\nexten => 1,1,NoOp()\n[{HOOK}]\nexten => s,2,Return()\n",
        (OUTBOUND, " same => n,NoOp(mine)", "(and the steps after it, which have numbers, each one number higher)"),
        f"[{HOOK}]\n{OUTBOUND}\n same => n,NoOp(mine)\n[other]\nexten => 1,1,NoOp()\n[{HOOK}]\nexten => s,3,Return()\n",
    ),
    "in the file of replacements": Shape(
        f"[{HOOK}]\nexten => s,1,NoOp(mine)\n same => n,Return()\n",
        (OUTBOUND, " same => n,NoOp(mine)"),
        f"[{HOOK}]\n{OUTBOUND}\n same => n,NoOp(mine)\n same => n,Return()\n",
        file=OVERRIDE,
    ),
    "by a template": Shape(
        f"[mine](!)\nexten => s,1,NoOp(mine)\n same => n,Return()\n[{HOOK}](mine)\n",
        (OUTBOUND, " same => n,NoOp(mine)"),
        f"[mine](!)\n{OUTBOUND}\n same => n,NoOp(mine)\n same => n,Return()\n[{HOOK}](mine)\n",
    ),
    "with a plus": Shape(
        "[from-pstn]\nexten => 555,1,NoOp(mine)\n[from-pstn](+)\nexten => s/123,1,NoOp(his)\n same => n,Hangup()\n",
        (
            "exten => 555,1,Gosub(bx24-in,s,1(${EXTEN}))",
            " same => n,NoOp(mine)",
            "exten => s/123,1,Gosub(bx24-in,s,1(${EXTEN}))",
            " same => n,NoOp(his)",
        ),
        context="from-pstn",
    ),
    "a pattern wider than ours": Shape(
        "[from-pstn]\nexten => _[+*a-z0-9].,1,NoOp(mine)\n same => n,Goto(from-did-direct,101,1)\n",
        ("exten => _[+*a-z0-9].,1,Gosub(bx24-in,s,1(${EXTEN}))", " same => n,NoOp(mine)"),
        "[from-pstn]\nexten => _[+*a-z0-9].,1,Gosub(bx24-in,s,1(${EXTEN}))\n same => n,NoOp(mine)\n"
        " same => n,Goto(from-did-direct,101,1)\n",
        "from-pstn",
    ),
}


@pytest.fixture
def admins(machine: Machine) -> Iterator[Machine]:
    """The machine, whose file of replacements is as it was afterwards."""
    if not machine.exists(KEPT):  # what is kept for all tests is kept before an admin has written anything
        machine.installed()
        machine.removed()
    kept = machine.text(OVERRIDE)
    yield machine
    machine.write(OVERRIDE, kept)


def put_before(machine: Machine, shape: Shape, text: str, rest: str) -> None:
    """Make the file the admin's text and what else was in it, every byte as it is given."""
    machine.root.outside(shape.file).write_bytes((text + rest).encode())
    machine.pbx.asterisk.reload_dialplan()


def steps(machine: Machine, context: str) -> Sequence[str]:
    """The loaded steps of a context, each with where it stands; nothing where no such context is loaded."""
    shown = machine.root.run(["asterisk", "-rx", f"dialplan show {context}"], check=False).stdout
    return [line for line in shown.splitlines() if re.search(r" \d+\. ", line)]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_an_admin_has_stays_and_is_told_whatever_its_shape(admins: Machine, shape: Shape) -> None:
    machine = admins
    put_before(machine, shape, shape.text, machine.text(shape.file))
    before = steps(machine, shape.context)
    machine.installed()  # with the file as it was before the admin wrote there
    rest = machine.text(shape.file).replace(shape.text, "")
    put_before(machine, shape, shape.text, rest)
    done = machine.install()
    assert done.returncode == 0, done.stderr
    assert [line[2:] for line in done.stderr.splitlines() if line.startswith("  ")] == list(shape.told)
    after = steps(machine, shape.context)
    if shape.told:  # his are there, in their places, and nothing of ours is mixed with them
        assert [step for step in after if "bx24" not in step] == before
        assert shape.context == "from-pstn" or after == before
    else:
        hooked = "Gosub(bx24-out" in "".join(steps(machine, HOOK))
        assert hooked and (shape.context == HOOK or after == before)
    ways_in = "".join(steps(machine, "74957770101@from-pstn"))
    assert ("bx24" in ways_in) is ("_[+*a-z0-9]." not in shape.text)
    assert "Nothing to change" in machine.install().stdout
    if shape.merged:
        put_before(machine, shape, shape.merged, rest)
        done = machine.install()
        assert (done.returncode, done.stderr) == (0, "")
        assert "Gosub(bx24-" in steps(machine, shape.context)[0]


def test_without_a_running_asterisk_the_ways_on_are_read_from_the_files(admins: Machine) -> None:
    machine = admins
    machine.installed()
    text = "[from-pstn]\ninclude => first\nswitch => Realtime/dids@extensions\ninclude => ext-did ; again\n"
    put_before(machine, Shape(text), text, machine.text(CUSTOM))
    machine.pbx.asterisk.stop()
    try:
        assert machine.install().returncode == 0
        offline = machine.text(OURS)
    finally:
        machine.pbx.asterisk.start()
    mirror = offline[offline.index("[bx24-pstn]") :].split("\n\n")[0].splitlines()
    assert [line for line in mirror[1:] if not line.startswith(";")] == [
        "switch => Realtime/dids@extensions",
        "include => first",
        "include => ext-did",
        "include => from-pstn-custom",
        "include => ext-did-post-custom",
        "include => from-did-direct",
        "include => ext-did-catchall",
    ]
    # What Asterisk has loaded by now is the same, so nothing is left to change.
    assert "Nothing to change" in machine.install().stdout


def test_numbers_of_emergency_routes_are_in_the_list_and_a_run_without_asterisk_keeps_them(admins: Machine) -> None:
    machine = admins
    machine.installed()
    assert "EMERGENCYROUTE" not in machine.text(OURS)[machine.text(OURS).index("[bx24-emergency]") :]
    routes = """[outrt-1]
exten => 01099,1,NoOp(user-callerid)
 same => n,Set(_ROUTEID=1)
 same => n(here),Set(EMERGENCYROUTE=YES)
exten => _9[1-3]X,1,Set(__EMERGENCYROUTE=YES)
exten => 7112/101,1,Set(EMERGENCYROUTE=YES)
exten => 999,1,Set(EMERGENCYROUTE=YES)
exten => 8880,1,Set(EMERGENCYROUTE=YES)
exten => _X.,1,Set(EMERGENCYROUTE=YES)
exten => 84951234567,1,Set(EMERGENCYROUTE=YES)
exten => 5555,1,NoOp(Set EMERGENCYROUTE=YES)
[elsewhere]
exten => 6666,1,Set(EMERGENCYROUTE=YES)
[bx24-emergency]
exten => 8880,1,NoOp()
"""
    put_before(machine, Shape(routes), routes, machine.text(CUSTOM))
    assert machine.install().returncode == 0
    found = machine.text(OURS)
    part = found[found.index("; The emergency routes of this PBX") :].split("\n\n")[0].splitlines()[2:]
    assert part == ["exten => 01099,1,NoOp()", "exten => 7112,1,NoOp()", "exten => _9[1-3]X,1,NoOp()"]
    assert "'01099'" in machine.pbx.asterisk.rx("dialplan show bx24-emergency")
    assert "Nothing to change" in machine.install().stdout
    machine.pbx.asterisk.stop()
    try:
        assert "Nothing to change" in machine.install().stdout
    finally:
        machine.pbx.asterisk.start()
    machine.write(CUSTOM, machine.text(CUSTOM).replace(routes, ""))
    machine.pbx.asterisk.reload_dialplan()
    assert machine.install().returncode == 0
    assert "01099" not in machine.text(OURS)


def test_on_a_plain_asterisk_only_the_subroutines_are_added_and_the_recipe_is_told(machine: Machine) -> None:
    # Without FreePBX the admin's file has no last line end here, on purpose.
    machine.write("/etc/asterisk/extensions.conf", PLAIN)
    machine.pbx.asterisk.reload_dialplan()
    before = machine.tree()
    done = machine.install()
    assert done.returncode == 0, done.stderr
    assert "add Gosub(bx24-in,...) and Gosub(bx24-out,...)" in done.stdout
    assert machine.text("/etc/asterisk/extensions.conf").startswith(f"{PLAIN}\n; freepbx-bx24 begin")
    assert "bx24" not in machine.pbx.asterisk.rx("dialplan show from-pstn")
    assert "AGI(bx24_register.py,out" in machine.pbx.asterisk.rx("dialplan show bx24-out")
    assert "[from-pstn]" not in machine.text(OURS) and "[bx24-pstn]" not in machine.text(OURS)
    assert "Nothing to change" in machine.install().stdout
    assert machine.install("--uninstall").returncode == 0
    assert not differences(before, machine.tree())


def test_a_link_by_which_the_asterisk_user_points_to_anothers_file_is_not_followed(machine: Machine) -> None:
    custom = machine.text(CUSTOM)
    machine.shell(f"rm {CUSTOM} && ln -s /etc/passwd {CUSTOM} && chown -h asterisk: {CUSTOM}")
    before = machine.tree()
    try:
        done = machine.install()
        assert (done.returncode, "whose owner is another" in done.stderr) == (3, True)
        assert not differences(before, machine.tree())
    finally:
        machine.shell(f"rm {CUSTOM} && install -o asterisk -g asterisk -m 0640 /dev/null {CUSTOM}")
        machine.write(CUSTOM, custom)
