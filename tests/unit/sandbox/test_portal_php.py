"""How the portal reads values, and how its CRM compares numbers."""

from __future__ import annotations

from typing import Any

import pytest

from freepbx_bx24.sandbox.portal import php
from freepbx_bx24.sandbox.portal.world import World, normalise


@pytest.mark.parametrize("value", [None, False, 0, 0.0, "", "0", [], {}])
def test_phps_false_values(value: Any) -> None:
    assert php.truth(value) is False


@pytest.mark.parametrize("value", [True, 1, -1, "1", "N", "false", "00", " ", [0]])
def test_everything_else_is_true_also_the_words_no_and_false(value: Any) -> None:
    assert php.truth(value) is True


@pytest.mark.parametrize(
    "value, expected",
    [
        (12, 12),
        ("12", 12),
        (" 12abc", 12),
        ("-3", -3),
        ("abc", 0),
        ("", 0),
        (None, 0),
        (7.9, 7),
        (True, 1),
        ([5], 1),
        ([], 0),
        (float("inf"), 0),
        (float("nan"), 0),
        ("9" * 5000, int("9" * 18)),
    ],
)
def test_integers_are_read_from_the_left(value: Any, expected: int) -> None:
    assert php.integer(value) == expected


@pytest.mark.parametrize(
    "value, expected", [("1.5", 1.5), (2, 2.0), ("x", 0), (None, 0), ("nan", 0), ("inf", 0), (10**400, 0)]
)
def test_money_is_a_number_or_nothing(value: Any, expected: float) -> None:
    assert php.number(value) == expected


@pytest.mark.parametrize(
    "written, expected",
    [
        ("2026-09-21T17:15:22+03:00", "2026-09-21T17:15:22+03:00"),
        ("2026-09-21T14:15:22Z", "2026-09-21T17:15:22+03:00"),
        ("2026-09-21T14:15:22.987Z", "2026-09-21T17:15:22+03:00"),
        ("2026-09-21T17:15:22", "2026-09-21T17:15:22+03:00"),
        ("2026-09-21 09:15:22-0500", "2026-09-21T17:15:22+03:00"),
        ("2026-09-21T17:15+03", "2026-09-21T17:15:00+03:00"),
        ("2026-09-21", "2026-09-21T00:00:00+03:00"),
    ],
)
def test_iso_dates_are_read_to_the_second_in_the_portals_zone(written: str, expected: str) -> None:
    moment = php.read_date(written)
    assert moment is not None
    assert moment.isoformat() == expected


@pytest.mark.parametrize(
    "written",
    ["", "x", "2026-02-30", "2026-09-21T25:00", "21.09.2026", "2026-09-21T17:15:22+99:00", "0001-01-01T00:00:00+14:00"],
)
def test_what_is_no_date_is_none(written: str) -> None:
    assert php.read_date(written) is None


@pytest.mark.parametrize(
    "pairs, expected",
    [
        ([("a", "1"), ("a", "2")], {"a": "2"}),
        ([("a[0]", "1"), ("a[1]", "2")], {"a": ["1", "2"]}),
        ([("a[]", "1"), ("a[]", "2")], {"a": ["1", "2"]}),
        ([("a[5]", "1")], {"a": {"5": "1"}}),
        ([("F[>ID]", "5"), ("F[X][0]", "y")], {"F": {">ID": "5", "X": ["y"]}}),
        ([("a", "1"), ("a[b]", "2")], {"a": {"b": "2"}}),
        ([("a[b", "1")], {"a": "1"}),
    ],
)
def test_form_keys_nest_as_in_php(pairs: list[tuple[str, str]], expected: dict[str, Any]) -> None:
    assert php.nest(pairs) == expected


def test_keys_nested_without_end_are_cut() -> None:
    assert php.nest([("a" + "[x]" * 100_000, "1")])


@pytest.mark.parametrize(
    "values, expected", [({}, []), ({"0": 1, "1": 2}, [1, 2]), ({"a": 1}, {"a": 1}), ({"1": 1}, {"1": 1})]
)
def test_maps_are_written_as_php_writes_arrays(values: dict[str, Any], expected: Any) -> None:
    assert php.array(values) == expected


@pytest.mark.parametrize(
    "written, compared",
    [
        ("+7 (495) 123-45-67", "74951234567"),
        ("8 495 123 45 67", "74951234567"),
        ("0074951234567", "74951234567"),
        ("01174951234567", "74951234567"),
        ("123-45-67", "1234567"),
        ("81234", "81234"),
        ("", ""),
        ("anonymous", ""),
        ("00", "00"),
    ],
)
def test_numbers_are_compared_without_their_writing(written: str, compared: str) -> None:
    assert normalise(written) == compared


def test_the_default_world_has_extensions_101_to_199_as_users_1101_to_1199() -> None:
    world = World.default()
    assert {person.extension: person.user_id for person in world.employees if person.extension} == {
        str(number): number + 1000 for number in range(101, 200)
    }
    assert [person.extension for person in world.employees if not person.active] == ["198"]
    admin = world.employee(1)
    assert admin
    assert (admin.name, admin.extension, admin.active) == ("Admin", None, True)
