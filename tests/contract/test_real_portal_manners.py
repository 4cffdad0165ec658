"""Manners of the tests at a real portal: settings, secrets, pace, a look before the first call, a tidy end."""

from __future__ import annotations

import re
import time

import pytest
from open_questions import LONGEST_ANSWER, QUESTIONS, Answers
from portal_client import PHONE
from portal_under_test import PortalUnderTest, trouble_with
from real_portal import PACE_SECONDS, Secret, access_by_webhook, real_portal
from rest_door import Pace

from freepbx_bx24.sandbox.portal import Portal, Reply

# -- settings ------------------------------------------------------------------------------------------------------

GOOD = {
    "BX24_TEST_PORTAL": "https://p.example/rest/1/s3cret/",
    "BX24_TEST_USER": "1101",
    "BX24_TEST_PHONE": PHONE,
}


def test_a_webhook_is_read_from_the_environment() -> None:
    found = real_portal(GOOD)
    assert found
    assert (found.access.host, found.user, found.phone, found.may_create) == ("p.example", 1101, PHONE, False)
    assert found.access.rest.reveal() == "https://p.example/rest/1/s3cret/"
    assert found.access.token is None


@pytest.mark.parametrize("address", ["https://p.example", "https://p.example/", "https://p.example/rest/"])
def test_an_application_is_a_host_and_a_token(address: str) -> None:
    found = real_portal({**GOOD, "BX24_TEST_PORTAL": address, "BX24_TEST_TOKEN": "t0ken", "BX24_TEST_CREATE": "1"})
    assert found
    assert found.access.token
    assert (found.access.rest.reveal(), found.access.token.reveal()) == ("https://p.example/rest/", "t0ken")
    assert found.may_create


@pytest.mark.parametrize(
    "given, name",
    [
        ({"BX24_TEST_PORTAL": "https://p.example/"}, "BX24_TEST_PORTAL"),
        ({"BX24_TEST_PORTAL": "http://p.example/rest/1/s3cret/"}, "BX24_TEST_PORTAL"),
        ({"BX24_TEST_PORTAL": "https://u:s3cret@p.example/rest/1/s3cret/"}, "BX24_TEST_PORTAL"),
        ({"BX24_TEST_PORTAL": "p.example/rest/1/s3cret/"}, "BX24_TEST_PORTAL"),
        ({"BX24_TEST_TOKEN": "t0ken"}, "BX24_TEST_PORTAL"),
        ({"BX24_TEST_PORTAL": "https://p.example", "BX24_TEST_TOKEN": "t0ken ü"}, "BX24_TEST_PORTAL"),
        ({"BX24_TEST_PORTAL": "https://p.example/rest/1/s3crét/"}, "BX24_TEST_PORTAL"),
        ({"BX24_TEST_USER": ""}, "BX24_TEST_USER"),
        ({"BX24_TEST_USER": "0"}, "BX24_TEST_USER"),
        ({"BX24_TEST_USER": "s3cret"}, "BX24_TEST_USER"),
        ({"BX24_TEST_PHONE": ""}, "BX24_TEST_PHONE"),
        ({"BX24_TEST_PHONE": "101"}, "BX24_TEST_PHONE"),
        ({"BX24_TEST_CREATE": "yes"}, "BX24_TEST_CREATE"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(given: dict[str, str], name: str) -> None:
    with pytest.raises(pytest.UsageError) as refused:
        real_portal({**GOOD, **given})
    assert str(refused.value).startswith(name)
    assert "docs/real-portal.md" in str(refused.value)
    for key in ("s3cret", "t0ken"):
        assert key not in str(refused.value)


def test_a_secret_shows_only_to_who_asks() -> None:
    secret = Secret("s3cret")
    assert {repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{[secret]}"} == {"<secret>", "[<secret>]"}
    assert "s3cret" not in repr(real_portal(GOOD))
    assert secret.reveal() == "s3cret"
    assert secret.tampered().reveal() == "s3cre0"


# -- manners -------------------------------------------------------------------------------------------------------


def test_a_real_portal_gets_two_requests_a_second_at_most(portal: Portal) -> None:
    assert PACE_SECONDS == 0.5
    paced = PortalUnderTest(
        "real", access_by_webhook(portal.webhook_url), 1101, PHONE, pace=Pace(PACE_SECONDS), answers=Answers()
    )
    for _ in range(3):
        paced.post("telephony.externalLine.get")
    arrived = [request["arrived"] for request in portal.ledger()["requests"]]
    assert len(arrived) == 3
    assert arrived[-1] - arrived[0] > 0.8  # two gaps of half a second, whatever the machine is busy with


def test_only_a_portal_on_this_machine_is_not_paced() -> None:
    for address, is_local in (
        ("http://127.0.0.1:8024/rest/1/x/", True),
        ("http://localhost:8024/rest/1/x/", True),
        ("https://p.example/rest/1/x/", False),
        ("https://localhost.p.example/rest/1/x/", False),
    ):
        assert access_by_webhook(address).is_local is is_local


@pytest.mark.parametrize(
    "user, phone, told",
    [
        (1101, PHONE, ""),
        (1198, PHONE, "BX24_TEST_USER 1198 is not an active user there"),
        (5555, PHONE, "BX24_TEST_USER 5555 is not an active user there"),
        (1101, "+74951234567", "BX24_TEST_PHONE is somebody's number there, or clients can't be searched"),
    ],
)
def test_user_and_number_are_looked_at_before_any_call_is_made(
    portal: Portal, user: int, phone: str, told: str
) -> None:
    asked = PortalUnderTest("real", access_by_webhook(portal.webhook_url), user, phone, answers=Answers())
    assert trouble_with(asked) == told
    assert portal.ledger()["calls"] == []


def test_created_clients_are_deleted_again_after_their_calls_are_finished(portal: Portal) -> None:
    portal.switches.lead_mode = False
    for kind in ("contact", "deal"):
        portal.scripted_replies.add(f"crm.{kind}.delete", Reply(200, {"result": True}))
    asked = PortalUnderTest("real", access_by_webhook(portal.webhook_url), 1101, PHONE, answers=Answers())
    created = {row["ENTITY_TYPE"]: row["ENTITY_ID"] for row in asked.register(CRM_CREATE=1)["CRM_CREATED_ENTITIES"]}
    asked.clean()
    assert asked.left_behind == []
    undone = [(request["method"], request["parameters"]) for request in portal.ledger()["requests"][1:]]
    assert [method for method, _ in undone] == [
        "telephony.externalcall.finish",
        "crm.deal.delete",
        "crm.contact.delete",
    ]
    assert [parameters for _, parameters in undone[1:]] == [{"id": created["DEAL"]}, {"id": created["CONTACT"]}]


def test_what_can_not_be_cleaned_is_told_also_when_the_portal_is_gone(portal: Portal) -> None:
    asked = PortalUnderTest("real", access_by_webhook(portal.webhook_url), 1101, PHONE, answers=Answers())
    call_id = asked.register(CRM_CREATE=1)["CALL_ID"]
    portal.stop()
    with pytest.raises(pytest.fail.Exception):
        asked.clean()
    assert asked.left_behind == [f"open call {call_id}", "LEAD 32"]


def test_a_request_refused_for_the_rate_is_sent_again(portal: Portal) -> None:
    refusal = {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"}
    portal.scripted_replies.add("user.get", Reply(503, refusal))
    asked = PortalUnderTest("real", access_by_webhook(portal.webhook_url), 1101, PHONE, answers=Answers())
    began = time.monotonic()
    assert asked.post("user.get").status == 200
    assert time.monotonic() - began >= 1
    assert [request["status"] for request in portal.ledger()["requests"]] == [503, 200]


def test_answers_are_one_harmless_line_each_and_differences_are_marked() -> None:
    answers = Answers()
    answers.note("second finish", "sandbox", "400")
    answers.note("second finish", "real", "\x1b[31m400\n" + "x" * 200)
    answers.note("clock", "real", 7)
    table = list(answers.table("p.example"))
    place = table.index(QUESTIONS["second finish"])
    assert table[place + 1] == "    sandbox     400"
    assert re.fullmatch(r" <> this portal \?\??31m400 x+\.\.\.", table[place + 2])
    assert len(table[place + 2]) <= 16 + LONGEST_ANSWER
    place = table.index(QUESTIONS["clock"])
    assert table[place + 1 : place + 3] == ["    sandbox     not asked", "    this portal 7"]
    assert "p.example" in table[-1]
    with pytest.raises(KeyError):
        answers.note("nobody asked this", "real", 1)
