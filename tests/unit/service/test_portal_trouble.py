"""A portal that is deaf, slow or hostile: the caller's wait keeps its bound, and the call is told all the same."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Any, Callable

import pytest

from freepbx_bx24.sandbox.portal import Portal, Reply
from tests.support import awful_servers
from tests.support.agi_script import AgiRun
from tests.support.in_time import in_time
from tests.support.running_service import RunningService, wait_until

REGISTER = "telephony.externalcall.register"
FINISH = "telephony.externalcall.finish"
WAIT = 0.6
SLACK = 0.15  # the start of the interpreter, the last commands, the exit
ANSWERED = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "35"}
COMMAND = re.compile(r'GET FULL VARIABLE [^"]+|SET VARIABLE __BX24_[A-Z_]+ "[^"\n\\${}]*"')

AWFUL = {
    "deaf": ("http", lambda: awful_servers.serving(awful_servers.deaf)),
    "dripping": ("http", lambda: awful_servers.serving(awful_servers.dripping)),
    "refusing": ("http", awful_servers.refusing),
    "stalling in TLS": ("https", lambda: awful_servers.serving(awful_servers.stalling)),
}
# With the prefix that the guard's relay asks of a command, and without it.
HOSTILE = '"\nagi SET VARIABLE PWNED 1\nSET VARIABLE PWNED 1\n${SHELL(touch pwned)}\\"; \x1b[31m'


# -- how long a caller waits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("with_service", [True, False], ids=["with the service", "without the service"])
@pytest.mark.parametrize("habit", AWFUL)
def test_a_caller_waits_no_longer_than_was_allowed(
    service: RunningService, portal: Portal, habit: str, with_service: bool
) -> None:
    scheme, server = AWFUL[habit]
    awful: AbstractContextManager[str] = server()
    with awful as address:
        service.write_yaml(f"{scheme}://{address}/rest/1/0123456789abcdef/", wait=WAIT)
        if with_service:
            service.start()
        else:
            (service.directory / "run" / "agi.conf").write_text(f"wait_in={WAIT}\n")
        runs = [service.register(f"17900001{number}.77") for number in range(3)]
        assert {run.variables["BX24_STATUS"] for run in runs} == {"PENDING"}
        assert {run.exit_code for run in runs} == {0}
        in_time(median(run.seconds for run in runs), WAIT + SLACK)
        if with_service:
            in_time(service.register("1790000199.77").seconds, SLACK)
    assert "0123456789abcdef" not in service.log()
    service.write_yaml(portal.webhook_url)
    if with_service:
        service.signal(1)
    else:
        service.start()
    wait_until(lambda: len(service.calls()) == (4 if with_service else 3), 40, service.log)


def test_a_refusal_of_one_call_is_said_and_makes_no_other_caller_wait_less(
    portal: Portal, service: RunningService
) -> None:
    service.start()
    refusal = Reply(400, {"error": "", "error_description": "Unsupported phone number format"})
    portal.scripted_replies.add(REGISTER, refusal, times=100)  # also for those that are tried again meanwhile
    runs = [service.register(f"17900001{number}.77") for number in range(3)]
    portal.scripted_replies.clear()
    runs.append(service.register("179000013.77"))
    assert [run.variables["BX24_STATUS"] for run in runs] == ["FAILED"] * 3 + ["REGISTERED"]
    assert "Unsupported phone number format" in runs[0].variables["BX24_REASON"]


# -- what a hostile portal can do ----------------------------------------------------------------------------


def told(run: AgiRun) -> None:
    """Every command that reached Asterisk was one of ours, whole."""
    for command in run.commands:
        assert COMMAND.fullmatch(command), command
    assert "PWNED" not in run.variables
    assert run.exit_code == 0
    assert run.variables["BX24_STATUS"] in ("REGISTERED", "PENDING", "FAILED")


def with_changes(**changes: Any) -> Callable[[Reply], Reply]:
    """The portal has done its work; on its way back the answer is changed."""

    def alter(reply: Reply) -> Reply:
        reply.body["result"].update(changes)
        return reply

    return alter


@pytest.mark.parametrize(
    "script",
    [
        with_changes(CALL_ID=HOSTILE),
        with_changes(CALL_ID="x" * 10_000),
        with_changes(CALL_ID=["a"]),
        with_changes(CALL_ID="${SHELL(touch pwned)}"),
        with_changes(CRM_ENTITY_TYPE=HOSTILE),
        with_changes(CRM_ENTITY_TYPE="CONTACT", CRM_ENTITY_ID=HOSTILE),
        with_changes(CRM_CREATED_LEAD=HOSTILE),
        with_changes(LEAD_CREATION_ERROR=HOSTILE),
        Reply(400, {"error": "", "error_description": HOSTILE}),
        Reply(400, {"error": HOSTILE, "error_description": HOSTILE}),
        Reply(400, {"error": "", "error_description": "\ud800 " + HOSTILE * 1000}),
        Reply(400, {"error": "", "error_description": {"a": HOSTILE}}),
        Reply(200, {"result": HOSTILE}),
        Reply(200, {"result": [HOSTILE]}),
        Reply(200, HOSTILE.encode()),
        Reply(502, b"<html>" + HOSTILE.encode()),
    ],
)
def test_no_answer_of_the_portal_becomes_anything_but_text_and_the_call_is_settled(
    portal: Portal, service: RunningService, script: Any
) -> None:
    service.start()
    portal.scripted_replies.add(REGISTER, script)
    run = service.register()
    told(run)
    assert service.answers()
    service.finish(variables=ANSWERED)
    (call,) = service.wait_for_calls()
    assert (call["CALL_DURATION"], call["STATUS_CODE"]) == (35, "200")
    assert len(service.calls()) == 1
    assert "\x1b" not in service.log()
    assert not [line for line in service.log().splitlines() if line.startswith("SET VARIABLE")]
    assert not list(Path.cwd().glob("pwned")) + list(service.directory.rglob("pwned"))


def test_without_the_service_a_hostile_answer_is_text_just_the_same(portal: Portal, service: RunningService) -> None:
    portal.scripted_replies.add(REGISTER, Reply(400, {"error": "", "error_description": HOSTILE}))
    run = service.register()
    told(run)
    assert run.variables["BX24_STATUS"] == "FAILED"


def test_a_hostile_caller_is_text_as_well(service: RunningService) -> None:
    service.start()
    run = service.register(environment={"calleridname": HOSTILE, "callerid": "+79161234567" + HOSTILE})
    told(run)
    assert run.variables["BX24_STATUS"] == "REGISTERED"
    assert service.calls()[0]["PHONE_NUMBER"] == "+79161234567"


def test_a_portal_that_repeats_the_webhooks_secret_in_an_error_puts_it_into_no_log_and_no_variable(
    portal: Portal, service: RunningService
) -> None:
    service.start()
    secret = portal.webhook_url.split("/")[-2]
    portal.scripted_replies.add(REGISTER, Reply(400, {"error": secret, "error_description": portal.webhook_url}))
    run = service.register()
    assert run.variables["BX24_STATUS"] == "FAILED"
    assert secret not in "".join(run.commands)
    assert secret not in service.log()


# -- what is lost and found ----------------------------------------------------------------------------------


def test_a_finish_whose_answer_was_lost_is_not_told_twice(portal: Portal, service: RunningService) -> None:
    service.start()
    service.register()

    def lost(_: Reply) -> Reply:
        raise ConnectionError

    portal.scripted_replies.add(FINISH, lost)
    service.finish(variables=ANSWERED)
    wait_until(lambda: "1790000120.77: finished" in service.log(), 10, service.log)
    assert [call["state"] for call in service.calls()] == ["finished"]


def test_a_call_that_the_portal_forgot_is_registered_anew_and_finished(portal: Portal, service: RunningService) -> None:
    service.start()
    first = service.register().variables["BX24_CALL_ID"]
    portal.reset()
    service.finish(variables=ANSWERED)
    (call,) = service.wait_for_calls(seconds=20)
    assert call["CALL_ID"] != first
    assert call["CALL_DURATION"] == 35


def test_what_the_portal_always_refuses_is_parked_with_a_line_in_the_log_and_holds_up_no_other(
    portal: Portal, service: RunningService
) -> None:
    service.start()
    refusal = Reply(400, {"error": "", "error_description": "Unsupported phone number format"})
    portal.scripted_replies.add(REGISTER, refusal, times=8)
    assert service.register("1790000100.1").variables["BX24_STATUS"] == "FAILED"
    service.finish("1790000100.1")
    wait_until(lambda: "1790000100.1: register is parked for you to look at" in service.log(), 60, service.log)
    service.register("1790000101.1")
    service.finish("1790000101.1", variables=ANSWERED)
    service.wait_for_calls(1)
    assert [call["EXTERNAL_CALL_ID"] for call in service.calls()] == ["pbx-test-1790000101.1"]
