"""How requests reach a method of any portal, who is let in, the shape of the answers, and batch."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Any

import pytest
from portal_under_test import NO_EXTENSION, REGISTER, PortalUnderTest

NO_PERSON = "USER_ID or USER_PHONE_INNER should be set"
GET_LINES = "telephony.externalLine.get"
NUMBERS = {"start", "finish", "duration", "processing"}
OPERATING = {"operating", "operating_reset_at"}


@pytest.mark.parametrize("path", ["user.get", "user.get.json", "USER.Get"])
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_every_form_of_a_methods_name_reaches_it(portal_under_test: PortalUnderTest, path: str, verb: str) -> None:
    reply = portal_under_test.send(f"{path}?ID={portal_under_test.user}", verb=verb)
    assert [person["ID"] for person in reply.body["result"]] == [str(portal_under_test.user)]


def test_a_success_carries_result_and_time(portal_under_test: PortalUnderTest) -> None:
    reply = portal_under_test.post(GET_LINES)
    received = time.time()
    assert reply.content_type.replace(" ", "").lower() == "application/json;charset=utf-8"
    assert {"result", "time"} <= set(reply.body)
    numbers = {name for name, value in reply.body["time"].items() if isinstance(value, (int, float))}
    assert numbers >= NUMBERS
    assert numbers - NUMBERS <= OPERATING
    portal_under_test.note("operating", "yes" if numbers >= OPERATING else "no")
    for key in ("date_start", "date_finish"):
        assert datetime.fromisoformat(reply.body["time"][key]).tzinfo
    off = abs(round(reply.body["time"]["finish"] - received))
    portal_under_test.note("clock", off if off > 5 else "5 at most")
    assert off < 30  # a clock in the future prolongs the dedupe, one in the past hides missed calls


@pytest.mark.parametrize("path", ["no.such.method", "telephony.externalCall.nothing"])
def test_unknown_methods_are_not_found(portal_under_test: PortalUnderTest, path: str) -> None:
    assert portal_under_test.refusal(path) == (404, "ERROR_METHOD_NOT_FOUND", "Method not found!")


def test_a_wrong_secret_is_refused(portal_under_test: PortalUnderTest) -> None:
    refused = portal_under_test.refused(portal_under_test.without_key(f"rest/{portal_under_test.user}/wrong/user.get"))
    portal_under_test.note("auth status", refused.status)
    assert refused.status in (401, 403)
    assert refused[1:] == ("INVALID_CREDENTIALS", "Invalid request credentials")


def test_a_request_without_a_token_has_no_auth(portal_under_test: PortalUnderTest) -> None:
    refused = portal_under_test.refused(portal_under_test.without_key("rest/user.get"))
    assert refused == (401, "NO_AUTH_FOUND", "Wrong authorization data")


def test_an_unknown_token_is_refused_as_one_to_be_renewed(portal_under_test: PortalUnderTest) -> None:
    refused = portal_under_test.refused(portal_under_test.without_key("rest/user.get?auth=nonsense"))
    portal_under_test.note("unknown token", f"{refused.status} {refused.error}: {refused.description}")
    assert refused.error in ("invalid_token", "expired_token")


def test_json_form_and_multipart_bodies_mean_the_same(portal_under_test: PortalUnderTest) -> None:
    given = portal_under_test.call_parameters()
    bodies: list[dict[str, Any]] = [
        {"json": given},
        {"data": given},
        {"files": {key: (None, str(value)) for key, value in given.items()}},
        {"params": given},
    ]
    found = {portal_under_test.send(REGISTER, **body).body["result"]["CALL_ID"] for body in bodies}
    assert len(found) == 1  # the repeats were recognised as the same call


def test_the_body_wins_over_the_query(portal_under_test: PortalUnderTest) -> None:
    parameters = portal_under_test.call_parameters(TYPE=9)
    reply = portal_under_test.send(f"{REGISTER}?TYPE=2", json=parameters)
    assert portal_under_test.refused(reply).description == "Unknown TYPE"


def test_form_keys_with_brackets_become_lists_and_maps(portal_under_test: PortalUnderTest) -> None:
    form = {"FILTER[UF_PHONE_INNER][]": [portal_under_test.internal_number, NO_EXTENSION], "FILTER[ACTIVE]": "true"}
    reply = portal_under_test.send("user.get", data=form)
    assert [person["ID"] for person in reply.body["result"]] == [str(portal_under_test.user)]


@pytest.mark.parametrize("body, content_type", [(b"{broken", "application/json"), (b"{}", "text/plain")])
def test_a_body_that_is_not_what_its_type_says_is_silently_no_parameters(
    portal_under_test: PortalUnderTest, body: bytes, content_type: str
) -> None:
    reply = portal_under_test.send(REGISTER, data=body, headers={"Content-Type": content_type})
    assert portal_under_test.refused(reply).description == NO_PERSON


def test_telephony_parameter_names_count_exactly(portal_under_test: PortalUnderTest) -> None:
    lower = {key.lower(): value for key, value in portal_under_test.call_parameters().items()}
    assert portal_under_test.telephony_refusal(REGISTER, **lower) == NO_PERSON


# -- batch ---------------------------------------------------------------------------------------------------------


def test_batch_files_each_answer_under_its_key(portal_under_test: PortalUnderTest) -> None:
    phone = portal_under_test.phone.lstrip("+")
    result = portal_under_test.result(
        "batch",
        halt=0,
        cmd={
            "who": f"user.get?ID={portal_under_test.user}",
            "lines": GET_LINES,
            "bad": f"telephony.externalCall.finish?USER_ID={portal_under_test.user}",
            "none": "no.such",
            "inner": "batch",
            "file": "upload",
            "call": f"{REGISTER}?USER_ID=$result[who][0][ID]&PHONE_NUMBER=%2B{phone}&TYPE=2&SHOW=0",
        },
    )
    portal_under_test.opened(result["result"].get("call", {}))
    assert set(result["result"]) == {"who", "lines", "call"}
    assert re.fullmatch(r"[\w.:-]{1,255}", result["result"]["call"]["CALL_ID"])
    errors = {key: (error["error"], error["error_description"]) for key, error in result["result_error"].items()}
    assert errors == {
        "bad": ("INVALID_ARGUMENT", "CALL_ID must be a string"),
        "none": ("ERROR_METHOD_NOT_FOUND", "Method not found!"),
        "inner": ("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage"),
        "file": ("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage"),
    }
    assert result["result_total"] == {"who": 1}
    assert result["result_next"] == []
    assert set(result["result_time"]) == {"who", "lines", "call"}


def test_batch_halts_at_the_first_error_when_asked(portal_under_test: PortalUnderTest) -> None:
    result = portal_under_test.result("batch", HALT=1, CMD={"a": "no.such", "b": GET_LINES})
    assert result["result"] == []
    assert list(result["result_error"]) == ["a"]


def test_batch_takes_fifty_commands_and_refuses_the_rest(portal_under_test: PortalUnderTest) -> None:
    cheap = f"user.get?ID={portal_under_test.user}"
    result = portal_under_test.result("batch", cmd={f"c{number}": cheap for number in range(51)})
    assert set(result["result"]) == {f"c{number}" for number in range(50)}
    assert result["result_error"]["c50"]["error"] == "ERROR_BATCH_LENGTH_EXCEEDED"
