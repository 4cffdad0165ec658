"""`bx24 why`: the whole story of a call, for whoever misses it in the CRM."""

from __future__ import annotations

import re
import time
from pathlib import Path

from freepbx_bx24.sandbox.portal import Portal
from tests.support.agi_script import intake
from tests.support.looking import ANSWERED, FINISH, MISSED, REFUSAL, REGISTER, Person
from tests.support.running_service import RunningService, wait_until


def flat(out: str) -> str:
    """The text without its line breaks."""
    return " ".join(out.split())


def whats(call: dict) -> list[str]:
    return [line["what"] for line in call["story"]]


def test_an_answered_call_is_told_from_its_beginning_to_what_the_crm_has(
    service: RunningService, person: Person
) -> None:
    service.start()
    wait_until((service.directory / "state" / "directory.json").exists, 10, service.log)  # who is who is known
    now = int(time.time())
    run = service.register(f"{now}.1", environment={"callerid": "84951234567"})
    service.finish(f"{now}.1", variables=ANSWERED)
    call = person.waits_for(f"{now}.1", "finished")
    assert whats(call) == ["came", "register", "dialplan", "hung up", "finish"]
    told = flat(person.types("why", "+74951234567"))
    assert f"Call {now}.1 from +74951234567" in told
    assert "rule line +74957770101 (Sales) by the number called, 74957770101; person 102, the line's;" in told
    assert "a lead for an unknown client: create.in" in told
    assert "inbound from 84951234567 to 74957770101 through trunk trunk" in told
    call_id = run.variables["BX24_CALL_ID"]
    assert re.search(rf"register live, alone, [0-9]+ ms: registered as {re.escape(call_id)} for user 1102", told)
    assert re.search(r"BX24_STATUS=REGISTERED, BX24_CALL_ID=\S+; the caller waited [0-9]+ ms", told)
    by_variables = "told by the channel's variables)"
    assert f"answered by 101 (DIALEDPEERNUMBER), for 101, 35 s (DIALSTATUS=ANSWER, code 200; {by_variables}" in told
    assert re.search(r"finish late, alone, [0-9]+ ms: finished", told)
    assert told.endswith("Nothing is owed to the CRM.")


def test_a_missed_call_says_why_nobody_talked(service: RunningService, person: Person) -> None:
    service.start()
    now = int(time.time())
    service.register(f"{now}.1")
    service.finish(f"{now}.1", variables=MISSED)
    person.waits_for(f"{now}.1", "finished")
    told = flat(person.types("why", f"{now}.1"))
    assert "outcome missed (code 304): not answered" in told
    known_by = "(DIALSTATUS=NOANSWER, code 304; told by the channel's variables)"
    assert f"nobody talked {known_by}; reason for the CRM: not answered" in told


def test_during_an_outage_it_says_what_is_owed_and_when_it_is_tried_next(
    service: RunningService, portal: Portal, person: Person
) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    service.start()
    now = int(time.time())
    portal.stop()
    assert service.register(f"{now}.1").variables["BX24_STATUS"] == "PENDING"
    service.finish(f"{now}.1", variables=ANSWERED)
    wait_until(lambda: "put off" in whats(person.asks("why", f"{now}.1")["call"]), 20, service.log)
    call = person.asks("why", f"{now}.1")["call"]
    assert call["state"] == "ended"
    assert [(item["kind"], item["state"]) for item in call["owed"]] == [("register", "due"), ("finish", "due")]
    told = flat(person.types("why", f"{now}.1"))
    assert re.search(r"#[0-9]+ register: (next try [0-9:]{8}|its turn has come) \(tried [1-9]", told)
    assert re.search(r"#[0-9]+ finish: as soon as the call is registered \(not tried yet\)", told)
    assert "BX24_STATUS=PENDING" in told
    assert re.search(r"put off register until [0-9-]+ [0-9:]{8}: ", told)
    assert re.search(r"register owed, since [0-9:]{5}", person.types("calls", "--since", "2h"))


def test_one_that_the_portal_refuses_is_told_with_each_refusal_and_what_to_type(
    service: RunningService, portal: Portal, person: Person
) -> None:
    service.start()
    now = int(time.time())
    portal.scripted_replies.add(REGISTER, REFUSAL, times=8)
    service.register(f"{now}.1")
    service.finish(f"{now}.1", variables=MISSED)
    call = person.waits_for(f"{now}.1", "parked")
    assert whats(call).count("register") == 8
    assert "parked" in whats(call)
    told = flat(person.types("why", f"{now}.1"))
    assert "BX24_STATUS=FAILED (the portal refused: Unsupported phone number format)" in told
    (register, finish) = call["owed"]
    assert f"#{register['id']} register: parked, waits for you: `bx24 outbox retry {register['id']}`, or drop" in told
    assert register["last_error"] == "the portal refused: Unsupported phone number format"


def test_a_finish_that_had_to_be_looked_up_says_so(service: RunningService, portal: Portal, person: Person) -> None:
    service.start()
    now = int(time.time())
    service.register(f"{now}.1")

    def lost(_: object) -> object:
        raise ConnectionError

    portal.scripted_replies.add(FINISH, lost)
    service.finish(f"{now}.1", variables=ANSWERED)
    call = person.waits_for(f"{now}.1", "finished")
    assert "looked up" in whats(call)
    assert "the portal has its end already" in flat(person.types("why", f"{now}.1"))


def test_calls_that_went_in_one_request_say_how_many(service: RunningService, portal: Portal, person: Person) -> None:
    service.start()
    now = int(time.time())
    port = int(portal.url.rsplit(":", 1)[1])
    portal.stop()
    for number in range(5):
        service.register(f"{now}.{number}", environment={"callerid": f"8495123000{number}"})
        service.finish(f"{now}.{number}", variables=ANSWERED)
    with Portal(port=port, webhook_secret=portal.webhook_url.split("/")[-2]) as again:
        service.portal = again
        service.wait_for_calls(5, seconds=30)
        calls = [person.waits_for(f"{now}.{number}", "finished") for number in range(5)]
    details = [line["detail"] for call in calls for line in call["story"] if line["what"] in ("register", "finish")]
    assert any(re.match(r"late, in a batch of [2-9][0-9]*, [0-9]+ ms: finished", text) for text in details), details


def test_several_calls_of_a_number_are_the_newest_in_full_and_the_others_a_line_each(
    service: RunningService, person: Person
) -> None:
    service.start()
    now = int(time.time())
    for number in (1, 2, 3):
        service.register(f"{now}.{number}", environment={"callerid": "84951234567"})
        service.finish(f"{now}.{number}", variables=MISSED)
        person.waits_for(f"{now}.{number}", "finished")
    answer = person.asks("why", "84951234567")
    assert answer["call"]["uniqueid"] == f"{now}.3"
    assert [call["uniqueid"] for call in answer["others"]] == [f"{now}.2", f"{now}.1"]
    out = person.types("why", "8 495 123-45-67")
    assert out.startswith(f"Call {now}.3 from")
    others = out[out.index("Other calls of this number") :].splitlines()
    assert [line.split()[-1] for line in others[2:]] == [f"{now}.2", f"{now}.1"]


def test_a_call_that_was_left_out_says_why_also_after_a_restart(service: RunningService, person: Person) -> None:
    service.yaml.write_text(service.yaml.read_text() + "skip: {numbers: ['+79160000001']}\n")
    service.start()
    now = int(time.time())
    assert service.register(f"{now}.1", environment={"callerid": "89160000001"}).variables["BX24_STATUS"] == "SKIPPED"
    said = f"+79160000001 ({now}.1) was left out: the number is excluded in the configuration"
    assert said in flat(person.types("why", "8 916 000-00-01"))
    service.stop()
    assert said in flat(person.types("why", f"{now}.1"))
    service.start()
    assert person.asks("why", f"{now}.1")["left_out"][0]["why"] == "the number is excluded in the configuration"


def test_a_call_of_a_time_without_the_service_says_who_told_the_crm(service: RunningService, person: Person) -> None:
    now = int(time.time())
    service.register(f"{now}.1", environment={"callerid": "84951234567"})
    service.finish(f"{now}.1", variables=ANSWERED)
    service.wait_for_calls()
    service.start()
    wait_until(lambda: intake(service.directory, 0.1) == [], 5, service.log)
    told = flat(person.types("why", f"{now}.1"))
    assert "without the service: registered as" in told
    assert "without the service: code 200, 35 s, finished" in told
    assert "by the number called" in told


def test_what_is_not_known_ends_with_1_and_says_what_that_means(service: RunningService, person: Person) -> None:
    service.start()
    out = person.types("why", "+74950000000", code=1)
    assert "Nothing is known of +74950000000" in out
    assert person.asks("why", "1.1", code=1)["call"] is None
    person.types("why", "\x1b[2J'; DROP TABLE calls; --", code=1)


def test_no_secret_is_in_a_story_whatever_the_portal_says(
    service: RunningService, portal: Portal, person: Person
) -> None:
    service.start()
    now = int(time.time())
    secret = portal.webhook_url.split("/")[-2]
    refusal = type(REFUSAL)(400, {"error": secret, "error_description": portal.webhook_url})
    portal.scripted_replies.add(REGISTER, refusal, times=8)
    service.register(f"{now}.1")
    person.waits_for(f"{now}.1", "parked")
    for arguments in (("why", f"{now}.1"), ("outbox", "list"), ("calls", "--since", "2h")):
        assert secret not in person.types(*arguments)
    service.stop()
    assert secret.encode() not in b"".join(
        path.read_bytes() for path in Path(service.directory / "state").glob("journal*")
    )


def test_the_json_has_the_documented_keys(service: RunningService, person: Person) -> None:
    service.start()
    now = int(time.time())
    service.register(f"{now}.1")
    service.finish(f"{now}.1", variables=ANSWERED)
    person.waits_for(f"{now}.1", "finished")
    answer = person.asks("why", f"{now}.1")
    assert set(answer) == {"service", "call", "others", "left_out", "more"}
    assert set(answer["call"]["story"][0]) == {"at", "what", "detail"}
    document = (Path(__file__).parents[3] / "docs" / "commands.md").read_text(encoding="utf-8")
    for key in (*answer, *answer["call"], *answer["call"]["story"][0]):
        assert f"`{key}`" in document, key
