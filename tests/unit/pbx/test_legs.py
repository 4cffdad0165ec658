"""Legs as a specification: the hard cases as traces, what is promised of any trace, and what no trace shows."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freepbx_bx24.pbx import bridges, following, legs, watched
from freepbx_bx24.pbx.call_legs import ENDED, LEFT, RINGING, STOPPED, TALKING, CallLegs
from freepbx_bx24.pbx.channels import DEVICE, TRUNK, Dialled, device_of, dialled, is_machine, is_wire, other_half
from freepbx_bx24.pbx.legs import Legs
from tests.support.ami_trace import ROW, ROWS_END, TRACES, Replay, Step, at, leg_line, read

FILES = sorted(TRACES.glob("*.trace"))
STEPS = {path.stem: read(path).steps for path in FILES}
NAMES = sorted(STEPS)


def stem(path: Path) -> str:
    return path.stem


# ---- the hard cases


@pytest.mark.parametrize("path", FILES, ids=stem)
def test_a_trace_comes_out_as_its_last_lines_say(path: Path) -> None:
    trace = read(path)
    assert Replay().feed(trace.steps).told() == list(trace.expected)


def test_both_asterisks_were_recorded_in_the_same_cases() -> None:
    real = {name.split("-", 2)[1:][1]: set() for name in NAMES if name.startswith("real-")}
    for name in NAMES:
        if name.startswith("real-"):
            real[name.split("-", 2)[2]].add(name.split("-")[1])
    assert len(real) > 30
    assert {frozenset(majors) for majors in real.values()} == {frozenset(("16", "22"))}


@pytest.mark.parametrize("path", FILES, ids=stem)
def test_after_the_last_hangup_and_forget_nothing_is_kept(path: Path) -> None:
    replay = Replay().feed(read(path).steps)
    for uniqueid in replay.watched:
        replay.legs.forget(uniqueid)
    everything = replay.legs._all
    assert not everything.net.channels
    assert not everything.net.bridges
    assert not everything.net._names
    assert not everything.calls
    assert not everything.in_legs
    assert not everything._parties


# ---- promises of any trace


def check(replay: Replay) -> None:
    """What holds at any moment: the queries, the stories and the changes do not contradict each other."""
    state: dict[tuple[str, str, str, str], str] = {}
    ended = set()
    for change in replay.changes:
        assert change.uniqueid not in ended, "nothing comes after the end of a call"
        if change.leg is None:
            assert change.kind == ENDED
            ended.add(change.uniqueid)
            continue
        who = (change.uniqueid, change.leg.kind, change.leg.device, change.leg.number)
        before = state.pop(who, "")
        allowed = {RINGING: {""}, TALKING: {"", RINGING}, STOPPED: {RINGING}, LEFT: {TALKING}}
        assert before in allowed[change.kind]
        if change.kind in (RINGING, TALKING):
            state[who] = change.kind
    assert not {who for who in state if who[0] in ended}, "everybody has stopped or left at the end"
    for uniqueid in replay.watched:
        story = replay.legs.story(uniqueid)
        if story is None:
            continue
        for leg in story.legs:
            spans = [*([leg.rang] if leg.rang else []), *leg.talks]
            assert all(span.until is None or span.until >= span.since for span in spans)
            assert all(one.until is not None and one.until <= two.since for one, two in zip(leg.talks, leg.talks[1:]))
            if story.gone:
                assert all(span.until for span in spans)
        talking = {leg.channel for leg in replay.legs.talking(uniqueid)}
        assert talking == {leg.channel for leg in story.legs if leg.party == "ours" and still(leg.talks)}
        assert not talking & {leg.channel for leg in replay.legs.ringing(uniqueid)}
        assert (story.gone is not None) == (uniqueid in ended)


def still(spans: tuple[object, ...]) -> bool:
    return bool(spans) and spans[-1].until is None  # type: ignore[attr-defined]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NAMES), st.data())
def test_any_prefix_with_any_events_dropped_raises_nothing_and_contradicts_nothing(
    name: str, data: st.DataObject
) -> None:
    steps = STEPS[name]
    end = data.draw(st.integers(0, len(steps)))
    dropped = data.draw(st.sets(st.integers(0, len(steps)), max_size=6))
    replay = Replay()
    for place, step in enumerate(steps[:end]):
        if place not in dropped:
            replay.step(step)
    check(replay)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NAMES), st.data())
def test_after_any_gap_a_snapshot_without_channels_ends_every_call_and_keeps_none(
    name: str, data: st.DataObject
) -> None:
    steps = STEPS[name]
    replay = Replay().feed(steps[: data.draw(st.integers(0, len(steps)))])
    known = set(replay.legs._all.net.channels)
    over = {uniqueid for uniqueid in replay.watched if (story := replay.legs.story(uniqueid)) and story.gone}
    replay.step(Step(90.0, "broken", {}))
    replay.step(Step(91.0, ROWS_END, {}))
    replay.step(Step(92.0, "snapshot", {}))
    assert not replay.legs._all.net.channels
    for uniqueid in replay.watched:
        story = replay.legs.story(uniqueid)
        assert story
        if uniqueid in known:
            assert story.gone
            assert story.unbroken == (uniqueid in over)
    check(replay)


def unbroken(name: str) -> list[Step]:
    """A trace without the snapshots of its own."""
    return [step for step in STEPS[name] if step.event not in ("broken", "snapshot", ROW, ROWS_END)]


def rows_now(replay: Replay) -> list[Step]:
    """What CoreShowChannels would say: the rows of the channels that are up."""
    return [
        Step(
            0.0, ROW, {"Channel": one.name, "Uniqueid": one.uniqueid, "Linkedid": one.linkedid, "BridgeId": one.bridge}
        )
        for one in replay.legs._all.net.channels.values()
    ]


def talks(story: CallLegs | None, after: float) -> list[tuple[str, float, float]]:
    """Who talked from when to when, as far as it was after a moment."""
    assert story is not None
    found = []
    for leg in story.legs:
        for span in leg.talks:
            until = span.until or at(1e6)
            if until > at(after):
                found.append((leg.channel, max(span.since, at(after)).monotonic, until.monotonic))
    return sorted(found)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(NAMES), st.data())
def test_a_service_that_starts_in_the_middle_sees_the_same_talks_from_there_on(name: str, data: st.DataObject) -> None:
    steps = unbroken(name)
    middle = data.draw(st.integers(1, len(steps)))
    if steps[middle - 1].event == "watch":
        middle -= 1
    whole = Replay().feed(steps[:middle])
    moment = steps[middle - 1].seconds if middle else 0.0
    fresh = Replay()
    for step in [Step(moment, ROWS_END, {}), *rows_now(whole), Step(moment, "snapshot", {})]:
        fresh.step(step)
    known = [*whole.watched]
    up = {uniqueid for uniqueid in known if (story := whole.legs.story(uniqueid)) and not story.gone}
    # An outbound call's client is told by its trunk, which a fresh service has to learn; inbound calls tell it at once.
    inbound = {uniqueid for uniqueid in up if (story := whole.legs.story(uniqueid)) and story.direction == "in"}
    for uniqueid in sorted(inbound):
        fresh.legs.watch(uniqueid, "in")
        fresh.watched.append(uniqueid)
    whole.feed(steps[middle:])
    fresh.feed(steps[middle:])
    for uniqueid in inbound:
        assert talks(fresh.legs.story(uniqueid), moment) == talks(whole.legs.story(uniqueid), moment)
    check(fresh)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NAMES), st.data())
def test_a_snapshot_that_says_what_is_known_changes_no_talk(name: str, data: st.DataObject) -> None:
    steps = unbroken(name)
    middle = data.draw(st.integers(0, len(steps)))
    plain = Replay().feed(steps)
    other = Replay().feed(steps[:middle])
    moment = steps[middle - 1].seconds if middle else 0.0
    for step in [
        Step(moment, "broken", {}),
        Step(moment, ROWS_END, {}),
        *rows_now(other),
        Step(moment, "snapshot", {}),
    ]:
        other.step(step)
    other.feed(steps[middle:])
    for uniqueid in plain.watched:
        assert talks(other.legs.story(uniqueid), 0.0) == talks(plain.legs.story(uniqueid), 0.0)
    check(other)


HOSTILE = st.text(max_size=30) | st.sampled_from(
    ["u1", "u2", "B1", "ANSWER", "PJSIP/101-00000001", "Local/1@x-0;1", ""]
)
KINDS = sorted({step.event for steps in STEPS.values() for step in steps})
FIELDS = sorted({header for steps in STEPS.values() for step in steps for header in step.headers})
EVENTS = st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), HOSTILE, max_size=12))


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENTS, max_size=30), st.sampled_from(["in", "out"]))
def test_whatever_stands_in_events_and_rows_raises_nothing(events: list[tuple[str, dict[str, str]]], way: str) -> None:
    machine = Legs()
    machine.watch("u1", way)
    for place, (kind, headers) in enumerate(events):
        event = {"Event": kind, **headers}
        machine.take(event, at(float(place)))
        if place % 7 == 3:
            machine.broken()
            machine.snapshot([event], at(float(place)))
    machine.changes(at(99.0))
    for uniqueid in ("u1", "u2", ""):
        machine.story(uniqueid), machine.ringing(uniqueid), machine.talking(uniqueid)
        machine.forget(uniqueid)


# ---- what no trace shows


def told(machine: Legs, at_seconds: float | None = None) -> list[str]:
    return [
        f"{change.kind} {change.leg.device if change.leg else ''}".strip()
        for change in machine.changes(None if at_seconds is None else at(at_seconds))
    ]


def until_talk(name: str = "direct") -> Legs:
    """A call in the middle of its talk: 9.0 with 1001 at 9.1, in B1 from 2.1 s on."""
    replay = Replay().feed([step for step in STEPS[name] if step.seconds < 5])
    return replay.legs


def bridge(machine: Legs, kind: str, seconds: float, *uniqueids: str, bridge_id: str = "B1") -> None:
    for uniqueid in uniqueids:
        machine.take({"Event": kind, "Uniqueid": uniqueid, "BridgeUniqueid": bridge_id}, at(seconds))


def test_who_leaves_without_hanging_up_is_told_a_second_later_by_the_time_alone() -> None:
    machine = until_talk()
    bridge(machine, "BridgeLeave", 6.0, "9.1")
    assert machine.talking("9.0") == ()
    assert told(machine, 6.5) == []
    assert told(machine, 7.1) == ["left 1001"]
    assert told(machine, 9.0) == []


def test_who_is_back_within_a_second_never_left() -> None:
    machine = until_talk()
    bridge(machine, "BridgeLeave", 6.0, "9.1")
    bridge(machine, "BridgeEnter", 6.9, "9.1")
    assert told(machine, 20.0) == []
    story = machine.story("9.0")
    assert story
    assert [leg_line(leg) for leg in story.legs] == ["1001 rang 0.10-2.10 ANSWER talked 2.10-"]


def test_who_comes_back_later_has_talked_twice() -> None:
    machine = until_talk()
    bridge(machine, "BridgeLeave", 6.0, "9.1")
    bridge(machine, "BridgeEnter", 8.0, "9.1")
    assert told(machine) == ["left 1001", "talking 1001"]
    story = machine.story("9.0")
    assert story
    assert [leg_line(leg) for leg in story.legs] == ["1001 rang 0.10-2.10 ANSWER talked 2.10-6.00 talked 8.00-"]


def test_an_answer_that_leads_to_no_talk_ends_as_stopped() -> None:
    replay = Replay().feed([step for step in STEPS["direct"] if step.event != "BridgeEnter" and step.seconds < 5])
    assert [change.kind for change in replay.changes] == [RINGING]
    replay.legs.take({"Event": "Hangup", "Uniqueid": "9.1"}, at(6.0))
    assert told(replay.legs) == ["stopped 1001"]


@pytest.mark.parametrize("before", [True, False], ids=["gone before the event", "gone after the event"])
def test_the_receiver_of_a_transfer_is_known_although_his_wire_has_gone_away(before: bool) -> None:
    transfer = "AttendedTransfer"
    steps = [step for step in STEPS["real-22-attended-transfer-by-keys"] if step.event != transfer]
    (place,) = [index for index, step in enumerate(steps) if step.event == "BridgeMerge"]
    (told_so,) = [step for step in STEPS["real-22-attended-transfer-by-keys"] if step.event == transfer]
    wire = told_so.headers["TransferTargetUniqueid"]
    optimised = [step for step in steps[place + 1 :] if step.event in ("BridgeLeave", "BridgeEnter")][:2]
    (target,) = {step.headers["Uniqueid"] for step in steps if step.headers.get("Channel", "").startswith("PJSIP/102-")}
    client = steps[0].headers["Uniqueid"]
    room = next(
        step.headers["BridgeUniqueid"]
        for step in steps
        if step.headers.get("Uniqueid") == target and step.event == "BridgeEnter"
    )
    away = [
        Step(told_so.seconds, "Hangup", {"Uniqueid": wire}),
        Step(told_so.seconds, "BridgeEnter", {"Uniqueid": client, "BridgeUniqueid": room}),
    ]
    order = [*away, told_so] if before else [away[0], told_so, away[1]]
    replay = Replay().feed([*steps[: place + 1], *optimised, *order])
    story = replay.legs.story(client)
    assert story
    assert [(one.giver, one.receiver) for one in story.handovers] == [("101", "102")]


def test_a_late_watch_tells_who_rings_now() -> None:
    steps = STEPS["ring-group"]
    replay = Replay().feed([step for step in steps if step.event != "watch" and step.seconds < 1])
    assert replay.changes == []
    replay.legs.watch("9.0", "in")
    assert [leg.device for leg in replay.legs.ringing("9.0")] == ["1001", "1002", "1003"]
    assert told(replay.legs) == ["ringing 1001", "ringing 1002", "ringing 1003"]


def test_a_watch_before_the_first_event_of_the_channel_is_as_good() -> None:
    steps = [step for step in STEPS["ring-group"] if step.event != "watch"]
    early = Replay().feed([Step(0.0, "watch", {"uniqueid": "9.0", "direction": "in"}), *steps])
    assert early.told() == list(read(TRACES / "ring-group.trace").expected)


def test_a_call_that_is_over_before_it_is_watched_ends_at_its_hangup_and_is_not_unbroken() -> None:
    replay = Replay().feed([step for step in STEPS["direct"] if step.event != "watch"])
    replay.legs.watch("9.0", "in")
    story = replay.legs.story("9.0")
    assert story
    assert (story.gone, story.unbroken, story.legs) == (at(9.0), False, ())
    assert told(replay.legs) == ["ended"]


def test_the_hangup_of_a_channel_that_was_never_seen_ends_its_call_and_is_told() -> None:
    machine = Legs()
    machine.snapshot([], at(0.0))
    machine.watch("9.0", "in")
    machine.take({"Event": "Hangup", "Uniqueid": "9.0"}, at(1.0))
    assert told(machine) == ["ended"]


def test_what_has_hung_up_stays_so_whatever_is_said_of_it_afterwards() -> None:
    replay = Replay().feed(STEPS["direct"])
    for event in ("NewCallerid", "Newchannel", "BridgeEnter"):
        replay.legs.take(
            {"Event": event, "Channel": "PJSIP/1001-00000001", "Uniqueid": "9.1", "BridgeUniqueid": "B7"}, at(10.0)
        )
    assert not replay.legs._all.net.channels


def test_a_call_that_is_watched_before_the_connection_is_up_is_not_unbroken() -> None:
    machine = Legs()
    machine.watch("1.1", "in")
    story = machine.story("1.1")
    assert story
    assert not story.unbroken


def test_a_broken_view_stays_broken_and_ended_calls_stay_as_they_were() -> None:
    replay = Replay().feed(STEPS["direct"])
    replay.legs.watch("9.50", "in")
    replay.legs.broken()
    replay.legs.snapshot([], at(20.0))
    first, second = replay.legs.story("9.0"), replay.legs.story("9.50")
    assert first
    assert second
    assert (first.unbroken, second.unbroken) == (True, False)


def test_a_snapshots_ringing_channels_ring_for_the_call_of_their_linkedid() -> None:
    machine = Legs()
    rows = [
        {"Channel": "PJSIP/trunka-01", "Uniqueid": "1.1", "Linkedid": "1.1", "ChannelState": "4"},
        {"Channel": "PJSIP/1001-02", "Uniqueid": "1.2", "Linkedid": "1.1", "ChannelState": "5"},
        {"Channel": "PJSIP/1002-03", "Uniqueid": "1.3", "Linkedid": "1.9", "ChannelState": "5"},
    ]
    machine.snapshot(rows, at(1.0))
    machine.watch("1.1", "in")
    assert [leg.device for leg in machine.ringing("1.1")] == ["1001"]


def test_two_clients_in_one_parking_lot_do_not_talk_with_each_other_nor_with_who_parked_beside() -> None:
    machine = until_talk()
    bridge(machine, "BridgeLeave", 5.0, "9.0", "9.1")
    for uniqueid, name in (("9.0", "PJSIP/trunka-00000000"), ("9.77", "PJSIP/1005-00000077")):
        lot = {"BridgeType": "parking", "BridgeTechnology": "holding_bridge", "BridgeName": "default"}
        machine.take(
            {"Event": "BridgeEnter", "Uniqueid": uniqueid, "Channel": name, "BridgeUniqueid": "P", **lot}, at(6.0)
        )
    assert machine.talking("9.0") == ()
    story = machine.story("9.0")
    assert story
    assert [(stay.kind, stay.name) for stay in story.stays] == [("parking", "default")]


@pytest.mark.parametrize(
    "name", ["queue-answered", "follow-me", "mobile-by-trunk", "click-to-call", "blind-transfer-out"]
)
def test_who_dialled_whom_is_enough_without_any_linkedid(name: str) -> None:
    trace = read(TRACES / f"{name}.trace")
    bare = [
        Step(step.seconds, step.event, {key: one for key, one in step.headers.items() if not key.endswith("inkedid")})
        for step in trace.steps
    ]
    assert Replay().feed(bare).told() == list(trace.expected)


def test_a_talk_through_a_wire_begins_when_its_last_end_is_connected() -> None:
    machine = Legs()
    machine.watch("1.1", "in")
    for place, name in enumerate(["PJSIP/trunka-01", "Local/1@x-01;1", "Local/1@x-01;2", "PJSIP/1001-02"]):
        machine.take({"Event": "Newchannel", "Channel": name, "Uniqueid": f"1.{place + 1}"}, at(0.0))
    bridge(machine, "BridgeEnter", 1.0, "1.4", bridge_id="B1")
    bridge(machine, "BridgeEnter", 2.0, "1.1", "1.2", bridge_id="B2")
    bridge(machine, "BridgeEnter", 3.0, "1.3", bridge_id="B1")
    assert [leg_line(leg) for leg in machine.talking("1.1")] == ["1001 talked 3.00-"]


def test_a_second_telephone_that_rings_beside_the_one_that_talks_is_no_news() -> None:
    machine = until_talk()
    dest = {"DestChannel": "PJSIP/1001-9", "DestUniqueid": "9.60", "DialString": "1001"}
    machine.take({"Event": "DialBegin", "Uniqueid": "9.0", "Channel": "PJSIP/trunka-00000000", **dest}, at(6.0))
    assert [leg.channel for leg in machine.ringing("9.0")] == ["9.60"]
    assert told(machine) == []


@pytest.mark.parametrize("kind", ["BlindTransfer", "AttendedTransfer"])
def test_a_transfer_that_failed_hands_nobody_over(kind: str) -> None:
    machine = until_talk()
    machine.take({"Event": kind, "Result": "Fail", "TransfereeUniqueid": "9.0", "Extension": "1002"}, at(6.0))
    story = machine.story("9.0")
    assert story
    assert story.handovers == ()


def test_the_first_end_of_a_dial_counts() -> None:
    machine = until_talk()
    machine.take({"Event": "DialEnd", "DestUniqueid": "9.1", "DialStatus": "CANCEL"}, at(6.0))
    assert [leg.ended for leg in machine.talking("9.0")] == ["ANSWER"]


def test_a_client_whose_answer_was_missed_is_known_by_his_trunk_or_by_who_dialled_him() -> None:
    rows = [
        {"Channel": f"PJSIP/{name}-01", "Uniqueid": uniqueid, "Linkedid": "1.1", "BridgeId": "B1", "ChannelState": "6"}
        for name, uniqueid in (("1001", "1.1"), ("odd", "1.2"))
    ]
    by_trunk = Legs()
    by_trunk.snapshot([], at(0.0))
    by_trunk.watch("0.1", "in")
    by_trunk.take({"Event": "Newchannel", "Channel": "PJSIP/odd-00", "Uniqueid": "0.1"}, at(0.0))
    by_trunk.snapshot(rows, at(1.0))
    by_dial = Legs()
    dest = {"DestChannel": "PJSIP/odd-01", "DestUniqueid": "1.2", "DialString": "odd"}
    by_dial.take({"Event": "DialBegin", "Channel": "PJSIP/1001-01", "Uniqueid": "1.1", **dest}, at(0.0))
    for uniqueid in ("1.1", "1.2"):
        bridge(by_dial, "BridgeEnter", 1.0, uniqueid)
    for machine in (by_trunk, by_dial):
        machine.watch("1.1", "out")
        story = machine.story("1.1")
        assert story
        assert (story.external, story.answered) == ("1.2", at(1.0))
        assert [leg.device for leg in machine.talking("1.1")] == ["1001"]


# ---- bounds


def test_more_channels_than_there_is_room_for_push_out_the_oldest_and_make_every_open_call_doubtful(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "MOST_CHANNELS", 50)
    machine = until_talk()
    for number in range(200):
        machine.take({"Event": "Newchannel", "Channel": f"PJSIP/{number}-1", "Uniqueid": f"x{number}"}, at(5.0))
    assert len(machine._all.net.channels) <= 50
    story = machine.story("9.0")
    assert story
    assert (story.unbroken, story.gone) == (False, None)


def test_more_legs_than_there_is_room_for_push_out_those_that_only_rang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "MOST_LEGS", 10)
    machine = until_talk()
    for number in range(30):
        dest = {"DestChannel": f"PJSIP/2{number:03}-1", "DestUniqueid": f"x{number}", "DialString": f"2{number:03}"}
        machine.take({"Event": "DialBegin", "Uniqueid": "9.0", "Channel": "PJSIP/trunka-00000000", **dest}, at(5.0))
        machine.take({"Event": "DialEnd", "DialStatus": "NOANSWER", "Uniqueid": "9.0", **dest}, at(5.0))
        machine.take({"Event": "Hangup", "Uniqueid": f"x{number}"}, at(5.0))
    story = machine.story("9.0")
    assert story
    assert len(story.legs) == 10
    assert story.legs[0].device == "1001"
    assert not story.unbroken
    machine.forget("9.0")
    assert not machine._all.in_legs


def test_calls_that_nobody_forgets_and_changes_that_nobody_takes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legs, "MOST_CALLS", 10)
    monkeypatch.setattr(following, "MOST_CHANGES", 5)
    monkeypatch.setattr(bridges, "MOST_GONE", 7)
    machine = Legs()
    for number in range(40):
        machine.take({"Event": "Newchannel", "Channel": "PJSIP/trunka-1", "Uniqueid": f"x{number}"}, at(1.0))
        machine.watch(f"x{number}", "in")
        machine.take({"Event": "Hangup", "Uniqueid": f"x{number}"}, at(2.0))
    assert len(machine._all.calls) == 10
    assert len(machine._all.net.gone) == 7
    assert len(machine.changes()) == 5


def test_a_day_of_calls_that_nobody_watches_leaves_nothing_behind() -> None:
    machine = Legs()

    def calls(first: int, count: int) -> None:
        for number in range(first, first + count):
            for step in STEPS["queue-answered"]:
                if step.event != "watch":
                    ids = {key: f"{number}.{value}" for key, value in step.headers.items() if key.endswith("niqueid")}
                    machine.take({"Event": step.event, **step.headers, **ids}, at(step.seconds))

    calls(0, 1200)  # until what is remembered of the gone is full
    tracemalloc.start()
    calls(2000, 400)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert not machine._all.net.channels
    assert len(machine._all.net.gone) <= bridges.MOST_GONE
    assert grown < 2_000_000


# ---- names


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("PJSIP/1001-0000002f", "1001"),
        ("PJSIP/my-trunk-0000002f", "my-trunk"),
        ("SIP/1001-0000002f", "1001"),
        ("IAX2/office-1234", "office"),
        ("DAHDI/i1/79161234567-3", "i1/79161234567"),
        ("PJSIP/1001-0000002f<ZOMBIE>", "1001"),
        ("Local/1001@from-queue-0000000a;1", ""),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_a_channels_name_says_its_device(name: str, device: str) -> None:
    assert device_of(name) == device


@pytest.mark.parametrize(
    ("dial_string", "name", "what"),
    [
        ("1001", "PJSIP/1001-01", Dialled(DEVICE)),
        ("PJSIP/1001", "PJSIP/1001-01", Dialled(DEVICE)),
        ("1001/sip:1001@10.0.0.5:5060", "PJSIP/1001-01", Dialled(DEVICE)),
        ("991001/sip:k3jh5g@10.0.0.5;transport=ws", "PJSIP/991001-01", Dialled(DEVICE)),
        ("1001/sip:79161234567@10.0.0.5", "PJSIP/1001-01", Dialled(DEVICE)),
        ("89161234567@trunka", "PJSIP/trunka-01", Dialled(TRUNK, "89161234567")),
        ("PJSIP/89161234567@trunka", "PJSIP/trunka-01", Dialled(TRUNK, "89161234567")),
        ("trunka/sip:89161234567@provider.example", "PJSIP/trunka-01", Dialled(TRUNK, "89161234567")),
        ("trunka/89161234567", "SIP/trunka-01", Dialled(TRUNK, "89161234567")),
        ("g0/89161234567", "DAHDI/i1/89161234567-3", Dialled(TRUNK, "89161234567")),
        ("", "PJSIP/1001-01", Dialled(DEVICE)),
        ("@@//@", "", Dialled(DEVICE)),
    ],
)
def test_a_dial_string_says_whether_it_is_a_telephone_or_a_number_outside(
    dial_string: str, name: str, what: Dialled
) -> None:
    assert dialled(dial_string, name) == what


def test_wires_and_machines_are_nobodys_telephones() -> None:
    assert is_wire("Local/1001@from-queue-0000000a;1")
    assert other_half("Local/1001@from-queue-0000000a;1") == "Local/1001@from-queue-0000000a;2"
    assert other_half("PJSIP/1001-01;1") == ""
    assert is_machine("CBAnn/room-00000001;1")
    assert not is_machine("PJSIP/CBAnn-00000001")
