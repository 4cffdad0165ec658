"""What the CRM is told when a call ends: who talked for how long, else why nobody did; pure, no I/O and no clock."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Callable, Mapping, Sequence

from .call import INBOUND, Ending, Outcome, Person, Registration, SeenLeg, View
from .policy import FIRST, LAST, LAST_RUNG, LONGEST, PERSON, RESPONSIBLE, Rules, distinct, person_named
from .reasons import Words, words_of

LONGEST_REASON = 255  # FAILED_REASON's limit in the portal
# Ended that soon, a telephone has not rung: it was busy or could not be reached.
NO_RING_SECONDS = 1.0
BUSY_CAUSE = 17  # HANGUPCAUSE of a route that ends in the busy tone: nothing was dialled
MOST_NAMES = 12  # of those who rang, in a reason

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

Talk = tuple[float, float, SeenLeg]  # since, until, whose


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
        ("DIALEDPEERNUMBER", ending.dialled_peer_number, r"([0-9]+)@bx24-responsible/n"),  # our own dialplan rang him
    ):
        match = re.fullmatch(pattern, text)
        if match:
            return match[1], source
    return "", ""


def decide_outcome(
    rules: Rules,
    registration: Registration,
    ending: Ending | None,
    view: View | None = None,
    *,
    until: float = 0.0,
    seen: bool = True,
    responsible: Person | None = None,
) -> Outcome:
    """What the CRM is told when a call ends.

    A call of which Asterisk's manager interface showed everything is told as it showed it; else that, as far as it
    goes, and the channel's variables are put together. Never by CDR(), which is wrong for queues, menus, transfers and
    voicemail (measured on Asterisk 16 and 22). An inbound call that nobody of ours took is always 304 with no seconds:
    only 304 puts it on the portal's missed list, and the portal counts any call with seconds as a success. The true
    cause goes into the reason.

    :param ending: what the hangup handler said; None: it never ran.
    :param until: wall clock seconds until which a talk lasted whose end was not seen. :param seen: False: nobody saw
        how it ended, and the reason says so. :param responsible: the client's manager in the CRM, where that is known
        and the registration asks for him.
    """
    words = words_of(rules.language)
    view = _with_ends_of_rings(view or View(), ending, until)
    inbound = registration.direction == INBOUND
    talks = _talks(view, until)
    said = not view.whole and ending is not None and _said_answered(ending, inbound)
    notes = [] if seen else [words.causes["UNSEEN"]]
    notes += [" ".join(ending.note.split())] if ending else []
    named = person_named(rules, ending.user) if ending else None
    if talks or said or (not inbound and view.answered):
        people, who = _people_who_talked(rules, registration, ending, talks)
        reason = _joined(who, *notes)
        return Outcome(
            registration.uniqueid,
            distinct(named, *people, *registration.people),
            _talk_seconds(view, talks, ending, until),
            ANSWERED,
            reason,
        )
    if inbound:
        code, people = MISSED, _owners_of_missed(registration, view, responsible)
    else:
        code, people = _outbound_code(ending, view), []
    why = _why_missed(words, ending, view, inbound)
    return Outcome(registration.uniqueid, distinct(named, *people, *registration.people), 0, code, _joined(why, *notes))


def _said_answered(ending: Ending, inbound: bool) -> bool:
    """A queue sets no DIALSTATUS (measured)."""
    return ending.dial_status == "ANSWER" or (inbound and bool(ending.member_interface))


# -- answered ------------------------------------------------------------------------------------------------------


def _talks(view: View, until: float) -> list[Talk]:
    """All talks with the external party by their beginning. One that was going on when the view broke off lasted until
    the last moment that is known."""
    last = view.gone or until
    return sorted(
        (
            (since, max(since, last) if ended is None else max(since, ended), leg)
            for leg in view.legs
            for since, ended in leg.talks
        ),
        key=lambda talk: talk[:2],
    )


def _talk_seconds(view: View, talks: Sequence[Talk], ending: Ending | None, until: float) -> int:
    """Whole seconds, one at least: an answered call of 0 s would count as a failure."""
    seconds, reached = 0.0, 0.0
    for since, ended, _ in talks:  # two who talk at once are one talk of the client
        seconds += max(0.0, ended - max(since, reached))
        reached = max(reached, ended)
    if not talks and view.answered:
        seconds = max(0.0, (view.gone or until) - view.answered)
    if not view.whole and ending is not None:
        seconds = max(seconds, float(ending.answered_seconds))
    return max(1, round(seconds))


def _people_who_talked(
    rules: Rules, registration: Registration, ending: Ending | None, talks: Sequence[Talk]
) -> tuple[list[Person], str]:
    """Who may own an answered call, in order, and a word for the reason where the one who should is not in the CRM."""
    ours = [talk for talk in talks if not talk[2].client]
    if not ours:
        who = who_answered(ending)[0] if ending and registration.direction == INBOUND else ""
        speaker = person_named(rules, who)
        return ([speaker] if speaker else []), ""
    order = _ORDER[rules.finish_person](ours)
    people = [leg.person for leg in order if leg.person]
    word = words_of(rules.language).answered_by.format(order[0].name) if order[0].person is None else ""
    return people, word


def _by_length(talks: Sequence[Talk]) -> list[SeenLeg]:
    seconds: dict[str, float] = {}
    for since, until, leg in talks:
        who = str(leg.person or leg.name)
        seconds[who] = seconds.get(who, 0.0) + until - since
    legs = [leg for _, _, leg in talks]
    return sorted(legs, key=lambda leg: -seconds[str(leg.person or leg.name)])


# Talks in order of their beginning -> whose they are, the one who is to own the call first.
_ORDER: Mapping[str, Callable[[Sequence[Talk]], list[SeenLeg]]] = {
    LAST: lambda talks: [leg for _, _, leg in reversed(talks)],
    FIRST: lambda talks: [leg for _, _, leg in talks],
    LONGEST: _by_length,
}


# -- not answered --------------------------------------------------------------------------------------------------


def asks_for_responsible(registration: Registration, ending: Ending | None, view: View, until: float) -> bool:
    """Whether it depends on the client's manager in the CRM whose a missed call is; the parameters of the outcome."""
    if registration.direction != INBOUND or RESPONSIBLE not in registration.missed_owner:
        return False
    before = registration.missed_owner[: registration.missed_owner.index(RESPONSIBLE)]
    view = _with_ends_of_rings(view, ending, until)
    return not _owners_of_missed(replace(registration, missed_owner=before), view, None)


def _owners_of_missed(registration: Registration, view: View, responsible: Person | None) -> list[Person]:
    rang = sorted((leg for leg in view.legs if leg.person and _has_rung(leg)), key=_first_ring)
    by_strategy: Mapping[str, list[Person | None]] = {
        RESPONSIBLE: [responsible],
        LAST_RUNG: [leg.person for leg in reversed(rang)],
        PERSON: list(registration.people[:1]),
    }
    found = [person for strategy in registration.missed_owner for person in by_strategy.get(strategy, [])]
    return [person for person in found if person]


def _outbound_code(ending: Ending | None, view: View) -> str:
    status = ending.dial_status if ending else next((leg.ended for leg in reversed(view.legs) if leg.client), None)
    if status is None:
        return NOT_KNOWN
    if status in OUTBOUND_CODES:
        return OUTBOUND_CODES[status]
    return CAUSE_CODES.get(ending.hangup_cause if ending else 0, OTHER_FAILURE)


def _why_missed(words: Words, ending: Ending | None, view: View, inbound: bool) -> str:
    """Why nobody talked, in words: who rang for how long, who was busy; else what the caller got to."""
    queue = ending.queue if ending else ""
    parts = _what_telephones_did(words, view, queue) if inbound else []
    if ending is None:
        return _joined(*parts)
    if ending.voicemail == "SUCCESS":
        parts.append(words.voicemail)
    if not parts and inbound and not ending.dial_status:
        parts = [words.waited.format(ending.queue)] if ending.queue else [words.menu] if ending.menu else []
    cause = ending.dial_status or ("BUSY" if ending.hangup_cause == BUSY_CAUSE else "GONE" if ending.left else "QUIET")
    return _joined(*parts) if parts else words.causes.get(cause, cause)


# Of a telephone that was busy or could not be reached, the DialStatus as one of two.
_REFUSED = {"BUSY": "BUSY", "CHANUNAVAIL": "CHANUNAVAIL", "CONGESTION": "CHANUNAVAIL"}


def _with_ends_of_rings(view: View, ending: Ending | None, until: float) -> View:
    """The view with every ring ended, with the call at the latest, and as the last dial did where that is not seen.

    On a busy machine the manager interface's news lag behind the hangup handler: a telephone that was busy at once
    would be taken for one that rang (seen under fire). DIALSTATUS is BUSY or the like where no telephone rang out.
    """
    gone = view.gone or until
    over = ending.ended.timestamp() if ending else gone
    status = ending.dial_status if ending and ending.dial_status in _REFUSED else ""

    def with_end(leg: SeenLeg) -> SeenLeg:
        if leg.rang is None:
            return leg
        since, seen = leg.rang
        ended = max(since, gone if seen is None else seen)
        return replace(leg, rang=(since, min(ended, over) if since <= over else ended), ended=leg.ended or status)

    return replace(view, legs=tuple(map(with_end, view.legs)))


def _has_rung(leg: SeenLeg) -> bool:
    """Whether somebody could have heard it: not where it was busy or out of reach at once."""
    if leg.rang is None:
        return False
    since, until = leg.rang
    return leg.ended not in _REFUSED or (until or since) - since >= NO_RING_SECONDS


def _what_telephones_did(words: Words, view: View, queue: str) -> list[str]:
    rang: list[SeenLeg] = []
    others: dict[str, list[SeenLeg]] = {"BUSY": [], "CHANUNAVAIL": []}
    for leg in view.legs:
        if leg.client or leg.rang is None:
            continue
        (rang if _has_rung(leg) else others[_REFUSED[leg.ended]]).append(leg)
    parts = []
    times = [leg.rang for leg in rang if leg.rang]
    if times:
        seconds = max(until or since for since, until in times) - min(since for since, _ in times)
        parts.append(words.rang.format(_names(rang), round(seconds)) + (words.in_queue.format(queue) if queue else ""))
    rung = {leg.name for leg in rang}
    for status, template in (("BUSY", words.was_busy), ("CHANUNAVAIL", words.not_reached)):
        legs = [leg for leg in others[status] if leg.name not in rung]  # a queue tries again and again
        if legs:
            parts.append(template.format(_names(legs)))
    return parts


def _first_ring(leg: SeenLeg) -> float:
    return leg.rang[0] if leg.rang else 0.0


def _names(legs: Sequence[SeenLeg]) -> str:
    names = list(dict.fromkeys(leg.name for leg in sorted(legs, key=_first_ring)))
    return ", ".join(names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "")


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)[:LONGEST_REASON]
