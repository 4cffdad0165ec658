"""What FreePBX's features do with a call, as the telephones see it and as a hangup handler finds it.

All calls are placed side by side, each with a client of its own, and looked at one by one.
"""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass, field
from typing import Callable, Iterator, Mapping, Sequence

import pytest

from freepbx_bx24.sandbox.pbx.calls import Call
from freepbx_bx24.sandbox.pbx.harness import SandboxPbx
from freepbx_bx24.sandbox.pbx.record import Behaviour, CallRecord, answer, away, busy, decline, ring

from . import seen
from .admins import admins_dialplan

Place = Callable[[SandboxPbx, str], Call]
THE_CLIENT = "the client"
TOLERANCE = 0.35  # seconds; two cores, and other work beside
SWITCHES = {
    "DAYNIGHT C4": "NIGHT",
    "CF 154": "89160005009",
    "CFB 164": "163",
    "CFU 134": "133",
    "DND 174": "YES",
    "AMPUSER 129/device": '""',
}


@dataclass(frozen=True)
class Case:
    """One call: who is called how, how the telephones take it, what they and the hangup handler must have seen.

    :param place: places the call; given the PBX and the client's number in E.164.
    :param offered: who was offered the call, in any order; outside numbers as they were dialled.
    :param talked: who talked; empty: nobody.
    :param status: what the caller got.
    :param at_the_end: patterns for channel variables at the end; what is not named may be anything.
    :param phones: behaviour of the telephones and outside numbers that matter; the others answer.
    :param sixteen: what differs in Asterisk 16.
    """

    place: Place
    offered: Sequence[str]
    talked: str
    status: int
    at_the_end: Mapping[str, str]
    phones: Mapping[str, Behaviour] = field(default_factory=dict)
    sixteen: Mapping[str, str] = field(default_factory=dict)


def from_outside(did: str, talk: float = 3.0, sound: bool = False) -> Place:
    return lambda pbx, number: pbx.trunk.call(did, number, talk=talk, sound=sound)


def pressing(did: str, keys: str) -> Place:
    def place(pbx: SandboxPbx, number: str) -> Call:
        call = pbx.trunk.call(did, number, talk=4.0)
        call.wait_answered()
        time.sleep(0.3)
        call.press(keys)
        return call

    return place


def to_outside(extension: str, give_up_after: float | None = None) -> Place:
    return lambda pbx, number: pbx.phone(extension).call(dialled(number), give_up_after, talk=2.0)


def dialled(number: str) -> str:
    return "8" + number[2:]


def told(status: str, peer: str = "", **more: str) -> Mapping[str, str]:
    """DIALSTATUS and DIALEDPEERNUMBER, nothing of a queue, and more."""
    return {"DIALSTATUS": status, "DIALEDPEERNUMBER": peer, "MEMBERINTERFACE": "", "MEMBERNAME": "", **more}


def answered(peer: str, **more: str) -> Mapping[str, str]:
    return told("ANSWER", peer, HANGUPCAUSE="16", ANSWEREDTIME="[1-9]", **more)


def member(extension: str, queue: str, **more: str) -> Mapping[str, str]:
    """A queue leaves DIALSTATUS alone and says who answered in variables of its own."""
    who = {"MEMBERINTERFACE": f"Local/{extension}@from-queue/n", "MEMBERNAME": f"Extension {extension}"}
    return {**told(""), **who, "QUEUENUM": queue, "HANGUPCAUSE": "16", **more}


def contact(device: str) -> str:
    """DIALEDPEERNUMBER of a telephone whose contact was dialled."""
    return rf"{device[:3] if '-' in device else device}/sip:{device}@127\.0\.0\.1:\d+"


CASES: Mapping[str, Case] = {
    "a person answers": Case(from_outside("74957770104"), ["104"], "104", 200, answered(contact("104"))),
    "a person is busy": Case(
        from_outside("74957770114"), ["114"], "", 486, told("BUSY", HANGUPCAUSE="17"), {"114": busy()}
    ),
    "the caller gives up": Case(
        lambda pbx, number: pbx.trunk.call("74957770124", number, give_up_after=1.5),
        ["124"],
        "",
        487,
        told("CANCEL", HANGUPCAUSE="127"),
        {"124": ring()},
    ),
    "a person declines": Case(
        from_outside("74957770144"), ["144"], "", 503, told("CHANUNAVAIL", HANGUPCAUSE="34"), {"144": decline(0.2)}
    ),
    "a person who must not be disturbed": Case(
        from_outside("74957770174"), [], "", 486, told("BUSY", HANGUPCAUSE="17")
    ),
    "a person logged in nowhere": Case(from_outside("74957770129"), [], "", 503, told("CHANUNAVAIL", HANGUPCAUSE="34")),
    "a person with two telephones": Case(
        from_outside("74957770108"),
        ["108", "99108"],
        "99108",
        200,
        answered(contact("99108")),
        {"108": ring(), "99108": answer()},
    ),
    "a telephone with two contacts": Case(
        from_outside("74957770128"),
        ["128", "128-2"],
        "128-2",
        200,
        answered(contact("128-2")),
        {"128": ring(), "128-2": answer()},
    ),
    "a guest": Case(
        lambda pbx, number: pbx.guest.call("74957770107", number, talk=3.0),
        ["107"],
        "107",
        200,
        answered(contact("107")),
    ),
    "forwarded at once": Case(
        from_outside("74957770154"), ["89160005009"], "89160005009", 200, answered("89160005009@from-internal/n")
    ),
    "forwarded when busy": Case(
        from_outside("74957770164"), ["164", "163"], "163", 200, answered("163@from-internal/n"), {"164": busy()}
    ),
    "forwarded when away": Case(
        from_outside("74957770134"), ["134", "133"], "133", 200, answered("133@from-internal/n"), {"134": away()}
    ),
    "a mailbox, the person is away": Case(
        from_outside("74957770135", sound=True), ["135"], "", 200, told("NOANSWER", VMSTATUS="SUCCESS"), {"135": away()}
    ),
    "a mailbox, the person is busy": Case(
        from_outside("74957770165", sound=True), ["165"], "", 200, told("BUSY", VMSTATUS="SUCCESS"), {"165": busy()}
    ),
    "a ring group, one answers": Case(
        from_outside("74957771000"),
        ["101", "102", "103"],
        "102",
        200,
        answered(contact("102"), **{r"CONNECTEDLINE(num)": "102"}),
        {"101": ring(), "102": answer(0.6), "103": ring()},
    ),
    "a ring group, nobody answers": Case(
        from_outside("74957771100"),
        ["111", "112", "113"],
        "",
        603,
        told("NOANSWER", HANGUPCAUSE="16"),
        {"111": ring(), "112": ring(), "113": ring()},
    ),
    "a ring group, all are busy": Case(
        from_outside("74957771200"),
        ["121", "122", "123"],
        "",
        486,
        told("BUSY", HANGUPCAUSE="17"),
        {"121": busy(), "122": busy(), "123": busy()},
    ),
    "a hunt group": Case(
        from_outside("74957771301"), ["131", "132"], "132", 200, answered(contact("132")), {"131": ring()}
    ),
    "a group with an outside number": Case(
        from_outside("74957771106"),
        ["111", "89160001006"],
        "89160001006",
        200,
        answered("89160001006@from-internal/n"),
        {"111": ring()},
    ),
    "a group of outside numbers alone": Case(
        from_outside("74957771111"),
        ["89160001007", "89160001008"],
        "89160001008",
        200,
        answered("89160001008@from-internal/n"),
        {"89160001007": ring()},
    ),
    "a queue, one answers": Case(
        from_outside("74957771402"),
        ["141", "142", "143"],
        "142",
        200,
        member("142", "704", ANSWEREDTIME="[1-9]"),
        {"141": ring(), "142": answer(0.6), "143": ring()},
        {"ANSWEREDTIME": ""},
    ),
    "a queue, the caller gives up": Case(
        from_outside("74957771502"),
        ["151", "152", "153"],
        "",
        200,
        told("", QUEUENUM="705", HANGUPCAUSE="16"),
        {"151": ring(), "152": ring(), "153": ring()},
    ),
    "a queue, one after another": Case(
        from_outside("74957771610", talk=7.0), ["161", "162"], "162", 200, member("162", "716"), {"161": ring()}
    ),
    "follow-me": Case(
        from_outside("74957771705"),
        ["176", "171"],
        "171",
        200,
        answered("FMGL-171@from-internal", **{"CONNECTEDLINE(num)": "176"}),
        {"176": ring()},
    ),
    "a menu, no key": Case(
        from_outside("74957771703", talk=4.0), ["171"], "171", 200, answered(contact("171"), IVR_CONTEXT="ivr-7")
    ),
    "a menu, a key": Case(
        pressing("74957771703", "2"), ["172"], "172", 200, answered(contact("172"), IVR_CONTEXT="ivr-7")
    ),
    "a menu, an extension's number": Case(
        pressing("74957771703", "167"), ["167"], "167", 200, answered(contact("167"), IVR_CONTEXT="ivr-7")
    ),
    "a menu that only talks": Case(from_outside("74957771004"), [], "", 200, told("", IVR_CONTEXT="ivr-8")),
    "by day": Case(from_outside("74957771707"), ["171"], "171", 200, answered(contact("171"))),
    "by night": Case(from_outside("74957771407", sound=True), [], "", 200, told("", VMSTATUS="SUCCESS")),
    "a busy tone": Case(from_outside("74957771008"), [], "", 486, told("", HANGUPCAUSE="17")),
    "an announcement": Case(from_outside("74957771009", talk=20.0), [], "", 200, told("", HANGUPCAUSE="16")),
    "a DID with a plus": Case(from_outside("+74957771709"), [], "", 200, told("", FROM_DID=r"\+74957771709")),
    "a DID without a route": Case(from_outside("74957771012"), [], "", 200, told("", FROM_DID="74957771012")),
    "out, answered": Case(to_outside("109"), [THE_CLIENT], THE_CLIENT, 200, answered(r"8926\d{7}@city")),
    "out, busy": Case(to_outside("119"), [THE_CLIENT], "", 486, told("BUSY", HANGUPCAUSE="17"), {THE_CLIENT: busy()}),
    "out, given up": Case(
        to_outside("139", 1.5), [THE_CLIENT], "", 487, told("CANCEL", HANGUPCAUSE="127"), {THE_CLIENT: ring()}
    ),
}
# One client a case, by whom the calls are told apart.
NUMBERS = {name: f"+7926111{place:04d}" for place, name in enumerate(CASES)}


@dataclass
class Performed:
    """What everybody saw of all calls."""

    pbx: SandboxPbx
    callers: Mapping[str, CallRecord]
    records: Sequence[CallRecord]

    def offers(self, name: str) -> Mapping[str, CallRecord]:
        """The calls that somebody was offered, by who it was."""
        found = {}
        wanted = {dialled(NUMBERS[name]) if one == THE_CLIENT else one: one for one in CASES[name].offered}
        for record in self.records:
            if not record.placed and record.endpoint in ("city", "reserve"):
                if record.request_user in wanted:
                    found[wanted[record.request_user]] = record
            elif not record.placed and record.from_user[-10:] == NUMBERS[name][-10:]:
                found[record.endpoint] = record
        return found


@pytest.fixture(scope="module")
def performed(running_pbx: SandboxPbx) -> Iterator[Performed]:
    pbx = running_pbx
    for endpoint in (pbx.trunk, *pbx.phones):
        endpoint.calls.clear()
        endpoint.behaviour = answer(0.3)
    for name, case in CASES.items():
        for who, behaviour in case.phones.items():
            if who == THE_CLIENT or who.startswith("8"):
                pbx.trunk.on_number(NUMBERS[name] if who == THE_CLIENT else who, behaviour)
            else:
                pbx.phone(who).behaviour = behaviour
    with admins_dialplan(pbx, seen.hooks()), switched(pbx):
        calls = {name: case.place(pbx, NUMBERS[name]) for name, case in CASES.items()}
        yield Performed(pbx, {name: call.wait(40) for name, call in calls.items()}, pbx.settle(40))


@contextlib.contextmanager
def switched(pbx: SandboxPbx) -> Iterator[None]:
    """Have the cases' values in AstDB."""
    before = {key: stored(pbx, key) for key in SWITCHES}
    for key, value in SWITCHES.items():
        pbx.asterisk.rx(f"database put {key} {value}")
    try:
        yield
    finally:
        for key, old in before.items():
            pbx.asterisk.rx(f"database put {key} {old}" if old else f"database del {key}")


def stored(pbx: SandboxPbx, key: str) -> str:
    """A value of AstDB, empty where there is none."""
    return pbx.asterisk.rx(f"database get {key}").partition("Value: ")[2].strip()


@pytest.mark.parametrize("name", CASES)
def test_the_call_is_offered_to_those_and_taken_by_the_one_whom_the_feature_means(
    performed: Performed, name: str
) -> None:
    case, caller, offers = CASES[name], performed.callers[name], performed.offers(name)
    assert set(offers) == set(case.offered)
    assert {who for who, record in offers.items() if record.talk_seconds > 0} == (
        {case.talked} if case.talked else set()
    )
    assert caller.final_status == case.status
    if case.talked:
        assert offers[case.talked].talk_seconds < caller.talk_seconds + TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_the_hangup_handler_finds_what_freepbx_leaves_on_the_channel(performed: Performed, name: str) -> None:
    case = CASES[name]
    expected = dict(case.at_the_end)
    if performed.pbx.asterisk.settings.major < 21:
        expected.update(case.sixteen)
    found = seen.at_the_end(performed.pbx, NUMBERS[name])
    wrong = {
        what: (found[what], pattern) for what, pattern in expected.items() if not re.fullmatch(pattern, found[what])
    }
    assert not wrong


def test_who_is_rung_one_after_another_is_never_rung_beside_the_next(performed: Performed) -> None:
    for name, first, second in (("a hunt group", "131", "132"), ("a queue, one after another", "161", "162")):
        offers = performed.offers(name)
        gone, begun = offers[first].ended, offers[second].started
        assert gone and begun
        assert gone.monotonic - TOLERANCE < begun.monotonic


def test_follow_me_rings_the_person_before_the_others(performed: Performed) -> None:
    offers = performed.offers("follow-me")
    first, second = offers["176"].started, offers["171"].started
    assert first and second
    assert 1.0 - TOLERANCE < second.monotonic - first.monotonic < 2.0


def test_messages_are_recorded_by_the_mailboxes(performed: Performed) -> None:
    for mailbox in ("135", "145", "165"):
        folder = performed.pbx.root.outside(f"/var/spool/asterisk/voicemail/default/{mailbox}/INBOX")
        (message,) = folder.glob("*.wav")
        assert message.stat().st_size > 8000
