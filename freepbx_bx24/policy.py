"""What the CRM is told of a call: pure decisions over plain data, no I/O and no clock."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Mapping

from . import numbers
from .call import INBOUND, NEVER, RING, Beginning, Ending, Entity, Outcome, Person, Registration
from .reasons import reason_text

# Whether the CRM makes a lead for a client: as the portal decides, or only where a search finds nobody, or NEVER.
PORTAL, UNKNOWN = "portal", "unknown"
# Who owns an inbound call that nobody took, by strategies that are tried in order.
RESPONSIBLE, LAST_RUNG, PERSON = "responsible", "last_rung", "person"
# Who owns an answered call where several talked.
LAST, LONGEST, FIRST = "last", "longest", "first"


@dataclass(frozen=True)
class LineRules:
    """One line of the YAML, with what it left out filled in from `line_defaults`.

    `number` is the LINE_NUMBER in the CRM; `dids` are further DIDs or patterns that belong to it; `trunk` is the name
    of the trunk whose calls without a known DID belong to it. `create_in` and `create_out` are PORTAL, UNKNOWN or
    NEVER, `cards` RING, ANSWER or NEVER. `responsible_seconds` is for how long the client's manager is rung first, 0
    for not at all; `client_name` whether telephones show the name that the CRM has.
    """

    number: str
    name: str = ""
    dids: tuple[str, ...] = ()
    trunk: str = ""
    person: Person | None = None
    source: str = "CALL"
    create_in: str = PORTAL
    create_out: str = NEVER
    cards: str = RING
    missed_owner: tuple[str, ...] = (RESPONSIBLE, LAST_RUNG, PERSON)
    responsible_seconds: int = 0
    client_name: bool = False


@dataclass(frozen=True)
class Rules:
    """Everything of the YAML that decides what the CRM is told."""

    country: str
    pbx_id: str
    default_person: Person
    default_line: str = ""
    area_code: str = ""
    language: str = "en"
    lines: tuple[LineRules, ...] = ()
    unlisted: LineRules = field(default_factory=lambda: LineRules(""))
    lines_not_listed: str = "register"
    skip_dids: tuple[str, ...] = ()
    skip_extensions: tuple[str, ...] = ()
    skip_numbers: tuple[str, ...] = ()
    anonymous: str = ""
    people: Mapping[str, Person] = field(default_factory=dict)
    people_not_in_portal: str = "default"
    skip_blacklist: bool = True
    finish_person: str = LAST


@dataclass(frozen=True)
class Skip:
    """This call is left out; `why` is one plain English line for BX24_REASON and the log."""

    why: str


_CREATE_WORDS = {
    PORTAL: "a lead for an unknown client",
    UNKNOWN: "a lead where a search finds nobody",
    NEVER: "no lead",
}
ENTITY_TYPES = ("CONTACT", "COMPANY", "LEAD", "DEAL")
LONGEST_REASON = 255  # FAILED_REASON's limit in the portal
_FROM_ANYBODY = re.compile(r"PJSIP/anonymous-[0-9a-f]+")  # FreePBX's endpoint for guests: scanners, not clients
NO_DID = "s"  # the exten of a trunk that sends no DID

# STATUS_CODE of an outbound call by DIALSTATUS, then by HANGUPCAUSE where the trunk said why (portal: "finish", codes).
OUTBOUND_CODES = {"BUSY": "486", "CANCEL": "603-S", "NOANSWER": "480", "": "603-S"}
CAUSE_CODES = {
    1: "404",
    3: "484",
    17: "486",
    18: "480",
    19: "480",
    20: "480",
    21: "603",
    28: "484",
    34: "503",
    38: "503",
    41: "503",
    42: "503",
}
OTHER_FAILURE = "503"
ANSWERED = "200"
NOT_KNOWN = "OTHER"
MISSED = "304"


def external_id(rules: Rules, uniqueid: str) -> str:
    """EXTERNAL_CALL_ID, unique over all PBXs of a portal: at most 64 characters (the portal's limit), the last ones."""
    return f"{rules.pbx_id}-{uniqueid}"[-64:]


def person_named(rules: Rules, name: str) -> Person | None:
    """The person that an extension, a device of `people`, or `user:12` means; None for anything else."""
    name = name.strip()
    if name in rules.people:
        return rules.people[name]
    match = re.fullmatch(r"user:([1-9][0-9]{0,9})", name)
    if match:
        return Person(user_id=int(match[1]))
    return Person(extension=name) if re.fullmatch(r"[0-9]{1,10}", name) else None


def line_of(rules: Rules, beginning: Beginning) -> tuple[LineRules | None, str]:
    """The YAML's line of a call, and by what: what the dialplan set, DID (outbound: shown caller id), then trunk."""
    wanted = beginning.line or (beginning.did if beginning.did != NO_DID else "")
    shown = "the number called" if beginning.direction == INBOUND else "the caller id shown"
    named = f"{'BX24_LINE' if beginning.line else shown}, {wanted}"
    if wanted:
        canonical = numbers.canonical(wanted, rules.country, rules.area_code)
        by_number = {numbers.canonical(line.number, rules.country, rules.area_code): line for line in rules.lines}
        if canonical and canonical in by_number:  # before any pattern, wherever it stands
            return by_number[canonical], f"by {named}"
        for line in rules.lines:
            for pattern in (line.number, *line.dids):
                if numbers.matches(pattern, wanted, rules.country, rules.area_code):
                    return line, f"by {named} (DID pattern {pattern})"
    for line in rules.lines:
        if line.trunk and line.trunk == beginning.trunk:
            return line, f"by trunk {line.trunk}"
    return None, f"as default_line: the configuration has none for {named if wanted else 'a call without a DID'}"


def client_number(rules: Rules, beginning: Beginning) -> str:
    """The client's number as the CRM knows it; what came where no digit is in it."""
    raw = beginning.client_number or beginning.number
    return numbers.canonical(raw, rules.country, rules.area_code) or raw


def decide_registration(rules: Rules, beginning: Beginning) -> Registration | Skip:
    """What the CRM is told when a call begins, or why it is told nothing."""
    inbound = beginning.direction == INBOUND
    skipped = _left_out(rules, beginning)
    if skipped:
        return Skip(skipped)
    line, by_what = line_of(rules, beginning)
    if line is None and rules.lines and rules.lines_not_listed == "skip":
        return Skip("the line is not listed in the configuration")
    raw = beginning.client_number or beginning.number
    hidden = numbers.is_anonymous(raw)
    number = rules.anonymous if hidden else numbers.canonical(raw, rules.country, rules.area_code)
    if not number:
        return Skip("the caller hides the number" if hidden else "the number has no digits")
    if any(numbers.matches(pattern, number, rules.country, rules.area_code) for pattern in rules.skip_numbers):
        return Skip("the number is excluded in the configuration")
    chosen = line or rules.unlisted
    owner = chosen.person or rules.default_person
    set_by_dialplan = person_named(rules, beginning.user)
    speaker = set_by_dialplan or (None if inbound else person_named(rules, beginning.extension))
    people = _distinct(speaker, owner, rules.default_person)
    create, why_create = _create(chosen, beginning, hidden)
    why_person = (
        ("BX24_USER", set_by_dialplan is not None),
        ("who dialled", speaker is not None),
        ("the line's", chosen.person is not None),
        ("default_person", True),
    )
    number_of_line = line.number if line else rules.default_line
    called = f" ({chosen.name})" if chosen.name else ""
    rule = (
        f"line {number_of_line or 'none'}{called} {by_what}; "
        f"person {people[0]}, {next(word for word, is_so in why_person if is_so)}; {why_create}"
    )
    return Registration(
        uniqueid=beginning.uniqueid,
        linkedid=beginning.linkedid,
        external_id=external_id(rules, beginning.uniqueid),
        direction=beginning.direction,
        number=number,
        line=number_of_line,
        people=people,
        started=beginning.started,
        create=create != NEVER,
        only_unknown=create == UNKNOWN,
        source=_identifier(beginning.source) or chosen.source,
        show=chosen.cards == RING,
        cards=chosen.cards,
        entity=_entity(beginning.entity_type, beginning.entity_id),
        missed_owner=chosen.missed_owner if inbound else (),
        rule=rule,
    )


def _create(chosen: LineRules, beginning: Beginning, hidden: bool) -> tuple[str, str]:
    """Whether the portal may make a lead (PORTAL, UNKNOWN or NEVER), and why."""
    if hidden:
        return NEVER, "no lead: the number is hidden"  # else every hidden caller would pile up on one lead
    inbound = beginning.direction == INBOUND
    create, why = (chosen.create_in, "create.in") if inbound else (chosen.create_out, "create.out")
    if beginning.create in ("0", "1"):
        create, why = PORTAL if beginning.create == "1" else NEVER, "BX24_CREATE"
    return create, f"{_CREATE_WORDS[create]}: {why}"


def _left_out(rules: Rules, beginning: Beginning) -> str:
    """Why this call is left out before anything else of it matters; empty where it is not."""
    if beginning.skip not in ("", "0"):
        return "BX24_SKIP is set in the dialplan"
    if beginning.direction == INBOUND and rules.skip_blacklist and beginning.blacklisted == "1":
        return "the caller is on FreePBX's blacklist"
    if beginning.direction == INBOUND and _FROM_ANYBODY.fullmatch(beginning.channel):
        return "the call came through the endpoint that lets anybody in"
    patterns, value = rules.skip_extensions, beginning.extension
    if beginning.direction == INBOUND:
        patterns, value = rules.skip_dids, beginning.did
    if value and any(numbers.matches(pattern, value, rules.country, rules.area_code) for pattern in patterns):
        what = "DID" if beginning.direction == INBOUND else "extension"
        return f"the {what} is excluded in the configuration"
    return ""


def _distinct(*people: Person | None) -> tuple[Person, ...]:
    return tuple(dict.fromkeys(person for person in people if person))


def _identifier(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_]{1,50}", text) else ""


def _entity(kind: str, number: str) -> Entity | None:
    if kind.upper() in ENTITY_TYPES and re.fullmatch(r"[1-9][0-9]{0,17}", number):
        return Entity(kind.upper(), int(number))
    return None


def who_answered(ending: Ending) -> tuple[str, str]:
    """The extension or device that answered, and which variable says so; empty texts where none does.

    A queue names its member's interface (`Local/1002@from-queue/n`). DIALEDPEERNAME is the channel that answered, also
    after a pickup, where DIALEDPEERNUMBER still names who was rung (measured). That one is `1001/sip:1001@...` where
    FreePBX dialled, `1001` where plain Asterisk did; follow-me and groups leave a group string
    (`FMGL-1001@from-internal`), from which nobody can be told.
    """
    for source, text, pattern in (
        ("MEMBERINTERFACE", ending.member_interface, r"(?:[A-Za-z0-9]+/)?([^@/]+)(?:[@/].*)?"),
        ("DIALEDPEERNAME", ending.dialled_peer_name, r"[A-Za-z0-9]+/([^@/;]+)-[0-9a-f]+"),
        ("DIALEDPEERNUMBER", ending.dialled_peer_number, r"([^@/]+)(?:/.*)?"),
    ):
        match = re.fullmatch(pattern, text)
        if match:
            return match[1], source
    return "", ""


def decide_outcome(rules: Rules, registration: Registration, ending: Ending) -> Outcome:
    """What the CRM is told when a call ends.

    Not by CDR(), which is wrong for queues, menus, transfers and voicemail (measured on Asterisk 16 and 22). An inbound
    call that nobody answered is always 304 with no seconds: only 304 puts it on the portal's missed list, and the
    portal counts any call with seconds as a success. The true cause goes into the reason.
    """
    inbound = registration.direction == INBOUND
    answered = ending.dial_status == "ANSWER" or (inbound and bool(ending.member_interface))
    speaker = person_named(rules, ending.user)
    if answered and inbound and speaker is None:
        speaker = person_named(rules, who_answered(ending)[0])
    people = _distinct(speaker, *registration.people)
    if answered:
        code, cause = ANSWERED, ""
    elif inbound:
        code, cause = MISSED, ending.dial_status or "GONE"
    else:
        code, cause = _outbound_code(ending), ending.dial_status or "GONE"
    reason = "; ".join(part for part in (reason_text(cause, rules.language), " ".join(ending.note.split())) if part)
    seconds = max(1, ending.answered_seconds) if answered else 0  # an answered call of 0 s would count as a failure
    return Outcome(registration.uniqueid, people, seconds, code, reason[:LONGEST_REASON])


def _outbound_code(ending: Ending) -> str:
    if ending.dial_status in OUTBOUND_CODES:
        return OUTBOUND_CODES[ending.dial_status]
    return CAUSE_CODES.get(ending.hangup_cause, OTHER_FAILURE)


def decide_unseen_outcome(
    rules: Rules, registration: Registration, talker: str = "", talk_seconds: float = 0.0, *, seen: bool = False
) -> Outcome:
    """What the CRM is told of a call whose end no script told: Asterisk, the machine or the script died in its midst.

    :param talker: the device or extension that talked last, empty where nobody is known to have. :param talk_seconds:
    until the last moment at which the call may have been up. :param seen: that moment was seen, so it is no estimate.
    """
    inbound = registration.direction == INBOUND
    reason = "" if seen else reason_text("UNSEEN", rules.language)
    if talker:
        speaker = person_named(rules, talker) if inbound else None
        people = _distinct(speaker, *registration.people)
        return Outcome(registration.uniqueid, people, max(1, round(talk_seconds)), ANSWERED, reason)
    return Outcome(registration.uniqueid, registration.people, 0, MISSED if inbound else NOT_KNOWN, reason)
