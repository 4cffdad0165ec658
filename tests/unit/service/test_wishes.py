"""What a line wants to know of its client, and what the dialplan is told of what is known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from freepbx_bx24.bitrix24.clients import Client
from freepbx_bx24.bitrix24.directory import Directory
from freepbx_bx24.call import INBOUND, OUTBOUND, Beginning, Entity, Person
from freepbx_bx24.policy import LineRules, Rules
from freepbx_bx24.service.outputs import NOBODY, About
from freepbx_bx24.service.wishes import FRESH_SECONDS, Known, Wishes, about, device_of, wishes

SALES = LineRules("+74957770101", client_name=True, responsible_seconds=15)
RULES = Rules("RU", "pbx-1", Person("101"), lines=(SALES, LineRules("+74957770102")))
CALL = Beginning(
    "1790000120.77",
    "1790000120.77",
    "PJSIP/city-00000001",
    INBOUND,
    "89161234567",
    "74957770101",
    datetime(2026, 9, 21, tzinfo=timezone.utc),
)
ANNA = Client(Entity("CONTACT", 42), "Anna", 12, "102", True)
BOTH = Wishes(True, 15)


def directory(**people: str) -> Directory:
    """One that knows these extensions by `u<id>`."""
    extensions = {name[1:]: extension for name, extension in people.items()}
    one = Directory.from_json(json.dumps({"version": 2, "portal": "p", "extensions": extensions}))
    assert one.loaded == bool(people)
    return one


def test_an_inbound_call_has_its_lines_wishes() -> None:
    assert wishes(RULES, CALL) == Wishes(True, 15)
    assert not wishes(RULES, replace(CALL, did="74957770102"))


def test_numbers_that_are_no_line_have_the_wishes_of_the_defaults() -> None:
    rules = replace(RULES, unlisted=LineRules("", client_name=True))
    assert wishes(rules, replace(CALL, did="74957770199")) == Wishes(True, 0)


def test_outbound_calls_and_hidden_callers_have_none() -> None:
    assert not wishes(RULES, replace(CALL, direction=OUTBOUND))
    assert not wishes(RULES, replace(CALL, number="anonymous"))


def test_nobody_is_rung_first_for_a_caller_on_the_blacklist() -> None:
    assert wishes(replace(RULES, skip_blacklist=False), replace(CALL, blacklisted="1")) == Wishes(True, 0)


def test_a_fresh_answer_tells_the_name_and_whom_to_ring() -> None:
    assert about(Known(ANNA, 1.0), BOTH, RULES, directory(u12="102")) == About("Anna", "102", 15)


def test_an_old_answer_tells_the_name_but_rings_nobody() -> None:
    assert about(Known(ANNA, FRESH_SECONDS + 1), BOTH, RULES, directory(u12="102")) == About("Anna", "102", 0)


def test_who_is_not_at_work_is_named_and_not_rung() -> None:
    assert about(Known(replace(ANNA, at_work=False), 1.0), BOTH, RULES, directory(u12="102")) == About("Anna", "102")


def test_only_what_the_line_wants_is_told() -> None:
    assert about(Known(ANNA, 1.0), Wishes(True), RULES, directory(u12="102")) == About("Anna", "102", 0)
    assert about(Known(ANNA, 1.0), Wishes(False, 9), RULES, directory(u12="102")) == About("", "102", 9)
    assert about(Known(ANNA, 1.0), Wishes(), RULES, directory(u12="102")) == NOBODY


@pytest.mark.parametrize("known", [None, Known(None, 1.0)])
def test_nobody_known_is_nobody_told(known: Known | None) -> None:
    assert about(known, BOTH, RULES, directory(u12="102")) == NOBODY


def test_an_extension_that_the_answer_leaves_out_is_in_the_list_of_employees() -> None:
    assert about(Known(replace(ANNA, extension=""), 1.0), BOTH, RULES, directory(u12="107")).responsible == "107"


def test_who_has_left_the_company_is_not_rung_even_by_a_device_of_his() -> None:
    rules = replace(RULES, people={"10102": Person(user_id=12)})
    assert about(Known(ANNA, 1.0), BOTH, rules, directory(u13="102")) == About("Anna", "", 0)


def test_before_the_employees_are_known_the_answer_is_taken_at_its_word() -> None:
    assert about(Known(ANNA, 1.0), BOTH, RULES, directory()) == About("Anna", "102", 15)


@pytest.mark.parametrize(
    "people, person, device",
    [
        ({}, Person("102", 12), "102"),
        ({"10102": Person("102")}, Person("102", 12), "10102"),  # longer numbers than the portal has
        ({"10102": Person(user_id=12)}, Person("102", 12), "10102"),
        ({"10102": Person(user_id=12)}, Person("", 12), "10102"),
        ({"10102": Person("103")}, Person("102", 12), "102"),
        ({"99102": Person("102")}, Person("102", 12), "102"),  # FreePBX's second device of the same extension
        ({"10102": Person("102"), "20102": Person("102")}, Person("102", 12), "102"),  # which one is not told
        ({"anna-mobile": Person("102")}, Person("102", 12), "102"),
        ({"10102": Person("102")}, Person("", 0), ""),
    ],
)
def test_a_person_is_rung_by_the_number_that_the_pbx_has(
    people: dict[str, Person], person: Person, device: str
) -> None:
    assert device_of(replace(RULES, people=people), person) == device
