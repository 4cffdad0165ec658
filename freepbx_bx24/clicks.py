"""Whether a click or a callback of the portal is dialled, for whom and how: pure decisions, everything else denied."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Mapping, Sequence

from .call import Entity

# Where a click by hand in the mobile application rings: the person's extension, or his own mobile.
EXTENSION, OWN_MOBILE = "extension", "own_mobile"

STALE_SECONDS = 30.0  # nobody waits any longer at his telephone for what he has clicked
DOUBLE_SECONDS = 5.0  # the portal and its queue tell one click twice within so long (bitrix24-telephony, 15.3)
CALLBACKS_OF_A_NUMBER_SECONDS = 3600.0
CALLBACK_STALE_SECONDS = 86_400.0

SHORTEST_NUMBER = 7  # digits: everything shorter may be an extension, a service or a short number
LONGEST_NUMBER = 15  # E.164
LONGEST_TEXT = 80
# Feature codes, the end of one number and the beginning of the next, another host: no client's number has them.
_NEVER = re.compile(r"[*#&@]")
_WRITTEN = re.compile(r"\+?[0-9 ().\u00a0/-]{7,40}", re.ASCII)
_NOT_ON_A_DISPLAY = re.compile(r"[^\w .'()+-]|_")

# Codes of finish (bitrix24-telephony, 7.6) and the word in `reasons` for each end of a click that no client heard of.
FORBIDDEN, CANCELLED, UNAVAILABLE, BUSY, NOWHERE, NO_TRUNK, MISSED = "403", "603-S", "480", "486", "484", "503", "304"


@dataclass(frozen=True)
class Click:
    """ONEXTERNALCALLSTART: somebody has clicked on a number, and the portal has registered the call.

    :ivar international: the number as the portal reads it (E.164), `number` as it stands in the CRM; neither trusted.
    :ivar at: when it was clicked, wall clock seconds. :ivar mobile: clicked in the mobile application.
    """

    call_id: str
    user_id: int
    number: str
    at: float
    international: str = ""
    line: str = ""
    entity: Entity | None = None
    mobile: bool = False


@dataclass(frozen=True)
class Callback:
    """ONEXTERNALCALLBACKSTART: somebody wants to be called back. Nothing is registered, and nobody is named for it."""

    number: str
    at: float
    text: str = ""
    line: str = ""
    entity: Entity | None = None


@dataclass(frozen=True)
class ClickRules:
    """The YAML's `clicks`; `countries` are ISO codes, `per_minute` is for each person."""

    enabled: bool = False
    countries: tuple[str, ...] = ()
    per_minute: int = 10
    from_mobile: str = EXTENSION


@dataclass(frozen=True)
class Hours:
    """When callbacks are made: days (0 is Monday), and minutes of the day, the last one not included."""

    days: frozenset[int] = frozenset(range(7))
    since: int = 0
    until: int = 1440


@dataclass(frozen=True)
class CallbackRules:
    """The YAML's `callbacks`. `target` is an extension, ring group or queue, empty while callbacks are off.

    :ivar targets: other targets by line. :ivar timezone: IANA name, empty for the machine's own.
    :ivar pause: seconds between two attempts. :ivar per_hour: for all numbers together.
    """

    target: str = ""
    targets: Mapping[str, str] = field(default_factory=dict)
    hours: Hours = Hours()
    timezone: str = ""
    attempts: int = 3
    pause: float = 300.0
    per_hour: int = 60


@dataclass(frozen=True)
class Refused:
    """Nothing is dialled. `code` is finish's STATUS_CODE, `why` a key of the words for clicks in `reasons`."""

    code: str
    why: str


@dataclass(frozen=True)
class Number:
    """A number that may be dialled: as the CRM knows it (E.164), and as it is dialled in the PBX's own country."""

    e164: str
    dialled: str


@dataclass(frozen=True)
class Rung:
    """Who is rung for a click: the extension it is made by, and the own mobile in its place (dialled), or none."""

    extension: str
    mobile: str = ""


def clickable(written: str, international: str, country: str, countries: Sequence[str]) -> Number | Refused:
    """The number that a click means, or why it is not dialled. Only a valid one, of a known and ordinary kind, passes.

    :param written: as it stands in the CRM; read where `international` is empty. :param country: the PBX's own (ISO).
    :param countries: those that may be called; empty: the own one alone.
    """
    # Imported here: it costs 14 ms, which a process that never reads a number should not pay.
    import phonenumbers

    raw = (international or written).strip()
    if _NEVER.search(written) or _NEVER.search(international) or not _WRITTEN.fullmatch(raw):
        return Refused(FORBIDDEN, "NO_NUMBER")
    digits = re.sub("[^0-9]", "", raw)
    if not SHORTEST_NUMBER <= len(digits) <= LONGEST_NUMBER + 3:  # 810 before it
        return Refused(FORBIDDEN, "NO_NUMBER")
    try:
        parsed = phonenumbers.parse(("+" if raw.startswith("+") else "") + digits, country)
    except phonenumbers.NumberParseException:
        return Refused(FORBIDDEN, "NO_NUMBER")
    if not phonenumbers.is_valid_number(parsed):
        return Refused(FORBIDDEN, "NO_NUMBER")
    if phonenumbers.region_code_for_number(parsed) not in (countries or (country,)):  # satellites have none: "001"
        return Refused(FORBIDDEN, "COUNTRY")
    kinds = phonenumbers.PhoneNumberType
    ordinary = (kinds.FIXED_LINE, kinds.MOBILE, kinds.FIXED_LINE_OR_MOBILE, kinds.TOLL_FREE, kinds.VOIP, kinds.UAN)
    if phonenumbers.number_type(parsed) not in ordinary:  # premium, shared cost, personal numbers, pagers
        return Refused(FORBIDDEN, "EXPENSIVE")
    dialled = re.sub("[^0-9]", "", phonenumbers.format_out_of_country_calling_number(parsed, country))
    if len(dialled) < SHORTEST_NUMBER:
        return Refused(FORBIDDEN, "NO_NUMBER")
    return Number(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164), dialled)


def decide_click(
    rules: ClickRules, click: Click, country: str, *, now: float, before: int, extension: str, mobile: str
) -> tuple[Number, Rung] | Refused:
    """What is dialled for a click and who is rung for it, or why nothing is.

    :param now: wall clock seconds. :param before: clicks of this person within the last minute, without this one.
    :param extension: the person's, "" for none. :param mobile: his own telephone in the portal (E.164), "" for none.
    """
    if not rules.enabled:
        return Refused(FORBIDDEN, "OFF")
    if now - click.at > STALE_SECONDS:
        return Refused(CANCELLED, "STALE")
    if before >= rules.per_minute:
        return Refused(FORBIDDEN, "TOO_MANY")
    number = clickable(click.number, click.international, country, rules.countries)
    if isinstance(number, Refused):
        return number
    if not re.fullmatch(r"[0-9]{1,10}", extension, re.ASCII):
        return Refused(NOWHERE, "NO_EXTENSION")
    if click.mobile and rules.from_mobile == OWN_MOBILE:
        own = clickable(mobile, mobile, country, rules.countries)
        return Refused(NOWHERE, "NO_MOBILE") if isinstance(own, Refused) else (number, Rung(extension, own.dialled))
    return number, Rung(extension)


def decide_callback(
    rules: CallbackRules,
    callback: Callback,
    country: str,
    countries: Sequence[str],
    *,
    now: float,
    before: int,
    of_number: int,
) -> tuple[Number, str] | Refused:
    """What is dialled for a callback, and the target that is rung before; or why nothing is.

    :param before: callbacks of the last hour. :param of_number: those of them that were for this number.
    """
    target = target_of(rules, callback.line)
    if not target:
        return Refused(FORBIDDEN, "OFF")
    if now - callback.at > CALLBACK_STALE_SECONDS:
        return Refused(CANCELLED, "STALE")
    number = clickable(callback.number, "", country, countries)
    if isinstance(number, Refused):
        return number
    if before >= rules.per_hour or of_number >= 1:
        return Refused(FORBIDDEN, "TOO_MANY")
    return number, target


def target_of(rules: CallbackRules, line: str) -> str:
    """The extension, ring group or queue that is rung for callbacks of a line; empty: none, nothing is dialled."""
    return rules.targets.get(line) or rules.target


def opens(hours: Hours, now: datetime) -> datetime:
    """The first moment from `now` on that is within the hours; `now` itself where it is."""
    for day in range(8):
        midnight = (now + timedelta(days=day)).replace(hour=0, minute=0, second=0, microsecond=0)
        since = midnight + timedelta(minutes=hours.since)
        until = midnight + timedelta(minutes=hours.until)
        if midnight.weekday() in hours.days and now < until:
            return max(now, since)
    return now


def on_display(name: str, longest: int = LONGEST_TEXT) -> str:
    """A name as a telephone may show it: letters, digits and a few signs. It is a form's text, so it is hostile."""
    return " ".join(_NOT_ON_A_DISPLAY.sub(" ", name[: longest * 4]).split())[:longest]


def is_callback(uniqueid: str) -> bool:
    """Whether a channel dials for a callback form: those that we have Asterisk make have a uniqueid of ours."""
    return re.fullmatch(r"back[0-9]{9,11}\.[0-9]+", uniqueid, re.ASCII) is not None


# OriginateResponse's Reason where the person's telephone was not answered (asterisk/frame.h: control frames).
_NOT_ANSWERED = {
    "5": Refused(BUSY, "PERSON_BUSY"),
    "3": Refused(UNAVAILABLE, "PERSON_SILENT"),
    "8": Refused(UNAVAILABLE, "PERSON_AWAY"),
}


def not_answered(reason: str) -> Refused:
    """How a click ends whose person did not answer. :param reason: OriginateResponse's Reason, as text."""
    return _NOT_ANSWERED.get(reason, Refused(UNAVAILABLE, "PERSON_AWAY"))
