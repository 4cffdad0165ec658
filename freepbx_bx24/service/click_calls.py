"""What the journal learns of a click or a callback before anything is dialled, and what becomes of those refused."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Callable, Mapping

from .. import clicks, numbers
from ..bitrix24.directory import Directory
from ..call import OUTBOUND, Entity, Outcome, Person, Registration
from ..clicks import Callback, Click, Number, Refused, Rung
from ..journal import dialling
from ..journal.dialling import CALLBACK, CLICK, Row
from ..journal.records import UNPARSABLE, Registered
from ..journal.store import Journal
from ..policy import LineRules, Rules, distinct, external_id, owner_of
from ..reasons import words_of
from ..settings import Settings
from .wishes import device_of

LONGEST_DIALLED = 30
NOT_KNOWN = "-"  # in place of a number that is none


@dataclass(frozen=True)
class Dial:
    """What is dialled for a row, as its JSON text keeps it: digits alone, and a name that is made harmless.

    :ivar dialled: the client's number with the line's prefix; `shown` the number on the display (E.164), `name` the
        client's. :ivar extension: who clicked, or whose callbacks they are. :ivar ringing: who is rung: that extension,
        `mobile` where it is his own mobile, or the callbacks' target. :ivar tied: the call has the portal's CALL_ID.
    """

    dialled: str
    shown: str
    extension: str
    ringing: str
    mobile: bool = False
    name: str = ""
    line: str = ""
    entity: tuple[str, int] | None = None
    tied: bool = True

    def text(self) -> str:
        """It, as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)


def dial_of(row: Row) -> Dial | None:
    """What a row's text says; None where it makes no sense."""
    try:
        return Dial(**json.loads(row.dial))
    except UNPARSABLE:
        return None


def uniqueid_of(kind: str, row_id: int, now: float, attempt: int = 0) -> str:
    """The uniqueid of the channel that dials the client: the second, as Asterisk's own begin, and the row's id.

    :param attempt: of a callback, up to 99: what has hung up stays so, hence each has a uniqueid of its own.
    """
    return f"click{int(now)}.{row_id}" if kind == CLICK else f"back{int(now)}.{row_id * 100 + attempt}"


@dataclass(frozen=True)
class Taken:
    """A click or callback in the journal. `refused` is why it is not dialled, None where it is."""

    row: Row
    refused: Refused | None = None


def take_click(
    journal: Journal, settings: Settings, directory: Directory, click: Click, now: float, portal: str
) -> Taken | None:
    """Write a click down, with its call; a refused one is finished by the same write. None: it was told before.

    :param now: wall clock seconds. :param portal: the origin of the portal that has the call.
    """
    rules = settings.rules
    extension = device_of(rules, Person(directory.extension(click.user_id), click.user_id))

    def write(database: sqlite3.Connection) -> Taken | None:
        if dialling.is_double(database, click.call_id, click.at):
            return None
        decision = clicks.decide_click(
            settings.clicks,
            click,
            rules.country,
            now=now,
            before=dialling.clicks_of(database, click.user_id, now - dialling.MINUTE),
            extension=extension,
            mobile=directory.phone(click.user_id),
        )
        tied = not dialling.is_tied(database, click.call_id)
        line = line_named(rules, click.line)
        row = Row(CLICK, click.at, _number(decision, click.number), click.call_id, click.user_id, due=now)
        if isinstance(decision, Refused):
            row = replace(row, state=dialling.REFUSED)
        else:
            row = replace(row, dial=_dial(settings, decision, line, click, tied).text())
        row_id = dialling.add(database, row, now)
        uniqueid = uniqueid_of(CLICK, row_id, now)
        dialling.name(database, row_id, uniqueid)
        row = replace(row, id=row_id, uniqueid=uniqueid)
        if tied:
            began = registration(rules, line, click, row, datetime.fromtimestamp(now).astimezone())
            journal.begin(began, now, click.user_id, began.rule)
            # The portal shows the card to the person who clicks.
            journal.registered(uniqueid, Registered(click.call_id, click.user_id, click.entity, shown=True), portal)
            if isinstance(decision, Refused):
                journal.ended(outcome(rules, began, decision), now)
        return Taken(row, decision if isinstance(decision, Refused) else None)

    return journal.dialling(write)


def take_callback(
    journal: Journal, settings: Settings, callback: Callback, now: float, due: Callable[[float], float]
) -> Taken | None:
    """Write a callback down; None: it was told before. :param due: from when on it may be dialled."""
    rules = settings.rules

    def write(database: sqlite3.Connection) -> Taken | None:
        hour_ago = now - dialling.HOUR
        given = clicks.clickable(callback.number, "", rules.country, settings.clicks.countries)
        row = Row(CALLBACK, callback.at, _number(given, callback.number), due=due(now))
        if dialling.is_told(database, row):
            return None
        decision = clicks.decide_callback(
            settings.callbacks,
            callback,
            rules.country,
            settings.clicks.countries,
            now=now,
            before=dialling.callbacks(database, hour_ago),
            of_number=dialling.callbacks(database, hour_ago, row.number),
        )
        if isinstance(decision, Refused):
            row = replace(row, state=dialling.REFUSED)
        else:
            row = replace(row, dial=_dial_back(settings, decision, callback).text())
        row_id = dialling.add(database, row, now)
        uniqueid = uniqueid_of(CALLBACK, row_id, now)
        dialling.name(database, row_id, uniqueid)
        return Taken(replace(row, id=row_id, uniqueid=uniqueid), decision if isinstance(decision, Refused) else None)

    return journal.dialling(write)


def registration(rules: Rules, line: LineRules | None, click: Click, row: Row, started: datetime) -> Registration:
    """The call of a click, which the portal has registered by itself."""
    chosen = line or rules.unlisted
    return _registration(
        rules, chosen, row, started, Person(user_id=click.user_id), click.line, click.entity, "a click in the portal"
    )


def given_up(rules: Rules, row: Row, dial: Dial, started: datetime) -> Registration:
    """The call of a callback that nobody of ours could take: the CRM is to know that the client was not called."""
    line = line_named(rules, dial.line)
    entity = Entity(*dial.entity) if dial.entity else None
    chosen = line or rules.unlisted
    return replace(
        _registration(rules, chosen, row, started, owner_of(rules, line), dial.line, entity, "a callback form"),
        show=False,
        callback=True,
    )


def outcome(rules: Rules, began: Registration, refused: Refused) -> Outcome:
    """How a call ends that no client has heard of."""
    why = words_of(rules.language).clicks[refused.why]
    return Outcome(began.uniqueid, began.people, 0, refused.code, why)


def line_named(rules: Rules, number: str) -> LineRules | None:
    """The YAML's line that the portal means by a LINE_NUMBER, with or without a plus."""
    wanted = numbers.canonical(number, rules.country, rules.area_code) or number
    for line in rules.lines:
        if wanted and wanted == (numbers.canonical(line.number, rules.country, rules.area_code) or line.number):
            return line
    return None


def variables(row: Row, dial: Dial) -> Mapping[str, str]:
    """What the dialplan is told of a call that begins for a row; the contract of etc/extensions_bx24.conf."""
    told = {
        "BX24_CLICK_NUMBER": dial.dialled,
        "BX24_CLICK_EXTENSION": dial.extension,
        "BX24_CLICK_SHOWN": dial.shown,
        "BX24_CLICK_NAME": dial.name,
    }
    if row.kind == CLICK:
        # Inherited, so that a script without the service finishes the portal's own call.
        return {**told, "__BX24_CALL_ID": row.call_id} if dial.tied else told
    kind, number = dial.entity or ("", 0)
    about = {"__BX24_LINE": dial.line, "__BX24_CRM_ENTITY_TYPE": kind, "__BX24_CRM_ENTITY_ID": str(number or "")}
    return {**told, **{name: value for name, value in about.items() if value}}


def _registration(
    rules: Rules,
    chosen: LineRules,
    row: Row,
    started: datetime,
    person: Person,
    line: str,
    entity: Entity | None,
    why: str,
) -> Registration:
    return Registration(
        uniqueid=row.uniqueid,
        linkedid=row.uniqueid,
        external_id=external_id(rules, row.uniqueid),
        direction=OUTBOUND,
        number=row.number,
        line=chosen.number or line,
        people=distinct(person, rules.default_person),
        started=started,
        create=False,
        source=chosen.source,
        show=True,
        entity=entity,
        cards=chosen.cards,
        recordings=chosen.recordings,
        rule=f"{why}: person {person}, line {chosen.number or line or 'none'}",
    )


def _number(decision: Number | tuple[Number, object] | Refused, written: str) -> str:
    if isinstance(decision, Refused):
        return clicks.on_display(written, LONGEST_DIALLED) or NOT_KNOWN
    return (decision if isinstance(decision, Number) else decision[0]).e164


def _prefixed(settings: Settings, line: LineRules | None, number: Number) -> str:
    """The number as it is dialled over a line."""
    return (settings.prefixes.get(line.number, "") if line else "") + number.dialled


def _dial(settings: Settings, decision: tuple[Number, Rung], line: LineRules | None, click: Click, tied: bool) -> Dial:
    number, rung = decision
    return Dial(
        _prefixed(settings, line, number),
        number.e164,
        rung.extension,
        rung.mobile or rung.extension,
        bool(rung.mobile),
        line=click.line,
        entity=(click.entity.type, click.entity.id) if click.entity else None,
        tied=tied,
    )


def _dial_back(settings: Settings, decision: tuple[Number, str], callback: Callback) -> Dial:
    number, target = decision
    line = line_named(settings.rules, callback.line)
    return Dial(
        _prefixed(settings, line, number),
        number.e164,
        owner_of(settings.rules, line).extension,
        target,
        name=clicks.on_display(callback.text, 40),
        line=line.number if line else "",
        entity=(callback.entity.type, callback.entity.id) if callback.entity else None,
    )
