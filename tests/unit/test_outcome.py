"""What the CRM is told when a call ends, decision by decision; and that no text from outside can upset it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from freepbx_bx24.call import INBOUND, OUTBOUND, Ending, Outcome, Person, Registration, SeenLeg, View
from freepbx_bx24.outcome import decide_outcome, who_answered
from freepbx_bx24.policy import FIRST, LAST, LONGEST, LineRules, Rules
from freepbx_bx24.reasons import WORDS
from tests.support.decisions import INBOUND_CALL, OUTBOUND_CALL, OWNER, RULES, SALES, STARTED, registration, texts

INBOUND_END = Ending(uniqueid="1790000120.77", direction=INBOUND, ended=STARTED)
OUTBOUND_END = replace(INBOUND_END, direction=OUTBOUND)
BEGAN = STARTED.timestamp()
NADIA, OLEG, PAVEL = Person(user_id=1102), Person(user_id=1103), Person(user_id=1104)


def outcome(ending: Ending = INBOUND_END, rules: Rules = RULES, **changes: object) -> Outcome:
    began = registration(OUTBOUND_CALL if ending.direction == OUTBOUND else INBOUND_CALL, rules)
    return decide_outcome(rules, began, replace(ending, **changes))


# -- what finish tells ---------------------------------------------------------------------------------------


def test_an_answered_call_is_200_with_its_seconds_and_no_reason() -> None:
    told = outcome(dial_status="ANSWER", answered_seconds=35, dialled_peer_number="103")
    assert told == Outcome("1790000120.77", (Person("103"), SALES, OWNER), 35, "200", "")


@pytest.mark.parametrize("ending", [INBOUND_END, OUTBOUND_END])
def test_an_answered_call_lasted_at_least_a_second_because_the_portal_counts_0_as_a_failure(ending: Ending) -> None:
    assert outcome(ending, dial_status="ANSWER", answered_seconds=0).talk_seconds == 1


@pytest.mark.parametrize(
    "status", ["BUSY", "CANCEL", "NOANSWER", "CHANUNAVAIL", "CONGESTION", "", "DONTCALL", "INVALIDARGS"]
)
@pytest.mark.parametrize("cause", [0, 1, 16, 17, 19, 21, 34, 127])
def test_an_inbound_call_that_nobody_answered_is_missed_whatever_the_cause(status: str, cause: int) -> None:
    told = outcome(dial_status=status, hangup_cause=cause, answered_seconds=7, dialled_peer_number="103")
    assert (told.status_code, told.talk_seconds, told.people) == ("304", 0, (SALES, OWNER))
    assert told.reason


@pytest.mark.parametrize(
    ("status", "cause", "code"),
    [
        ("ANSWER", 16, "200"),
        ("BUSY", 17, "486"),
        ("CANCEL", 127, "603-S"),
        ("CANCEL", 16, "603-S"),
        ("NOANSWER", 16, "480"),
        ("", 16, "603-S"),
        *(
            ("CHANUNAVAIL", cause, code)
            for cause, code in ((1, "404"), (3, "484"), (20, "480"), (28, "484"), (0, "503"))
        ),
        *(
            ("CONGESTION", cause, code)
            for cause, code in ((17, "486"), (18, "480"), (19, "480"), (21, "603"), (34, "503"))
        ),
        *(("CONGESTION", cause, "503") for cause in (38, 41, 42, 16, 102)),
    ],
)
def test_the_code_of_an_outbound_call_says_how_it_went(status: str, cause: int, code: str) -> None:
    told = outcome(OUTBOUND_END, dial_status=status, hangup_cause=cause, answered_seconds=12)
    assert told.status_code == code
    assert told.talk_seconds == (12 if code == "200" else 0)


def test_a_member_of_a_queue_answered_where_no_dial_status_says_so() -> None:
    told = outcome(member_interface="Local/1002@from-queue/n", answered_seconds=20)
    assert (told.status_code, told.people[0]) == ("200", Person("1002"))


def test_a_queue_is_no_answer_of_an_outbound_call() -> None:
    assert outcome(OUTBOUND_END, member_interface="PJSIP/1002").status_code == "603-S"


@pytest.mark.parametrize(
    ("name", "number", "member", "who"),
    [
        ("", "1001", "", "1001"),
        ("", "1001/sip:1001@10.0.0.7:5060", "", "1001"),
        ("PJSIP/1001-0000000a", "1001/sip:1001@10.0.0.7", "", "1001"),
        ("PJSIP/1003-0000000c", "1001/sip:1001@10.0.0.7", "", "1003"),  # picked up by 1003
        ("PJSIP/1001-0000000a", "FMGL-1001@from-internal", "", "1001"),
        ("Local/1001@from-internal-00000001;1", "FMGL-1001@from-internal", "", ""),
        ("", "FMGL-1001-1002@from-internal", "", ""),
        ("Local/1001@bx24-responsible-00000001;1", "1001@bx24-responsible/n", "", "1001"),  # rung first by our dialplan
        ("", "LC-1001@from-internal", "", ""),
        ("Local/89991234567@from-internal-00000002;1", "89991234567@from-internal/n", "", ""),
        ("", "", "Local/1002@from-queue/n", "1002"),
        ("", "", "SIP/1002", "1002"),
        ("", "", "PJSIP/1002", "1002"),
        ("", "", "Agent/1002", "1002"),
        ("SIP/reception-0000000a", "reception", "", "reception"),
        ("SIP/front-desk-0000000a", "", "", "front-desk"),
        ("", "", "PJSIP/front-desk", "front-desk"),
        ("", "", "", ""),
    ],
)
def test_who_answered_is_read_from_what_each_kind_of_dialling_leaves(
    name: str, number: str, member: str, who: str
) -> None:
    ending = replace(INBOUND_END, dialled_peer_name=name, dialled_peer_number=number, member_interface=member)
    assert who_answered(ending)[0] == who
    assert bool(who_answered(ending)[1]) == bool(who)


def test_a_device_that_answered_is_the_person_whom_people_names() -> None:
    assert outcome(dial_status="ANSWER", dialled_peer_name="SIP/reception-0000000a").people[0] == OWNER
    assert outcome(dial_status="ANSWER", dialled_peer_number="10101/sip:10101@x").people == (SALES, OWNER)


@pytest.mark.parametrize("number", ["FMGL-1001@from-internal", "nobody", ""])
def test_where_nobody_can_be_told_the_call_stays_with_whom_it_was_registered_for(number: str) -> None:
    assert outcome(dial_status="ANSWER", dialled_peer_number=number).people == (SALES, OWNER)


def test_an_outbound_call_stays_with_who_dialled_because_the_peer_is_the_trunk() -> None:
    told = outcome(
        OUTBOUND_END, dial_status="ANSWER", dialled_peer_name="PJSIP/777-0000000a", dialled_peer_number="8999"
    )
    assert told.people == (Person("103"), SALES, OWNER)


def test_the_person_whom_the_dialplan_names_at_the_end_goes_before_who_answered() -> None:
    assert outcome(dial_status="ANSWER", dialled_peer_number="103", user="105").people[0] == Person("105")


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("status", ["BUSY", "CANCEL", "NOANSWER", "CHANUNAVAIL", "CONGESTION", ""])
def test_the_reason_of_a_missed_call_is_in_the_admins_language(language: str, status: str) -> None:
    told = outcome(rules=replace(RULES, language=language), dial_status=status)
    assert told.reason == WORDS[language].causes[status or "QUIET"]


def test_every_language_has_words_for_every_cause() -> None:
    assert len({frozenset(words.causes) for words in WORDS.values()}) == 1


def test_a_dial_status_that_has_no_words_stands_for_itself() -> None:
    assert outcome(dial_status="TORTURE").reason == "TORTURE"


def test_a_note_of_the_dialplan_follows_the_reason_on_one_line() -> None:
    assert outcome(dial_status="BUSY", note=" menu 2,\n night ").reason == "busy; menu 2, night"
    assert outcome(dial_status="ANSWER", note="menu 2").reason == "menu 2"


def test_the_reason_is_cut_to_what_the_portal_takes() -> None:
    assert len(outcome(dial_status="BUSY", note="x" * 1000).reason) == 255


# -- whatever comes from outside -----------------------------------------------------------------------------


@given(texts(Ending, "direction", "uniqueid"), some.sampled_from([INBOUND, OUTBOUND]), some.integers(0, 9_999_999))
def test_no_text_in_an_ending_raises_or_leaves_the_portals_limits(
    values: dict[str, str], direction: str, number: int
) -> None:
    ending = Ending(
        uniqueid="1790000120.77",
        direction=direction,
        ended=STARTED,
        hangup_cause=number,
        answered_seconds=number,
        **values,
    )
    told = decide_outcome(RULES, registration(INBOUND_CALL if direction == INBOUND else OUTBOUND_CALL), ending)
    assert len(told.reason) <= 255
    assert told.status_code in {"200", "304", "404", "480", "484", "486", "503", "603", "603-S"}
    assert (told.talk_seconds > 0) == (told.status_code == "200")
    assert told.people[-1] == OWNER
    if direction == INBOUND:
        assert told.status_code in {"200", "304"}


# -- by what Asterisk showed ---------------------------------------------------------------------------------


def leg(
    device: str,
    person: Person | None = None,
    *,
    rang: tuple[float, float | None] | None = None,
    talks: tuple[tuple[float, float | None], ...] = (),
    **more: object,
) -> SeenLeg:
    """A leg whose times are seconds from the call's beginning."""
    return SeenLeg(
        device,
        person=person,
        rang=after_beginning(*rang) if rang else None,
        talks=tuple(after_beginning(*talk) for talk in talks),
        **more,
    )


def after_beginning(since: float, until: float | None) -> tuple[float, float | None]:
    return BEGAN + since, None if until is None else BEGAN + until


def seen(
    *legs: SeenLeg, ending: Ending | None = INBOUND_END, rules: Rules = RULES, whole: bool = True, **more: object
) -> Outcome:
    """The outcome of a call that ended after 60 s, as Asterisk showed it."""
    out = ending is not None and ending.direction == OUTBOUND
    view = View(legs, whole, gone=BEGAN + 60, answered=BEGAN + 5 if out and more.pop("taken", True) else 0.0)
    call: Registration = more.pop("call", registration(OUTBOUND_CALL if out else INBOUND_CALL))
    ending = replace(ending, ended=STARTED + timedelta(seconds=60)) if ending else None
    return decide_outcome(rules, call, ending, view, until=BEGAN + 60, **more)


def test_who_talked_owns_the_call_and_what_the_client_talked_are_its_seconds() -> None:
    told = seen(leg("102", NADIA, rang=(1, 4), talks=((4, 39),)), leg("103", OLEG, rang=(1, 4)))
    assert told == Outcome("1790000120.77", (NADIA, SALES, OWNER), 35, "200", "")


def test_a_menu_a_queue_and_the_gap_of_a_transfer_are_no_talk() -> None:
    variables = replace(INBOUND_END, dial_status="ANSWER", answered_seconds=58)
    told = seen(leg("102", NADIA, talks=((20, 30),)), leg("103", OLEG, talks=((40, 55),)), ending=variables)
    assert told.talk_seconds == 25


def test_two_who_talk_at_once_are_one_talk() -> None:
    assert seen(leg("102", NADIA, talks=((2, 9),)), leg("103", OLEG, talks=((4, 12),))).talk_seconds == 10


def test_a_talk_whose_end_was_not_seen_lasted_until_the_client_had_gone() -> None:
    assert seen(leg("102", NADIA, talks=((20, None),))).talk_seconds == 40


def test_an_answered_call_lasted_at_least_a_second() -> None:
    assert seen(leg("102", NADIA, talks=((20, 20.1),))).talk_seconds == 1


@pytest.mark.parametrize(("strategy", "owner"), [(LAST, PAVEL), (FIRST, NADIA), (LONGEST, OLEG)])
def test_of_several_who_talked_the_settings_choose(strategy: str, owner: Person) -> None:
    legs = (
        leg("102", NADIA, talks=((2, 9), (30, 36))),
        leg("103", OLEG, talks=((10, 30),)),
        leg("104", PAVEL, talks=((37, 40),)),
    )
    for order in permutations(legs):
        assert seen(*order, rules=replace(RULES, finish_person=strategy)).people[0] == owner


def test_who_talked_longest_is_a_person_and_not_a_telephone() -> None:
    legs = (
        leg("102", NADIA, talks=((2, 8),)),
        leg("103", OLEG, talks=((8, 16),)),
        leg("99102", NADIA, talks=((16, 22),)),
    )
    assert seen(*legs, rules=replace(RULES, finish_person=LONGEST)).people[0] == NADIA


def test_who_talked_and_is_not_in_the_crm_is_named_in_the_reason_and_the_line_owns_the_call() -> None:
    told = seen(leg("150", user="155", talks=((2, 9),)))
    assert told.people == (SALES, OWNER)
    assert told.reason == "answered by 155, who is not in Bitrix24"


def test_another_one_who_talked_owns_the_call_where_the_last_one_is_not_in_the_crm() -> None:
    told = seen(leg("102", NADIA, talks=((2, 9),)), leg("cell", number="+79160000007", talks=((12, 20),)))
    assert told.people[0] == NADIA
    assert told.reason == "answered by +79160000007, who is not in Bitrix24"


def test_two_clients_who_were_joined_go_on_talking_and_own_nothing() -> None:
    told = seen(leg("102", NADIA, talks=((2, 9),)), leg("city", number="89160000001", client=True, talks=((9, 30),)))
    assert (told.people[0], told.talk_seconds, told.reason) == (NADIA, 28, "")


def test_a_machine_that_answered_is_nobody() -> None:
    variables = replace(INBOUND_END, dial_status="ANSWER", answered_seconds=30, member_interface="PJSIP/102")
    told = seen(ending=variables)
    assert (told.status_code, told.talk_seconds) == ("304", 0)


def test_an_outbound_call_that_was_handed_over_belongs_to_who_talked_last_for_all_of_its_seconds() -> None:
    variables = replace(OUTBOUND_END, dial_status="ANSWER", answered_seconds=4)
    told = seen(leg("103", OLEG, talks=((5, 9),)), leg("102", NADIA, talks=((12, 40),)), ending=variables)
    assert told.people == (NADIA, OLEG, Person("103"), SALES, OWNER)
    assert told.talk_seconds == 32


def test_an_outbound_call_that_nobody_of_ours_could_be_seen_in_lasted_from_answer_to_end() -> None:
    assert seen(ending=OUTBOUND_END).talk_seconds == 55


def test_an_outbound_call_without_the_hangup_handlers_word_is_told_by_its_last_dial() -> None:
    call = registration(OUTBOUND_CALL)
    legs = (
        leg("city", number="89160000001", client=True, rang=(1, 2), ended="CONGESTION"),
        leg("reserve", number="89160000001", client=True, rang=(2, 6), ended="BUSY"),
    )
    assert seen(*legs, ending=None, call=call).status_code == "486"
    assert seen(ending=None, call=call).status_code == "OTHER"


def test_what_was_seen_in_part_and_the_channels_variables_are_put_together() -> None:
    variables = replace(INBOUND_END, dial_status="ANSWER", answered_seconds=30, dialled_peer_name="PJSIP/101-0000000a")
    told = seen(leg("102", NADIA, talks=((50, 60),)), ending=variables, whole=False)
    assert (told.people[0], told.talk_seconds) == (NADIA, 30)
    told = seen(leg("102", NADIA, rang=(2, 9)), ending=variables, whole=False)
    assert (told.people[0], told.talk_seconds) == (Person("101"), 30)
    told = seen(leg("102", NADIA, talks=((50, 60),)), whole=False)  # a queue on Asterisk 16 leaves no seconds
    assert (told.status_code, told.talk_seconds) == ("200", 10)


# -- why nobody talked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("legs", "variables", "reason"),
    [
        (
            (leg("101", rang=(2, 25), ended="CANCEL"), leg("102", rang=(3, 25), ended="CANCEL")),
            {"queue": "400"},
            "rang 101, 102 for 23 s in queue 400",
        ),
        ((leg("101", rang=(2, 17), ended="NOANSWER"),), {"dial_status": "NOANSWER"}, "rang 101 for 15 s"),
        (
            (leg("102", rang=(5, 9), ended="CANCEL"), leg("101", rang=(2, 5), ended="NOANSWER")),
            {"dial_status": "CANCEL"},
            "rang 101, 102 for 7 s",
        ),
        (
            (leg("101", rang=(2, 9), ended="CANCEL"), leg("103", rang=(2, 2.2), ended="BUSY")),
            {"dial_status": "CANCEL"},
            "rang 101 for 7 s; 103 was busy",
        ),
        (
            (leg("101", rang=(2, 2.1), ended="CHANUNAVAIL"), leg("102", rang=(2, 2.1), ended="CONGESTION")),
            {"dial_status": "CHANUNAVAIL"},
            "101, 102 could not be reached",
        ),
        (
            tuple(leg("101", rang=(at, at + 0.1), ended="BUSY") for at in range(3)),
            {"queue": "400"},
            "101 was busy",
        ),
        ((leg("99101", user="101", rang=(1, 9)), leg("101", rang=(1, 9))), {}, "rang 101 for 8 s"),
        ((leg("cell", number="89160000007", rang=(1, 9)),), {}, "rang 89160000007 for 8 s"),
        ((), {"menu": "ivr-1"}, "hung up in the menu"),
        ((leg("101", rang=(1, 9)),), {"menu": "ivr-1"}, "rang 101 for 8 s"),
        ((), {"queue": "400"}, "waited in queue 400, where no phone rang"),
        ((leg("105", rang=(1, 16)),), {"voicemail": "SUCCESS"}, "rang 105 for 15 s; left a voicemail"),
        ((), {"voicemail": "SUCCESS", "dial_status": "BUSY"}, "left a voicemail"),
        ((), {"voicemail": "FAILED", "dial_status": "BUSY"}, "busy"),
        ((), {"dial_status": "BUSY"}, "busy"),
        ((), {"left": True}, "the caller hung up before a phone rang"),
        ((), {}, "no phone rang"),
        ((), {"hangup_cause": 17}, "busy"),
        ((leg("101", rang=(1, 9)),), {"note": "menu 2"}, "rang 101 for 8 s; menu 2"),
        ((leg("city", number="89160000001", client=True, rang=(1, 9)),), {"dial_status": "BUSY"}, "busy"),
    ],
)
def test_the_reason_of_a_missed_call_says_who_rang_for_how_long_and_where_the_caller_was(
    legs: tuple[SeenLeg, ...], variables: dict[str, object], reason: str
) -> None:
    told = seen(*legs, ending=replace(INBOUND_END, **variables))
    assert told.reason == reason
    assert (told.status_code, told.talk_seconds) == ("304", 0)


@pytest.mark.parametrize(
    ("leg_seen", "reason", "owner"),
    [
        (leg("102", NADIA, rang=(59.5, None)), "102 was busy", SALES),  # its end is not seen
        (leg("102", NADIA, rang=(59.5, 61), ended="BUSY"), "102 was busy", SALES),  # its end is seen late
        (leg("102", NADIA, rang=(40, None)), "rang 102 for 20 s", NADIA),  # pressed away by somebody
        (leg("102", NADIA, rang=(40, 61), ended="BUSY"), "rang 102 for 20 s", NADIA),
        (leg("102", NADIA, rang=(60.5, None)), "102 was busy", SALES),  # all of it is seen late
    ],
)
def test_news_that_lags_behind_the_hangup_makes_no_busy_telephone_one_that_rang(
    leg_seen: SeenLeg, reason: str, owner: Person
) -> None:
    rules = replace(RULES, lines=(LineRules("+74957770000", person=SALES, missed_owner=("last_rung", "person")),))
    busy = replace(INBOUND_END, dial_status="BUSY")
    told = seen(leg_seen, ending=busy, rules=rules, call=registration(rules=rules), whole=False)
    assert (told.reason, told.people[0]) == (reason, owner)


def test_it_says_so_in_russian() -> None:
    told = seen(
        leg("101", rang=(2, 25)),
        ending=replace(INBOUND_END, queue="400", voicemail="SUCCESS"),
        rules=replace(RULES, language="ru"),
    )
    assert told.reason == "вызов на 101, 23 с, очередь 400; оставлено голосовое сообщение"


def test_a_whole_floor_that_rang_is_named_in_part() -> None:
    told = seen(*(leg(f"{number}", rang=(1, 9)) for number in range(101, 151)))
    assert told.reason.startswith("rang 101, 102, ")
    assert told.reason.endswith("112, ... for 8 s")


# -- who owns what nobody took -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategies", "owner"),
    [
        (("responsible", "last_rung", "person"), PAVEL),
        (("last_rung", "responsible", "person"), OLEG),
        (("person", "responsible"), SALES),
        ((), SALES),
    ],
)
def test_a_missed_call_belongs_to_whom_the_lines_strategies_find_first(
    strategies: tuple[str, ...], owner: Person
) -> None:
    rules = replace(RULES, lines=(LineRules("+74957770000", person=SALES, missed_owner=strategies),))
    legs = (
        leg("103", OLEG, rang=(9, 20)),
        leg("102", NADIA, rang=(1, 8)),
        leg("150", rang=(10, 20)),
        leg("104", Person(user_id=1199), rang=(21, 21.2), ended="BUSY"),  # which has not rung
    )
    told = seen(*legs, call=registration(rules=rules), responsible=PAVEL)
    assert told.people[0] == owner
    assert told.people[-1] == OWNER


def test_where_no_strategy_finds_anybody_the_line_owns_the_call() -> None:
    assert seen().people == (SALES, OWNER)


# -- an end that nobody saw ----------------------------------------------------------------------------------


def test_a_call_that_was_talking_when_it_was_last_seen_is_answered_and_says_that_it_is_an_estimate() -> None:
    view = View((leg("102", NADIA, talks=((2, None),)),))
    told = decide_outcome(RULES, registration(), None, view, until=BEGAN + 82.4, seen=False)
    assert (told.status_code, told.talk_seconds, told.people[0]) == ("200", 80, NADIA)
    assert told.reason == "the end of the call was not seen"


@pytest.mark.parametrize(("call", "code"), [(INBOUND_CALL, "304"), (OUTBOUND_CALL, "OTHER")])
def test_a_call_of_which_nothing_more_is_known_is_missed_or_has_no_outcome_of_its_own(call: object, code: str) -> None:
    began = registration(call)
    told = decide_outcome(RULES, began, None, View(), until=BEGAN, seen=False)
    assert (told.status_code, told.talk_seconds, told.people) == (code, 0, began.people)
    assert told.reason == "the end of the call was not seen"
