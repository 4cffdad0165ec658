"""The directory knows who is active, is never replaced by half a list, and survives as a file."""

from __future__ import annotations

import json
import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepbx_bx24.bitrix24.client import Client
from freepbx_bx24.bitrix24.directory import Directory
from freepbx_bx24.call import Person
from freepbx_bx24.errors import PortalBroken, PortalError, PortalTimeout
from freepbx_bx24.sandbox.portal import Reply


def page(*rows, **more):
    return Reply(200, {"result": list(rows), "time": {}, **more})


def user(number, inner="", **more):
    return {"ID": str(number), "ACTIVE": True, "UF_PHONE_INNER": inner, **more}


@pytest.fixture
def loaded(client):
    directory = Directory()
    directory.load(client)
    return directory


def test_all_pages_are_read_and_extensions_become_user_ids(loaded, portal):
    assert loaded.user_id(Person("101")) == 1101
    assert loaded.user_id(Person("199")) == 1199
    assert loaded.extension(1101) == "101"
    requests = [row for row in portal.ledger()["requests"] if row["method"].lower() == "user.get"]
    assert len(requests) == 2


def test_whoever_the_portal_does_not_know_or_has_dismissed_is_0(loaded):
    dismissed = Person("198")
    for person in (dismissed, Person("1000"), Person(""), Person(user_id=1198), Person(user_id=999999)):
        assert loaded.user_id(person) == 0
    assert loaded.extension(1198) == ""


def test_a_person_named_by_id_needs_no_extension(loaded):
    assert loaded.user_id(Person(user_id=1)) == 1
    assert loaded.extension(1) == ""


def test_before_it_was_loaded_it_knows_nobody_but_takes_ids_at_their_word():
    directory = Directory()
    assert not directory.loaded
    assert directory.user_id(Person("101")) == 0
    assert directory.user_id(Person(user_id=12)) == 12
    assert directory.age() == math.inf


def test_its_age_counts_from_the_last_whole_list(loaded, client, portal):
    age = loaded.age()
    assert 0 <= age < 10
    portal.scripted_replies.add("user.get", page())
    with pytest.raises(PortalBroken):
        loaded.load(client)
    assert loaded.age() >= age


@pytest.mark.parametrize(
    "replies",
    [
        [page()],
        [page("no row", {"ID": "x"}, {"ID": None})],
        [page(user(5, "555"), total=2)],
        [page(user(5, "555"), next=50, total=51), page(total=51)],
        [page(user(5, "555"), next=50), Reply(502, b"<html>Bad gateway</html>")],
        [page(user(5, "555"), next=50), page(user(6, "556"), next=50)],
        [page(user(5, "555"), next=50), Reply(200, {"result": {}})],
        [Reply(200, {"result": None})],
        [Reply(503, {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"})],
    ],
    ids=range(9),
)
def test_an_empty_or_partial_list_replaces_nothing(loaded, client, portal, replies):
    for reply in replies:
        portal.scripted_replies.add("user.get", reply)
    with pytest.raises(PortalError):
        loaded.load(client)
    assert loaded.user_id(Person("101")) == 1101
    assert loaded.user_id(Person("555")) == 0


def test_a_list_that_never_ends_is_given_up(raw_portal, reply):
    def behave(portal, connection, number):
        turn = 0
        while portal.read_request(connection)[0]:
            turn += 50
            connection.sendall(reply(b'{"result": [{"ID": "5"}], "next": %d}' % turn))

    endless = raw_portal(behave)
    with Client(endless.webhook_url) as client, pytest.raises(PortalBroken, match="does not end"):
        Directory().load(client)
    assert len(endless.requests) == 400


def test_all_pages_together_keep_to_the_time(client, portal):
    portal.delay_seconds["user.get"] = 0.3
    with pytest.raises(PortalTimeout):
        Directory().load(client, total_seconds=0.5)


def test_rows_of_every_type_seen_are_read(client, portal):
    rows = [
        user(5, "555"),
        {"ID": 6, "UF_PHONE_INNER": 556},
        {"ID": "7"},
        user(8, None),
        user(9, ""),
        user(10, "reception"),
        user(11, "557", ACTIVE=False),
        user(12, "555"),
        {"ID": "-1", "UF_PHONE_INNER": "558"},
        None,
    ]
    portal.scripted_replies.add("user.get", page(*rows))
    directory = Directory()
    assert directory.load(client) == 7
    wanted = {"555": 5, "556": 6, "557": 0, "558": 0, "reception": 0}
    assert {extension: directory.user_id(Person(extension)) for extension in wanted} == wanted


def test_readers_see_the_old_list_or_the_new_one_and_nothing_between(client, portal):
    directory = Directory()
    directory.load(client)
    seen, stop = set(), threading.Event()

    def read():
        while not stop.is_set():
            seen.add(directory.user_id(Person("101")))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(20):
        portal.scripted_replies.add("user.get", page(user(2101 if turn % 2 else 1101, "101")))
        directory.load(client)
    stop.set()
    reader.join()
    assert seen <= {1101, 2101}


def test_a_process_without_the_service_uses_the_file(loaded):
    kept = Directory.from_json(loaded.to_json())
    assert loaded.loaded and kept.loaded
    assert kept.user_id(Person("101")) == 1101
    assert kept.extension(1199) == "199"
    assert kept.user_id(Person(user_id=1198)) == 0
    assert kept.age() == math.inf


@given(st.dictionaries(st.integers(1, 10**9), st.just("") | st.from_regex("[0-9]{1,5}", fullmatch=True), min_size=1))
def test_what_is_written_is_read_back(extensions):
    directory = Directory.from_json(json.dumps(extensions))
    again = Directory.from_json(directory.to_json())
    for number, inner in extensions.items():
        assert again.extension(number) == directory.extension(number) == inner
        assert again.user_id(Person(user_id=number)) == number


@given(st.text() | st.sampled_from(["[]", "null", "1", '{"x": "101"}', '{"5": {}}', "[" * 10000, "{", '{"5": NaN}']))
def test_a_damaged_file_is_an_empty_directory(text):
    directory = Directory.from_json(text)
    assert directory.user_id(Person("101")) == 0
