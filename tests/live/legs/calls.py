"""The hard cases as real SIP calls: each a function that places them, from the first INVITE to the last BYE."""

from __future__ import annotations

import time
import wave
from dataclasses import dataclass
from typing import Callable

from freepbx_bx24.sandbox.pbx.calls import Call
from freepbx_bx24.sandbox.pbx.harness import SandboxPbx
from freepbx_bx24.sandbox.pbx.record import answer, busy, ring, unavailable

from .listener import USER, Listener

CLIENT = "+79161234567"
OUTSIDE = "89160000001"
MOBILE = "89160000006"
# What the sandbox's own dialplan does not have, in the file that is the admin's.
DIALPLAN = """
[ext-did-0002-custom]
exten => _74957770[89]XX,1,Set(__FROM_DID=${EXTEN})
 same => n,Set(__DIRECTION=INBOUND)
 same => n,Goto(legs-of-tests,${EXTEN:-3},1)
[from-internal-custom]
include => legs-of-tests
[legs-of-tests]
; hunt group
exten => 801,1,Dial(${PJSIP_DIAL_CONTACTS(101)},1)
 same => n,Dial(${PJSIP_DIAL_CONTACTS(102)},20,t)
 same => n,Hangup()
; follow-me of 103: rings there first, 101 beside it a second later; the wires go away after the answer
exten => 802,1,Dial(Local/FMPR-103@legs-followme&Local/FMGL-101@legs-followme,20,t)
 same => n,Hangup()
; ring group with an outside number
exten => 803,1,Set(CALLERID(num)=74957770000)
 same => n,Dial(${PJSIP_DIAL_CONTACTS(101)}&Local/89160000006@from-internal/n,20,t)
 same => n,Hangup()
; the same, and who answers outside must confirm
exten => 804,1,Dial(${PJSIP_DIAL_CONTACTS(101)}&Local/89160000006@from-internal/n,20,tU(legs-confirm))
 same => n,Hangup()
; two telephones of one extension
exten => 805,1,Dial(${PJSIP_DIAL_CONTACTS(101)}&${PJSIP_DIAL_CONTACTS(101)},20,t)
 same => n,Hangup()
; a machine that listens
exten => 806,1,Answer()
 same => n,Wait(20)
 same => n,Hangup()
; parking, and fetching what was parked first
exten => 807,1,Park()
 same => n,Hangup()
exten => 808,1,ParkedCall(default,701)
 same => n,Hangup()
; a conference room
exten => 809,1,Answer()
 same => n,ConfBridge(room)
 same => n,Hangup()
; pickup of 101
exten => 810,1,Pickup(101@PICKUPMARK&101@from-internal&101@ext-local)
 same => n,Hangup()
exten => 811,1,PickupChan(PJSIP/101)
 same => n,Hangup()
[legs-followme]
exten => FMPR-103,1,Dial(${PJSIP_DIAL_CONTACTS(103)},20)
exten => FMGL-101,1,Wait(1)
 same => n,Dial(${PJSIP_DIAL_CONTACTS(101)},20)
[legs-confirm]
exten => s,1,Wait(1.5)
 same => n,Return()
"""
PARKING = """
[general]
[default]
parkext=
parkpos=701-720
context=parkedcalls
parkingtime=30
"""


@dataclass
class Stage:
    """A running PBX and somebody who listens at its manager interface."""

    pbx: SandboxPbx
    ami: Listener

    def call_in(self, did: str = "74957770101", **more: object) -> Call:
        return self.pbx.trunk.call(did=did, number=CLIENT, name='Evil "ANSWER" <1>', **more)  # type: ignore[arg-type]

    def offered(self, extension: int, count: int = 1) -> Call:
        return self.pbx.phone(extension).received(count)

    def answered(self, extension: int, count: int = 1) -> Call:
        call = self.offered(extension, count)
        call.wait_answered()
        return call


def prepare(pbx: SandboxPbx) -> None:
    """Add what the calls need to a running PBX."""
    etc = pbx.root.outside("/etc/asterisk")
    with (etc / "extensions_custom.conf").open("a", encoding="utf-8") as file:
        file.write(DIALPLAN)
    with (etc / "manager_custom.conf").open("a", encoding="utf-8") as file:
        file.write(USER)
    (etc / "res_parking.conf").write_text(PARKING, encoding="utf-8")
    # The feature code *2 plays these before it listens to more keys, and does nothing where they are missing.
    for name in ("pbx-transfer", "beep", "beeperr", "pbx-invalid"):
        path = pbx.root.outside(f"/usr/share/asterisk/sounds/{name}.wav")
        with wave.open(str(path), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(bytes(1600))
    pbx.asterisk.rx("dialplan reload")
    pbx.asterisk.rx("manager reload")
    pbx.asterisk.rx("module reload res_parking.so")


def direct(stage: Stage) -> None:
    caller = stage.call_in()
    stage.answered(101)
    time.sleep(0.5)
    stage.ami.snapshot()
    time.sleep(0.5)
    caller.hang_up()


def refused_busy(stage: Stage) -> None:
    stage.pbx.phone(101).behaviour = busy()
    stage.call_in().wait(12)


def given_up(stage: Stage) -> None:
    stage.pbx.phone(101).behaviour = ring()
    stage.call_in(give_up_after=1.0).wait(12)


def ring_group(stage: Stage) -> None:
    for extension in (101, 103):
        stage.pbx.phone(extension).behaviour = ring()
    caller = stage.call_in("74957770200")
    stage.offered(101)
    time.sleep(0.2)
    stage.ami.snapshot()
    stage.answered(102)
    time.sleep(1.0)
    caller.hang_up()


def hunt(stage: Stage) -> None:
    stage.pbx.phone(101).behaviour = ring()
    caller = stage.call_in("74957770801")
    stage.answered(102)
    time.sleep(1.0)
    caller.hang_up()


def queue_answered(stage: Stage) -> None:
    for extension in (101, 103):
        stage.pbx.phone(extension).behaviour = ring()
    stage.pbx.phone(102).behaviour = answer(1.0)
    caller = stage.call_in("74957770300")
    stage.answered(102)
    time.sleep(0.6)
    stage.ami.snapshot()
    time.sleep(0.6)
    caller.hang_up()


def queue_abandoned(stage: Stage) -> None:
    for extension in (101, 102, 103):
        stage.pbx.phone(extension).behaviour = ring()
    caller = stage.call_in("74957770300")
    stage.offered(102)
    time.sleep(1.5)
    caller.hang_up()


def follow_me(stage: Stage) -> None:
    """With sound, since the wires go away at the first packet of it."""
    stage.pbx.phone(103).behaviour = ring()
    stage.pbx.phone(101).behaviour = answer(0.4, sound=True)
    caller = stage.call_in("74957770802", sound=True)
    stage.answered(101)
    time.sleep(1.5)
    caller.hang_up()


def pickup(stage: Stage) -> None:
    stage.pbx.phone(101).behaviour = ring()
    caller = stage.call_in()
    stage.offered(101)
    time.sleep(0.5)
    stage.pbx.phone(103).call("*8").wait_answered()
    time.sleep(1.0)
    caller.hang_up()


def pickup_from_queue(stage: Stage) -> None:
    for extension in (101, 102, 103):
        stage.pbx.phone(extension).behaviour = ring()
    caller = stage.call_in("74957770300")
    stage.offered(101)
    time.sleep(0.5)
    stage.pbx.phone(104).call("811").wait_answered()
    time.sleep(1.0)
    caller.hang_up()


def blind_transfer_in(stage: Stage) -> None:
    caller = stage.call_in()
    first = stage.answered(101)
    time.sleep(0.7)
    first.transfer("102")
    stage.answered(102)
    time.sleep(0.7)
    caller.hang_up()


def blind_transfer_out(stage: Stage) -> None:
    first = stage.pbx.phone(101).call(OUTSIDE)
    first.wait_answered()
    time.sleep(0.7)
    first.transfer("102")
    stage.answered(102)
    time.sleep(0.7)
    stage.pbx.trunk.received().hang_up()


def attended_transfer_in(stage: Stage) -> None:
    caller = stage.call_in()
    first = stage.answered(101)
    asking = stage.pbx.phone(101).call("102")
    asking.wait_answered()
    stage.answered(102)
    time.sleep(0.6)
    stage.ami.snapshot()
    first.transfer_to(asking)
    first.wait(12)
    time.sleep(0.8)
    caller.hang_up()


def attended_transfer_out(stage: Stage) -> None:
    first = stage.pbx.phone(101).call(OUTSIDE)
    first.wait_answered()
    asking = stage.pbx.phone(101).call("102")
    asking.wait_answered()
    time.sleep(0.6)
    first.transfer_to(asking)
    first.wait(12)
    time.sleep(0.8)
    stage.pbx.trunk.received().hang_up()


def blind_transfer_to_mobile(stage: Stage) -> None:
    caller = stage.call_in()
    first = stage.answered(101)
    time.sleep(0.7)
    first.transfer(MOBILE)
    stage.pbx.trunk.received().wait_answered()
    time.sleep(0.7)
    caller.hang_up()


def two_calls_joined(stage: Stage) -> None:
    caller = stage.call_in()
    first = stage.answered(101)
    second = stage.pbx.phone(101).call(OUTSIDE)
    second.wait_answered()
    time.sleep(0.6)
    first.transfer_to(second)
    first.wait(12)
    time.sleep(0.8)
    caller.hang_up()


def transfer_by_keys(stage: Stage, action: str, more: dict[str, str]) -> Call:
    """The feature codes ## and *2, which the action keys in for the telephone."""
    caller = stage.call_in()
    stage.answered(101)
    time.sleep(0.7)
    channel = stage.ami.wait_for("Newchannel", Channel="PJSIP/101-")["Channel"]
    stage.ami.ask(action, Channel=channel, Exten="102", Context="from-internal", **more)
    return caller


def attended_transfer_by_keys(stage: Stage) -> None:
    caller = transfer_by_keys(stage, "Atxfer", {})
    stage.answered(102)
    time.sleep(1.2)
    stage.offered(101).hang_up()
    time.sleep(1.0)
    caller.hang_up()


def blind_transfer_by_keys(stage: Stage) -> None:
    caller = transfer_by_keys(stage, "BlindTransfer", {})
    stage.answered(102)
    time.sleep(0.7)
    caller.hang_up()


def menu_then_extension(stage: Stage) -> None:
    caller = stage.call_in("74957770400")
    stage.answered(101)
    time.sleep(0.7)
    caller.hang_up()


def machine_only(stage: Stage) -> None:
    caller = stage.call_in("74957770806")
    caller.wait_answered()
    time.sleep(1.0)
    caller.hang_up()


def mobile_by_trunk(stage: Stage) -> None:
    stage.pbx.phone(101).behaviour = ring()
    caller = stage.call_in("74957770803")
    stage.pbx.trunk.received().wait_answered()
    time.sleep(1.0)
    caller.hang_up()


def confirmed_mobile(stage: Stage) -> None:
    stage.pbx.phone(101).behaviour = ring()
    caller = stage.call_in("74957770804")
    caller.wait_answered()
    time.sleep(0.8)
    caller.hang_up()


def forwarded_to_mobile(stage: Stage) -> None:
    stage.pbx.asterisk.rx(f"database put CF 104 {MOBILE}")
    caller = stage.call_in("74957770104")
    stage.pbx.trunk.received().wait_answered()
    time.sleep(0.8)
    caller.hang_up()
    caller.wait(12)
    stage.pbx.asterisk.rx("database del CF 104")


def outbound(stage: Stage) -> None:
    call = stage.pbx.phone(101).call(OUTSIDE)
    call.wait_answered()
    time.sleep(1.0)
    call.hang_up()


def outbound_second_trunk(stage: Stage) -> None:
    stage.pbx.trunk.on_number("79160000002", unavailable())
    call = stage.pbx.phone(101).call("89160000002")
    call.wait_answered()
    time.sleep(0.7)
    stage.pbx.reserve_trunk.received().hang_up()


def outbound_busy(stage: Stage) -> None:
    stage.pbx.trunk.on_number("79160000004", busy())
    stage.pbx.phone(101).call("89160000004").wait(12)


def outbound_given_up(stage: Stage) -> None:
    stage.pbx.trunk.on_number("79160000005", ring())
    stage.pbx.phone(101).call("89160000005", give_up_after=0.8).wait(12)


def originate(stage: Stage) -> None:
    stage.ami.ask(
        "Originate",
        Channel="Local/101@from-internal",
        Context="from-internal",
        Exten=OUTSIDE,
        Priority="1",
        CallerID='"CRM" <101>',
        Async="true",
        Timeout="2000",
    )


def click_to_call(stage: Stage) -> None:
    originate(stage)
    stage.answered(101)
    stage.pbx.trunk.received().wait_answered()
    time.sleep(1.0)
    stage.offered(101).hang_up()


def click_unanswered(stage: Stage) -> None:
    stage.pbx.phone(101).behaviour = ring()
    originate(stage)
    stage.offered(101).wait(12)


def internal(stage: Stage) -> None:
    call = stage.pbx.phone(101).call("102")
    call.wait_answered()
    time.sleep(0.7)
    call.hang_up()


def call_waiting(stage: Stage) -> None:
    first = stage.call_in()
    stage.answered(101)
    second = stage.call_in()
    stage.answered(101, 2)
    time.sleep(0.7)
    second.hang_up()
    second.wait(12)
    time.sleep(0.3)
    first.hang_up()


def two_contacts(stage: Stage) -> None:
    caller = stage.call_in("74957770805")
    caller.wait_answered()
    time.sleep(0.8)
    caller.hang_up()


def parked(stage: Stage) -> None:
    caller = stage.call_in()
    first = stage.answered(101)
    time.sleep(0.7)
    first.transfer("807")
    stage.ami.wait_for("ParkedCall")
    time.sleep(0.7)
    stage.ami.snapshot()
    stage.pbx.phone(102).call("808").wait_answered()
    time.sleep(0.7)
    caller.hang_up()


def conference(stage: Stage) -> None:
    caller = stage.call_in("74957770809")
    caller.wait_answered()
    time.sleep(0.4)
    one = stage.pbx.phone(101).call("809")
    one.wait_answered()
    time.sleep(0.6)
    two = stage.pbx.phone(102).call("809")
    two.wait_answered()
    time.sleep(0.6)
    one.hang_up()
    time.sleep(0.6)
    caller.hang_up()
    two.hang_up()


# Each case: what happens, and the directions of the calls that run register, in order.
CASES: dict[str, tuple[Callable[[Stage], None], str]] = {
    "direct": (direct, "in"),
    "busy": (refused_busy, "in"),
    "given-up": (given_up, "in"),
    "ring-group": (ring_group, "in"),
    "hunt": (hunt, "in"),
    "queue-answered": (queue_answered, "in"),
    "queue-abandoned": (queue_abandoned, "in"),
    "follow-me": (follow_me, "in"),
    "pickup": (pickup, "in"),
    "pickup-from-queue": (pickup_from_queue, "in"),
    "blind-transfer-in": (blind_transfer_in, "in"),
    "blind-transfer-out": (blind_transfer_out, "out"),
    "attended-transfer-in": (attended_transfer_in, "in"),
    "attended-transfer-out": (attended_transfer_out, "out"),
    "blind-transfer-to-mobile": (blind_transfer_to_mobile, "in"),
    "two-calls-joined": (two_calls_joined, "in out"),
    "attended-transfer-by-keys": (attended_transfer_by_keys, "in"),
    "blind-transfer-by-keys": (blind_transfer_by_keys, "in"),
    "menu-then-extension": (menu_then_extension, "in"),
    "machine-only": (machine_only, "in"),
    "mobile-by-trunk": (mobile_by_trunk, "in"),
    "confirmed-mobile": (confirmed_mobile, "in"),
    "forwarded-to-mobile": (forwarded_to_mobile, "in"),
    "outbound": (outbound, "out"),
    "outbound-second-trunk": (outbound_second_trunk, "out"),
    "outbound-busy": (outbound_busy, "out"),
    "outbound-given-up": (outbound_given_up, "out"),
    "click-to-call": (click_to_call, "out"),
    "click-unanswered": (click_unanswered, ""),
    "internal": (internal, ""),
    "call-waiting": (call_waiting, "in in"),
    "two-contacts": (two_contacts, "in"),
    "parked": (parked, "in"),
    "conference": (conference, "in"),
}
