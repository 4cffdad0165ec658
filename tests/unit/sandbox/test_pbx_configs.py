"""The templates of the sandbox's Asterisk, filled in for both releases, and who its people are."""

from __future__ import annotations

import re

import pytest

from freepbx_bx24.sandbox.pbx import configs, people
from freepbx_bx24.sandbox.pbx.configs import Account, Settings

PHONES = [Account("101", "127.0.0.1:4000", "secret-1"), Account("99108", "", "secret-2")]
TRUNKS = [Account("city", "127.0.0.2:4001")]


def settings(major: int) -> Settings:
    return Settings(major, 5060, 5038, (16000, 16999), TRUNKS, PHONES)


@pytest.mark.parametrize(
    ("template", "by_macro", "by_gosub"),
    [
        ("@CALL(dial-one,15,Tt,101)@", "Macro(dial-one,15,Tt,101)", "Gosub(macro-dial-one,s,1(15,Tt,101))"),
        (
            "@CALL(dial,5,Tt@BLKVM@,1)@",
            "Macro(dial,5,TtM(auto-blkvm),1)",
            "Gosub(macro-dial,s,1(5,TtU(macro-auto-blkvm),1))",
        ),
        ("@RETURN@", "MacroExit()", "Return()"),
        ("@16  same => n,MacroExit()\nnext", " same => n,MacroExit()\nnext", "next"),
        ("@17 only there\nnext", "next", "only there\nnext"),
        ("a user@host is no place", "a user@host is no place", "a user@host is no place"),
    ],
)
def test_a_template_becomes_what_its_release_understands(template: str, by_macro: str, by_gosub: str) -> None:
    assert configs.render(template, settings(16)) == by_macro
    assert configs.render(template, settings(22)) == by_gosub


@pytest.mark.parametrize("major", [16, 22])
def test_no_place_of_any_template_is_left_open(major: int) -> None:
    for template in configs.TEMPLATES.glob("*.conf"):
        lines = configs.render(template.read_text(encoding="utf-8"), settings(major)).splitlines()
        assert not [line for line in lines if re.search(r"@[A-Z0-9_]+[@( ]", line) and not line.startswith(";")]


@pytest.mark.parametrize("major", [16, 22])
def test_every_context_that_is_called_or_gone_to_is_there(major: int) -> None:
    text = "\n".join(
        configs.render(template.read_text(encoding="utf-8"), settings(major))
        for template in configs.TEMPLATES.glob("extensions*.conf")
    )
    there = set(re.findall(r"^\[([\w-]+)\]", text, re.MULTILINE)) | {"parkedcalls"}
    macros = {f"macro-{name}" for name in re.findall(r"\bMacro\(([\w-]+)", text)}
    subroutines = set(re.findall(r"\bGosub\(([\w-]+),\S+?,1", text)) | set(re.findall(r"[bU]\(([\w-]+)\^", text))
    places = set(re.findall(r"\bGoto\(([a-z][\w-]+),[^,)]+,[\w-]+\)", text))
    included = {
        name for name in re.findall(r"^include => ([\w-]+)", text, re.MULTILINE) if not name.endswith("-custom")
    }
    assert len(macros) > 10 or major > 20
    assert len(subroutines) > 5
    assert (macros | subroutines | places | included) - there == set()


def test_a_phone_that_is_not_always_there_has_no_contact_until_it_registers() -> None:
    text = configs.render("@PHONES@", settings(22))
    assert "contact=sip:101@127.0.0.1:4000" in text
    assert text.count("contact=") == 1


def test_astdb_says_of_each_person_what_freepbx_says() -> None:
    rows = dict(people.rows())
    assert rows["/AMPUSER/138/device"] == "138&99138"
    assert rows["/DEVICE/99138/user"] == "138"
    assert rows["/DEVICE/139/type"] == "adhoc"
    assert rows["/AMPUSER/135/voicemail"] == "default"
    assert rows["/AMPUSER/134/voicemail"] == "novm"
    assert rows["/AMPUSER/136/followme/grplist"] == "136-131"
    assert rows["/CW/180"] == "ENABLED"
    assert "/AMPUSER/99138/device" not in rows


def test_each_extension_has_one_hint_with_all_telephones_of_its_person() -> None:
    lines = people.hints().splitlines()
    assert len(lines) == len(people.EXTENSIONS) == 80
    assert "exten => 108,hint,PJSIP/108&PJSIP/99108&Custom:DND108" in lines
    assert "exten => 109,hint,PJSIP/109&Custom:DND109" in lines
