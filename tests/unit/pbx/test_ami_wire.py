"""Whatever bytes come, in whatever pieces, the messages are the same; whatever is said, it is one action."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from freepbx_bx24.errors import AmiError
from freepbx_bx24.pbx.ami_wire import (
    LONGEST_ACTION_LINE,
    LONGEST_LINE,
    LONGEST_MESSAGE,
    MOST_ACTION_HEADERS,
    MOST_HEADERS,
    Message,
    Parser,
    encode,
)

BANNER = b"Asterisk Call Manager/9.0.0\r\n"
PIECES = some.sampled_from(
    [
        *(b"\r\n", b"\r", b"\n", b"\r\n\r\n", b":", b" ", b"Event", b"Event: Hangup\r\n", b"Channel: PJSIP/101-1\r\n"),
        *(b"ChanVariable: a=1\r\n", b"\xff\xfe", "Имя".encode(), b"\0", b"Output: --END COMMAND--\r\n"),
        *(b"x" * 5_000, b"y" * LONGEST_LINE, b"Output: z\r\n" * 300),
    ]
)
BYTES = some.lists(PIECES | some.binary(max_size=6), max_size=30).map(b"".join)
NAME = some.text("ABCdef-", min_size=1, max_size=12).map(lambda text: "X" + text)
VALUE = some.text(some.characters(blacklist_characters="\r", blacklist_categories=("Cs",)), max_size=60)


def seen(parser: Parser, pieces: list[bytes]) -> tuple[str | None, list[tuple[Message, list[list[str]]]]]:
    messages = [message for piece in pieces for message in parser.feed(piece)]
    return parser.banner, [(message, [message.every(name) for name in message]) for message in messages]


def parsed(data: bytes) -> list[Message]:
    return Parser().feed(BANNER + data)


@given(BYTES, some.lists(some.integers(0, 200_000), max_size=20))
@example(b"b\r\nA: " + b"x" * (LONGEST_LINE - 4) + b"\rX\nB: 2\r\n\r\n", [3 + LONGEST_LINE + 1, 3 + LONGEST_LINE + 2])
@example(b"b\r\nA: " + b"x" * LONGEST_LINE + b"\r\nB: 2\r\n\r\n", [3 + LONGEST_LINE + 4])
@example(b"b\r\nA: " + b"x" * (LONGEST_LINE + 9) + b"\r\r\n\r\n", [LONGEST_LINE + 16, LONGEST_LINE + 17])
def test_the_messages_do_not_depend_on_the_pieces_in_which_they_come(data: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    pieces = [data[begin:end] for begin, end in zip(places, places[1:])]
    assert seen(Parser(), pieces) == seen(Parser(), [data])


@given(BYTES.filter(lambda data: len(data) < 2_000))
def test_the_messages_are_the_same_byte_by_byte(data: bytes) -> None:
    assert seen(Parser(), [bytes([byte]) for byte in data]) == seen(Parser(), [data])


@given(some.lists(some.lists(some.tuples(NAME, VALUE), min_size=1, max_size=8), max_size=5))
def test_what_asterisk_wrote_is_what_is_read(written: list[list[tuple[str, str]]]) -> None:
    wire = "".join("".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n" for headers in written)
    messages = parsed(wire.encode())
    assert len(messages) == len(written)
    for message, headers in zip(messages, written):
        for name, _ in headers:
            values = [value for other, value in headers if other == name]
            assert message.every(name) == values
            assert message[name] == values[0]


def test_the_first_line_is_the_banner_and_belongs_to_no_message() -> None:
    parser = Parser()
    assert parser.feed(b"Asterisk Call Manager/9.0") == []
    assert parser.banner is None
    assert parser.feed(b".0\r\nResponse: Success\r\n\r\n") == [{"Response": "Success"}]
    assert parser.banner == "Asterisk Call Manager/9.0.0"


def test_a_header_that_repeats_has_all_its_values_and_is_a_text_all_the_same() -> None:
    (event,) = parsed(b"Event: Newstate\r\nChanVariable: a=1\r\nChanVariable: b=2\r\nChannel: C\r\n\r\n")
    assert event.every("ChanVariable") == ["a=1", "b=2"]
    assert event["ChanVariable"] == "a=1"
    assert event.every("Channel") == ["C"]
    assert event.every("Nothing") == []


def test_of_a_header_that_was_smuggled_in_again_the_first_counts() -> None:
    (event,) = parsed(b"Event: Hangup\r\nUniqueid: 1.1\r\nCallerIDName: x\r\nUniqueid: 9.9\r\nEvent: Other\r\n\r\n")
    assert (event["Event"], event["Uniqueid"]) == ("Hangup", "1.1")


def test_the_event_originate_response_is_an_event_and_a_response_with_an_event_in_it_is_none() -> None:
    first, second, third = parsed(
        b"Event: OriginateResponse\r\nActionID: 1\r\nResponse: Failure\r\n\r\n"
        b"Response: Success\r\nEvent: x\r\n\r\n:\r\n\r\n"
    )
    assert first.is_event
    assert not second.is_event
    assert not third.is_event
    assert not Message().is_event


def test_a_line_end_that_is_not_asterisks_ends_no_line() -> None:
    (event,) = parsed(b"Event: Hangup\r\nCallerIDName: a\n\nEvent: Fake\n\r\nUniqueid: 1.1\r\n\r\n")
    assert event == {"Event": "Hangup", "CallerIDName": "a\n\nEvent: Fake\n", "Uniqueid": "1.1"}


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    (event,) = parsed(b"Event: Newchannel\r\nCallerIDName: \xd0\x98\xd0\xb2\xff\r\n\r\n")
    assert event["CallerIDName"] == "Ив\ufffd"


def test_a_line_without_end_costs_bounded_memory_and_what_follows_it_is_whole() -> None:
    parser = Parser()
    parser.feed(BANNER + b"Event: Newchannel\r\nCallerIDName: ")
    for _ in range(1_000):
        parser.feed(b"x" * 10_000)
        assert len(parser._tail) <= LONGEST_LINE + 2
    (event, other) = parser.feed(b"\r\nUniqueid: 1.1\r\n\r\nEvent: Hangup\r\n\r\n")
    assert len(event["CallerIDName"]) == LONGEST_LINE - len("CallerIDName: ")
    assert (event["Uniqueid"], other) == ("1.1", {"Event": "Hangup"})


@pytest.mark.parametrize("line", [b"A: " + b"x" * 10_000, b"Output: x"], ids=["long lines", "many lines"])
def test_a_message_without_end_costs_bounded_memory_and_what_follows_it_is_whole(line: bytes) -> None:
    parser = Parser()
    parser.feed(BANNER + b"Event: Endless\r\n")
    for _ in range(200):
        parser.feed((line + b"\r\n") * 100)
    kept, following = parser.feed(b"\r\nEvent: Hangup\r\n\r\n")
    assert kept["Event"] == "Endless"
    values = [value for name in kept for value in kept.every(name)]
    assert len(values) <= MOST_HEADERS
    assert sum(map(len, values)) <= LONGEST_MESSAGE
    assert following == {"Event": "Hangup"}


# -- what is sent -----------------------------------------------------------------------------------------------------


@given(some.text(some.characters(), max_size=200))
@example("x\r\n\r\nAction: Originate\r\nApplication: System")
@example("\ud800\x1b]0;t\x07\u2028\u202e\x85")
def test_for_any_value_the_action_is_one_and_has_the_headers_that_were_meant(value: str) -> None:
    data = encode("Getvar", "1", {"Channel": value, "Variable": [value, "b"]})
    assert data.endswith(b"\r\n\r\n")
    lines = data[:-4].decode().split("\r\n")
    assert [line.split(": ")[0] for line in lines] == ["Action", "ActionID", "Channel", "Variable", "Variable"]
    assert all(line.isprintable() for line in lines)


def test_what_asterisk_needs_in_a_value_stays_as_it_is() -> None:
    data = encode("Originate", "1", {"Channel": "Local/101@from-internal-0000000a;1", "CallerID": '"CRM, Иван" <101>'})
    assert b"Channel: Local/101@from-internal-0000000a;1\r\n" in data
    assert 'CallerID: "CRM, Иван" <101>\r\n'.encode() in data


@pytest.mark.parametrize("name", ["Channel\r\nAction", "Action", "actionid", "", "a b", "Имя", "a:b", "x" * 65])
def test_a_header_whose_name_is_none_is_held_back(name: str) -> None:
    with pytest.raises(AmiError, match="held back"):
        encode("Ping", "1", {name: "x"})


@pytest.mark.parametrize(
    "headers",
    [{"X": "x" * LONGEST_ACTION_LINE}, {"X": "Ж" * (LONGEST_ACTION_LINE // 2)}, {"X": ["x"] * MOST_ACTION_HEADERS}],
    ids=["one line", "one line in UTF-8", "many lines"],
)
def test_an_action_that_asterisk_would_throw_away_is_held_back(headers: dict[str, str]) -> None:
    with pytest.raises(AmiError, match="too long"):
        encode("Ping", "1", headers)
