"""The whole client against the sandbox portal: a local application, its tokens, batches, and a budget shared by all."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from freepbx_bx24.bitrix24 import batch, telephony
from freepbx_bx24.bitrix24.budget import Budget
from freepbx_bx24.bitrix24.client import Urgency
from freepbx_bx24.bitrix24.portal import open_portal
from freepbx_bx24.bitrix24.token_store import TokenStore
from freepbx_bx24.bitrix24.tokens import Tokens, fingerprint
from freepbx_bx24.errors import CallNotFound, LoginNeeded, PersonUnknown, PortalBusy, PortalWaits
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.settings import PortalSettings
from tests.support.in_time import TookTooLong

REGISTER, SHOW = telephony.REGISTER, telephony.SHOW


def registration(number):
    return {
        "USER_ID": 1101,
        "PHONE_NUMBER": f"+7916{number:07d}",
        "TYPE": 2,
        "SHOW": 0,
        "EXTERNAL_CALL_ID": f"pbx-{number}",
    }


def log_in(portal, state):
    """What `bx24 login` leaves behind."""
    grant = portal.issue_tokens()
    TokenStore(state).keep(
        Tokens(
            access_token=grant["access_token"],
            refresh_token=grant["refresh_token"],
            expires=float(grant["expires"]),
            lifetime=float(grant["expires_in"]),
            application=fingerprint(portal.application.client_id),
            client_endpoint=grant["client_endpoint"],
            server_endpoint=grant["server_endpoint"],
            member_id=grant["member_id"],
            user_id=int(grant["user_id"]),
            scope=tuple(grant["scope"].split(",")),
        )
    )


def settings(portal, **changes):
    application = {
        "webhook_url": "",
        "url": portal.url,
        "client_id": portal.application.client_id,
        "client_secret": portal.application.client_secret,
        "oauth_url": portal.oauth_url,
        "plan": "self-hosted",
        **changes,
    }
    return PortalSettings(**application)


@pytest.fixture
def application(portal, tmp_path):
    log_in(portal, tmp_path)
    with open_portal(settings(portal), tmp_path) as client:
        yield client


def refreshes(portal):
    return [row for row in portal.ledger()["oauth"] if row["grant_type"] == "refresh_token"]


def test_a_local_application_registers_calls_where_webhooks_may_not(portal, application):
    portal.switches.webhook_allowed_for_register = False
    assert application.call(REGISTER, registration(1), total_seconds=5).result["CALL_ID"]
    assert [request["auth"] for request in portal.ledger()["requests"]] == ["oauth"]


def test_two_hundred_registers_with_an_expired_token_cause_exactly_one_refresh(portal, application):
    portal.expire_tokens()
    with ThreadPoolExecutor(200) as threads:
        results = list(
            threads.map(lambda number: application.call(REGISTER, registration(number), total_seconds=30), range(200))
        )
    assert len({result.result["CALL_ID"] for result in results}) == 200
    assert len(portal.ledger()["calls"]) == 200
    assert [(row["status"], row["error"]) for row in refreshes(portal)] == [(200, None)]


def test_the_repeat_after_an_expired_token_counts_as_a_request_of_its_own(portal, application, monkeypatch):
    admitted = []
    admit = Budget.admit
    monkeypatch.setattr(Budget, "admit", lambda *given: (admitted.append(given[1]), admit(*given)))
    portal.expire_tokens()
    application.call("profile", {}, total_seconds=5)
    application.ask("profile", {}, total_seconds=5)
    assert [request["error"] for request in portal.ledger()["requests"]] == ["expired_token", None, None]
    assert len(admitted) == 3


def test_a_token_that_was_taken_back_stops_all_requests_until_somebody_logs_in_again(portal, application, tmp_path):
    portal.expire_tokens()
    portal.revoke_refresh_tokens()
    with pytest.raises(LoginNeeded) as caught:
        application.call("profile", {}, total_seconds=5)
    assert "bx24 login" in caught.value.hint
    sent = len(portal.ledger()["requests"]), len(portal.ledger()["oauth"])
    for _ in range(20):
        with pytest.raises(LoginNeeded):
            application.call("profile", {}, total_seconds=5)
    assert (len(portal.ledger()["requests"]), len(portal.ledger()["oauth"])) == sent
    log_in(portal, tmp_path)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            assert application.call("profile", {}, total_seconds=5).result
            break
        except LoginNeeded:
            time.sleep(0.05)
    else:
        pytest.fail("the new token was not noticed")


def test_a_batch_brings_each_command_its_own_answer_or_error(portal, application):
    commands = {
        "known": batch.command(REGISTER, registration(1)),
        "nobody": batch.command(REGISTER, {**registration(2), "USER_ID": 999999}),
        "card": batch.command(SHOW, {"CALL_ID": "externalCall.0.0", "USER_ID": [1101, 1102]}),
        "finish": batch.command(telephony.FINISH, {"CALL_ID": "externalCall.0.0", "USER_ID": 1101}),
    }
    answers = application.batch(commands, total_seconds=5)
    assert set(answers) == set(commands)
    assert telephony.parse_registered(answers["known"].result).call_id
    assert isinstance(answers["nobody"], PersonUnknown)
    assert answers["card"].result is False
    assert isinstance(answers["finish"], CallNotFound)
    assert [request["method"] for request in portal.ledger()["requests"]] == ["batch"]


def test_an_expired_token_costs_a_batch_nothing_and_no_command_runs_twice(portal, application):
    portal.expire_tokens()
    commands = {str(number): batch.command(REGISTER, registration(number)) for number in range(50)}
    answers = application.batch(commands, total_seconds=10)
    assert len({answer.result["CALL_ID"] for answer in answers.values()}) == 50
    assert len(portal.ledger()["calls"]) == 50
    assert len(refreshes(portal)) == 1


def test_where_the_limits_leave_no_room_those_who_wait_go_together_and_the_portal_refuses_nobody(tmp_path):
    with Portal() as portal:
        portal.switches.plan = "ordinary"
        log_in(portal, tmp_path)
        with open_portal(settings(portal, plan="ordinary"), tmp_path) as client, ThreadPoolExecutor(120) as threads:
            ask = lambda number: client.ask(REGISTER, registration(number), total_seconds=20)  # noqa: E731
            try:
                results = list(threads.map(ask, range(120)))
            except PortalBusy as error:  # on a busy machine what was let go one after the other may arrive at once
                raise TookTooLong("requests arrived faster than they were let go") from error
        assert len({result.result["CALL_ID"] for result in results}) == 120
        requests = portal.ledger()["requests"]
        assert {request["status"] for request in requests} == {200}
        assert len(requests) <= 50
        assert any(request["method"] == "batch" for request in requests)


def test_a_backlog_leaves_room_and_says_so_without_sending(tmp_path):
    with Portal() as portal:
        portal.switches.plan = "ordinary"
        log_in(portal, tmp_path)
        with open_portal(settings(portal, plan="ordinary"), tmp_path) as client:
            sent = 0
            with pytest.raises(PortalWaits):
                for _ in range(60):
                    client.call("profile", {}, total_seconds=5, urgency=Urgency.BACKLOG, wait_seconds=0)
                    sent += 1
            assert len(portal.ledger()["requests"]) == sent <= 25
            assert client.call("profile", {}, total_seconds=5, urgency=Urgency.REGISTER, wait_seconds=0).result


def test_another_process_or_client_of_this_machine_shares_the_budget(tmp_path):
    with Portal() as portal:
        portal.switches.plan = "ordinary"
        log_in(portal, tmp_path)
        clients = [open_portal(settings(portal, plan="ordinary"), tmp_path) for _ in range(3)]
        sent = 0
        with pytest.raises(PortalWaits):
            for number in range(200):
                clients[number % 3].call("profile", {}, total_seconds=5, wait_seconds=0)
                sent += 1
        assert sent <= 50
        assert {request["status"] for request in portal.ledger()["requests"]} == {200}


def test_a_renamed_portal_is_followed_and_the_way_is_remembered_by_the_next_process(portal, tmp_path):
    with Portal(webhook_secret="s3cret0") as old:
        old.credentials.webhooks[1] = portal.credentials.webhooks[1]
        old.switches.renamed_to = portal.url
        here = PortalSettings(webhook_url=old.webhook_url, plan="self-hosted")
        with open_portal(here, tmp_path) as client:
            assert client.call("profile", {}, total_seconds=5).result
            assert client.origin == portal.url
        with open_portal(here, tmp_path) as client:
            assert client.origin == portal.url
            assert client.call("profile", {}, total_seconds=5).result
        assert len(old.ledger()["requests"]) == 1
        assert "s3cret" not in (tmp_path / "moved.json").read_text()


def test_what_is_sent_by_many_threads_at_once_is_counted_once_each(portal, tmp_path):
    log_in(portal, tmp_path)
    with open_portal(settings(portal), tmp_path) as client:
        barrier = threading.Barrier(30)

        def send(_):
            barrier.wait(10)
            return client.call("profile", {}, total_seconds=10)

        with ThreadPoolExecutor(30) as threads:
            assert len(list(threads.map(send, range(30)))) == 30
    assert len(portal.ledger()["requests"]) == 30
