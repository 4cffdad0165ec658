"""install.sh beside an admin's own dialplan: what he has defined stays his, and he is told the lines to merge."""

from __future__ import annotations

from typing import Iterator

import pytest

from tests.install.pbx_machine import Machine, differences

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
    assert (merged.returncode, merged.stderr) == (0, "")
    machine.write("/etc/asterisk/extensions_mine.conf", mine.replace("Gosub(bx24-out,s,1)", "NoOp(mine)"))
    machine.write(CUSTOM, machine.text(CUSTOM).replace("s,1,Gosub(bx24-in,s,1(s))\n same => n,", "s,1,"))
    assert machine.install("--uninstall").returncode == 0
    assert not differences(before, machine.tree())


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
