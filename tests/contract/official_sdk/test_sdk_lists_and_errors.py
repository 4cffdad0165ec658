"""The official SDK's lists, batches and errors at the sandbox portal: pages it turns, and refusals it knows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Callable

import pytest
from b24pysdk import BitrixTokenLocal, BitrixWebhook, errors
from b24pysdk.client import BaseClient
from b24pysdk.constants.user import UserType
from portal_client import PHONE

from freepbx_bx24.sandbox.portal import Portal

REGISTER = "telephony.externalCall.register"
TRANSCRIPTION = "telephony.call.attachTranscription"


# -- lists ---------------------------------------------------------------------------------------------------------


def test_it_finds_the_person_of_an_extension_as_its_own_type(client: BaseClient) -> None:
    (person,) = client.user.get(filter={"UF_PHONE_INNER": "101", "ACTIVE": True}).values
    assert (person.bitrix_id, person.uf_phone_inner, person.active) == (1101, "101", True)
    assert (person.name, person.personal_mobile, person.user_type) == ("Anton", "+7 916 000-01-01", UserType.EMPLOYEE)


def test_it_turns_the_pages_of_the_people(portal: Portal, client: BaseClient) -> None:
    first = client.user.get().response
    assert (len(first.result), first.total, first.next) == (50, 100, 50)
    people = client.user.get().as_list().values
    assert [person.bitrix_id for person in people] == [person.user_id for person in portal.world.employees]
    assert {person.bitrix_id for person in people if not person.active} == {1198}
    assert len(client.user.get(filter={"ACTIVE": True}).as_list(limit=60).values) == 60


def test_it_registers_and_finishes_many_calls_in_batches_and_turns_the_pages_of_the_statistics(
    portal: Portal, client: BaseClient
) -> None:
    calls, commands = client.telephony.external_call, {}
    for number in range(60):
        made = calls.register(PHONE, 2, user_id=1101 + number, show=0, external_call_id=f"pbx-{number}")
        commands[f"register{number}"] = made
        commands[f"finish{number}"] = calls.finish(
            f"$result[register{number}][CALL_ID]", user_id=1101 + number, duration=number
        )
    done = client.call_batches(commands).result
    assert not done.result_error
    assert done.result["finish59"]["CALL_DURATION"] == 59
    methods = [request["method"] for request in portal.ledger()["requests"]]
    assert methods == ["batch"] * 3

    statistics = client.voximplant.statistic.get(sort="ID", order="DESC")
    first = statistics.response
    assert (len(first.result), first.total, first.next) == (50, 60, 50)
    rows = statistics.as_list().result
    assert [row["EXTERNAL_CALL_ID"] for row in rows] == [f"pbx-{number}" for number in reversed(range(60))]
    long_ones = client.voximplant.statistic.get(filter={">CALL_DURATION": 56})
    assert [row["CALL_DURATION"] for row in long_ones.result] == ["57", "58", "59"]


# -- a batch -------------------------------------------------------------------------------------------------------


def test_each_command_of_a_batch_has_its_own_result_error_total_and_time(client: BaseClient) -> None:
    batch = client.call_batch(
        {
            "me": client.profile(),
            "people": client.user.get(),
            "line": client.telephony.external_line.add(""),
            "lines": client.telephony.external_line.get(),
        }
    ).result
    assert set(batch.result) == set(batch.result_time) == {"me", "people", "lines"}
    assert batch.result_error == {"line": {"error": "", "error_description": "NUMBER should not be empty"}}
    assert (batch.result_total, batch.result_next) == ({"people": 100}, {"people": 50})
    assert batch.result_time["me"].date_start.utcoffset() == timedelta(hours=3)


def test_a_batch_that_halts_does_not_go_past_its_first_error(client: BaseClient) -> None:
    commands = [client.profile(), client.telephony.external_line.add(""), client.profile()]
    batch = client.call_batch(commands, halt=True).result
    assert len(batch.result) == 1
    assert batch.result_error == {"1": {"error": "", "error_description": "NUMBER should not be empty"}}


# -- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, parameters, error, description",
    [
        (REGISTER, {"TYPE": 2, "PHONE_NUMBER": PHONE}, "", "USER_ID or USER_PHONE_INNER should be set"),
        (REGISTER, {"USER_ID": 1101, "TYPE": 9, "PHONE_NUMBER": PHONE}, "", "Unknown TYPE"),
        (REGISTER, {"USER_ID": 1101, "TYPE": 2, "PHONE_NUMBER": "none"}, "", "Unsupported phone number format"),
        (REGISTER, {"USER_ID": 1198, "TYPE": 2, "PHONE_NUMBER": PHONE}, "", "User is not found or is not active"),
        (
            "telephony.externalCall.finish",
            {"USER_ID": 1101},
            "INVALID_ARGUMENT",
            "CALL_ID must be a string",
        ),
        (
            "telephony.externalCall.finish",
            {"USER_ID": 1101, "CALL_ID": "externalCall.0.1"},
            "",
            "Call is not found (call should be registered prior to finishing",
        ),
        (TRANSCRIPTION, {"MESSAGES": []}, "", "CALL_ID should be set"),
        (TRANSCRIPTION, {"CALL_ID": "externalCall.0.1", "MESSAGES": "hello"}, "", "MESSAGES should be an array"),
    ],
)
def test_wrong_parameters_are_its_bad_request(
    token: BitrixTokenLocal, method: str, parameters: dict[str, Any], error: str, description: str
) -> None:
    with pytest.raises(errors.BitrixAPIBadRequest) as refused:
        token.call_method(method, parameters)
    assert (refused.value.error, refused.value.error_description) == (error, description)
    assert refused.value.response.status_code == 400


def _no_telephony(portal: Portal) -> None:
    portal.credentials.webhook_scopes = frozenset({"user"})


def _other_secret(portal: Portal) -> None:
    portal.credentials.webhooks[1] = "changed0changed1"


def _no_webhooks(portal: Portal) -> None:
    portal.switches.webhook_allowed_for_register = False


def _deleted(portal: Portal) -> None:
    portal.switches.portal_deleted = True


def _used_up(portal: Portal) -> None:
    portal.switches.operating_limit_seconds, portal.switches.method_seconds = -1.0, {REGISTER: 9.0}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "trouble, raised",
    [
        (_no_telephony, errors.BitrixAPIInsufficientScope),
        (_other_secret, errors.BitrixAPIInvalidCredentials),
        (_no_webhooks, errors.BitrixAPIWrongAuthType),
        (_deleted, errors.BitrixAPIPortalDeleted),
        (_used_up, errors.BitrixAPIOperationTimeLimit),
    ],
)
def test_each_system_error_is_one_that_it_knows_whichever_status_it_comes_with(
    portal: Portal, webhook: BitrixWebhook, trouble: Callable[[Portal], None], raised: type[Exception], status: int
) -> None:
    portal.switches.auth_error_status = status
    trouble(portal)
    with pytest.raises(raised):
        webhook.get_client().telephony.external_call.register(PHONE, 2, user_id=1101).call()


def test_an_application_without_the_scope_is_refused(portal: Portal, token: BitrixTokenLocal) -> None:
    portal.application.scopes = frozenset({"user"})
    token.refresh_and_set_oauth_token()
    client = token.get_client()
    with pytest.raises(errors.BitrixAPIInsufficientScope):
        client.telephony.external_line.get().call()
    assert client.user.get().response.total == 100


def test_unknown_tokens_and_methods_are_errors_that_it_knows(token: BitrixTokenLocal) -> None:
    with pytest.raises(errors.BitrixAPINotFound) as unknown:
        token.call_method("telephony.externalCall.unknown")
    assert unknown.value.error == "ERROR_METHOD_NOT_FOUND"
    token.auth_token = "0" * 32
    with pytest.raises(errors.BitrixAPIInvalidToken):
        token.call_method("profile")


def test_too_many_requests_are_its_error_or_are_waited_for(portal: Portal, webhook: BitrixWebhook) -> None:
    portal.switches.plan = "ordinary"
    hasty = webhook.get_client(max_retries=1)
    with pytest.raises(errors.BitrixAPIQueryLimitExceeded) as refused:
        for _ in range(80):
            hasty.profile().call()
    assert (refused.value.response.status_code, refused.value.error_description) == (503, "Too many requests")
    refusals = len(portal.ledger()["requests"])
    patient = webhook.get_client(max_retries=3, initial_retry_delay=0.05, retry_delay_increment=0.6)
    for _ in range(2):
        assert patient.profile().value.bitrix_id == 1
    statuses = [request["status"] for request in portal.ledger()["requests"][refusals:]]
    assert 503 in statuses and statuses.count(200) == 2
