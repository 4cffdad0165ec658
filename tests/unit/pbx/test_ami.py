"""The manager connection against sockets that misbehave: nothing lost in silence, nothing waits for ever."""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as some

from freepbx_bx24.errors import AmiError, AmiRefused, AmiTimeout, AmiUnreachable
from freepbx_bx24.pbx import ami_delivery
from freepbx_bx24.pbx.ami import FIRST_PAUSE, LONGEST_PAUSE, Ami, pause
from freepbx_bx24.pbx.ami_wire import Message
from tests.support.ami_owner import Owner, connection
from tests.support.ami_server import BANNER, SECRET, USER, Peer, Script, manager, message
from tests.support.in_time import in_time
from tests.support.running_service import wait_until


def numbered(number: int) -> tuple[str, str]:
    return "Event: Newstate", f"Number: {number}"


def numbers(events: list[Message]) -> list[int]:
    return [int(event["Number"]) for event in events]


def healthy(peer: Peer) -> None:
    peer.welcome()
    peer.serve()


# -- coming up --------------------------------------------------------------------------------------------------------


def test_what_happens_between_login_and_snapshot_comes_after_the_snapshot_and_before_what_is_live() -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        peer.say(*numbered(1))
        action = peer.expect("CoreShowChannels")
        identifier = f"ActionID: {action['ActionID']}"
        peer.say(*numbered(2))
        peer.answer(action, "EventList: start")
        peer.say("Event: CoreShowChannel", identifier, "Channel: PJSIP/101-1")
        peer.say(*numbered(3))
        peer.say("Event: CoreShowChannel", identifier, "Channel: PJSIP/city-2")
        peer.raw(message("Event: CoreShowChannelsComplete", identifier, "EventList: Complete") + message(*numbered(4)))
        peer.say(*numbered(5))
        peer.serve()

    with manager(script) as server, connection(server.port, USER, SECRET) as (_, owner):
        owner.wait_for("event", 5)
    assert owner.seen[0] == ("connected", ["PJSIP/101-1", "PJSIP/city-2"])
    assert numbers(owner.events) == [1, 2, 3, 4, 5]
    assert owner.names[-1] == "disconnected"


def test_messages_that_come_byte_by_byte_are_the_same() -> None:
    def script(peer: Peer) -> None:
        peer.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.piece = 1
        peer.welcome(["PJSIP/101-1"])
        peer.say(*numbered(1), "CallerIDName: Иван")
        peer.serve()

    with manager(script) as server, connection(server.port, USER, SECRET) as (_, owner):
        owner.wait_for("event")
    assert owner.seen[0] == ("connected", ["PJSIP/101-1"])
    assert owner.events[0]["CallerIDName"] == "Иван"


def test_the_secret_is_on_no_wire_in_no_log_and_in_no_text_of_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with manager(healthy) as server, connection(server.port, USER, SECRET) as (ami, owner):
        owner.wait_for("connected")
        texts = [repr(ami), str(ami), repr(ami._session), caplog.text]
    with manager(healthy) as other, connection(other.port, "somebody", SECRET) as (ami, _):
        wait_until(lambda: ami.failure is not None, 5)
        texts += [repr(ami.failure), str(ami.failure), caplog.text]
    assert USER.encode() in server.heard
    assert SECRET.encode() not in server.heard + other.heard
    assert not [text for text in texts if SECRET in text]


def test_a_refused_login_is_said_once_with_a_hint_and_not_tried_again_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with manager(healthy) as server, connection(server.port, USER, "wrong", scale=0.01) as (ami, owner):
        wait_until(lambda: len(server.connections) >= 3, 10)
        began = time.monotonic()
        wait_until(lambda: len(server.connections) >= 4, 10)
        assert time.monotonic() - began > LONGEST_PAUSE * 0.01 * 0.8
        failure = ami.failure
    assert isinstance(failure, AmiRefused)
    assert not failure.retryable
    assert "Authentication failed" in failure.message
    assert "manager reload" in failure.hint
    assert not ami.connected
    assert owner.seen == []
    lines = [record.getMessage() for record in caplog.records if record.name == "bx24.ami"]
    assert [line for line in lines if "Authentication failed" in line and "manager reload" in line] == lines
    assert len(lines) == 1


def test_a_user_who_may_not_see_the_channels_is_refused_too() -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        action = peer.expect("CoreShowChannels")
        peer.say("Response: Error", f"ActionID: {action['ActionID']}", "Message: Permission denied")
        peer.serve()

    with manager(script) as server, connection(server.port, USER, SECRET) as (ami, owner):
        wait_until(lambda: ami.failure is not None, 5)
    assert isinstance(ami.failure, AmiRefused)
    assert "CoreShowChannels: Permission denied" in ami.failure.message
    assert owner.seen == []


# -- what is no Asterisk, or no Asterisk any more ---------------------------------------------------------------------


def says_nothing(peer: Peer) -> None:
    peer.serve()


def is_another_program(peer: Peer) -> None:
    peer.raw(b"SSH-2.0-OpenSSH_9.2\r\n")
    peer.serve()


def is_garbage(peer: Peer) -> None:
    peer.raw(random.Random(7).randbytes(300_000))


def is_full(peer: Peer) -> None:
    """Asterisk at its authlimit closes without a word."""


def ends_in_the_login(peer: Peer) -> None:
    peer.raw(BANNER)
    peer.expect("Challenge")
    peer.raw(b"Response: Succ")


def ends_in_the_snapshot(peer: Peer) -> None:
    peer.log_in()
    action = peer.expect("CoreShowChannels")
    peer.answer(action, "EventList: start")
    peer.say("Event: CoreShowChannel", f"ActionID: {action['ActionID']}", "Channel: PJSIP/101-1")


def stops_in_the_login(peer: Peer) -> None:
    peer.raw(BANNER)
    while peer.read():
        pass


def drips_for_ever(peer: Peer) -> None:
    for _ in range(10_000):
        peer.raw(b"x")
        time.sleep(0.01)


BAD_BEGINNINGS: dict[Script, type[AmiError]] = {
    says_nothing: AmiTimeout,
    is_another_program: AmiUnreachable,
    is_garbage: AmiUnreachable,
    is_full: AmiUnreachable,
    ends_in_the_login: AmiUnreachable,
    ends_in_the_snapshot: AmiUnreachable,
    stops_in_the_login: AmiTimeout,
    drips_for_ever: AmiTimeout,
}


@pytest.mark.parametrize("script", BAD_BEGINNINGS, ids=lambda script: script.__name__)
def test_a_bad_beginning_is_seen_for_what_it_is_and_the_next_connection_is_made(script: Script) -> None:
    with manager(script, script, healthy) as server, connection(server.port, USER, SECRET) as (ami, owner):
        wait_until(lambda: ami.failure is not None, 5)
        failure = ami.failure
        owner.wait_for("connected")
        assert ami.connected
        assert ami.failure is None
    assert type(failure) is BAD_BEGINNINGS[script]
    assert failure.retryable
    assert owner.names == ["connected", "disconnected"]
    assert len(server.connections) == 3


def closes(peer: Peer) -> None:
    peer.welcome(["first"])
    peer.say(*numbered(1))


def resets(peer: Peer) -> None:
    peer.welcome(["first"])
    peer.say(*numbered(1))
    time.sleep(0.2)
    peer.raw(b"Event: Newstate\r\nNumber: 2\r\n")
    peer.reset()


def never_answers_a_ping(peer: Peer) -> None:
    peer.welcome(["first"])
    peer.say(*numbered(1))
    while peer.read():
        pass


def floods_and_never_answers_a_ping(peer: Peer) -> None:
    peer.welcome(["first"])
    peer.say(*numbered(1))
    while True:
        peer.say("Event: Newstate", "Number: 1")
        time.sleep(0.001)


@pytest.mark.parametrize(
    "script", [closes, resets, never_answers_a_ping, floods_and_never_answers_a_ping], ids=lambda one: one.__name__
)
def test_a_connection_that_ends_is_said_to_the_owner_after_its_events_and_made_again(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    def second(peer: Peer) -> None:
        peer.welcome(["second"])
        peer.say(*numbered(9))
        peer.serve()

    with manager(script, second) as server, connection(server.port, USER, SECRET) as (_, owner):
        owner.wait_for("connected", 2)
        wait_until(lambda: owner.events[-1]["Number"] == "9", 5)
    assert [value for what, value in owner.seen if what == "connected"] == [["first"], ["second"]]
    first, last = owner.sessions()
    assert ("has not answered a Ping" in caplog.text) == ("ping" in script.__name__)
    assert set(numbers(first)) == {1}
    assert numbers(last) == [9]


def test_a_quiet_connection_that_answers_its_pings_stays() -> None:
    with manager(healthy) as server, connection(server.port, USER, SECRET) as (ami, owner):
        wait_until(lambda: server.heard.count(b"Action: Ping") >= 5, 10)
        assert ami.connected
    assert owner.names == ["connected", "disconnected"]
    assert len(server.connections) == 1


def test_an_asterisk_that_comes_later_is_found_and_one_that_went_away_is_found_again() -> None:
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
        with connection(port, USER, SECRET, scale=0.02) as (ami, owner):
            wait_until(lambda: isinstance(ami.failure, AmiUnreachable), 5)
            kept.close()
            for times in (1, 2, 3):
                with manager(healthy, port=port):
                    owner.wait_for("connected", times)
                owner.wait_for("disconnected", times)
    assert owner.names == ["connected", "disconnected"] * 3


@pytest.mark.parametrize("host", ["name.invalid", "", "a" * 70 + ".invalid", "127.0.0.1"])
def test_an_address_that_is_none_is_unreachable_like_any_other(host: str) -> None:
    owner = Owner()
    ami = Ami(host, 70_000, USER, SECRET, owner.connected, owner.event, owner.disconnected, scale=0.01)
    ami.start()
    wait_until(lambda: ami.failure is not None, 20)
    ami.stop()
    assert isinstance(ami.failure, AmiUnreachable)


@given(some.integers(1, 100_000), some.booleans(), some.floats(0, 1))
def test_a_pause_is_between_half_a_second_and_half_a_minute(failures: int, refused: bool, chance: float) -> None:
    assert FIRST_PAUSE <= pause(failures, refused, chance) <= LONGEST_PAUSE
    assert pause(failures, refused, chance) <= pause(failures + 1, refused, chance)


def test_pauses_grow_from_half_a_second_to_half_a_minute_and_differ_by_chance() -> None:
    assert [pause(failures, False, 0.0) for failures in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert pause(3, False, 0.0) < pause(3, False, 1.0)
    assert pause(1, True, 0.0) == LONGEST_PAUSE


def test_a_connection_that_breaks_as_soon_as_it_is_up_is_tried_less_and_less_often() -> None:
    came: list[float] = []

    def script(peer: Peer) -> None:
        came.append(time.monotonic())
        peer.welcome()

    with manager(script) as server, connection(server.port, USER, SECRET, scale=0.1):
        wait_until(lambda: len(came) >= 5, 20)
    waited = [second - first for first, second in zip(came, came[1:])]
    assert waited[3] - waited[0] > 0.2


# -- many events, a slow owner ----------------------------------------------------------------------------------------


def test_a_hundred_thousand_events_in_a_burst_come_all_and_in_order() -> None:
    burst = 100_000
    headers = [f"Header{number}: value of some length" for number in range(20)]

    def script(peer: Peer) -> None:
        peer.welcome()
        for number in range(0, burst, 100):
            peer.raw(b"".join(message(*numbered(one), *headers) for one in range(number, number + 100)))
        peer.serve()

    with manager(script) as server, connection(server.port, USER, SECRET, scale=1.0) as (_, owner):
        owner.wait_for("event", burst, 60)
        assert "disconnected" not in owner.names
    assert numbers(owner.events) == list(range(burst))


def test_an_event_says_when_it_was_read_however_late_the_owner_comes_to_it() -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        for number in range(5):
            peer.say(*numbered(number))
        peer.serve()

    before = time.monotonic()
    worked: list[float] = []
    slow = Owner(lambda event: worked.append(time.sleep(0.1) or time.monotonic()))
    with manager(script) as server, connection(server.port, USER, SECRET, slow) as (_, owner):
        wait_until(lambda: len(worked) == 5, 5)
    read = [event.received for event in owner.events]
    assert before < read[0] <= read[-1] < worked[-1] - 0.3
    assert read == sorted(read)


def test_an_owner_too_slow_is_told_of_the_gap_and_within_no_connection_an_event_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ami_delivery, "MOST_EVENTS", 50)

    def flood(peer: Peer) -> None:
        peer.welcome()
        for number in range(100_000):
            peer.say(*numbered(number))
            if number < 10:
                time.sleep(0.02)

    slow = Owner(lambda event: time.sleep(0.002))
    with manager(flood, flood, healthy) as server, connection(server.port, USER, SECRET, slow) as (_, owner):
        owner.wait_for("connected", 3, 20)
    sessions = owner.sessions()
    assert [numbers(session) for session in sessions] == [list(range(len(session))) for session in sessions]
    assert 0 < len(sessions[0]) < 100_000
    assert sessions[2] == []


def test_an_owner_too_slow_is_told_before_he_has_worked_off_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ami_delivery, "MOST_EVENTS", 50)
    free = threading.Event()

    def flood(peer: Peer) -> None:
        peer.welcome()
        peer.say(*numbered(0))
        held.wait_for("event")
        for number in range(1, 1_000):
            peer.say(*numbered(number))
        peer.serve()

    held = Owner(lambda event: None if free.wait(20) else None)
    with manager(flood, healthy) as server, connection(server.port, USER, SECRET, held) as (ami, owner):
        wait_until(lambda: len(server.connections) == 2 and ami.connected, 10)
        assert owner.names == ["connected", "Newstate"]
        free.set()
        owner.wait_for("connected", 2)
    assert owner.names == ["connected", "Newstate", "disconnected", "connected", "disconnected"]


def test_a_burst_before_the_snapshot_is_bounded_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freepbx_bx24.pbx.ami.MOST_EVENTS", 50)

    def flood(peer: Peer) -> None:
        peer.log_in()
        for number in range(1_000):
            peer.say(*numbered(number))
        peer.show_channels()

    with manager(flood, healthy) as server, connection(server.port, USER, SECRET) as (_, owner):
        owner.wait_for("connected")
    assert owner.events == []


def test_a_snapshot_larger_than_the_queue_is_delivered_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ami_delivery, "MOST_EVENTS", 50)
    channels = [f"PJSIP/101-{number}" for number in range(500)]

    def script(peer: Peer) -> None:
        peer.welcome(channels)
        peer.serve()

    with manager(script) as server, connection(server.port, USER, SECRET) as (_, owner):
        owner.wait_for("connected")
    assert owner.seen[0] == ("connected", channels)


def test_a_callback_that_fails_costs_no_event_and_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: Message) -> None:
        raise KeyError("Uniqueid")

    def script(peer: Peer) -> None:
        peer.welcome()
        for number in range(3):
            peer.say(*numbered(number))
        peer.serve()

    with manager(script) as server, connection(server.port, USER, SECRET, Owner(fail)) as (ami, owner):
        owner.wait_for("event", 3)
        assert ami.connected
    assert numbers(owner.events) == [0, 1, 2]
    assert sum("could not be worked on" in record.getMessage() for record in caplog.records) == 3


# -- actions ----------------------------------------------------------------------------------------------------------


def answering(answer: Callable[[Peer, dict[str, str]], None]) -> Script:
    """A server that answers Pings, and everything else in its own way."""

    def script(peer: Peer) -> None:
        peer.welcome()
        while True:
            action = peer.read()
            if action is None:
                return
            if action["Action"] == "Ping":
                peer.answer(action, "Ping: Pong")
            else:
                answer(peer, action)

    return script


def test_each_of_many_threads_gets_the_answer_to_its_own_action() -> None:
    held: list[dict[str, str]] = []

    def backwards(peer: Peer, action: dict[str, str]) -> None:
        held.append(action)
        if len(held) == 20:
            peer.say(*numbered(1))
            for one in reversed(held):
                peer.answer(one, f"Value: {one['Variable']}")

    answers: dict[int, str] = {}

    def ask(ami: Ami, number: int) -> None:
        answers[number] = ami.action("Getvar", {"Channel": "x", "Variable": str(number)})["Value"]

    with manager(answering(backwards)) as server, connection(server.port, USER, SECRET) as (ami, owner):
        owner.wait_for("connected")
        threads = [threading.Thread(target=ask, args=(ami, number)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert answers == {number: str(number) for number in range(20)}
    assert numbers(owner.events) == [1]


def test_a_refused_action_raises_what_asterisk_said_made_harmless() -> None:
    def refuse(peer: Peer, action: dict[str, str]) -> None:
        peer.say("Response: Error", f"ActionID: {action['ActionID']}", "Message: No such channel\x1b[31m $(x)")

    with manager(answering(refuse)) as server, connection(server.port, USER, SECRET) as (ami, owner):
        owner.wait_for("connected")
        with pytest.raises(AmiRefused, match=r"Getvar: No such channel 31m \(x\)$"):
            ami.action("Getvar", {"Channel": "x"})
        with pytest.raises(AmiRefused):
            ami.list_action("Status")
        assert ami.connected


def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_asked_and_one_that_comes_late_goes_nowhere() -> None:
    late: list[dict[str, str]] = []

    def first_late(peer: Peer, action: dict[str, str]) -> None:
        late.append(action)
        if len(late) == 2:
            peer.answer(late[0], "Value: late")
            peer.answer(late[1], "Value: in time")

    with manager(answering(first_late)) as server, connection(server.port, USER, SECRET) as (ami, owner):
        owner.wait_for("connected")
        began = time.monotonic()
        with pytest.raises(AmiTimeout):
            ami.action("Getvar", timeout=0.3)
        took = time.monotonic() - began
        assert took >= 0.3
        in_time(took, 1.5)
        assert ami.action("Getvar")["Value"] == "in time"
        assert ami.connected
    assert owner.events == []


def test_a_list_comes_whole_and_what_happens_meanwhile_is_an_event() -> None:
    def answer(peer: Peer, action: dict[str, str]) -> None:
        identifier = f"ActionID: {action['ActionID']}"
        peer.answer(action, "EventList: start")
        peer.say("Event: Status", identifier, "Channel: a", "ChanVariable: x=1", "ChanVariable: y=2")
        peer.say(*numbered(1))
        peer.say("Event: Status", identifier, "Channel: b")
        peer.say("Event: StatusComplete", identifier, "EventList: Complete")

    with manager(answering(answer)) as server, connection(server.port, USER, SECRET) as (ami, owner):
        owner.wait_for("connected")
        rows = ami.list_action("Status")
        owner.wait_for("event")
    assert [row["Channel"] for row in rows] == ["a", "b"]
    assert rows[0].every("ChanVariable") == ["x=1", "y=2"]
    assert numbers(owner.events) == [1]


def test_rows_of_a_list_that_nobody_waits_for_any_more_are_no_events() -> None:
    def answer(peer: Peer, action: dict[str, str]) -> None:
        peer.answer(action, "EventList: start")
        time.sleep(0.4)
        peer.say("Event: CoreShowChannel", f"ActionID: {action['ActionID']}", "Channel: late")
        peer.say("Event: CoreShowChannelsComplete", f"ActionID: {action['ActionID']}", "EventList: Complete")
        peer.say(*numbered(1))

    with manager(answering(answer)) as server, connection(server.port, USER, SECRET) as (ami, owner):
        owner.wait_for("connected")
        with pytest.raises(AmiTimeout):
            ami.list_action("CoreShowChannels", timeout=0.1)
        owner.wait_for("event")
    assert numbers(owner.events) == [1]


def test_a_list_without_end_and_an_action_that_gives_no_list_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freepbx_bx24.pbx.ami_session.MOST_ROWS", 100)

    def answer(peer: Peer, action: dict[str, str]) -> None:
        if action["Action"] == "Endless":
            peer.rows(action, "Row", ["Channel: x"] * 101)
        else:
            peer.answer(action)

    with manager(answering(answer)) as server, connection(server.port, USER, SECRET) as (ami, owner):
        owner.wait_for("connected")
        with pytest.raises(AmiError, match="more than 100 rows"):
            ami.list_action("Endless")
        with pytest.raises(AmiError, match="gives no list"):
            ami.list_action("Getvar")
        assert ami.connected


def test_the_event_of_an_originate_reaches_the_owner_although_it_has_the_actions_id() -> None:
    def answer(peer: Peer, action: dict[str, str]) -> None:
        peer.say("Event: OriginateResponse", f"ActionID: {action['ActionID']}", "Response: Failure", "Reason: 3")
        peer.answer(action, "Message: Originate successfully queued")

    with manager(answering(answer)) as server, connection(server.port, USER, SECRET) as (ami, owner):
        owner.wait_for("connected")
        response = ami.action("Originate", {"Channel": "Local/101@from-internal", "Async": "true"})
        owner.wait_for("event")
    assert response["Response"] == "Success"
    assert owner.events[0]["ActionID"] == response["ActionID"]


def test_who_waits_for_an_answer_is_told_at_once_when_the_connection_ends() -> None:
    dies = answering(lambda peer, action: peer.reset())
    with manager(dies, healthy) as server, connection(server.port, USER, SECRET) as (ami, owner):
        owner.wait_for("connected")
        began = time.monotonic()
        with pytest.raises(AmiUnreachable):
            ami.action("Getvar", timeout=30)
        in_time(time.monotonic() - began, 5)
        owner.wait_for("connected", 2)
        assert ami.action("Getvar")["Response"] == "Success"


def test_an_action_while_there_is_no_connection_is_refused_at_once() -> None:
    with manager(says_nothing) as server, connection(server.port, USER, SECRET, scale=1.0) as (ami, _):
        wait_until(lambda: bool(server.connections), 5)
        began = time.monotonic()
        with pytest.raises(AmiUnreachable):
            ami.action("Ping", timeout=10)
        in_time(time.monotonic() - began, 0.5)


def test_a_peer_that_takes_nothing_any_more_holds_no_action_longer_than_asked() -> None:
    def asleep(peer: Peer) -> None:
        peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.welcome()
        time.sleep(30)

    longest = 0.0
    with manager(asleep, healthy) as server, connection(server.port, USER, SECRET, scale=1.0) as (ami, owner):
        owner.wait_for("connected")
        ends = time.monotonic() + 20
        while "disconnected" not in owner.names and time.monotonic() < ends:
            began = time.monotonic()
            with pytest.raises(AmiError):
                ami.action("Getvar", {"Variable": ["x" * 900] * 90}, timeout=0.05)
            longest = max(longest, time.monotonic() - began)
        owner.wait_for("connected", 2)
    assert longest < 1.0


def test_the_owner_may_act_from_within_his_callbacks() -> None:
    answers: list[str] = []

    class Acting(Owner):
        def connected(self, snapshot: object) -> None:
            super().connected([])
            answers.append(ami.action("Getvar")["Response"])

    def answer(peer: Peer, action: dict[str, str]) -> None:
        peer.answer(action)
        peer.say(*numbered(1))

    owner = Acting(lambda event: answers.append(ami.action("Getvar")["Response"]))
    with manager(answering(answer)) as server:
        ami = Ami("127.0.0.1", server.port, USER, SECRET, owner.connected, owner.event, owner.disconnected, scale=0.05)
        ami.start()
        wait_until(lambda: len(answers) >= 3, 5)
        ami.stop()
    assert set(answers) <= {"Success"}


# -- beating, stopping ------------------------------------------------------------------------------------------------


def test_it_beats_whether_asterisk_is_there_or_not() -> None:
    with (
        manager(closes, says_nothing, healthy) as server,
        connection(server.port, USER, SECRET, scale=1.0) as (_, owner),
    ):
        owner.wait_for("connected", 2, 20)
        time.sleep(2.5)
    beats = owner.beats
    assert beats[-1] - beats[0] > 7
    in_time(max(second - first for first, second in zip(beats, beats[1:])), 3.0)


def test_it_beats_through_the_longest_pause() -> None:
    with manager(healthy) as server, connection(server.port, USER, "wrong", scale=0.2) as (ami, owner):
        wait_until(lambda: ami.failure is not None, 5)
        began = time.monotonic()
        time.sleep(LONGEST_PAUSE * 0.2 - 1)
        beats = [beat for beat in owner.beats if beat > began]
        assert len(server.connections) == 1
    assert len(beats) >= 3


def test_it_does_not_beat_while_the_owner_is_held_and_beats_again_once_he_is_free() -> None:
    free = threading.Event()

    def script(peer: Peer) -> None:
        peer.welcome()
        peer.say(*numbered(1))
        peer.serve()

    held = Owner(lambda event: None if free.wait(20) else None)
    with manager(script) as server, connection(server.port, USER, SECRET, held) as (_, owner):
        owner.wait_for("event")
        time.sleep(2.2)
        beats = len(owner.beats)
        assert beats > 0
        time.sleep(1.0)
        assert len(owner.beats) == beats
        free.set()
        wait_until(lambda: len(owner.beats) > beats, 5)


@pytest.mark.parametrize("script", [healthy, says_nothing, is_full], ids=lambda one: one.__name__)
def test_it_stops_at_once_in_whatever_it_is(script: Script) -> None:
    with manager(script) as server, connection(server.port, USER, SECRET, scale=1.0) as (ami, _):
        wait_until(lambda: bool(server.connections), 5)
        time.sleep(0.3)
        began = time.monotonic()
        ami.stop()
        in_time(time.monotonic() - began, 1.5)
        assert not ami.connected


def test_what_was_seen_before_the_stop_is_delivered() -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        for number in range(100):
            peer.say(*numbered(number))
        peer.say("Event: Last", "Number: 100")
        peer.serve()

    slow = Owner(lambda event: time.sleep(0.005))
    with manager(script) as server, connection(server.port, USER, SECRET, slow) as (ami, owner):
        owner.wait_for("event")
        time.sleep(0.2)
        ami.stop()
    assert numbers(owner.events) == list(range(101))
    assert owner.names[-1] == "disconnected"


def test_one_that_was_never_started_can_be_stopped() -> None:
    owner = Owner()
    Ami("127.0.0.1", 1, USER, SECRET, owner.connected, owner.event, owner.disconnected).stop()
    assert owner.seen == []
