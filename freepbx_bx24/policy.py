"""What the CRM is told when a call begins: pure decisions over plain data, no I/O and no clock."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Mapping

from . import numbers
from .call import INBOUND, NEVER, RING, TALKED, Beginning, Entity, Person, Registration
from .clicks import is_callback

# Whether the CRM makes a lead for a client: as the portal decides, or only where a search finds nobody, or NEVER.
PORTAL, UNKNOWN = "portal", "unknown"
# Who owns an inbound call that nobody took, by strategies that are tried in order.
RESPONSIBLE, LAST_RUNG, PERSON = "responsible", "last_rung", "person"
# Who owns an answered call where several talked.
LAST, LONGEST, FIRST = "last", "longest", "first"
# Of one call's several recordings: one file of all of them in order, or the longest alone (LONGEST).
MERGE = "merge"


@dataclass(frozen=True)
class LineRules:
    """One line of the YAML, with what it left out filled in from `line_defaults`.

    `number` is the LINE_NUMBER in the CRM; `dids` are further DIDs or patterns that belong to it; `trunk` is the name
    of the trunk whose calls without a known DID belong to it. `create_in` and `create_out` are PORTAL, UNKNOWN or
    NEVER, `cards` RING, ANSWER or NEVER. `responsible_seconds` is for how long the client's manager is rung first, 0
    for not at all; `client_name` whether telephones show the name that the CRM has; `recordings` whose recordings the
    CRM gets: TALKED, ALWAYS or NEVER.
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
    recordings: str = TALKED


@dataclass(frozen=True)
class RecordingRules:
    """How recordings go to the CRM.

    :ivar format: "mp3" (at `kbps` kilobits a second), or "wav". :ivar min_seconds: shorter talks are not worth one.
    :ivar voicemail: whether a message left is the missed call's recording. :ivar several: MERGE or LONGEST.
    :ivar folders: where recordings lie; empty: where Asterisk has them. :ivar base64_up_to: megabytes that go within
        the request itself. :ivar skip_extensions: patterns of those whose talks are never sent.
    """

    format: str = "mp3"
    kbps: int = 32
    min_seconds: int = 3
    voicemail: bool = True
    several: str = MERGE
    folders: tuple[str, ...] = ()
    base64_up_to: int = 5
    skip_extensions: tuple[str, ...] = ()


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
    recordings: RecordingRules = field(default_factory=RecordingRules)


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
_FROM_ANYBODY = re.compile(r"PJSIP/anonymous-[0-9a-f]+")  # FreePBX's endpoint for guests: scanners, not clients
NO_DID = "s"  # the exten of a trunk that sends no DID


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
    number_of_line = line.number if line else rules.default_line
    if number_of_line and number_of_line in beginning.lines_off.split(","):
        return Skip(f"the line {number_of_line} is switched off by bx24 off")
    raw = beginning.client_number or beginning.number
    hidden = numbers.is_anonymous(raw)
    number = rules.anonymous if hidden else numbers.canonical(raw, rules.country, rules.area_code)
    if not number:
        return Skip("the caller hides the number" if hidden else "the number has no digits")
    if any(numbers.matches(pattern, number, rules.country, rules.area_code) for pattern in rules.skip_numbers):
        return Skip("the number is excluded in the configuration")
    chosen = line or rules.unlisted
    owner = owner_of(rules, chosen)
    set_by_dialplan = person_named(rules, beginning.user)
    speaker = set_by_dialplan or (None if inbound else person_named(rules, beginning.extension))
    people = distinct(speaker, owner, rules.default_person)
    create, why_create = _create(chosen, beginning, hidden)
    why_person = (
        ("BX24_USER", set_by_dialplan is not None),
        ("who dialled", speaker is not None),
        ("the line's", chosen.person is not None),
        ("default_person", True),
    )
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
        show=chosen.cards == RING and (inbound or speaker is not None),  # nobody's screen for a program's call
        cards=chosen.cards,
        entity=_entity(beginning.entity_type, beginning.entity_id),
        missed_owner=chosen.missed_owner if inbound else (),
        recordings=chosen.recordings,
        callback=is_callback(beginning.uniqueid),
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


def owner_of(rules: Rules, line: LineRules | None) -> Person:
    """Whose a line's calls are where nobody else is known."""
    return (line.person if line else None) or rules.default_person


def distinct(*people: Person | None) -> tuple[Person, ...]:
    """Each person once, in order."""
    return tuple(dict.fromkeys(person for person in people if person))


def _identifier(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_]{1,50}", text) else ""


def _entity(kind: str, number: str) -> Entity | None:
    if kind.upper() in ENTITY_TYPES and re.fullmatch(r"[1-9][0-9]{0,17}", number):
        return Entity(kind.upper(), int(number))
    return None
