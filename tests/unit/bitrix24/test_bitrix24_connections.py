"""Connections are kept warm, shared by threads, and never used after they were cut or have grown cold."""

from __future__ import annotations

import json
import pathlib
import random
import threading
import time

import pytest
import requests

from freepbx_bx24.bitrix24 import connections
from freepbx_bx24.bitrix24.client import webhook_client
from freepbx_bx24.bitrix24.connections import Deadline, WatchedAdapter
from freepbx_bx24.errors import PortalBroken, PortalError, PortalTimeout

GOOD = b'{"result": true}'


def test_calls_in_a_row_share_one_connection(raw_portal, patient):
    portal = raw_portal(patient)
    with webhook_client(portal.webhook_url) as client:
        for turn in range(20):
            assert client.call("echo", {"turn": turn}, total_seconds=2).result == {"turn": turn}
    assert portal.connections == 1


def test_tls_connections_are_kept_warm_too(raw_portal, patient, server_tls, certificate):
    portal = raw_portal(patient, tls=server_tls)
    with webhook_client(portal.webhook_url, ca_bundle=str(certificate[0])) as client:
        for turn in range(5):
            assert client.call("echo", {"turn": turn}, total_seconds=2).result == {"turn": turn}
    assert portal.connections == 1


def test_a_request_leaves_in_one_piece(raw_portal, reply, server_tls, certificate):
    pieces = []  # what TLS was handed at once arrives at once; TCP would join pieces, or not

    def behave(portal, connection, number):
        for _ in range(3):
            pieces.append(connection.recv(65536))
            connection.sendall(reply(GOOD))

    portal = raw_portal(behave, tls=server_tls)
    with webhook_client(portal.webhook_url, ca_bundle=str(certificate[0])) as client:
        for turn in range(3):
            client.call("echo", {"turn": turn}, total_seconds=5)
    assert [piece.partition(b"\r\n\r\n")[2] for piece in pieces] == [b'{"turn": %d}' % turn for turn in range(3)]


def test_threads_share_the_client_and_each_gets_its_own_answers(raw_portal, patient):
    portal = raw_portal(patient)
    wrong = []

    def caller(who):
        for turn in range(25):
            asked = {"who": who, "turn": turn}
            if client.call("echo", asked, total_seconds=10).result != asked:
                wrong.append(asked)

    with webhook_client(portal.webhook_url) as client:
        threads = [threading.Thread(target=caller, args=(who,)) for who in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert len(portal.requests) == 200
    assert portal.connections <= 8


def test_an_idle_connection_that_the_portal_closed_is_replaced_before_anything_is_sent(raw_portal, reply):
    def behave(portal, connection, number):
        portal.read_request(connection)
        connection.sendall(reply(GOOD))

    portal = raw_portal(behave)
    with webhook_client(portal.webhook_url) as client:
        for _ in range(3):
            client.call("profile", {}, total_seconds=2)
            time.sleep(0.1)
    assert portal.connections == len(portal.requests) == 3


def test_a_connection_that_was_idle_for_long_is_not_trusted(raw_portal, patient, monkeypatch):
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.1)
    portal = raw_portal(patient)
    with webhook_client(portal.webhook_url) as client:
        client.call("profile", {}, total_seconds=2)
        client.call("profile", {}, total_seconds=2)
        assert portal.connections == 1
        time.sleep(0.15)
        client.call("profile", {}, total_seconds=2)
    assert portal.connections == 2


def test_a_warm_connection_that_breaks_after_the_request_is_ambiguous_and_never_tried_twice(raw_portal, reply):
    def behave(portal, connection, number):
        portal.read_request(connection)
        connection.sendall(reply(GOOD))
        portal.read_request(connection)

    portal = raw_portal(behave)
    with webhook_client(portal.webhook_url) as client:
        client.call("profile", {}, total_seconds=2)
        with pytest.raises(PortalBroken) as caught:
            client.call("profile", {}, total_seconds=2)
    assert caught.value.ambiguous
    assert len(portal.requests) == 2
    assert portal.connections == 1


def test_a_connection_that_was_cut_at_the_deadline_is_not_used_again(raw_portal, reply):
    def deaf_once(portal, connection, number):
        while portal.read_request(connection)[0]:
            if number == 1:
                time.sleep(0.5)
            connection.sendall(reply(GOOD))

    portal = raw_portal(deaf_once)
    with webhook_client(portal.webhook_url) as client:
        with pytest.raises(PortalTimeout):
            client.call("profile", {}, total_seconds=0.2)
        assert client.call("profile", {}, total_seconds=2).result is True
    assert portal.connections == 2


def test_a_deadline_lets_go_of_a_connection_as_soon_as_the_answer_is_whole(raw_portal, reply):
    """Else it could cut the connection under the next one who uses it."""

    def behave(portal, connection, number):
        while portal.read_request(connection)[0]:
            connection.sendall(reply(GOOD))

    portal = raw_portal(behave)
    adapter = WatchedAdapter("", tls=False)
    request = requests.Request("POST", portal.webhook_url, data=b"{}").prepare()
    for _ in range(2):
        with Deadline(0.2, 1.0) as deadline:
            response = adapter.send(request, stream=True, timeout=1.0)
            assert response.raw.read() == GOOD
            time.sleep(0.3)
            assert deadline.expired
    adapter.close()
    assert len(portal.requests) == 2
    assert portal.connections == 1


def test_a_deadline_that_ends_as_the_answer_comes_hurts_nobody_else(raw_portal, reply):
    """Threads share connections, and answers come about when deadlines end: each gets its own answer or is too late."""

    def answers_at_the_last_moment(portal, connection, number):
        while True:
            head, body = portal.read_request(connection)
            if not head:
                return
            time.sleep(json.loads(body)["seconds"])
            connection.sendall(reply(b'{"result": %s}' % body))

    portal = raw_portal(answers_at_the_last_moment)
    outcomes = []

    def caller(seed):
        chance = random.Random(seed)
        for turn in range(60):
            asked = {"who": [seed, turn], "seconds": 0.0 if turn % 2 else 0.03 + chance.random() * 0.01}
            seconds = 5.0 if turn % 2 else 0.035
            try:
                result = client.call("echo", asked, total_seconds=seconds).result
                outcomes.append("answer" if result == asked else f"somebody else's answer: {result}")
            except PortalError as error:
                outcomes.append(f"{type(error).__name__} {seconds}")

    with webhook_client(portal.webhook_url) as client:
        threads = [threading.Thread(target=caller, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(outcomes) <= {"answer", "PortalTimeout 0.035", "PortalUnreachable 0.035"}
    assert outcomes.count("answer") >= 240
    assert "PortalTimeout 0.035" in outcomes


def reads_and_says_nothing(portal, connection, number):
    portal.read_request(connection)
    connection.recv(1)


def test_failed_calls_leave_neither_descriptors_nor_threads(raw_portal):
    portal = raw_portal(reads_and_says_nothing)
    with webhook_client(portal.webhook_url) as client:

        def fail():
            with pytest.raises(PortalTimeout):
                client.call("profile", {}, total_seconds=0.02)

        def count():
            # The other ends are this process's too, and close a moment after ours.
            time.sleep(0.3)
            return len(list(pathlib.Path("/proc/self/fd").iterdir())), threading.active_count()

        fail()
        before = count()
        for _ in range(30):
            fail()
        after = count()
    assert after <= before
