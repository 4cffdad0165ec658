"""What is read from Asterisk's console: pieces of what Asterisk 16 and 22 with FreePBX's dialplan have printed."""

from __future__ import annotations

from typing import Callable

import pytest

from freepbx_bx24.pbx.freepbx import Member, Shown

SAID = {
    "core show version": "Asterisk 22.10.1 built by nobody @ buildd.debian.org on a unknown\n",
    "core show settings": """
* Directories
  -------------
  Configuration file:          /etc/asterisk/asterisk.conf
  AGI Scripts directory:       /usr/share/asterisk/agi-bin
""",
    "core show channels count": "0 active channels\n0 active calls\n12 calls processed\n",
    "core show uptime seconds": "System uptime: 42\nLast reload: 42\n",
    "database show AMPUSER": """\
/AMPUSER/101/cidname                              : Extension 101
/AMPUSER/101/device                               : 101
/AMPUSER/102/device                               : 102&991102
/AMPUSER/none/device                              :
4 results found.
""",
    "queue show": """\
700 has 0 calls (max unlimited) in 'ringall' strategy (0s holdtime, 0s talktime), W:0, C:0, A:0, SL:0.0%
   Members:
      Extension 103 (Local/103@from-queue/n from hint:103@ext-local) \x1b[0m (\x1b[1;32;40mNot in use\x1b[0m)
      PJSIP/104 (ringinuse disabled) (dynamic) (Not in use) has taken no calls yet
      Night shift (PJSIP/105) (ringinuse disabled) (Invalid) has taken no calls yet
      Mobile (Local/89160000001@from-internal/n) (Not in use)
   No Callers

701 has 0 calls (max unlimited) in 'ringall' strategy (0s holdtime, 0s talktime)
   No Members
   No Callers
""",
    "dialplan show ext-did-0001": """\
[ Context 'ext-did-0001' created by 'pbx_config' ]
  '74957770101' (CID match '8916') => 1. Set(__FROM_DID=${EXTEN})   [extensions_additional.conf:46]
                    2. Goto(ivr-1,s,1)                            [extensions_additional.conf:47]
  Include =>        'ext-did-0001-custom'                         [pbx_config]
""",
    "dialplan show ext-did-0002": """\
[ Context 'ext-did-0002' created by 'pbx_config' ]
  '_7495777010X' => 1. Set(__FROM_DID=${EXTEN})                   [extensions_additional.conf:57]
  's' =>            1. Set(__FROM_DID=${EXTEN})                   [extensions_additional.conf:57]
""",
    "dialplan show globals": """\
   OUT_3_SUFFIX=
   OUT_3=AMP:IAX2/office/$OUTNUM$
   OUTDISABLE_2=on
   OUT_2_SUFFIX=@reserve
   OUT_2=PJSIP
   OUT_1_SUFFIX=@city
   OUT_1=PJSIP

    -- 7 variable(s)
""",
    "pjsip show endpoint city": " connected_line_method         : invite\n context                       : from-pstn\n",
    "pjsip show endpoint reserve": "Unable to find object reserve.\n",
    "dialplan show outbound-allroutes": """\
[ Context 'outbound-allroutes' created by 'pbx_config' ]
  Include =>        'outbound-allroutes-custom'                   [pbx_config]
  Include =>        'outrt-2'                                     [pbx_config]
""",
    "dialplan show outrt-2": "  '_8.' =>          1. Macro(dialout-trunk,1,${EXTEN},,off)\n",
    "manager show users": "\nusername\n--------\nadmin\nbx24\n-------------------\n2 manager users configured.\n",
}


@pytest.mark.parametrize(
    "read, wanted",
    [
        (Shown.version, "22.10.1"),
        (Shown.agi_folder, "/usr/share/asterisk/agi-bin"),
        (Shown.calls_since_start, (12, 42.0)),
        (Shown.extensions, ["101", "102"]),
        (Shown.queue_members, [Member("700", "103"), Member("700", "104"), Member("700", "105")]),
        (Shown.dids, ["74957770101", "_7495777010X", "s"]),
        (Shown.trunks, {"city": "from-pstn", "reserve": ""}),
        (Shown.outbound_routes, {"outrt-2": SAID["dialplan show outrt-2"]}),
        (Shown.manager_users, ["admin", "bx24"]),
    ],
)
def test_what_a_pbx_has(read: Callable[[Shown], object], wanted: object) -> None:
    assert read(Shown(SAID.__getitem__)) == wanted


@pytest.mark.parametrize("said", ["", "No such command\n", "There is no existence of that context\n", "\x1b[0m\n" * 9])
def test_of_an_asterisk_that_says_nothing_of_use_nothing_is_known(said: str) -> None:
    shown = Shown(lambda command: said)
    assert (shown.version(), shown.agi_folder(), shown.calls_since_start()) == ("", "", (0, 0.0))
    assert not any((shown.extensions(), shown.queue_members(), shown.dids(), shown.trunks(), shown.outbound_routes()))
