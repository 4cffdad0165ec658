"""What a call is: plain data that the dialplan told us, and the person, line and outcome that the CRM is told of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

INBOUND = "in"
OUTBOUND = "out"

RING, ANSWER, NEVER = "ring", "answer", "never"  # when a person's card opens
TALKED, ALWAYS = "answered", "always"  # whose recordings the CRM gets, or NEVER


@dataclass(frozen=True)
class Person:
    """Somebody in the CRM: an extension (the portal's internal number), or a user id where the YAML says `user:12`."""

    extension: str = ""
    user_id: int = 0

    def __str__(self) -> str:
        return f"user:{self.user_id}" if self.user_id else self.extension


@dataclass(frozen=True)
class Entity:
    """A CRM record: CRM_ENTITY_TYPE (CONTACT, COMPANY, LEAD, DEAL) and CRM_ENTITY_ID."""

    type: str
    id: int


@dataclass(frozen=True)
class Beginning:
    """What the dialplan said when it ran the register AGI. All text is as it came: not yet trusted.

    `did` is the dialled number of an inbound call ("s" where the trunk gave none); for an outbound call `did` is the
    caller id that the trunk shows, `number` what was dialled, `extension` who dialled (AMPUSER). `started` is aware.
    `blacklisted` is "1" where the caller is on FreePBX's blacklist; `lines_off` are the numbers of the lines that
    `bx24 off --line` has switched off, with commas between them.
    """

    uniqueid: str
    linkedid: str
    channel: str
    direction: str
    number: str
    did: str
    started: datetime
    caller_name: str = ""
    extension: str = ""
    trunk: str = ""
    skip: str = ""
    line: str = ""
    client_number: str = ""
    user: str = ""
    source: str = ""
    create: str = ""
    entity_type: str = ""
    entity_id: str = ""
    blacklisted: str = ""
    lines_off: str = ""


@dataclass(frozen=True)
class Ending:
    """What the channel's variables said in the hangup handler (seconds are whole; empty text: not set).

    `queue` is the last queue that the call waited in, `menu` the last menu's context, `voicemail` how leaving a message
    went (VMSTATUS), `left` whether it was this channel's own end that hung up first. `files` are names that the call's
    recordings may have, the surest first; `voicemail_file` is that of the message, without its ending. Neither is
    trusted.
    """

    uniqueid: str
    direction: str
    ended: datetime
    dial_status: str = ""
    hangup_cause: int = 0
    answered_seconds: int = 0
    dialled_peer_number: str = ""
    dialled_peer_name: str = ""
    member_interface: str = ""
    note: str = ""
    recording: str = ""
    user: str = ""
    queue: str = ""
    menu: str = ""
    voicemail: str = ""
    left: bool = False
    files: tuple[str, ...] = ()
    voicemail_file: str = ""


@dataclass(frozen=True)
class SeenLeg:
    """One telephone, or mobile behind a trunk, as Asterisk showed it at a call; times are wall clock seconds.

    `device` is the endpoint's name, `number` what was dialled through a trunk (empty for telephones), `user` the
    extension that AstDB had for the device then (empty: none known). `person` is whose it is, None for somebody whom
    the CRM does not know. `client` marks an external party: this call's own, or another's that was joined to it. `rang`
    and each of `talks` are (since, until); `until` is None where the end was not seen. `ended` is the last DialStatus.
    """

    device: str
    number: str = ""
    user: str = ""
    person: Person | None = None
    client: bool = False
    rang: tuple[float, float | None] | None = None
    talks: tuple[tuple[float, float | None], ...] = ()
    ended: str = ""

    @property
    def name(self) -> str:
        """How people call it: the extension, the device, or the number."""
        return self.number or self.user or self.device


@dataclass(frozen=True)
class View:
    """What Asterisk's manager interface showed of a call; times are wall clock seconds, 0.0 where not seen.

    `whole` is whether nothing can have been missed. `external` is the uniqueid of the external party's channel,
    `answered` when that of an outbound call answered, `gone` when it hung up.
    """

    legs: tuple[SeenLeg, ...] = ()
    whole: bool = False
    external: str = ""
    answered: float = 0.0
    gone: float = 0.0


@dataclass(frozen=True)
class Registration:
    """What register tells the portal. `people` are tried in order: the first that the portal knows owns the call.

    `create` is whether a lead may be made, with `only_unknown` for a client alone of whom a search finds nothing.
    `callback` is whether the client asked to be called. `cards` is when cards open (RING, ANSWER or NEVER), `show`
    whether register itself may open one. `missed_owner` are the strategies of who owns the call where nobody talks.
    `recordings` is TALKED, ALWAYS or NEVER. `rule` is for people: why this line, this person, and whether a lead may be
    made.
    """

    uniqueid: str
    linkedid: str
    external_id: str
    direction: str
    number: str
    line: str
    people: tuple[Person, ...]
    started: datetime
    create: bool
    source: str
    show: bool
    entity: Entity | None = None
    rule: str = field(default="", compare=False)
    only_unknown: bool = False
    cards: str = RING
    missed_owner: tuple[str, ...] = ()
    recordings: str = TALKED
    callback: bool = False


@dataclass(frozen=True)
class Outcome:
    """What finish tells the portal. `people` as in Registration; `talk_seconds` is 0 for every unanswered call."""

    uniqueid: str
    people: tuple[Person, ...]
    talk_seconds: int
    status_code: str
    reason: str
