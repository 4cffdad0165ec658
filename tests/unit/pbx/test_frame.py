"""A guard's frame becomes a call's beginning or ending, or is refused; nothing in it can forge or break anything."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from freepbx_bx24.errors import ChannelError
from freepbx_bx24.pbx import frame as frames
from tests.support.in_time import in_time

FIELDS = {
    "kind": "register",
    "direction": "in",
    "argument": "74957770101",
    "deadline": "1234.5",
    "started": "1790000120.25",
    "agi_uniqueid": "1790000120.77",
    "agi_channel": "PJSIP/mts-00000001",
    "agi_callerid": "+79161234567",
    "agi_calleridname": "Иван Петров",
    "agi_dnid": "74957770101",
    "agi_extension": "s",
    "fact_linkedid": "1790000120.70",
}


def data(**changes: str) -> bytes:
    fields = {**FIELDS, **changes}
    return b"".join(f"{name}={value}\0".encode() for name, value in fields.items()) + b"\0"


def parsed(**changes: str) -> frames.Frame:
    return frames.parse(data(**changes))


def test_a_frame_says_what_script_ran_on_which_channel_and_until_when() -> None:
    frame = parsed()
    assert (frame.kind, frame.direction, frame.argument, frame.uniqueid, frame.deadline, frame.started) == (
        "register", "in", "74957770101", "1790000120.77", 1234.5, 1790000120.25,
    )  # fmt: skip


def test_what_asterisk_does_not_know_is_empty() -> None:
    frame = parsed(agi_callerid="unknown")
    assert (frame.environment("callerid"), frame.environment("rdnis"), frame.fact("line")) == ("", "", "")


def test_a_value_may_hold_equals_signs_line_ends_and_letters_of_any_language() -> None:
    frame = parsed(fact_note="a=b\nkind=finish\nпривет")
    assert (frame.fact("note"), frame.kind) == ("a=b\nkind=finish\nпривет", "register")


def test_bytes_that_are_no_text_are_read_as_marks_of_replacement() -> None:
    frame = frames.parse(data()[:-1] + b"fact_line=\xff\xfe\0\0")
    assert frame.fact("line") == "\ufffd\ufffd"


def test_the_first_of_a_name_wins_so_what_comes_from_outside_can_not_replace_the_guards_own_fields() -> None:
    forged = data()[:-1] + b"kind=finish\0agi_uniqueid=6.6\0deadline=9e9\0\0"
    frame = frames.parse(forged)
    assert (frame.kind, frame.uniqueid, frame.deadline) == ("register", "1790000120.77", 1234.5)


@pytest.mark.parametrize("end", [0, 1, 2, 10, -1])
def test_a_frame_that_is_cut_is_refused(end: int) -> None:
    with pytest.raises(ChannelError, match="cut or too long"):
        frames.parse(data()[:end])


def test_a_frame_that_is_too_long_is_refused() -> None:
    with pytest.raises(ChannelError, match="cut or too long"):
        parsed(fact_note="x" * frames.LONGEST)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "ping"},
        {"kind": ""},
        {"deadline": "soon"},
        {"deadline": "nan"},
        {"deadline": "inf"},
        {"started": ""},
        {"started": "nan"},
        {"started": "inf"},
        {"started": "1e18"},
        {"started": "-1"},
    ],
)
def test_a_frame_without_kind_deadline_or_start_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ChannelError, match="kind, deadline or start"):
        parsed(**changes)


@pytest.mark.parametrize("uniqueid", ["", "../../etc/passwd", "1790000120.77 ", "a\nb", "x" * 65, "ж"])
def test_a_frame_that_names_no_channel_is_refused(uniqueid: str) -> None:
    with pytest.raises(ChannelError, match="names no channel"):
        parsed(agi_uniqueid=uniqueid)


def test_any_direction_but_out_is_in() -> None:
    assert [parsed(direction=text).direction for text in ("in", "out", "", "OUT")] == ["in", "out", "in", "in"]


def test_the_client_of_an_inbound_call_is_the_caller_and_its_line_what_was_dialled() -> None:
    beginning = frames.beginning(parsed())
    assert (beginning.number, beginning.did, beginning.caller_name) == ("+79161234567", "74957770101", "Иван Петров")
    assert (beginning.linkedid, beginning.trunk) == ("1790000120.70", "mts")


def test_the_client_of_an_outbound_call_is_what_was_dialled_and_its_line_the_caller_id() -> None:
    beginning = frames.beginning(parsed(direction="out", argument="89161234567", agi_callerid="74957770101"))
    assert (beginning.number, beginning.did) == ("89161234567", "74957770101")


def test_without_an_argument_the_extension_of_the_dialplan_is_what_was_dialled() -> None:
    assert frames.beginning(parsed(argument="", agi_extension="74957770102")).did == "74957770102"
    assert frames.beginning(parsed(argument="", agi_extension="8916", direction="out")).number == "8916"


def test_without_a_linkedid_the_call_is_linked_to_itself() -> None:
    assert frames.beginning(parsed(fact_linkedid="")).linkedid == "1790000120.77"


def test_the_start_has_its_offset_and_is_the_second_in_which_the_script_began() -> None:
    started = frames.beginning(parsed()).started
    assert started.utcoffset() is not None
    assert started.timestamp() == 1790000120.25


@pytest.mark.parametrize(
    ("channel", "trunk"),
    [
        ("PJSIP/mts-00000001", "mts"),
        ("SIP/mts-1-00000002", "mts-1"),
        ("SIP/10.0.0.1-0000000b", "10.0.0.1"),
        ("IAX2/office-16777", "office"),
        ("DAHDI/1-1", "1"),
        ("DAHDI/i1/4951234567-1", ""),
        ("Local/x@y-0001;2", ""),
        ("Local/74957770101@from-pstn-00000007;2", ""),
        ("PJSIP/", ""),
        ("", ""),
    ],
)
def test_the_trunk_of_an_inbound_call_is_the_endpoint_in_its_channels_name(channel: str, trunk: str) -> None:
    assert frames.trunk_of(parsed(agi_channel=channel)) == trunk


@pytest.mark.parametrize(
    ("value", "suffix", "trunk"),
    [
        ("PJSIP", "@mts", "mts"),
        ("SIP/mts", "", "mts"),
        ("PJSIP/$OUTNUM$@mts", "", "mts"),
        ("DAHDI/g0", "", "g0"),
        ("", "", ""),
        ("PJSIP", "", ""),
    ],
)
def test_the_trunk_of_an_outbound_call_is_freepbxs_own_name_for_it(value: str, suffix: str, trunk: str) -> None:
    assert frames.trunk_of(parsed(direction="out", fact_trunk=value, fact_trunk_suffix=suffix)) == trunk


@pytest.mark.parametrize(
    ("text", "number"), [("35", 35), ("", 0), ("-1", 0), ("3.5", 0), ("1e3", 0), ("٣", 0), ("99999999", 0)]
)
def test_seconds_and_causes_are_whole_numbers_or_0(text: str, number: int) -> None:
    ending = frames.ending(parsed(kind="finish", fact_answered_seconds=text, fact_hangup_cause=text))
    assert (ending.answered_seconds, ending.hangup_cause) == (number, number)


def test_an_ending_has_what_the_channel_knew() -> None:
    ending = frames.ending(
        parsed(
            kind="finish",
            fact_dial_status="ANSWER",
            fact_dialled_peer_number="101/sip:101@127.0.0.1",
            fact_dialled_peer_name="PJSIP/101-00000002",
            fact_member_interface="Local/1002@from-queue/n",
            fact_note="night",
            fact_user="105",
        )
    )
    assert (ending.dial_status, ending.dialled_peer_number, ending.dialled_peer_name) == (
        "ANSWER", "101/sip:101@127.0.0.1", "PJSIP/101-00000002",
    )  # fmt: skip
    assert (ending.member_interface, ending.note, ending.user) == ("Local/1002@from-queue/n", "night", "105")


NAME = "in-74957770101-79161234567-20261125-101500-1790000120.77"


@pytest.mark.parametrize(
    ("facts", "files"),
    [
        ({}, ()),
        ({"": "/var/spool/asterisk/monitor/a.wav"}, ("/var/spool/asterisk/monitor/a.wav",)),
        (
            {"_name": NAME, "_year": "2026", "_month": "11", "_day": "25", "_format": "wav"},
            (f"2026/11/25/{NAME}.wav",),
        ),
        (
            {"_name": NAME, "_year": "2026", "_month": "11", "_day": "25", "_format": "wav49", "_folder": "/rec"},
            (f"/rec/2026/11/25/{NAME}.WAV",),
        ),
        ({"_name": NAME, "_folder": "/rec/"}, (f"/rec/{NAME}.wav",)),
        (
            {"": "/m/b.wav", "_name": NAME, "_format": "gsm", "_on_demand": "c.wav", "_cdr": f"{NAME}.gsm"},
            ("/m/b.wav", f"{NAME}.gsm", "c.wav"),
        ),
        ({"_cdr": f"{NAME}.wav"}, (f"{NAME}.wav",)),
    ],
)
def test_recordings_are_named_by_who_wrote_them_else_by_freepbx_parts_else_by_the_cdr(
    facts: dict[str, str], files: tuple[str, ...]
) -> None:
    fields = {f"fact_recorded{name}": value for name, value in facts.items()}
    assert frames.ending(parsed(kind="finish", **fields)).files == files


def test_a_message_in_the_mailbox_is_named_apart_from_the_recordings() -> None:
    ending = frames.ending(parsed(kind="finish", fact_voicemail_file="/var/spool/voicemail/default/105/INBOX/msg0000"))
    assert (ending.files, ending.voicemail_file) == ((), "/var/spool/voicemail/default/105/INBOX/msg0000")


@given(some.binary(max_size=300))
def test_no_bytes_do_anything_but_parse_or_be_refused(junk: bytes) -> None:
    for candidate in (junk, junk + b"\0\0", data()[:-1] + junk.replace(b"\0", b"") + b"\0\0"):
        try:
            frame = frames.parse(candidate)
        except ChannelError:
            continue
        frames.beginning(frame)
        frames.ending(frame)


@given(some.text(alphabet="PJSIP/@-;0123456789abcdefx", max_size=5000))
def test_a_trunks_name_is_found_in_no_time_in_any_channel_name(channel: str) -> None:
    began = time.monotonic()
    frames.trunk_of(parsed(agi_channel=channel))
    in_time(time.monotonic() - began, 0.5)


def test_who_dials_out_is_his_telephone_where_no_freepbx_says_whose_it_is() -> None:
    assert frames.beginning(parsed(direction="out", agi_channel="PJSIP/101-0000002f")).extension == "101"
    assert frames.beginning(
        parsed(direction="out", agi_channel="PJSIP/101-0000002f", fact_extension="105")
    ).extension == ("105")
    assert frames.beginning(parsed(direction="out", agi_channel="Local/1@here-0000002f;2")).extension == ""
    assert frames.beginning(parsed(direction="in", agi_channel="PJSIP/city-0000002f")).extension == ""
