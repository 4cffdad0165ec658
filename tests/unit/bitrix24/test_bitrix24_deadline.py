"""The total deadline holds whatever the portal does, each failure is of the right class, and none tells the secret."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket
import struct
import time
import traceback

import pytest

from freepbx_bx24.bitrix24.client import webhook_client
from freepbx_bx24.errors import PortalBroken, PortalError, PortalTimeout, PortalUnreachable
from tests.support.in_time import in_time

SECONDS = 0.6
GRACE = 0.5  # a busy machine wakes threads late; a deadline that is not kept is missed by seconds
GOOD = b'{"result": true}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def drip(connection, data):
    """One byte in 50 ms: a read timeout of any sensible length never ends this."""
    for byte in data:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def deaf(portal, connection, number):
    time.sleep(5)


def reads_and_says_nothing(portal, connection, number):
    portal.read_request(connection)
    time.sleep(5)


def drips_the_head(portal, connection, number):
    portal.read_request(connection)
    drip(connection, HEAD * 100)


def drips_the_body(portal, connection, number):
    portal.read_request(connection)
    connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n")
    drip(connection, itertools.repeat(0x20, 5000))


def drips_the_body_and_closes(portal, connection, number):
    portal.read_request(connection)
    connection.sendall(HEAD + b"Content-Length: 5000\r\nConnection: close\r\n\r\n")
    drip(connection, itertools.repeat(0x20, 5000))


def drips_after_a_good_answer_without_length(portal, connection, number):
    portal.read_request(connection)
    connection.sendall(HEAD + b"\r\n" + GOOD)
    drip(connection, itertools.repeat(0x20, 5000))


def drips_chunks(portal, connection, number):
    portal.read_request(connection)
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"1\r\n \r\n")
        time.sleep(0.05)


def continues_for_ever(portal, connection, number):
    portal.read_request(connection)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.05)


def floods_with_continues(portal, connection, number):
    portal.read_request(connection)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def drips_trailers(portal, connection, number):
    portal.read_request(connection)
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\n" + GOOD + b"\r\n0\r\n")
    for _ in range(1000):
        connection.sendall(b"X-More: 1\r\n")
        time.sleep(0.05)


def hangs_up(portal, connection, number):
    portal.read_request(connection)


def resets(portal, connection, number):
    portal.read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def cuts_the_body(portal, connection, number):
    portal.read_request(connection)
    connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n" + GOOD[:7])


def sends_one_endless_header_line(portal, connection, number):
    portal.read_request(connection)
    connection.sendall(HEAD + b"X-Long: ")
    while True:
        connection.sendall(b"x" * 65536)


def sends_headers_for_ever(portal, connection, number):
    portal.read_request(connection)
    connection.sendall(HEAD)
    while True:
        connection.sendall(b"X-More: 1\r\n" * 1000)


def sends_an_endless_body(portal, connection, number):
    portal.read_request(connection)
    connection.sendall(HEAD + b"\r\n")
    while True:
        connection.sendall(b" " * 65536)


def sends_an_endless_chunk_size(portal, connection, number):
    portal.read_request(connection)
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;")
    while True:
        connection.sendall(b"x" * 65536)


def sends_bad_headers(portal, connection, number):
    portal.read_request(connection)
    connection.sendall(HEAD + b": no name\r\n\x00\xff\r\nContent-Length: 2\r\n\r\n[]")


def sends_no_http(portal, connection, number):
    portal.read_request(connection)
    connection.sendall(os.urandom(5000))


def packs_its_answer(portal, connection, number):
    portal.read_request(connection)
    connection.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}")


def redirects_with_an_endless_body(portal, connection, number):
    portal.read_request(connection)
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: https://example.com/\r\n\r\n")
    while True:
        connection.sendall(b" " * 65536)


AWFUL = [
    (deaf, PortalTimeout),
    (reads_and_says_nothing, PortalTimeout),
    (drips_the_head, PortalTimeout),
    (drips_the_body, PortalTimeout),
    (drips_the_body_and_closes, PortalTimeout),
    (drips_after_a_good_answer_without_length, PortalTimeout),
    (drips_chunks, PortalTimeout),
    (drips_trailers, PortalTimeout),
    (continues_for_ever, PortalTimeout),
    (hangs_up, PortalBroken),
    (resets, PortalBroken),
    (cuts_the_body, PortalBroken),
    (sends_one_endless_header_line, PortalBroken),
    (sends_headers_for_ever, PortalBroken),
    (sends_an_endless_body, PortalBroken),
    (sends_an_endless_chunk_size, PortalBroken),
    (sends_bad_headers, PortalBroken),
    (sends_no_http, PortalBroken),
    (packs_its_answer, PortalBroken),
    (redirects_with_an_endless_body, PortalBroken),
]


@pytest.fixture
def fails(caplog, secret):
    """Call a portal, return its error; what was said on the way must not hold the secret."""
    caplog.set_level(logging.DEBUG)

    def call(client, seconds=SECONDS, params=None):
        begun = time.monotonic()
        with pytest.raises(PortalError) as caught:
            client.call("profile", params or {}, total_seconds=seconds)
        took = time.monotonic() - begun
        error = caught.value
        said = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        said += f"{error!r} {error.hint} {client!r} {caplog.text}"
        assert secret not in said
        assert error.__cause__ is None
        assert error.__context__ is None
        in_time(took, seconds + GRACE)
        return error

    return call


@pytest.mark.parametrize(("behave", "expected"), AWFUL, ids=lambda value: value.__name__)
def test_the_total_deadline_holds_against_a_portal_that(behave, expected, raw_portal, fails):
    with webhook_client(raw_portal(behave).webhook_url) as client:
        error = fails(client)
    assert type(error) is expected
    assert error.retryable and error.ambiguous


@pytest.mark.parametrize(("behave", "expected"), AWFUL, ids=lambda value: value.__name__)
def test_the_total_deadline_holds_in_tls_against_a_portal_that(
    behave, expected, raw_portal, fails, server_tls, certificate
):
    portal = raw_portal(behave, tls=server_tls)
    with webhook_client(portal.webhook_url, ca_bundle=str(certificate[0])) as client:
        assert type(fails(client)) is expected


@pytest.mark.parametrize("behave", [drips_the_head, drips_the_body, drips_chunks, continues_for_ever])
def test_the_total_deadline_holds_on_a_warm_connection_to_a_portal_that(behave, raw_portal, reply, fails):
    def warm_first(portal, connection, number):
        portal.read_request(connection)
        connection.sendall(reply(GOOD))
        behave(portal, connection, number)

    portal = raw_portal(warm_first)
    with webhook_client(portal.webhook_url) as client:
        client.call("profile", {}, total_seconds=SECONDS)
        assert type(fails(client)) is PortalTimeout
    assert portal.connections == 1


def test_the_total_deadline_holds_against_a_flood_of_interim_answers(raw_portal, fails):
    """Newer Pythons give up after some of them, older ones read on until the deadline."""
    with webhook_client(raw_portal(floods_with_continues).webhook_url) as client:
        assert type(fails(client)) in (PortalTimeout, PortalBroken)


def test_a_portal_that_stalls_in_the_tls_handshake_is_unreachable_in_time(raw_portal, fails, secret):
    portal = raw_portal(deaf)
    with webhook_client(f"https://127.0.0.1:{portal.port}/rest/1/{secret}/") as client:
        error = fails(client)
    assert type(error) is PortalUnreachable
    assert not error.ambiguous
    assert error.message == "no connection to the portal's host in time"


def test_a_portal_that_drips_its_tls_handshake_is_unreachable_in_time(raw_portal, fails, secret):
    portal = raw_portal(lambda portal, connection, number: drip(connection, b"\x16\x03\x03\x40\x00" + b"\x02" * 500))
    with webhook_client(f"https://127.0.0.1:{portal.port}/rest/1/{secret}/") as client:
        assert type(fails(client)) is PortalUnreachable


def test_a_host_that_answers_no_connection_is_unreachable_in_time(fails, secret):
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # the backlog is full from now on: the kernel drops whoever comes
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        with webhook_client(f"http://127.0.0.1:{listening.getsockname()[1]}/rest/1/{secret}/") as client:
            assert type(fails(client)) is PortalUnreachable
        with webhook_client(
            f"http://127.0.0.1:{listening.getsockname()[1]}/rest/1/{secret}/", connect_seconds=0.1
        ) as client:
            begun = time.monotonic()
            assert fails(client, seconds=5).message == "no connection to the portal's host in time"
            in_time(time.monotonic() - begun, 0.1 + GRACE)


def test_a_portal_that_refuses_is_unreachable_at_once(raw_portal, fails):
    portal = raw_portal(deaf)
    portal.close()
    with webhook_client(portal.webhook_url) as client:
        error = fails(client, seconds=5)
    assert type(error) is PortalUnreachable
    assert error.message == "no connection to the portal's host: Connection refused"


def test_a_name_that_does_not_resolve_is_unreachable(fails, secret):
    with webhook_client(f"https://portal.invalid/rest/1/{secret}/") as client:
        error = fails(client, seconds=30)
    assert type(error) is PortalUnreachable
    assert error.message == "the name of the portal's host does not resolve"


def test_a_portal_that_reads_no_large_request_times_out(raw_portal, fails):
    with webhook_client(raw_portal(deaf).webhook_url) as client:
        assert type(fails(client, params={"FILE_CONTENT": "x" * 20_000_000})) is PortalTimeout


def test_without_any_time_nothing_is_sent(raw_portal, fails):
    portal = raw_portal(deaf)
    with webhook_client(portal.webhook_url) as client:
        assert type(fails(client, seconds=0)) is PortalUnreachable
    assert portal.connections == 0
