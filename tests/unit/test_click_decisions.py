"""What of the portal's clicks and callbacks is dialled, and what never is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from freepbx_bx24.clicks import (
    EXTENSION,
    OWN_MOBILE,
    Callback,
    CallbackRules,
    Click,
    ClickRules,
    Hours,
    Number,
    Refused,
    Rung,
    clickable,
    decide_callback,
    decide_click,
    on_display,
    opens,
)
from freepbx_bx24.reasons import WORDS

CLICK = Click("externalCall.1", 12, "8 (495) 000-00-01", 1000.0, "+74950000001")
RULES = ClickRules(enabled=True)
FORM = Callback("+79260000001", 1000.0)


def decided(click: Click = CLICK, rules: ClickRules = RULES, **given: object) -> object:
    facts = {"now": 1001.0, "before": 0, "extension": "101", "mobile": "", **given}
    return decide_click(rules, click, "RU", **facts)  # type: ignore[arg-type]


def called_back(callback: Callback = FORM, **given: object) -> object:
    facts = {"now": 1001.0, "before": 0, "of_number": 0, **given}
    return decide_callback(CallbackRules(target="600"), callback, "RU", (), **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("country", "countries", "number", "e164", "dialled"),
    [
        ("RU", (), "+74950000001", "+74950000001", "84950000001"),
        ("RU", (), "8 (495) 000-00-01", "+74950000001", "84950000001"),
        ("RU", ("RU", "DE"), "+49 30 123456", "+4930123456", "8104930123456"),
        ("RU", ("RU", "KZ"), "+77011234567", "+77011234567", "87011234567"),
        ("DE", ("DE", "RU"), "+79031234567", "+79031234567", "0079031234567"),
        ("US", (), "+16502530000", "+16502530000", "16502530000"),
        ("IS", (), "+3545551234", "+3545551234", "5551234"),
        ("RU", (), "+78005550101", "+78005550101", "88005550101"),
    ],
)
def test_a_number_is_dialled_as_in_the_pbxs_own_country(
    country: str, countries: tuple[str, ...], number: str, e164: str, dialled: str
) -> None:
    assert clickable(number, "", country, countries) == Number(e164, dialled)


@pytest.mark.parametrize(
    "number",
    [
        *("*72", "*7289161234567", "#31#+74950000001", "1001", "101", "112", "02", "", " ", "+", "88005", "+7"),
        *("+74950000001,123", "+74950000001;123", "+74950000001&PJSIP/1001", "84950000001@from-internal", "Local/1001"),
        *("+7495000000", "+749500000011", "84950000001\r\nVariable: x=1", "${EXTEN}", "+٧٤٩٥٠٠٠٠٠٠١", "+7495abc0001"),
    ],
)
def test_what_is_no_number_of_a_client_is_never_dialled(number: str) -> None:
    assert clickable(number, "", "RU", ()) == Refused("403", "NO_NUMBER")
    assert clickable("8 495 000-00-01", number, "RU", ()) == Refused("403", "NO_NUMBER") or not number.strip()


@pytest.mark.parametrize("written", ["*72", "#31#84950000001", "84950000001@x", "8495000&0001"])
def test_a_feature_code_is_refused_also_where_the_portal_has_read_a_number_out_of_it(written: str) -> None:
    assert clickable(written, "+74950000001", "RU", ()) == Refused("403", "NO_NUMBER")


def test_an_extension_behind_the_clients_number_is_left_out() -> None:
    assert clickable("+7 495 000-00-01, доб. 12", "+74950000001", "RU", ()) == Number("+74950000001", "84950000001")


@pytest.mark.parametrize("number", ["+4930123456", "+77011234567", "+12423225551", "+881612345678", "+870773123456"])
def test_other_countries_and_satellites_are_refused_until_they_are_allowed(number: str) -> None:
    assert clickable(number, "", "RU", ()) == Refused("403", "COUNTRY")


@pytest.mark.parametrize(
    ("country", "number"),
    [("RU", "+78095550101"), ("GB", "+447012345678"), ("GB", "+449012345678"), ("US", "+19002345678")],
)
def test_premium_and_shared_cost_and_personal_numbers_are_refused(country: str, number: str) -> None:
    assert clickable(number, "", country, ()) == Refused("403", "EXPENSIVE")


def test_a_click_rings_its_person_and_then_the_client() -> None:
    assert decided() == (Number("+74950000001", "84950000001"), Rung("101"))


def test_clicks_are_off_until_somebody_switches_them_on() -> None:
    assert decided(rules=ClickRules()) == Refused("403", "OFF")


def test_a_click_of_half_a_minute_ago_is_not_dialled() -> None:
    assert decided(now=1030.0) == decided()
    assert decided(now=1031.0) == Refused("603-S", "STALE")


def test_ten_clicks_a_minute_are_enough_for_a_person() -> None:
    assert decided(before=9) == decided()
    assert decided(before=10) == Refused("403", "TOO_MANY")


@pytest.mark.parametrize("extension", ["", "101&102", "10a", "1" * 11])
def test_a_person_without_an_extension_can_not_be_rung(extension: str) -> None:
    assert decided(extension=extension) == Refused("484", "NO_EXTENSION")


def test_a_click_in_the_mobile_application_rings_the_extension_or_the_own_mobile_as_configured() -> None:
    click, own = replace(CLICK, mobile=True), "+79160000101"
    assert decided(click, ClickRules(True, from_mobile=EXTENSION), mobile=own) == decided()
    rung = decided(click, ClickRules(True, from_mobile=OWN_MOBILE), mobile=own)
    assert rung == (Number("+74950000001", "84950000001"), Rung("101", "89160000101"))
    assert decided(CLICK, ClickRules(True, from_mobile=OWN_MOBILE), mobile=own) == decided()


@pytest.mark.parametrize("own", ["", "*72", "+78095550101", "+4930123456"])
def test_an_own_mobile_is_held_to_the_same_rules_as_a_clients_number(own: str) -> None:
    assert decided(replace(CLICK, mobile=True), ClickRules(True, from_mobile=OWN_MOBILE), mobile=own) == Refused(
        "484", "NO_MOBILE"
    )


def test_callbacks_are_off_until_there_is_a_target() -> None:
    assert decide_callback(CallbackRules(), FORM, "RU", (), now=1001.0, before=0, of_number=0) == Refused("403", "OFF")


def test_a_line_may_have_a_target_of_its_own() -> None:
    rules = CallbackRules(target="600", targets={"+74957770001": "701"})
    facts = {"now": 1001.0, "before": 0, "of_number": 0}
    for line, target in (("", "600"), ("+74957770001", "701"), ("+74957770009", "600")):
        decision = decide_callback(rules, replace(FORM, line=line), "RU", (), **facts)
        assert decision == (Number("+79260000001", "89260000001"), target)


def test_sixty_callbacks_an_hour_and_one_for_each_number() -> None:
    assert isinstance(called_back(before=59), tuple)
    assert called_back(before=60) == Refused("403", "TOO_MANY")
    assert called_back(of_number=1) == Refused("403", "TOO_MANY")


@pytest.mark.parametrize("number", ["*72", "1001", "+78095550101", "+4930123456"])
def test_a_form_is_held_to_the_same_rules_as_a_click(number: str) -> None:
    assert isinstance(called_back(replace(FORM, number=number)), Refused)


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("2026-11-30T08:59:00", "2026-11-30T09:00:00"),  # a Monday
        ("2026-11-30T12:00:00", "2026-11-30T12:00:00"),
        ("2026-11-30T18:00:00", "2026-12-01T09:00:00"),
        ("2026-12-04T18:30:00", "2026-12-07T09:00:00"),
    ],
)
def test_outside_the_hours_a_callback_waits_for_the_next_ones(now: str, then: str) -> None:
    hours = Hours(frozenset(range(5)), 9 * 60, 18 * 60)
    assert opens(hours, datetime.fromisoformat(now)) == datetime.fromisoformat(then)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Анна Петрова", "Анна Петрова"),
        ('Anna"\r\nVariable: x=1', "Anna Variable x 1"),
        ("${SHELL(rm)},;\\&|<1>", "SHELL(rm) 1"),
        ("x" * 500, "x" * 80),
    ],
)
def test_a_name_on_the_display_is_nothing_but_a_name(name: str, shown: str) -> None:
    assert on_display(name) == shown


def test_every_language_has_every_reason() -> None:
    assert WORDS["en"].clicks.keys() == WORDS["ru"].clicks.keys()
