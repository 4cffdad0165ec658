"""Phone numbers: the canonical form, who is anonymous, and which pattern of the YAML means which number."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freepbx_bx24.numbers import canonical, is_anonymous, is_usable, matches

MOSCOW = "+74957770000"


@pytest.mark.parametrize(
    "raw",
    [
        "+74957770000",
        "84957770000",
        "8 (495) 777-00-00",
        "4957770000",
        "74957770000",
        "+7 495 777-00-00",
        "++74957770000",
        "tel:+74957770000",
        "sip:+74957770000@10.0.0.1",
        "+74957770000;ext=3",
        "84957770000,,12",
        "81074957770000",
        "0074957770000",
    ],
)
def test_every_way_to_write_a_russian_number_is_one_number(raw: str) -> None:
    assert canonical(raw, "RU") == MOSCOW


@pytest.mark.parametrize(
    ("raw", "country", "expected"),
    [
        ("810442012345678", "RU", "+442012345678"),
        ("00442012345678", "RU", "+442012345678"),
        ("+442012345678", "RU", "+442012345678"),
        ("442012345678", "RU", "+442012345678"),
        ("380447500123", "RU", "+380447500123"),
        ("88003330000", "RU", "+78003330000"),
        ("02012345678", "GB", "+442012345678"),
        ("0612345678", "IT", "+390612345678"),
        ("0114989123456", "US", "+4989123456"),
        ("4957770000", "US", "+14957770000"),
        ("87012345678", "KZ", "+77012345678"),
        ("80291234567", "BY", "+375291234567"),
        ("03012345678", "DE", "+493012345678"),
    ],
)
def test_a_number_is_read_as_it_is_dialled_in_its_country(raw: str, country: str, expected: str) -> None:
    assert canonical(raw, country) == expected


@pytest.mark.parametrize(
    ("raw", "area_code", "expected"),
    [
        ("7770000", "495", MOSCOW),
        ("777-00-00", "495", MOSCOW),
        ("770000", "4957", "+74957770000"),
        ("7770000", "", "7770000"),
        ("4957770000", "812", MOSCOW),
        ("84957770000", "812", MOSCOW),
        ("+442012345678", "812", "+442012345678"),
        ("112", "495", "112"),
        ("101", "495", "101"),
        ("10101", "495", "10101"),
        ("02", "495", "02"),
        ("*97", "495", "*97"),
    ],
)
def test_the_area_code_stands_before_short_local_numbers_alone(raw: str, area_code: str, expected: str) -> None:
    assert canonical(raw, "RU", area_code) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", ""),
        ("anonymous", ""),
        ("+", ""),
        ("*#+", ""),
        ("100", "100"),
        ("*97#", "*97#"),
        ("+700", "+700"),
        ("sip:100@10.0.0.1", "100"),
        ("12345678901234567890123456", "12345678901234567890"),
        ("٠١٢", ""),
        ("\ud800\x00\n", ""),
        ('"\nSET VARIABLE PWNED 1', "1"),
        ("${SHELL(touch pwned)}", ""),
    ],
)
def test_what_is_no_possible_number_is_what_the_portal_would_leave_of_it(raw: str, expected: str) -> None:
    assert canonical(raw, "RU") == expected


@settings(deadline=None)
@given(
    st.text(max_size=200) | st.text(alphabet="+0123456789*# -()", max_size=40),
    st.sampled_from(["RU", "US", "DE", "IT", "BR", "NU", "", "XX", "\ud800"]),
    st.sampled_from(["", "495", "12345678"]),
)
def test_whatever_comes_the_result_is_dialable_or_empty_and_stays_itself(raw: str, country: str, area: str) -> None:
    once = canonical(raw, country, area)
    assert re.fullmatch(r"(?=.*[0-9])\+?[0-9*#]{1,20}|", once)
    assert len(once) <= 20
    if once.startswith("+"):
        assert canonical(once, country, area) == once
    is_anonymous(raw)


@pytest.mark.parametrize(
    "raw",
    ["", " ", "anonymous", "Anonymous", "RESTRICTED", "unknown", "<unknown>", "Unavailable", "private", "withheld"]
    + ["asterisk", "s", "sip:anonymous@anonymous.invalid", "anonymous@10.0.0.1", "+", "0", "0000000000", "Вася"],
)
def test_a_caller_without_a_number_is_anonymous(raw: str) -> None:
    assert is_anonymous(raw)


@pytest.mark.parametrize("raw", ["84957770000", "+7 495", "100", "*97", "112", "00442012345678", "sip:100@x"])
def test_a_caller_with_a_number_is_not_anonymous(raw: str) -> None:
    assert not is_anonymous(raw)


MEANT = [
    ("+74957770000", "74957770000"),
    ("74957770000", "+74957770000"),
    ("8 495 777-00-00", "4957770000"),
    ("770002", "770002"),
    ("199", "199"),
    ("reception", "reception"),
    ("+7800*", "+78003330000"),
    ("+7800*", "88003330000"),
    ("8800*", "88003330000"),
    ("7800*", "+78003330000"),
    ("8800*", "+78003330000"),
    ("_8800333XXXX", "+78003330000"),
    ("*97*", "*9705"),
    ("_8800333XXXX", "88003330000"),
    ("_7800333XXXX", "+78003330000"),
    ("_+7800333XXXX", "88003330000"),
    ("_880033300[0-49]X", "88003330095"),
    ("_88-00-333-XXXX", "88003330000"),
    ("_9.", "912"),
    ("_9!", "9"),
    ("_*9X", "*97"),
    ("9XX", "912"),
    ("9xx", "912"),
    ("[12]ZN", "112"),
]
NOT_MEANT = [
    ("+74957770000", "+74957770001"),
    ("", ""),
    ("199", ""),
    ("199", "1990"),
    ("9XX", "9123"),
    ("9XX", "91"),
    ("9XX", "9XY"),
    ("_9.", "9"),
    ("_ZXX", "012"),
    ("_NXX", "112"),
    ("_", "1"),
    ("_[", "["),
    ("_9.1", "9.1"),
    ("+7800*", "+79161234567"),
    ("door1", "gate1"),
    ("49*", "+74957770000"),
    ("8*", "+442012345678"),
    ("reception", "Reception"),
    ("anonymous", "unknown"),
    ("101", "+74957770101"),
]


@pytest.mark.parametrize(("pattern", "number"), MEANT)
def test_means(pattern: str, number: str) -> None:
    assert matches(pattern, number, "RU")
    assert is_usable(pattern)


@pytest.mark.parametrize(("pattern", "number"), NOT_MEANT)
def test_does_not_mean(pattern: str, number: str) -> None:
    assert not matches(pattern, number, "RU")


def test_a_local_number_is_meant_by_its_whole_form_where_the_area_code_is_known() -> None:
    assert matches(MOSCOW, "7770000", "RU", "495")
    assert not matches(MOSCOW, "7770000", "RU")


@pytest.mark.parametrize("pattern", ["", " ", "_", "_[", "_[]", "_8.5", "_8[a-z]", "_99[9-1]", "X[", "***"])
def test_a_pattern_that_can_mean_nothing_is_not_usable(pattern: str) -> None:
    assert not is_usable(pattern)


@settings(deadline=None)
@given(
    st.text(max_size=60) | st.text(alphabet="_XZN[]-.!*#+0129 xzn", max_size=20),
    st.text(max_size=100) | st.text(alphabet="+0123456789*#", max_size=20),
)
def test_matching_never_raises_and_an_unusable_pattern_means_nothing(pattern: str, number: str) -> None:
    meant = matches(pattern, number, "RU", "495")
    if not is_usable(pattern):
        assert not meant or pattern.strip() == number.strip()


def test_a_hostile_number_is_not_slow() -> None:
    program = "from freepbx_bx24.numbers import *; canonical('1' * 10**7, 'RU'); matches('_1.', '1' * 10**7, 'RU')"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=10)


def test_importing_the_module_does_not_load_phonenumbers() -> None:
    program = "import sys, freepbx_bx24.numbers; print('phonenumbers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
