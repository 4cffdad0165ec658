"""The recipe for a plain Asterisk does what it says: its very lines, taken out of the comment, register real calls."""

from __future__ import annotations

import re
from typing import Iterator, Sequence

import pytest

from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.sandbox.product import Product
from tests.install.pbx_machine import REPOSITORY, Machine
from tests.support.running_service import wait_until

DIALPLAN = "/etc/asterisk/extensions.conf"
TELEPHONES = "/etc/asterisk/pjsip.conf"
DID, CLIENT = "74957770101", "+79161234567"
# The names that the recipe has for telephones and trunk, as further names of the sandbox's own.
NAMES = """
[1001](sandbox-phone)
aors=101
[1002](sandbox-phone)
aors=102
[trunk](sandbox-trunk)
aors=city
"""


def recipe() -> tuple[Sequence[str], Sequence[str]]:
    """The lines of the comment in extensions_bx24.conf: those for calls that come in, those for calls that go out."""
    text = (REPOSITORY / "etc/extensions_bx24.conf").read_text("utf-8")
    section = re.search(r"^; -+ plain Asterisk.*?(?=^; ---|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section
    lines = [line[4:] for line in section[0].splitlines() if re.match(r";   +(exten|same) ", line)]
    first, second = (at for at, line in enumerate(lines) if line.startswith("exten"))
    assert first == 0 and "; outbound" in lines[second]
    return lines[:second], lines[second:]


@pytest.fixture
def plain(machine: Machine) -> Iterator[tuple[Machine, Portal]]:
    """A plain Asterisk with the product in it, its service running, and the recipe's lines in the admin's dialplan."""
    machine.removed()
    kept = {path: machine.text(path) for path in (DIALPLAN, TELEPHONES)}
    inbound, outbound = recipe()
    text = ["[general]", "[globals]", "[from-pstn]", *inbound, "[from-internal]", *outbound]
    machine.write(DIALPLAN, "\n".join(text) + "\n")
    machine.write(TELEPHONES, kept[TELEPHONES] + NAMES)
    machine.pbx.asterisk.restart()
    with Portal() as portal:
        answers = ("--country", "RU", "--default-person", "103", "--default-line", "+74957770000")
        done = machine.install("--webhook-url", "-", *answers, input=f"{portal.webhook_url}\n")
        assert done.returncode == 0, done.stderr
        assert "This is an Asterisk without FreePBX" in done.stdout
        product = Product(machine.pbx, portal, REPOSITORY)
        product.configure()
        product.start(BX24_TEST_TIME_SCALE="0.05")
        yield machine, portal
        product.stop()
    machine.removed()
    for path, content in kept.items():
        machine.write(path, content)
    machine.pbx.asterisk.restart()


def test_the_page_of_the_dialplan_has_the_recipe_of_the_comment() -> None:
    page = (REPOSITORY / "docs/dialplan.md").read_text("utf-8")
    block = re.search(r"## Plain Asterisk.*?```\n(.*?)```", page, re.DOTALL)
    inbound, outbound = recipe()
    assert block and block[1].splitlines() == [*inbound, *outbound]


def test_the_recipes_lines_register_a_call_that_comes_in_and_one_that_goes_out(plain: tuple[Machine, Portal]) -> None:
    machine, portal = plain
    assert machine.pbx.trunk.call(did=DID, number=CLIENT, talk=1.2).wait().final_status == 200
    machine.pbx.settle()
    assert machine.pbx.phone(102).call("84951234567", talk=1.2).wait().final_status == 200
    machine.pbx.settle()

    def finished() -> bool:
        return [call["state"] for call in portal.ledger()["calls"]] == ["finished"] * 2

    wait_until(finished, 20, lambda: str(portal.ledger()["calls"]) + machine.text("/var/log/asterisk/freepbx_bx24.log"))
    came, went = portal.ledger()["calls"]
    assert (came["TYPE"], came["PHONE_NUMBER"], came["LINE_NUMBER"]) == (2, CLIENT, f"+{DID}")
    assert (went["TYPE"], went["PHONE_NUMBER"]) == (1, "+74951234567")
    assert [call["STATUS_CODE"] for call in (came, went)] == ["200", "200"]
    # Who talked is what the manager interface showed: whoever of the two that rang, and the one who dialled.
    assert came["finished_by"] in (1101, 1102) and went["finished_by"] == 1102
    assert 1 <= came["CALL_DURATION"] <= 2 and 1 <= went["CALL_DURATION"] <= 2
