"""Which recordings the CRM gets: by line, outcome, length, people, the dialplan's word; a message for a missed call."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from freepbx_bx24.call import ALWAYS, NEVER, OUTBOUND, TALKED, Ending, Outcome, Person, SeenLeg, View
from freepbx_bx24.policy import LineRules, RecordingRules
from freepbx_bx24.recording import MOST_FILES, Unwanted, Wanted, decide_recording, who_talked, why_not
from tests.support.decisions import INBOUND_CALL, OUTBOUND_CALL, RULES, STARTED, registration

FILE = "/var/spool/asterisk/monitor/2026/09/21/in-a.wav"
MESSAGE = "/var/spool/asterisk/voicemail/default/101/INBOX/msg0000"
CALL = registration()
ENDED = Ending(CALL.uniqueid, "in", STARTED + timedelta(seconds=40), "ANSWER", files=(FILE,))
TALK = Outcome(CALL.uniqueid, CALL.people, 35, "200", "")
MISSED = Outcome(CALL.uniqueid, CALL.people, 0, "304", "")
LEFT = replace(ENDED, dial_status="NOANSWER", voicemail="SUCCESS", voicemail_file=MESSAGE)
NOT_RECORDED = replace(ENDED, files=())


def decided(line: str = TALKED, ending: Ending | None = ENDED, outcome: Outcome = TALK, **rules: object) -> object:
    of_recordings = replace(RULES, recordings=RecordingRules(**rules))
    return decide_recording(of_recordings, replace(CALL, recordings=line), ending, outcome)


CALLS_OWN, ITS_MESSAGE = Wanted((FILE,)), Wanted((MESSAGE,), message=True)
NOTHING = Unwanted("")


@pytest.mark.parametrize(
    ("line", "ending", "outcome", "expected"),
    [
        (TALKED, ENDED, TALK, CALLS_OWN),
        (ALWAYS, ENDED, TALK, CALLS_OWN),
        (NEVER, ENDED, TALK, Unwanted("recordings of this line never go to the CRM")),
        (TALKED, ENDED, MISSED, NOTHING),
        (ALWAYS, ENDED, MISSED, CALLS_OWN),
        (NEVER, ENDED, MISSED, Unwanted("recordings of this line never go to the CRM")),
        (TALKED, LEFT, MISSED, ITS_MESSAGE),
        (ALWAYS, LEFT, MISSED, ITS_MESSAGE),
        (NEVER, LEFT, MISSED, Unwanted("recordings of this line never go to the CRM")),
        (TALKED, replace(LEFT, voicemail="USEREXIT"), MISSED, NOTHING),
        (TALKED, replace(LEFT, voicemail_file=""), MISSED, NOTHING),
        (TALKED, NOT_RECORDED, TALK, NOTHING),
        (TALKED, None, TALK, NOTHING),
        (ALWAYS, None, MISSED, NOTHING),
    ],
)
def test_line_outcome_and_message_decide_what_is_sent(
    line: str, ending: Ending | None, outcome: Outcome, expected: object
) -> None:
    assert decided(line, ending, outcome) == expected


@pytest.mark.parametrize("word", ["no", "NO", " no ", "0", "off", "false"])
@pytest.mark.parametrize(("ending", "outcome"), [(ENDED, TALK), (LEFT, MISSED)])
def test_a_client_who_does_not_agree_is_never_sent(word: str, ending: Ending, outcome: Outcome) -> None:
    assert decided(ALWAYS, replace(ending, recording=word), outcome) == Unwanted("BX24_RECORDING says no")


@pytest.mark.parametrize("word", ["", "yes", "1", "northern"])
def test_any_other_word_is_no_refusal(word: str) -> None:
    assert decided(ending=replace(ENDED, recording=word)) == CALLS_OWN


def test_short_talks_are_not_worth_a_recording() -> None:
    assert decided(outcome=replace(TALK, talk_seconds=2)) == Unwanted("the talk was shorter than 3 s")
    assert decided(outcome=replace(TALK, talk_seconds=3)) == CALLS_OWN
    assert decided(outcome=replace(TALK, talk_seconds=1), min_seconds=0) == CALLS_OWN


def test_a_message_is_sent_however_short_and_only_where_it_is_wanted() -> None:
    assert decided(ending=LEFT, outcome=MISSED, min_seconds=60) == ITS_MESSAGE
    assert decided(ending=LEFT, outcome=MISSED, voicemail=False) == NOTHING
    assert decided(ALWAYS, LEFT, MISSED, voicemail=False) == CALLS_OWN


def test_a_talk_of_somebody_who_is_left_out_is_not_sent_by_whichever_name_he_is_known() -> None:
    rules = replace(RULES, recordings=RecordingRules(skip_extensions=("_1XX",)))
    device = replace(ENDED, dialled_peer_name="PJSIP/199-0000001a")
    assert decide_recording(rules, CALL, device, TALK) == Unwanted("199 talked, whose talks are never sent")
    leg = SeenLeg("99101", user="101", person=Person("7"), talks=((1.0, 9.0),))
    assert "talked" in why_not(rules, CALL, None, TALK, View((leg,)))
    rang_only = replace(leg, talks=(), rang=(1.0, 2.0))
    assert why_not(rules, CALL, None, TALK, View((rang_only,))) == ""
    assert why_not(rules, CALL, None, TALK, View((replace(leg, client=True),))) == ""
    assert why_not(rules, CALL, None, MISSED, View((leg,))) == ""


def test_who_dialled_has_talked_on_an_outbound_call() -> None:
    outbound = registration(OUTBOUND_CALL)
    assert outbound.direction == OUTBOUND
    assert who_talked(outbound, None, None) == (outbound.people[0].extension,)


def test_names_are_bounded_and_each_counts_once() -> None:
    many = tuple(f"/a/{number}.wav" for number in range(100))
    found = decided(ending=replace(ENDED, files=("", FILE, FILE, "x" * 2000, *many)))
    assert isinstance(found, Wanted)
    assert found.files[:2] == (FILE, "/a/0.wav")
    assert len(found.files) == MOST_FILES


def test_a_registration_carries_what_its_line_says() -> None:
    lines = (LineRules("+74957770000", recordings=NEVER),)
    assert registration(INBOUND_CALL, replace(RULES, lines=lines)).recordings == NEVER
    unlisted = replace(RULES, lines=(), unlisted=LineRules("", recordings=ALWAYS))
    assert registration(INBOUND_CALL, unlisted).recordings == ALWAYS
