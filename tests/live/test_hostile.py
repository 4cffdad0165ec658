"""Text from outside that would like to be a command: in a real call it changes nothing, and it would if we let it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import Any, Callable, Iterator

import pytest

from freepbx_bx24.sandbox.pbx.record import answer
from freepbx_bx24.sandbox.portal import Reply
from tests.support.running_service import wait_until

from .world import World

REGISTER = "telephony.externalCall.register"
DID = "74957770160"
INJECTION = 'x"\nSET VARIABLE PWNED 1\nSET VARIABLE __PWNED 1\n${SHELL(touch /tmp/pwned)}'
PWNED_FILE = "/tmp/pwned"

# What makes text harmless on its way into AGI commands, each switched off by a line of its own.
SWITCHED_OFF = """
import re
import freepbx_bx24.pbx.agi as agi
import freepbx_bx24.bitrix24.telephony as telephony
import freepbx_bx24.bitrix24.replies as replies
import freepbx_bx24.service.register as register
def as_it_came(value, *_):
    return str(value)
def relayed(command, *args):
    line = " ".join([command, *map(str, args)])
    return "".join("agi " + one + "\\n" for one in line.split("\\n"))
agi.harmless = register.harmless = telephony.harmless = replies.harmless = as_it_came
agi._relayed = relayed
telephony.is_call_id = lambda value: True
telephony._ENTITY_TYPE = re.compile(".*", re.DOTALL)
from freepbx_bx24.cli.main import main
raise SystemExit(main(["serve"]))
"""


def hostile_call_id(reply: Reply) -> Reply:
    reply.body["result"]["CALL_ID"] = INJECTION
    return reply


def hostile_entity(reply: Reply) -> Reply:
    reply.body["result"].update(CRM_ENTITY_TYPE=INJECTION, CRM_ENTITY_ID=42, CRM_CREATED_LEAD=INJECTION)
    return reply


def hostile_error(_: Reply) -> Reply:
    return Reply(400, {"error": INJECTION, "error_description": INJECTION})


REPLIES: dict[str, Callable[[Reply], Reply]] = {
    "CALL_ID": hostile_call_id,
    "CRM_ENTITY_TYPE": hostile_entity,
    "error_description": hostile_error,
}


@contextmanager
def answering(world: World, field: str) -> Iterator[None]:
    """Every register is answered like that: late ones of earlier calls use up answers too."""
    world.portal.scripted_replies.add(REGISTER, REPLIES[field], times=1000)
    try:
        yield
    finally:
        world.portal.scripted_replies.clear()


def call_and_look(world: World) -> str:
    """One real call to the extension whose dialplan logs what the AGI left behind; returns that line."""
    world.pbx.phone("160").behaviour = answer(0.2)
    before = len(world.asterisk_log())
    record = world.pbx.trunk.call(DID, world.new_number(), talk=0.8).wait()
    assert record.talk_seconds > 0.5
    return looked(world, before)


def looked(world: World, before: int) -> str:
    found: list[Any] = []
    wait_until(
        lambda: bool(
            found.append(re.findall(r"NOTICE.*hostile (pwned=.*)", world.asterisk_log()[before:])) or found[-1]
        ),
        15,
        world.explain,
    )
    return str(found[-1][-1])


def pwned_file_exists(world: World) -> bool:
    return world.pbx.root.run(["test", "-e", PWNED_FILE], check=False).returncode == 0


@pytest.mark.parametrize("field", REPLIES)
def test_a_portal_that_sends_commands_changes_nothing(world: World, field: str) -> None:
    with world.served(), answering(world, field):
        line = call_and_look(world)
    assert line.startswith("pwned= status="), line
    assert not pwned_file_exists(world)


@pytest.mark.parametrize("field", REPLIES)
def test_the_same_text_does_harm_where_it_is_not_made_harmless(world: World, field: str) -> None:
    with unprotected(world), answering(world, field):
        assert call_and_look(world).startswith("pwned=1 "), world.explain()


def test_a_caller_name_that_is_a_command_changes_nothing(world: World) -> None:
    world.pbx.phone("160").behaviour = answer(0.2, talk=0.5)
    before = len(world.asterisk_log())
    with world.served():
        world.originate("s", "hostile-name")
        line = looked(world, before)
        number = "+79161110190"
        world.finished(number)
    assert line == "pwned= status=REGISTERED"
    assert not pwned_file_exists(world)


def test_a_caller_name_from_the_wire_that_is_a_command_changes_nothing(world: World) -> None:
    world.pbx.phone("160").behaviour = answer(0.2)
    before = len(world.asterisk_log())
    number = world.new_number()
    with world.served():
        name = b'\\"%0aSET VARIABLE PWNED 1\\\\ ${SHELL(touch /tmp/pwned)}'
        assert world.pbx.trunk.call(DID, number, name, talk=0.8).wait().talk_seconds > 0.5
        assert looked(world, before) == "pwned= status=REGISTERED"
        world.finished(number)
    assert not pwned_file_exists(world)


@contextmanager
def unprotected(world: World) -> Iterator[None]:
    """The service with everything switched off that makes text harmless."""
    root = world.pbx.root
    service = root.popen(
        ["/opt/freepbx-bx24/venv/bin/python3", "-c", SWITCHED_OFF], user="asterisk", env={"BX24_TEST_TIME_SCALE": "1"}
    )
    try:
        wait_until(world.product.answers, 20, world.explain)
        yield
    finally:
        service.terminate()
        service.wait(20)
