"""The directory knows who is active, is never replaced by half a list, and survives as a file."""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
import time
from datetime import datetime, timezone
from types import SimpleNamespace
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepbx_bx24.bitrix24.client import Result, Urgency, webhook_client
from freepbx_bx24.bitrix24.directory import LONGEST_TEXT, Directory
from freepbx_bx24.bitrix24.lists import NewLine
from freepbx_bx24.call import OUTBOUND, Beginning, Person, Registration
from freepbx_bx24.errors import DatabaseRefused, PortalBroken, PortalBusy, PortalError, PortalTimeout
from freepbx_bx24.policy import Rules, decide_registration
from freepbx_bx24.sandbox.portal import Portal, Reply
from freepbx_bx24.sandbox.portal.directory import users
from freepbx_bx24.sandbox.portal.world import Employee, World


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


NO_LISTS = {
    "no people": ([page()], "names nobody"),
    "unreadable": ([page("no row", {"ID": "x"}, {"ID": None})], "names nobody"),
    "fewer than the total": ([page(user(5, "555"), total=2)], "not whole: 1 of 2"),
    "an empty last page": ([page(user(5, "555"), next=50, total=51), page(total=51)], "do not go on"),
    "a page of HTML": ([page(user(5, "555"), next=50), Reply(502, b"<html>Bad gateway</html>")], "HTTP 502"),
    "the same page next": ([page(user(5, "555"), next=50), page(user(6, "556"), next=50)], "do not go on"),
    "the same people": ([page(user(5, "555"), next=50), page(user(5, "555"))], "do not go on"),
    "an empty page of no total": ([page(user(5, "555"), next=50), page()], "do not go on"),
    "one person twice": ([page(user(5, "555"), user(5, "555"), total=2)], "not whole: 1 of 2"),
    "another total": ([page(user(5, "555"), next=50, total=2), page(user(6, "556"), total=3)], "changed while"),
    "too many people": ([page(user(5, "555"), total=50_001)], "more than any portal has"),
    "a page that is no list": ([page(user(5, "555"), next=50), Reply(200, {"result": {}})], "is no list"),
    "no list": ([Reply(200, {"result": None})], "is no list"),
    "busy": ([Reply(503, {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"})], "Too many"),
}


@pytest.mark.parametrize("replies, said", NO_LISTS.values(), ids=NO_LISTS)
def test_an_empty_or_partial_list_replaces_nothing_and_begins_nothing(loaded, client, portal, replies, said):
    fresh = Directory()
    for directory in (loaded, fresh):
        portal.scripted_replies.clear()
        for reply in replies:
            portal.scripted_replies.add("user.get", reply)
        with pytest.raises(PortalError, match=said):
            directory.load(client)
    assert loaded.user_id(Person("101")) == 1101
    assert loaded.user_id(Person("555")) == 0
    assert not fresh.loaded


def test_a_list_that_never_ends_is_given_up(raw_portal, reply):
    def behave(portal, connection, number):
        turn = 0
        while portal.read_request(connection)[0]:
            turn += 50
            connection.sendall(reply(b'{"result": [{"ID": "%d"}], "next": %d}' % (turn, turn)))

    endless = raw_portal(behave)
    with webhook_client(endless.webhook_url) as client, pytest.raises(PortalBroken, match="does not end"):
        Directory().load(client, total_seconds=300)  # a thousand requests, on a busy machine
    assert len(endless.requests) == 1000


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
    portal.scripted_replies.add("user.get", page(user(1101, "101"), *(user(one, str(one)) for one in range(200, 248))))
    directory.load(client)
    seen, stop = set(), threading.Event()

    def read():
        while not stop.is_set():
            seen.add(directory.user_id(Person("101")))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(20):
        rows = [user(2101 if turn % 2 else 1101, "101"), *(user(number, str(number)) for number in range(200, 248))]
        portal.scripted_replies.add("user.get", page(*rows))
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


# -- many pages ----------------------------------------------------------------------------------------------------


def world_of(number, **fields):
    """Employees 1 to `number`, each with an extension and a mobile of their own."""
    return World(
        employees=[
            Employee(one, "Somebody", extension=f"{one:05}", personal_mobile=f"+7 916 {one:07}", **fields)
            for one in range(1, number + 1)
        ]
    )


@pytest.fixture
def large_portal():
    with Portal(world_of(1234)) as running:
        yield running


@pytest.fixture
def large_client(large_portal):
    with webhook_client(large_portal.webhook_url) as connected:
        yield connected


def requests_to(portal, method):
    return [row for row in portal.ledger()["requests"] if row["method"].lower() == method]


def test_a_long_list_is_read_in_few_requests_since_a_portal_takes_two_a_second(large_portal, large_client):
    directory = Directory()
    assert directory.load(large_client) == 1234
    assert [directory.user_id(Person(f"{one:05}")) for one in (1, 51, 1000, 1234)] == [1, 51, 1000, 1234]
    assert len(requests_to(large_portal, "batch")) == 2
    assert sum(row["method"].lower() == "user.get" for row in large_portal.ledger()["requests"]) <= 25


def change(alter):
    """A reply of a batch on its way back."""

    def script(reply):
        alter(reply.body["result"])
        return reply

    return script


@pytest.mark.parametrize(
    "alter",
    [
        lambda result: result["result"].pop("p100"),
        lambda result: result["result"].update(p100=result["result"]["p150"]),
        lambda result: result["result"].update(p100=result["result"]["p100"][:-1]),
        lambda result: result["result"].update(p100={}),
        lambda result: result["result_total"].update(p100=1233),
        lambda result: result.update(result=[]),
        lambda result: result.clear(),
        lambda result: result.update(result_error={"p100": {"error": "", "error_description": "x"}}),
        lambda result: result.update(result_error={"p100": "x"}),
    ],
    ids=range(9),
)
def test_a_batch_with_less_than_all_pages_in_it_is_no_list(large_portal, large_client, alter):
    directory = Directory()
    directory.load(large_client)
    large_portal.world.employees[0].extension = "777"
    large_portal.scripted_replies.add("batch", change(alter))
    with pytest.raises(PortalError):
        directory.load(large_client)
    assert directory.user_id(Person("00001")) == 1
    assert directory.user_id(Person("777")) == 0


def test_a_portal_that_has_enough_of_our_requests_says_so_also_from_within_a_batch(large_portal, large_client):
    busy = change(lambda result: result.update(result_error={"p100": {"error": "QUERY_LIMIT_EXCEEDED"}}))
    large_portal.scripted_replies.add("batch", busy)
    with pytest.raises(PortalBusy):
        Directory().load(large_client)


class Stored:
    """A portal's answers to user.get alone and in a batch from rows that are made once; the sandbox makes the rows."""

    def __init__(self, world):
        self.rows = []
        for first in range(0, len(world.employees), 1000):  # the sandbox makes all rows anew for each page
            part = SimpleNamespace(world=World(employees=world.employees[first : first + 1000]))
            self.rows += [row for start in range(0, 1000, 50) for row in users(part, {"START": start}).result]

    def call(self, method, params, *, total_seconds, urgency):
        assert total_seconds > 0
        assert (method, urgency) == ("user.get", Urgency.BACKLOG)
        return Result(self.rows[:50], total=len(self.rows), next=50)

    def batch(self, commands, *, total_seconds, urgency):
        assert total_seconds > 0
        assert urgency is Urgency.BACKLOG
        starts = [int(dict(parse_qsl(command.partition("?")[2]))["start"]) for command in commands.values()]
        pages = json.loads(json.dumps([self.rows[start : start + 50] for start in starts]))
        return {key: Result(page, total=len(self.rows)) for key, page in zip(commands, pages)}


def size_of(thing, seen):
    """Bytes of a value and all that it holds, each thing once."""
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    total = sys.getsizeof(thing)
    if isinstance(thing, dict):
        total += sum(size_of(key, seen) + size_of(value, seen) for key, value in thing.items())
    elif isinstance(thing, (list, tuple, set)):
        total += sum(size_of(one, seen) for one in thing)
    elif hasattr(thing, "__dict__"):
        total += size_of(vars(thing), seen)
    return total


def test_twenty_thousand_employees_take_a_few_megabytes_and_a_start_from_the_file_a_moment():
    directory = Directory()
    assert directory.load(Stored(world_of(20_000)), country="RU") == 20_000
    assert directory.user_id(Person("20000")) == directory.employee_with_phone("+79160020000") == 20_000
    assert size_of(directory._snapshot, set()) < 16 * 1024 * 1024
    text = directory.to_json()
    assert len(text) < LONGEST_TEXT
    began = time.process_time()
    kept = Directory.from_json(text)
    assert time.process_time() - began < 1
    assert kept.user_id(Person("20000")) == kept.employee_with_phone("+79160020000") == 20_000


# -- a list that shrinks -------------------------------------------------------------------------------------------


def test_a_list_without_most_people_is_believed_when_the_next_reading_says_the_same(loaded, client, portal):
    everybody, few = portal.world.employees, portal.world.employees[:20]
    portal.world.employees = few
    with pytest.raises(PortalBroken, match="shrank from 99 people") as refused:
        loaded.load(client)
    assert "next reading" in refused.value.hint
    assert loaded.user_id(Person("199")) == 1199
    portal.world.employees = everybody
    assert loaded.load(client) == 99
    portal.world.employees = few
    with pytest.raises(PortalBroken, match="shrank"):  # the good list between them counts: no two in a row
        loaded.load(client)
    assert loaded.load(client) == 20
    assert loaded.user_id(Person("199")) == 0


def test_two_short_lists_that_differ_confirm_nothing(loaded, client, portal):
    everybody = portal.world.employees
    for count in (20, 30, 20):
        portal.world.employees = everybody[:count]
        with pytest.raises(PortalBroken, match="shrank"):
            loaded.load(client)
    assert loaded.user_id(Person("199")) == 1199


def test_people_who_lose_their_extensions_all_at_once_are_doubted_as_well(loaded, client, portal):
    for person in portal.world.employees:
        person.extension = None
    with pytest.raises(PortalBroken, match="98? extensions to 99 with 0"):
        loaded.load(client)
    assert loaded.user_id(Person("101")) == 1101
    assert loaded.load(client) == 99
    assert loaded.user_id(Person("101")) == 0


def test_a_list_from_the_file_counts_as_the_last_whole_one(loaded, client, portal):
    kept = Directory.from_json(loaded.to_json())
    portal.world.employees = portal.world.employees[:20]
    with pytest.raises(PortalBroken, match="shrank"):
        kept.load(client)
    assert kept.user_id(Person("199")) == 1199


def test_half_of_the_people_may_leave_at_once(loaded, client, portal):
    portal.world.employees = portal.world.employees[:50]
    assert loaded.load(client) == 50


# -- who counts ----------------------------------------------------------------------------------------------------


def test_people_from_outside_are_nobody_even_where_the_portal_ignores_the_filter(client, portal):
    portal.world.employees += [
        Employee(2001, "Guest", extension="301", user_type="extranet"),
        Employee(2002, "Colleague", extension="302"),
    ]
    directory = Directory()
    directory.load(client)
    assert (directory.user_id(Person("301")), directory.user_id(Person("302"))) == (0, 2002)
    rows = [user(5, "501", USER_TYPE="extranet"), user(6, "502", USER_TYPE="employee"), user(7, "503", USER_TYPE=None)]
    portal.scripted_replies.add("user.get", page(*rows))
    other = Directory()
    assert other.load(client) == 2
    assert [other.user_id(Person(extension)) for extension in ("501", "502", "503")] == [0, 6, 7]


def test_an_extension_that_two_have_goes_to_the_lowest_id_and_is_reported(client, portal):
    rows = [user(12, "555"), user(5, "555"), user(9, "555"), user(6, "556"), user(7), user(8)]
    portal.scripted_replies.add("user.get", page(*rows))
    directory = Directory()
    directory.load(client)
    for one in (directory, Directory.from_json(directory.to_json())):
        assert one.user_id(Person("555")) == 5
        assert one.duplicates() == {"555": [5, 9, 12]}
        assert [one.extension(user_id) for user_id in (5, 9, 12, 7)] == ["555", "555", "555", ""]
        assert one.user_id(Person(user_id=12)) == 12


def test_a_five_digit_device_is_its_person_by_the_map_of_people_or_by_the_portal_and_never_by_its_first_digits(
    client, portal
):
    started = datetime.now(timezone.utc)
    beginning = Beginning("1.1", "1.1", "PJSIP/10101-1", OUTBOUND, "84951112233", "", started, extension="10101")
    mapped = Rules("RU", "pbx", Person("199"), people={"10101": Person("101")})
    directory = Directory()
    directory.load(client)
    registration = decide_registration(mapped, beginning)
    assert isinstance(registration, Registration)
    assert registration.people[0] == Person("101")
    assert directory.user_id(registration.people[0]) == 1101

    registration = decide_registration(Rules("RU", "pbx", Person("199")), beginning)
    assert isinstance(registration, Registration)
    assert registration.people[0] == Person("10101")
    portal.world.employees.append(Employee(3001, "Short", extension="1010"))
    directory.load(client)
    assert directory.user_id(registration.people[0]) == 0
    portal.world.employees.append(Employee(3002, "Long", extension="10101"))
    directory.load(client)
    assert directory.user_id(registration.people[0]) == 3002


# -- own phones, lines ---------------------------------------------------------------------------------------------


def test_employees_are_known_by_the_phones_of_their_own(client, portal):
    one, two, three = portal.world.employees[2:5]
    one.personal_mobile, one.personal_phone = "8 (916) 111-22-33", "2-11-22"
    two.work_phone, two.personal_phone = "+7 495 777-00-00", "8-916-555-66-77"
    three.work_phone, three.personal_mobile = "8 495 777 00 00", "+79165556678"
    directory = Directory()
    directory.load(client, country="RU", area_code="495")
    for known in (directory, Directory.from_json(directory.to_json())):
        assert known.employee_with_phone("+79160000101") == 1101
        assert known.employee_with_phone("+79161112233") == one.user_id
        assert known.employee_with_phone("+79165556677") == two.user_id
        assert known.employee_with_phone("+79165556678") == three.user_id
        assert known.employee_with_phone("+74957770000") == 0  # two share it
        assert known.employee_with_phone("") == known.employee_with_phone("+79990000000") == 0


def test_lines_are_read_with_their_names_and_none_at_all_is_a_good_answer(client, portal):
    directory = Directory()
    assert directory.lines == {}
    assert directory.load_lines(client) == 0
    client.call("telephony.externalLine.add", {"NUMBER": "+74957770101", "NAME": "Sales"}, total_seconds=5)
    client.call("telephony.externalLine.add", {"NUMBER": "s"}, total_seconds=5)
    assert directory.load_lines(client) == 2
    assert directory.lines == {"+74957770101": "Sales", "s": ""}
    assert not directory.loaded
    client.call("telephony.externalLine.delete", {"NUMBER": "s"}, total_seconds=5)
    directory.load(client)
    assert directory.load_lines(client) == 1
    assert Directory.from_json(directory.to_json()).lines == directory.lines == {"+74957770101": "Sales"}


def test_lines_are_made_in_batches_and_one_that_is_refused_keeps_no_other_back(client, portal):
    directory = Directory()
    assert directory.add_lines(client, []) == {}
    client.call("telephony.externalLine.add", {"NUMBER": "77000", "NAME": "Theirs"}, total_seconds=5)
    wanted = [NewLine(str(77000 + at), "a & b=c %41 $result[l0]" if at else "", create=at % 2 == 0) for at in range(60)]
    directory.load_lines(client)
    refused = directory.add_lines(client, [*wanted, NewLine("7" * 51)])
    assert list(refused) == ["7" * 51]
    assert isinstance(refused["7" * 51], DatabaseRefused)
    lines = {line["NUMBER"]: (line["NAME"], line["CRM_AUTO_CREATE"]) for line in portal.ledger()["lines"]}
    assert lines["77000"] == ("Theirs", "Y")
    # What the portal would take for a reference to another command's result has a space in it.
    assert lines["77001"] == ("a & b=c %41 $ result[l0]", "N")
    assert lines["77002"] == ("a & b=c %41 $ result[l0]", "Y")
    assert len(lines) == 60 == len(directory.lines)
    assert directory.lines["77000"] == "Theirs"
    assert [row["method"].lower() for row in portal.ledger()["requests"]].count("batch") == 2


def test_a_line_without_a_name_has_none_on_the_portal(client, portal):
    Directory().add_lines(client, [NewLine("77000", create=False)])
    (line,) = portal.ledger()["lines"]
    assert (line["NAME"], line["CRM_AUTO_CREATE"]) == (None, "N")


def test_a_request_for_lines_that_fails_as_a_whole_is_raised_and_nothing_is_taken_for_made(client, portal):
    portal.scripted_replies.add("batch", Reply(502, b"<html>"))
    directory = Directory()
    with pytest.raises(PortalBroken):
        directory.add_lines(client, [NewLine("77000")])
    assert directory.lines == {}


@pytest.mark.parametrize(
    "reply",
    [Reply(502, b"<html>"), Reply(200, {"result": {}}), Reply(403, {"error": "WRONG_AUTH_TYPE"}), Reply(200, b"{")],
    ids=range(4),
)
def test_an_answer_that_is_no_list_of_lines_replaces_none(client, portal, reply):
    client.call("telephony.externalLine.add", {"NUMBER": "1", "NAME": "Sales"}, total_seconds=5)
    directory = Directory()
    directory.load_lines(client)
    portal.scripted_replies.add("telephony.externalLine.get", reply)
    with pytest.raises(PortalError):
        directory.load_lines(client)
    assert directory.lines == {"1": "Sales"}


def test_lines_of_a_hostile_portal_are_text_of_bounded_size(client, portal):
    rows = [{"NUMBER": " 1 ", "NAME": "a\n\x1b[31m" + "b" * 9000}, {"NUMBER": "2" * 51}, {"NUMBER": 3}, None, {}]
    rows += [{"NUMBER": "a\nb"}, {"NUMBER": "\ud800"}, {"NUMBER": "4", "NAME": None}, {"NUMBER": "5", "NAME": {}}]
    portal.scripted_replies.add("telephony.externalLine.get", Reply(200, {"result": rows}))
    directory = Directory()
    assert directory.load_lines(client) == 3
    assert {number: len(name) for number, name in directory.lines.items()} == {"1": 200, "4": 0, "5": 0}
    assert "\x1b" not in directory.lines["1"]


# -- what the log hears --------------------------------------------------------------------------------------------


def test_the_log_hears_once_what_changed_and_no_names_of_people(client, portal, caplog):
    caplog.set_level(logging.INFO, "bx24.directory")
    directory = Directory()
    directory.load(client, country="RU")
    directory.load(client, country="RU")
    portal.world.employees.append(Employee(2001, "Zinaida", "Zimina", extension="301"))
    portal.world.employees[1].active = False
    portal.world.employees[2].extension = "103"
    directory.load(client, country="RU")
    directory.load(client, country="RU")
    assert caplog.messages == [
        "the portal's employees: 99 people, 98 extensions",
        "the portal's employees: new extensions: 301; extensions that are gone: 101, 102; "
        "extensions of somebody else now: 103; -1 own phone numbers; extensions that several people have: 103",
    ]


# -- the file ------------------------------------------------------------------------------------------------------


def test_the_file_of_the_first_version_is_read_as_before():
    kept = Directory.from_json('{"1": "", "1101": "101", "1102": "102"}')
    assert kept.loaded
    assert (kept.user_id(Person("101")), kept.user_id(Person(user_id=1)), kept.user_id(Person(user_id=2))) == (
        1101,
        1,
        0,
    )
    assert kept.lines == {} and kept.duplicates() == {}


@pytest.mark.parametrize(
    "text",
    [
        '{"version": 3, "extensions": {"5": "101"}}',
        '{"version": null, "extensions": {"5": "101"}}',
        '{"version": 2, "extensions": ["5"], "phones": 7, "lines": "x"}',
        '{"version": 2, "extensions": {"-5": "101", "5.0": "101", "x": "101"}}',
        '{"version": 2, "extensions": {"0": "101", "' + "9" * 100 + '": "101"}}',
        '{"version": 2, "extensions": {"5": ' + "1" * 1_000_000 + "}}",
        '{"version": 2, "extensions": {"5": "' + "1" * 1_000_000 + '"}}',
        '{"version": 2, "phones": {"+79161112233": 5}}',
        '{"version": 2, "extensions": {"6": ""}, "phones": {"+79161112233": 5, "79161112234": 6, "+7'
        + "1" * 50
        + '": 6}}',
        '{"version": 2, "extensions": {"5": "101"}}' + " " * LONGEST_TEXT,
        "[" * 100_000,
    ],
    ids=range(11),
)
def test_hostile_text_names_nobody_and_takes_no_time(text):
    began = time.process_time()
    kept = Directory.from_json(text)
    assert time.process_time() - began < 2
    assert kept.user_id(Person("101")) == 0
    assert kept.employee_with_phone("+79161112233") == 0
    assert not kept._snapshot.people.phones
    assert kept.lines == {}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(["extensions", "phones", "lines"]),
)
def test_whatever_stands_in_the_file_is_read_without_error_and_written_again(value, part):
    kept = Directory.from_json(json.dumps({"version": 2, part: value}))
    assert Directory.from_json(kept.to_json()).to_json() == kept.to_json()
    assert kept.to_json().encode("utf-8")


# -- another portal ------------------------------------------------------------------------------------------------


def test_what_is_known_of_another_portal_is_forgotten_since_its_ids_mean_other_people(loaded):
    loaded.belong_to("https://one.example")
    kept = Directory.from_json(loaded.to_json())
    kept.belong_to("https://one.example")
    assert kept.user_id(Person("101")) == 1101
    kept.belong_to("https://other.example")
    assert not kept.loaded
    assert kept.user_id(Person("101")) == 0
    assert kept.age() == math.inf


def test_a_short_list_of_another_portal_is_believed_at_once(loaded, client, portal):
    loaded.belong_to("https://one.example")
    loaded.belong_to("https://other.example")
    portal.world.employees = portal.world.employees[:3]
    assert loaded.load(client) == 3


def test_a_list_that_comes_after_the_portal_was_changed_is_not_taken(client, portal):
    directory = Directory()
    directory.belong_to("https://one.example")
    caught = []

    def load(read):
        try:
            read(client)
        except PortalError as error:
            caught.append(error)

    for method, read in (("user.get", directory.load), ("telephony.externalLine.get", directory.load_lines)):
        with portal.gate(method) as gate:
            loading = threading.Thread(target=load, args=[read])
            loading.start()
            gate.wait_for_arrival()
            directory.belong_to(f"https://{method}.example")
            gate.release()
            loading.join()
    assert [str(error) for error in caught] == ["the list is that of the portal that was used before"] * 2
    assert not directory.loaded
    assert directory.load(client) == 99


def test_names_are_kept_for_people_to_read_also_over_a_restart_and_forgotten_with_their_portal(loaded):
    assert loaded.name(loaded.user_id(Person("101"))) == "Anton Belov"
    kept = Directory.from_json(loaded.to_json())
    assert kept.name(kept.user_id(Person("101"))) == "Anton Belov"
    assert kept.name(0) == kept.name(999_999) == ""
    kept.belong_to("https://one.example")
    kept.belong_to("https://another.example")
    assert kept.name(1101) == ""


@pytest.mark.parametrize("names", ['{"5": "a\\u001b[2J"}', '{"5": 1, "6": "x"}', "[]", '{"x": "y"}', '{"5": null}'])
def test_names_of_a_hostile_file_are_text_and_nobodys_but_an_employees(names):
    kept = Directory.from_json(f'{{"version": 2, "extensions": {{"5": "101"}}, "names": {names}}}')
    assert kept.user_id(Person("101")) == 5
    assert kept.name(5).isprintable()
    assert kept.name(6) == ""
