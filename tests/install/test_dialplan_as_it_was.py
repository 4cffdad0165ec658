"""After install and uninstall Asterisk's loaded dialplan is what it was, word by word."""

from __future__ import annotations

from typing import Iterator, Sequence

import pytest

from tests.install.pbx_machine import Machine

FILES = ("/etc/asterisk/extensions.conf", "/etc/asterisk/extensions_custom.conf")
PLAIN = """[general]
[globals]
[from-trunk]
exten => _X!,1,Dial(${PJSIP_DIAL_CONTACTS(101)},20)
exten => _+X!,1,Goto(${EXTEN:1},1)
[from-internal]
exten => _8X.,1,Dial(PJSIP/${EXTEN}@city,20)
"""
# What an admin may have at the places of our hooks, and in contexts of our names.
ADMINS = """
[from-pstn]
exten => 555,1,Goto(from-did-direct,101,1)
include => mine
[mine]
exten => 42,hint,Custom:mine
exten => 42,1,Busy()
[bx24-emergency]
exten => 9112,1,NoOp()
"""


def contexts(machine: Machine) -> Sequence[str]:
    """The whole of `dialplan show`, context by context, sorted.

    The order is the one thing that is not compared: each reload of Asterisk 16 and 22 turns it about, also without any
    change of a file (measured). So does the first reload after the start rename the registrar of `parkedcalls` from
    res_parking/default to res_parking, and so one goes before.
    """
    shown = machine.pbx.asterisk.rx("dialplan show")
    return sorted(shown.strip().split("\n\n"))


@pytest.fixture(params=["FreePBX", "an admin's own beside FreePBX", "plain"])
def shaped(request: pytest.FixtureRequest, machine: Machine) -> Iterator[Machine]:
    machine.removed()
    kept = {path: machine.text(path) for path in FILES}
    if request.param == "plain":
        machine.write(FILES[0], PLAIN)
    elif request.param != "FreePBX":
        machine.write(FILES[1], kept[FILES[1]] + ADMINS)
    machine.pbx.asterisk.reload_dialplan()
    yield machine
    machine.removed()
    for path, text in kept.items():
        machine.write(path, text)
    machine.pbx.asterisk.reload_dialplan()


def test_dialplan_show_says_the_same_before_install_and_after_uninstall(shaped: Machine) -> None:
    before = contexts(shaped)
    done = shaped.install()
    assert done.returncode == 0, done.stderr
    between = contexts(shaped)
    assert any("AGI(bx24_register.py" in context for context in between)
    gone = shaped.install("--uninstall")
    assert gone.returncode == 0, gone.stderr
    assert contexts(shaped) == before
