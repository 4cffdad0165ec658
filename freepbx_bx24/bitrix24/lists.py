"""Reads the portal's lists whole: employees page by page, many pages in one request; reads lines, and adds to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator, Mapping, Sequence

from ..errors import AlreadySo, PortalBroken, PortalError
from . import batch
from .replies import Result, harmless, whole_number

USERS = "user.get"
LINES = "telephony.externalLine.get"
ADD_LINE = "telephony.externalLine.add"

_PAGE = 50  # rows, the portal's own
_MOST_PEOPLE = 50_000  # a portal whose pages never end must not hold us for ever
_MOST_LINES = 10_000
LONGEST_LINE = 50  # LINE_NUMBER's limit in the portal
# More pages than that are asked for together: a batch counts as one request of the two a second that all have, and the
# portal runs it in one go. A row is some 1.5 kB: 20 pages stay well below the largest reply that the client takes.
_FEW_PAGES = 4
_PAGES_A_BATCH = 20
# In order of id, so that people who come while the pages are read come at the end. The rows are looked at again, since
# a portal that does not know a filter ignores it.
_QUERY = {"SORT": "ID", "ORDER": "ASC", "FILTER": {"ACTIVE": True, "USER_TYPE": "employee"}}
_AGAIN = "Nothing to do: the list that is known stays in use, and it is read again by itself."


@dataclass(frozen=True)
class NewLine:
    """A line that the portal is to have.

    :ivar number: as `line_number` writes it. :ivar name: "" for none. :ivar create: the portal makes leads for its
        unknown callers (CRM_AUTO_CREATE).
    """

    number: str
    name: str = ""
    create: bool = True


Ask = Callable[[str, Mapping[str, object]], Result]  # method, parameters
AskMany = Callable[[Mapping[str, str]], Mapping[str, "Result | PortalError"]]  # key -> command of `batch.command`


def rows_of_users(ask: Ask, ask_many: AskMany) -> Iterator[object]:
    """Yield every row of user.get once, unreadable ones too. Only one that comes to its end has told the whole list.

    :raises PortalBroken: the list is partial, changes while it is read, repeats itself, or is no list.
    :raises PortalError: whatever `ask` raises.
    """
    seen: set[int] = set()
    rows, total = 0, None
    for number, page in enumerate(_pages(ask, ask_many)):
        if number == 0:
            total = page.total
        elif total is not None and page.total is not None and page.total != total:
            # Somebody came or left: what was behind them has moved from one page to another.
            raise PortalBroken("the portal's list of users changed while it was read", _AGAIN)
        before = rows
        for row in page.result:
            user_id = whole_number(row.get("ID")) if isinstance(row, dict) else None
            if user_id is None or user_id not in seen:
                rows += 1
                if user_id is not None:
                    seen.add(user_id)
                yield row
        if number and rows == before:
            raise PortalBroken("the pages of the portal's list of users do not go on", _AGAIN)
    if total is not None and rows < total:
        raise PortalBroken(f"the portal's list of users is not whole: {rows} of {total}", _AGAIN)


def lines(ask: Ask) -> dict[str, str]:
    """Return name by number of the external lines; "" where a line has no name. None at all is a good answer.

    :raises PortalBroken: it is no list of lines. :raises PortalError: whatever `ask` raises.
    """
    rows = ask(LINES, {}).result
    if not isinstance(rows, list):
        raise PortalBroken("the portal's list of lines is no list", _AGAIN)
    found = {}
    for row in rows[:_MOST_LINES]:
        number = line_number(row.get("NUMBER")) if isinstance(row, dict) else ""
        if number:
            found[number] = harmless(row.get("NAME"))
    return found


def add_lines(ask_many: AskMany, wanted: Sequence[NewLine]) -> dict[str, PortalError | None]:
    """Have the portal make lines, and return for each number None, or why it has none; one that it has already is done.

    Nothing repeats a request here: a line that may have been made is one that is there the next time.

    :raises PortalError: a request as a whole failed; lines that went before it are made.
    """
    done: dict[str, PortalError | None] = {}
    for first in range(0, len(wanted), batch.MOST):
        some = wanted[first : first + batch.MOST]
        answers = ask_many({f"l{at}": batch.command(ADD_LINE, _line_parameters(line)) for at, line in enumerate(some)})
        for line, answer in zip(some, answers.values()):
            done[line.number] = (
                answer if isinstance(answer, PortalError) and not isinstance(answer, AlreadySo) else None
            )
    return done


def _line_parameters(line: NewLine) -> dict[str, object]:
    # What is not Y counts as N, and a line without the parameter gets Y.
    parameters = {"NUMBER": line.number, "CRM_AUTO_CREATE": "Y" if line.create else "N"}
    return {**parameters, "NAME": line.name} if line.name else {**parameters}


def line_number(value: object) -> str:
    """Return a line's number as the portal compares it, without blanks around it; "" for what is none."""
    number = value.strip() if isinstance(value, str) else ""
    return number if len(number) <= LONGEST_LINE and number.isprintable() else ""


def _pages(ask: Ask, ask_many: AskMany) -> Iterator[Result]:
    page = _checked(ask(USERS, {**_QUERY, "start": 0}))
    total = page.total or 0
    if total > _MOST_PEOPLE:
        raise PortalBroken(f"the portal's list of users names {total} people, which is more than any portal has")
    yield page
    if total > _PAGE * _FEW_PAGES:
        yield from _pages_in_batches(ask_many, range(_PAGE, total, _PAGE))
        return
    start = 0
    while page.next is not None:
        if page.next <= start:
            raise PortalBroken("the pages of the portal's list of users do not go on", _AGAIN)
        start = page.next
        if start >= _MOST_PEOPLE:
            raise PortalBroken("the portal's list of users does not end")
        page = _checked(ask(USERS, {**_QUERY, "start": start}))
        yield page


def _pages_in_batches(ask_many: AskMany, starts: range) -> Iterator[Result]:
    for first in range(0, len(starts), _PAGES_A_BATCH):
        some = starts[first : first + _PAGES_A_BATCH]
        answers = ask_many({f"p{start}": batch.command(USERS, {**_QUERY, "start": start}) for start in some})
        for answer in answers.values():
            if isinstance(answer, PortalError):
                raise answer
            yield _checked(answer)


def _checked(page: Result) -> Result:
    if not isinstance(page.result, list):
        raise PortalBroken("the portal's list of users is no list", _AGAIN)
    return page
