"""Who counts as an employee, which numbers are their own, and what the log hears of a change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepbx_bx24.bitrix24.employees import Employee, changes, employee, own_numbers, people, shrunk


@pytest.mark.parametrize("active", [True, 1, "1", "Y", "true", None])
def test_whoever_is_not_said_to_be_dismissed_is_active_since_the_filter_asked_for_it(active):
    assert employee({"ID": "5", "ACTIVE": active}) == Employee(5)


@pytest.mark.parametrize("active", [False, 0, "0", "N", "n", "false"])
def test_whoever_is_dismissed_is_nobody(active):
    assert employee({"ID": "5", "ACTIVE": active}) is None


@pytest.mark.parametrize("kind", ["extranet", "email", "bot", "shop", ["employee"], 1, {}])
def test_whoever_is_no_employee_is_nobody(kind):
    assert employee({"ID": "5", "USER_TYPE": kind}) is None


@pytest.mark.parametrize("kind", [{}, {"USER_TYPE": "employee"}, {"USER_TYPE": ""}, {"USER_TYPE": None}])
def test_a_portal_that_says_no_type_has_obeyed_the_filter(kind):
    assert employee({"ID": "5", **kind}) == Employee(5)


@pytest.mark.parametrize(
    "inner, extension",
    [("101", "101"), (101, "101"), ("0101", "0101"), ("10101", "10101"), ("1234567890", "1234567890")]
    + [(value, "") for value in ("", None, "1 01", "12345678901", 10**10, -1, True, 1.5, "\u0661\u0660", "x", [], {})],
)
def test_an_extension_is_taken_whole_or_not_at_all(inner, extension):
    assert employee({"ID": "5", "UF_PHONE_INNER": inner}) == Employee(5, extension)


@pytest.mark.parametrize(
    "written, numbers",
    [
        ("+7 916 000-01-01", ["+79160000101"]),
        ("8 (916) 000-01-01", ["+79160000101"]),
        ("777-00-00", ["+74957770000"]),
        ("+7 916 000-01-01 (mob.)", ["+79160000101"]),
        ("моб. 89160000101", ["+79160000101"]),
        ("8 916 000-01-01, 8 917 000-01-01", ["+79160000101", "+79170000101"]),
        ("89160000101; +49 30 12345678", ["+79160000101", "+493012345678"]),
        ("8 495 777-00-00 доб. 101", []),
        ("+7 495 777-00-00 ext 101", []),
        ("+7 495 777-00-00,,101", []),
        ("101", []),
        ("10101", []),
        ("112", []),
        ("*21#89160000101", []),
        ("none", []),
        ("", []),
        ("\x00\ud800", []),
    ],
)
def test_numbers_of_ones_own_are_whole_outside_numbers_and_never_the_companys_with_an_extension(written, numbers):
    assert list(own_numbers(written, "RU", "495")) == numbers


def test_without_a_country_only_numbers_with_a_plus_are_read():
    assert own_numbers("+7 916 000-01-01", "") == ("+79160000101",)
    assert own_numbers("8 916 000-01-01", "") == ()


def test_a_number_in_two_fields_of_one_person_is_theirs_and_one_of_two_people_is_nobodys():
    everybody = [
        Employee(5, "", ("+79160000101", "8 916 000-01-01")),
        Employee(6, "", ("+79160000202",)),
        Employee(7, "", ("8 916 000 02 02",)),
        Employee(8, "", ("+7 916 000 02 02",)),
    ]
    assert people(everybody, "RU").phones == {"+79160000101": 5}


@given(
    st.lists(st.builds(Employee, st.integers(1, 20), st.sampled_from(["", "101", "102"])), max_size=20), st.randoms()
)
def test_the_order_of_the_rows_decides_nothing(everybody, random):
    once = list({one.user_id: one for one in everybody}.values())
    mixed = list(once)
    random.shuffle(mixed)
    first, second = people(once), people(mixed)
    assert (first.users, first.duplicates) == (second.users, second.duplicates)
    for extension, ids in first.duplicates.items():
        assert len(ids) > 1
        assert list(ids) == sorted(ids)
        assert first.users[extension] == ids[0]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=2)))
def test_no_row_of_any_types_raises(value):
    fields = ("ID", "ACTIVE", "USER_TYPE", "UF_PHONE_INNER", "PERSONAL_MOBILE", "PERSONAL_PHONE", "WORK_PHONE")
    employee(value)
    for field in fields:
        found = employee({"ID": "5", field: value})
        people([found] if found else [], "RU")


def some(count, extensions=None):
    return people(
        Employee(one, str(one) if one <= (count if extensions is None else extensions) else "")
        for one in range(1, count + 1)
    )


@pytest.mark.parametrize(
    "old, new, doubted",
    [
        (some(0), some(5), False),
        (some(10), some(5), False),
        (some(10), some(4), True),
        (some(10), some(10, 5), False),
        (some(10), some(10, 4), True),
        (some(10, 0), some(10, 10), False),
        (some(3), some(1), True),
    ],
)
def test_more_than_half_gone_is_doubted(old, new, doubted):
    assert shrunk(old, new) is doubted


def test_a_change_is_said_in_counts_and_extensions_and_never_at_length():
    assert changes(some(0), some(3, 2)) == "3 people, 2 extensions"
    assert changes(some(3), some(3)) == ""
    assert changes(some(3), some(5, 4)) == "+2 people; new extensions: 4"
    assert changes(some(5), some(3)) == "-2 people; extensions that are gone: 4, 5"
    assert changes(some(1), some(2000)).endswith(" and 1989 more")
    twice = people([Employee(1, "1"), Employee(2, "1"), Employee(3, "3")])
    assert changes(some(3), twice) == "extensions that are gone: 2; extensions that several people have: 1"
    assert changes(twice, some(3)) == "new extensions: 2; no extension has several people any more"


# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"NAME": "Anton", "LAST_NAME": "Belov"}, "Anton Belov"),
        ({"NAME": "Анна", "LAST_NAME": None}, "Анна"),
        ({"NAME": ["x"], "LAST_NAME": ""}, ""),
        ({"NAME": "a\x1b[2J\u202e\nb", "LAST_NAME": "c"}, "a [2J b c"),
        ({"NAME": "x" * 1000, "LAST_NAME": "y"}, "x" * 60),
    ],
)
def test_a_name_is_what_people_can_read_and_no_more(row, name):
    one = employee({"ID": "5", **row})
    assert one is not None
    assert one.name == name
    assert people([one]).names == ({5: name} if name else {})
