"""The AMI user who may dial: there only while clicks or callbacks are on, with no other right, its secret kept."""

from __future__ import annotations

import re
from typing import Iterator

import pytest

from tests.install.pbx_machine import Machine

OURS = "/etc/asterisk/manager_bx24_clicks.conf"
YAML = "/etc/freepbx_bx24.yaml"
WEBHOOK = "/etc/freepbx_bx24.webhook"
SETTINGS = f"""portal: {{webhook_file: {WEBHOOK}}}
country: RU
default_person: 101
pbx_id: pbx-1
clicks: {{enabled: %s}}
callbacks: {{target: %s}}
"""


@pytest.fixture
def plain(new_machine: Machine) -> Iterator[Machine]:
    """The machine with the product, its YAML whole."""
    new_machine.installed()
    new_machine.shell(
        f"echo http://127.0.0.1:9/rest/1/S3cretS3cret/ >{WEBHOOK}; chown root:asterisk {WEBHOOK}; chmod 640 {WEBHOOK}"
    )
    yield new_machine
    new_machine.removed()
    new_machine.shell(f"rm -f {WEBHOOK} {YAML}")


def settle(machine: Machine, clicks: str, target: str) -> str:
    """Write the YAML, and run install.sh once more; returns what it said."""
    machine.root.outside(YAML).write_text(SETTINGS % (clicks, target), encoding="utf-8")
    machine.shell(f"chown root:asterisk {YAML}; chmod 640 {YAML}")
    done = machine.install()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def users(machine: Machine) -> list[str]:
    return [line for line in machine.pbx.asterisk.rx("manager show users").split() if line.startswith("bx24")]


def test_the_user_who_may_dial_is_there_only_while_something_may_be_dialled(plain: Machine) -> None:
    settle(plain, "no", "off")
    assert (users(plain), plain.exists(OURS)) == (["bx24"], False)
    assert "The user [bx24-clicks] may dial" in settle(plain, "yes", "off")
    assert sorted(users(plain)) == ["bx24", "bx24-clicks"]
    shown = plain.pbx.asterisk.rx("manager show user bx24-clicks")
    assert re.search(r"write perm: originate\n", shown) and re.search(r"read perm: call\n", shown)
    assert plain.owner_and_mode(OURS) == plain.owner_and_mode("/etc/asterisk/manager_bx24.conf")
    secret = re.search(r"^secret = ([0-9a-f]{48})$", plain.text(OURS), re.MULTILINE)
    assert secret
    settle(plain, "no", "600")
    assert secret[1] in plain.text(OURS)
    assert secret[1] not in plain.text("/etc/asterisk/manager_bx24.conf")
    settle(plain, "no", "off")
    assert (users(plain), plain.exists(OURS)) == (["bx24"], False)
