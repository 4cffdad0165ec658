"""What the CRM is told of a call, decision by decision; and that no text from outside can upset it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from freepbx_bx24.call import ANSWER, INBOUND, NEVER, OUTBOUND, Beginning, Entity, Person, Registration
from freepbx_bx24.policy import (
    PORTAL,
    UNKNOWN,
    LineRules,
    Rules,
    Skip,
    decide_registration,
    external_id,
)
from tests.support.decisions import (
    INBOUND_CALL,
    OUTBOUND_CALL,
    OWNER,
    RULES,
    SALES,
    STARTED,
    registration,
    texts,
)


def why_skipped(beginning: Beginning = INBOUND_CALL, rules: Rules = RULES, **changes: object) -> str:
    decision = decide_registration(rules, replace(beginning, **changes))
    assert isinstance(decision, Skip), decision
    return decision.why


# -- what register tells -------------------------------------------------------------------------------------


def test_an_inbound_call_is_told_whole() -> None:
    assert registration() == Registration(
        uniqueid="1790000120.77",
        linkedid="1790000120.70",
        external_id="pbx-7f3a91-1790000120.77",
        direction=INBOUND,
        number="+79161234567",
        line="+74957770000",
        people=(SALES, OWNER),
        started=STARTED,
        create=True,
        source="WEB",
        show=True,
        entity=None,
        missed_owner=("responsible", "last_rung", "person"),
    )


@pytest.mark.parametrize(("cards", "shows"), [("ring", True), (ANSWER, False), (NEVER, False)])
def test_register_opens_a_card_only_where_the_line_wants_it_while_it_rings(cards: str, shows: bool) -> None:
    told = registration(rules=replace(RULES, lines=(LineRules("+74957770000", cards=cards),)))
    assert (told.cards, told.show) == (cards, shows)


@pytest.mark.parametrize(
    ("create", "may", "only_unknown"), [(PORTAL, True, False), (UNKNOWN, True, True), (NEVER, False, False)]
)
def test_a_lead_is_made_as_the_portal_decides_or_for_unknown_clients_or_never(
    create: str, may: bool, only_unknown: bool
) -> None:
    told = registration(rules=replace(RULES, lines=(LineRules("+74957770000", create_in=create),)))
    assert (told.create, told.only_unknown) == (may, only_unknown)


def test_a_caller_on_the_blacklist_is_left_out_unless_the_settings_say_otherwise() -> None:
    assert why_skipped(blacklisted="1") == "the caller is on FreePBX's blacklist"
    assert registration(rules=replace(RULES, skip_blacklist=False), blacklisted="1").number == "+79161234567"
    assert registration(OUTBOUND_CALL, blacklisted="1").number == "+79161234567"  # whom we call is another matter


def test_whoever_comes_through_the_endpoint_for_anybody_is_left_out() -> None:
    assert "lets anybody in" in why_skipped(channel="PJSIP/anonymous-0000001f")
    assert registration(channel="PJSIP/anonymous-carrier-0000001f").line == "+74957770000"


def test_an_outbound_call_belongs_to_who_dialled_then_to_the_line_and_the_default_person() -> None:
    assert registration(OUTBOUND_CALL).people == (Person("103"), SALES, OWNER)


def test_an_inbound_call_never_belongs_to_an_extension_of_the_channel() -> None:
    assert registration(extension="103").people == (SALES, OWNER)


def test_nobody_is_named_twice() -> None:
    assert registration(OUTBOUND_CALL, extension="101").people == (SALES, OWNER)


@pytest.mark.parametrize(
    ("extension", "person"),
    [
        ("10101", Person("101")),
        ("reception", OWNER),
        ("chief", Person(user_id=12)),
        ("user:7", Person(user_id=7)),
        (" 105 ", Person("105")),
    ],
)
def test_a_device_is_the_person_whom_people_names(extension: str, person: Person) -> None:
    assert registration(OUTBOUND_CALL, extension=extension).people[0] == person


@pytest.mark.parametrize("extension", ["", "trunk-mts", "user:", "user:0", "user:-1", "12345678901", "١٠١", "101\n102"])
def test_what_is_nobodys_name_leaves_the_call_to_the_lines_person(extension: str) -> None:
    assert registration(OUTBOUND_CALL, extension=extension).people == (SALES, OWNER)


def test_a_line_without_a_person_leaves_the_call_to_the_default_person() -> None:
    assert registration(did="770002").people == (OWNER,)


@pytest.mark.parametrize(
    ("did", "line"),
    [
        ("74957770000", "+74957770000"),
        ("+74957770000", "+74957770000"),
        ("84957770001", "+74957770001"),
        ("7770001", "+74957770001"),
        ("770002", "+74957770002"),
        ("8800333012", "+74957770002"),
        ("+78003330099", "+74957770000"),
        ("74950000000", "+74957770000"),
    ],
)
def test_the_line_is_found_by_did_in_any_form_or_pattern_else_it_is_the_default_line(did: str, line: str) -> None:
    assert registration(did=did).line == line


@pytest.mark.parametrize("did", ["s", "", "74950000000"])
def test_a_did_that_no_line_names_is_the_line_of_its_trunk(did: str) -> None:
    assert registration(did=did, trunk="mts").line == "+74957770002"


def test_a_call_without_did_and_known_trunk_is_on_the_default_line_and_the_default_persons() -> None:
    decided = registration(did="s")
    assert (decided.line, decided.people) == ("+74957770000", (OWNER,))


def test_the_did_goes_before_the_trunk() -> None:
    assert registration(did="74957770001", trunk="mts").line == "+74957770001"


def test_the_line_of_an_outbound_call_is_the_caller_id_that_the_trunk_shows() -> None:
    assert registration(OUTBOUND_CALL, did="84957770001").line == "+74957770001"


def test_the_line_that_the_dialplan_names_goes_before_the_did() -> None:
    assert registration(line="8 (495) 777-00-01").line == "+74957770001"


def test_a_line_that_the_dialplan_names_and_the_configuration_does_not_is_the_default_line() -> None:
    decided = registration(line="nonsense")
    assert decided.line == "+74957770000"
    assert decided.source == "CALL"


def test_without_any_line_in_the_configuration_the_default_line_is_told_even_where_that_is_none() -> None:
    rules = replace(RULES, lines=(), default_line="")
    assert registration(rules=rules).line == ""
    assert registration(rules=replace(rules, lines_not_listed="skip")).line == ""


def test_lines_not_listed_can_be_left_out_because_several_companies_share_a_pbx() -> None:
    rules = replace(RULES, lines_not_listed="skip")
    assert "not listed" in why_skipped(rules=rules, did="74950000000")
    assert "not listed" in why_skipped(OUTBOUND_CALL, rules, did="74950000000")
    assert registration(rules=rules).line == "+74957770000"


@pytest.mark.parametrize("raw", ["89161234567", "79161234567", "8 (916) 123-45-67", "+7 916 1234567", "9161234567"])
def test_the_number_is_told_in_one_form_however_the_trunk_writes_it(raw: str) -> None:
    assert registration(number=raw).number == "+79161234567"


def test_the_dialplan_can_name_the_clients_number() -> None:
    assert registration(number="anonymous", client_number="89161234567").number == "+79161234567"
    assert registration(OUTBOUND_CALL, client_number="84951112233").number == "+74951112233"


@pytest.mark.parametrize("hidden", ["", "anonymous", "<unknown>", "Restricted", "unavailable", "s", "0000000", "абв"])
def test_a_hidden_caller_is_left_out(hidden: str) -> None:
    assert "hides" in why_skipped(number=hidden)


def test_a_hidden_caller_can_be_told_under_a_placeholder_and_then_creates_nothing() -> None:
    rules = replace(RULES, anonymous="70000000000")
    decided = registration(rules=rules, number="anonymous", create="1")
    assert (decided.number, decided.create) == ("70000000000", False)


@pytest.mark.parametrize("value", ["1", "yes", "no", " "])
def test_anything_but_nothing_and_zero_in_the_skip_variable_leaves_the_call_out(value: str) -> None:
    assert "BX24_SKIP" in why_skipped(skip=value)


@pytest.mark.parametrize("value", ["", "0"])
def test_nothing_and_zero_in_the_skip_variable_leave_nothing_out(value: str) -> None:
    assert registration(skip=value)


@pytest.mark.parametrize("did", ["74957770099", "84957770099", "+74957770099"])
def test_an_excluded_did_is_left_out(did: str) -> None:
    assert "DID" in why_skipped(did=did)


@pytest.mark.parametrize("extension", ["199", "900", "999"])
def test_an_excluded_extension_is_left_out_when_it_dials(extension: str) -> None:
    assert "extension" in why_skipped(OUTBOUND_CALL, extension=extension)


def test_an_excluded_extension_is_not_left_out_of_inbound_calls_and_an_excluded_did_not_of_outbound_ones() -> None:
    assert registration(extension="199")
    assert registration(OUTBOUND_CALL, did="74957770099")


@pytest.mark.parametrize("number", ["88001234567", "+78001234567"])
def test_an_excluded_number_is_left_out_in_both_directions(number: str) -> None:
    assert "excluded" in why_skipped(number=number)
    assert "excluded" in why_skipped(OUTBOUND_CALL, number=number)


@pytest.mark.parametrize(
    ("beginning", "did", "expected"),
    [
        (INBOUND_CALL, "74957770000", True),
        (OUTBOUND_CALL, "74957770000", False),
        (INBOUND_CALL, "74957770001", False),
        (OUTBOUND_CALL, "74957770001", True),
    ],
)
def test_the_line_says_whether_to_create_in_each_direction(beginning: Beginning, did: str, expected: bool) -> None:
    assert registration(beginning, did=did).create is expected


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("0", False), ("", False), ("yes", False), ("2", False)])
def test_the_dialplan_overrides_create_with_0_and_1_alone(value: str, expected: bool) -> None:
    assert registration(did="74957770001", create=value).create is expected


@pytest.mark.parametrize(
    ("value", "expected"), [("ADVERTISING", "ADVERTISING"), ("7", "7"), ("", "WEB"), ("a b", "WEB"), ("x" * 51, "WEB")]
)
def test_the_dialplan_overrides_the_source_with_an_identifier(value: str, expected: str) -> None:
    assert registration(source=value).source == expected


def test_the_person_whom_the_dialplan_names_goes_before_all_others() -> None:
    assert registration(user="user:9").people == (Person(user_id=9), SALES, OWNER)
    assert registration(OUTBOUND_CALL, user="105").people == (Person("105"), SALES, OWNER)


@pytest.mark.parametrize("kind", ["CONTACT", "company", "Lead", "DEAL"])
def test_the_dialplan_can_bind_the_call_to_a_crm_record(kind: str) -> None:
    assert registration(entity_type=kind, entity_id="42").entity == Entity(kind.upper(), 42)


@pytest.mark.parametrize(
    ("kind", "number"),
    [("", "42"), ("CONTACT", ""), ("CONTACT", "0"), ("CONTACT", "-1"), ("USER", "1"), ("LEAD", "1 ")],
)
def test_half_a_crm_record_is_none(kind: str, number: str) -> None:
    assert registration(entity_type=kind, entity_id=number).entity is None


def test_the_external_id_is_unique_over_all_pbxs_and_keeps_the_end_that_tells_calls_apart() -> None:
    assert external_id(RULES, "1790000120.77") == "pbx-7f3a91-1790000120.77"
    long = "a-rather-long-asterisk-system-name-of-a-customer-1790000120"
    first, second = external_id(RULES, f"{long}.77"), external_id(RULES, f"{long}.78")
    assert first != second
    assert max(len(first), len(second)) <= 64


# -- whatever comes from outside -----------------------------------------------------------------------------


@given(texts(Beginning, "direction", "uniqueid"), some.sampled_from([INBOUND, OUTBOUND]))
def test_no_text_in_a_beginning_raises_or_leaves_the_portals_limits(values: dict[str, str], direction: str) -> None:
    beginning = Beginning(uniqueid="1790000120.77", direction=direction, started=STARTED, **values)
    decided = decide_registration(RULES, beginning)
    if isinstance(decided, Skip):
        assert decided.why.isprintable()
        return
    assert 1 <= len(decided.number) <= 20
    assert set(decided.number) <= set("+0123456789*#")
    assert decided.line in {line.number for line in RULES.lines} | {RULES.default_line}
    assert len(decided.external_id) <= 64
    assert len(decided.source) <= 50
    assert decided.people[-1] == OWNER
    for person in decided.people:
        assert person.user_id > 0 or (person.extension.isascii() and person.extension.isdigit())
    if decided.entity:
        assert decided.entity.type in ("CONTACT", "COMPANY", "LEAD", "DEAL")
        assert 0 < decided.entity.id < 10**18


@given(some.text(max_size=300), some.text(max_size=80))
def test_an_external_id_is_never_longer_than_the_portal_takes(uniqueid: str, pbx_id: str) -> None:
    assert len(external_id(replace(RULES, pbx_id=pbx_id), uniqueid)) <= 64


# -- why -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("different", "rule"),
    [
        (
            {},
            "line +74957770000 (Sales) by the number called, 74957770000; person 101, the line's;"
            " a lead for an unknown client: create.in",
        ),
        (
            {"line": "+74957770001"},
            "line +74957770001 (Support) by BX24_LINE, +74957770001; person 120, the line's; no lead: create.in",
        ),
        (
            {"did": "8800333012", "user": "chief", "create": "0"},
            "line +74957770002 (Shop) by the number called, 8800333012 (DID pattern _88003330XX);"
            " person user:12, BX24_USER; no lead: BX24_CREATE",
        ),
        (
            {"did": "s", "trunk": "mts"},
            "line +74957770002 (Shop) by trunk mts; person 100, default_person;"
            " a lead for an unknown client: create.in",
        ),
        (
            {"did": "74990000000"},
            "line +74957770000 as default_line: the configuration has none for the number called, 74990000000;"
            " person 100, default_person; a lead for an unknown client: create.in",
        ),
        (
            {"did": "s", "trunk": ""},
            "line +74957770000 as default_line: the configuration has none for a call without a DID;"
            " person 100, default_person; a lead for an unknown client: create.in",
        ),
    ],
)
def test_a_registration_says_by_what_rule_it_is_as_it_is(different: dict[str, str], rule: str) -> None:
    decision = decide_registration(RULES, replace(INBOUND_CALL, **different))
    assert isinstance(decision, Registration)
    assert decision.rule == rule


def test_an_outbound_calls_rule_names_who_dialled_and_the_caller_id_shown() -> None:
    decision = decide_registration(RULES, OUTBOUND_CALL)
    assert isinstance(decision, Registration)
    assert decision.rule == (
        "line +74957770000 (Sales) by the caller id shown, 74957770000; person 103, who dialled; no lead: create.out"
    )


def test_a_hidden_numbers_rule_says_why_there_is_no_lead() -> None:
    decision = decide_registration(replace(RULES, anonymous="+70000000000"), replace(INBOUND_CALL, number="anonymous"))
    assert isinstance(decision, Registration)
    assert decision.rule.endswith("no lead: the number is hidden")


def test_a_call_of_a_line_that_is_switched_off_is_left_out_by_whatever_it_is_that_lines() -> None:
    off = "+74957770001,+74957770002"
    assert why_skipped(did="74957770001", lines_off=off) == "the line +74957770001 is switched off by bx24 off"
    assert why_skipped(did="8800333020", lines_off=off) != ""
    assert why_skipped(OUTBOUND_CALL, did="+74957770001", lines_off=off) != ""
    assert why_skipped(did="74959999999", lines_off="+74957770000") != ""  # default_line's
    assert registration(did="74957770000", lines_off=off).line == "+74957770000"
    assert registration(did="74957770001", lines_off="74957770001,").line == "+74957770001"
