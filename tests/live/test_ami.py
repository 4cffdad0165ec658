"""The manager connection on real Asterisks: what it tells of real calls, through restarts and power cuts."""

from __future__ import annotations

import re
import signal
import time
from typing import Iterator

import pytest

from freepbx_bx24.errors import AmiRefused, AmiUnreachable
from freepbx_bx24.pbx.ami import Ami
from freepbx_bx24.pbx.ami_wire import Message
from freepbx_bx24.sandbox.pbx.harness import SandboxPbx
from freepbx_bx24.sandbox.pbx.record import answer, busy
from tests.support.ami_owner import Owner, connection
from tests.support.running_service import wait_until

from .world import World, wait_quiet

USER, SECRET = "test-ami", "live-and-only-in-the-digest"
ACCOUNT = f"""
[{USER}]
secret={SECRET}
deny=0.0.0.0/0.0.0.0
permit=127.0.0.1/255.255.255.255
read=call
write=reporting
"""
# Names and account codes that try to be AMI messages; what a lookup in a phone book could bring in.
HOSTILE = """
[hostile-ami]
exten => name,1,Set(CALLERID(name)=${URIDECODE(x%0d%0a%0d%0aEvent: Hangup%0d%0aUniqueid: 9.9%0d%0a%0d%0ay%0az)})
 same => n,Wait(1)
 same => n,Hangup()
"""
MANAGER = "/etc/asterisk/manager_custom.conf"
DIALPLAN = "/etc/asterisk/extensions_custom.conf"
GOING_SECONDS = 0.1
# What facts of a call these tests look at; others (Newchannel, Newstate, RTCP...) come in between.
TOLD = ("DialBegin", "DialEnd", "BridgeEnter", "BridgeLeave", "Hangup")


def add_account(pbx: SandboxPbx) -> None:
    with pbx.root.outside(MANAGER).open("a", encoding="utf-8") as file:
        file.write(ACCOUNT)
    pbx.asterisk.rx("manager reload")


@pytest.fixture(scope="module")
def pbx(world: World) -> Iterator[SandboxPbx]:
    """The world's PBX with an AMI user and a dialplan of these tests, which is gone afterwards."""
    kept = {path: world.pbx.root.outside(path).read_bytes() for path in (MANAGER, DIALPLAN)}
    add_account(world.pbx)
    with world.pbx.root.outside(DIALPLAN).open("a", encoding="utf-8") as file:
        file.write(HOSTILE)
    world.pbx.asterisk.reload_dialplan()
    wait_quiet(world)
    yield world.pbx
    for path, text in kept.items():
        world.pbx.root.outside(path).write_bytes(text)
    world.pbx.asterisk.reload_dialplan()
    world.pbx.asterisk.rx("manager reload")


@pytest.fixture
def listening(pbx: SandboxPbx) -> Iterator[tuple[Ami, Owner]]:
    with connection(pbx.ami_port, USER, SECRET, scale=0.2) as (ami, owner):
        owner.wait_for("connected")
        yield ami, owner


def kind_of(channel: str) -> str:
    """`PJSIP/city-0000001f` without its number."""
    return re.sub(r"-[0-9a-f]{8}", "", channel)


def story(events: list[Message], linkedid: str) -> list[str]:
    """What the events that are told of say about one call, a line each."""
    lines = []
    for event in events:
        name = event["Event"]
        if name in TOLD and linkedid in (event.get("Linkedid"), event.get("DestLinkedid")):
            channel = kind_of(event.get("DestChannel") or event["Channel"])
            lines.append(" ".join(filter(None, [name, channel, event.get("DialStatus", "")])))
    return lines


def linkedid_of(owner: Owner, number: str) -> str:
    def first() -> list[str]:
        return [event["Linkedid"] for event in owner.events if event.get("CallerIDNum") == number]

    wait_until(lambda: bool(first()), 10, lambda: str(owner.names[-30:]))
    return first()[0]


def test_the_asterisk_says_what_it_is_and_that_nobody_talks(pbx: SandboxPbx) -> None:
    with connection(pbx.ami_port, USER, SECRET) as (ami, owner):
        owner.wait_for("connected")
        assert ami._session is not None
        assert re.fullmatch(r"Asterisk Call Manager/\d+\.\d+\.\d+", ami._session.banner)
    assert owner.seen[0] == ("connected", [])


def test_an_answered_call_is_told_in_its_order(world: World, pbx: SandboxPbx, listening: tuple[Ami, Owner]) -> None:
    _, owner = listening
    number = world.new_number()
    pbx.phone(150).behaviour = answer(0.5)
    pbx.trunk.call("74957770150", number, talk=1.0).wait(20)
    linkedid = linkedid_of(owner, number)
    wait_until(lambda: story(owner.events, linkedid).count("Hangup PJSIP/city") == 1, 10)
    told = story(owner.events, linkedid)
    assert told[:2] == ["DialBegin PJSIP/150", "DialEnd PJSIP/150 ANSWER"]
    assert sorted(told[2:4]) == ["BridgeEnter PJSIP/150", "BridgeEnter PJSIP/city"]
    assert sorted(told[4:]) == sorted(
        f"{what} PJSIP/{who}" for what in ("BridgeLeave", "Hangup") for who in ("150", "city")
    )
    for who in ("150", "city"):
        assert told.index(f"BridgeLeave PJSIP/{who}") < told.index(f"Hangup PJSIP/{who}")
    bridges = {event["BridgeUniqueid"] for event in owner.events if event["Event"] == "BridgeEnter"}
    assert len(bridges) == 1


def test_a_busy_call_is_told_in_its_order(world: World, pbx: SandboxPbx, listening: tuple[Ami, Owner]) -> None:
    _, owner = listening
    number = world.new_number()
    pbx.phone(151).behaviour = busy(0.3)
    assert pbx.trunk.call("74957770151", number).wait(20).final_status == 486
    linkedid = linkedid_of(owner, number)
    wait_until(lambda: story(owner.events, linkedid).count("Hangup PJSIP/city") == 1, 10)
    told = story(owner.events, linkedid)
    assert told[0] == "DialBegin PJSIP/151"
    assert sorted(told[1:]) == ["DialEnd PJSIP/151 BUSY", "Hangup PJSIP/151", "Hangup PJSIP/city"]
    assert told[-1] == "Hangup PJSIP/city"


def test_a_call_that_was_up_before_is_in_the_snapshot_and_its_end_is_an_event(world: World, pbx: SandboxPbx) -> None:
    number = world.new_number()
    pbx.phone(152).behaviour = answer(0.2)
    call = pbx.trunk.call("74957770152", number)
    call.wait_answered(10)
    wait_until(lambda: pbx.asterisk.channels() == 2, 10)
    with connection(pbx.ami_port, USER, SECRET) as (ami, owner):
        owner.wait_for("connected")
        snapshot = [kind_of(channel) for channel in owner.seen[0][1]]
        rows = {kind_of(row["Channel"]): row for row in ami.list_action("CoreShowChannels")}
        call.hang_up()
        call.wait(10)
        wait_until(lambda: owner.names.count("Hangup") == 2, 10)
    assert sorted(snapshot) == ["PJSIP/152", "PJSIP/city"]
    assert rows["PJSIP/city"]["CallerIDNum"] == number
    assert rows["PJSIP/city"]["BridgeId"] == rows["PJSIP/152"]["BridgeId"] != ""
    assert rows["PJSIP/city"]["Linkedid"] == rows["PJSIP/152"]["Linkedid"]


def test_of_calls_that_come_and_go_while_it_connects_none_is_lost_between_snapshot_and_events(
    world: World, pbx: SandboxPbx
) -> None:
    for extension in range(153, 159):
        pbx.phone(extension).behaviour = answer(0.1)
    calls = [pbx.trunk.call(f"74957770{153 + one % 6}", world.new_number(), talk=0.3 + one / 10) for one in range(12)]
    owners = []
    while not all(call.record.ended_how for call in calls):
        with connection(pbx.ami_port, USER, SECRET) as (_, owner):
            owner.wait_for("connected")
            time.sleep(0.2)
        owners.append(owner)
    wait_quiet(world)
    looked_at = 0
    for owner in owners:
        known = set(owner.seen[0][1])
        # Who hung up between login and snapshot is not in it; his last events come all the same.
        going = {
            event["Channel"]
            for event in owner.events
            if event["Event"] == "Hangup" and event.received < owner.connected_at[0] + GOING_SECONDS
        }
        for event in owner.events:
            channel = event.get("DestChannel", event.get("Channel", ""))
            if event["Event"] == "Newchannel":
                known.add(channel)
            elif event["Event"] in ("BridgeEnter", "BridgeLeave", "DialEnd", "Newstate") and channel not in going:
                # Whoever still does something was in the snapshot, or began after it.
                assert channel in known, (owner.seen[0], owner.names)
                looked_at += 1
    assert looked_at > 20


def test_what_the_user_may_ask_and_what_not(pbx: SandboxPbx, listening: tuple[Ami, Owner]) -> None:
    ami, owner = listening
    assert ami.action("Ping")["Ping"] == "Pong"
    (row,) = ami.list_action("DBGet", {"Family": "DEVICE", "Key": "101/user"})
    assert row["Val"] == "101"
    assert ami.action("Getvar", {"Variable": "SYSTEMNAME"})["Response"] == "Success"
    with pytest.raises(AmiRefused, match="Database entry not found"):
        ami.list_action("DBGet", {"Family": "DEVICE", "Key": "none/user"})
    for name, headers in {
        "Hangup": {"Channel": "PJSIP/101-00000000"},
        "Originate": {"Channel": "Local/101@from-internal", "Application": "Wait"},
        "Command": {"Command": "core show uptime"},
        "Setvar": {"Variable": "A", "Value": "1"},
    }.items():
        with pytest.raises(AmiRefused, match="Permission denied"):
            ami.action(name, headers)
    assert ami.connected
    assert owner.names == ["connected"]


def test_values_with_line_ends_in_an_action_are_one_action(pbx: SandboxPbx, listening: tuple[Ami, Owner]) -> None:
    ami, _ = listening
    with pytest.raises(AmiRefused, match="No such channel"):
        ami.action("Getvar", {"Channel": "x\r\n\r\nAction: Ping\r\n\r\n", "Variable": "y"})
    with pytest.raises(AmiRefused, match="No such channel"):
        ami.action("Getvar", {"Channel": "x" * 990, "Variable": ["y"] * 90})
    assert ami.action("Ping")["Ping"] == "Pong"


def test_a_callers_name_that_looks_like_events_is_a_name(pbx: SandboxPbx, listening: tuple[Ami, Owner]) -> None:
    _, owner = listening
    pbx.asterisk.rx("channel originate Local/name@hostile-ami application Wait 1")
    event = owner.wait_for_event("NewCallerid")
    assert event["CallerIDName"] == r"x\r\n\r\nEvent: Hangup\r\nUniqueid: 9.9\r\n\r\ny\nz"
    wait_until(lambda: owner.names.count("Hangup") == 2, 10)
    assert "9.9" not in [one.get("Uniqueid") for one in owner.events]


def test_a_very_long_name_over_sip_arrives_as_a_name(
    world: World, pbx: SandboxPbx, listening: tuple[Ami, Owner]
) -> None:
    _, owner = listening
    number = world.new_number()
    pbx.phone(144).behaviour = answer(0.1)
    name = "Ы" * 300 + "\x1b]0;x\x07"
    pbx.trunk.call("74957770144", number, name.encode() + b"\xff\xfe", talk=0.3).wait(20)
    linkedid = linkedid_of(owner, number)
    wait_until(lambda: "Hangup PJSIP/city" in story(owner.events, linkedid), 10)
    names = {event["CallerIDName"] for event in owner.events if event.get("CallerIDNum") == number}
    assert any(one.startswith("Ы" * 30) for one in names), names
    assert "BridgeEnter PJSIP/144" in story(owner.events, linkedid)


def test_a_wrong_secret_is_refused_by_asterisk(pbx: SandboxPbx) -> None:
    with connection(pbx.ami_port, USER, "wrong") as (ami, owner):
        wait_until(lambda: isinstance(ami.failure, AmiRefused), 10, lambda: str(ami.failure))
        assert ami.failure
        assert "Authentication failed" in ami.failure.message
    assert owner.seen == []


# -- an Asterisk that goes and comes: one of the tests' own, since it takes everybody's calls with it ------------------


@pytest.fixture(scope="module")
def own(world: World) -> Iterator[SandboxPbx]:
    with SandboxPbx(world.suite) as own:
        add_account(own)
        yield own


@pytest.mark.parametrize("way", ["core restart now", "stop and start", "kill -9 and start"])
def test_a_restart_of_asterisk_is_survived_with_a_snapshot_that_is_true(own: SandboxPbx, way: str) -> None:
    own.phone(101).behaviour = answer(0.1)
    with connection(own.ami_port, USER, SECRET, scale=0.2) as (ami, owner):
        owner.wait_for("connected")
        own.trunk.call("74957770101", "+79160000001").wait_answered(10)
        wait_until(lambda: owner.names.count("BridgeEnter") == 2, 10)
        if way == "core restart now":
            own.asterisk.rx(way)
        elif way == "stop and start":
            own.asterisk.stop()
        else:
            own.asterisk.kill()
        owner.wait_for("disconnected", 1, 15)
        if way != "core restart now":
            assert not ami.connected
            with pytest.raises(AmiUnreachable):
                ami.action("Ping")
            own.asterisk.start()
        owner.wait_for("connected", 2, 30)
        assert [value for what, value in owner.seen if what == "connected"][1] == []
        own.asterisk.rx("core waitfullybooted", 30)
        number = "+79160000002"
        own.trunk.call("74957770101", number, talk=0.5).wait(20)
        linkedid = linkedid_of(owner, number)
        wait_until(lambda: "Hangup PJSIP/city" in story(owner.events, linkedid), 15)
    first, second = owner.sessions()
    assert story(first, linkedid) == []
    told = story(second, linkedid)
    assert told[:2] == ["DialBegin PJSIP/101", "DialEnd PJSIP/101 ANSWER"]
    assert "BridgeEnter PJSIP/city" in told


def test_an_asterisk_that_hangs_is_found_out_and_joined_again_when_it_wakes(own: SandboxPbx) -> None:
    process = own.asterisk.process
    assert process is not None
    with connection(own.ami_port, USER, SECRET, scale=0.1) as (ami, owner):
        owner.wait_for("connected")
        process.send_signal(signal.SIGSTOP)
        try:
            owner.wait_for("disconnected", 1, 15)
            assert not ami.connected
        finally:
            process.send_signal(signal.SIGCONT)
        owner.wait_for("connected", 2, 30)
        assert ami.action("Ping")["Ping"] == "Pong"


def test_a_reload_of_the_manager_keeps_the_connection(own: SandboxPbx) -> None:
    with connection(own.ami_port, USER, SECRET, scale=0.2) as (ami, owner):
        owner.wait_for("connected")
        own.asterisk.rx("manager reload")
        own.asterisk.rx("core reload")
        assert ami.action("Ping")["Ping"] == "Pong"
    assert owner.count("connected") == 1


def test_a_user_who_is_made_later_is_let_in_without_a_restart_of_anything(own: SandboxPbx) -> None:
    late = ACCOUNT.replace(USER, "late-user")
    with connection(own.ami_port, "late-user", SECRET, scale=0.05) as (ami, owner):
        wait_until(lambda: isinstance(ami.failure, AmiRefused), 10)
        with own.root.outside(MANAGER).open("a", encoding="utf-8") as file:
            file.write(late)
        own.asterisk.rx("manager reload")
        owner.wait_for("connected", 1, 15)
