"""The table of checks, in the order in which they are told, and who goes through it."""

from __future__ import annotations

from typing import Callable, Iterator, NamedTuple, Sequence

from ..errors import Bx24Error, ConfigurationError
from . import clone, dialplan, host, manager, people, portal, routes
from .finding import Finding, failure, ok
from .machine import Machine

SETTINGS, DIRECTORY, ASTERISK = "settings", "directory", "asterisk"  # attributes of Machine that must be there


class Check(NamedTuple):
    """One check.

    :ivar needs: what must be there for it; where it is not, that has been said already.
    :ivar hourly: whether it is cheap enough for the service to repeat it every hour.
    """

    look: Callable[[Machine], Iterator[Finding]]
    needs: Sequence[str] = ()
    hourly: bool = False


def configuration(machine: Machine) -> Iterator[Finding]:
    """The YAML can be used, and so can the files that it names."""
    found = machine.configuration
    if isinstance(found, ConfigurationError):
        for problem in found.problems:
            yield failure("configuration", problem, found.hint)
    else:
        yield ok("configuration", f"{found.path} is right")


CHECKS = (
    Check(configuration, hourly=True),
    Check(portal.portal, (SETTINGS,)),
    Check(people.named, (SETTINGS, DIRECTORY), hourly=True),
    Check(people.shared, (SETTINGS, DIRECTORY), hourly=True),
    Check(people.extensions, (SETTINGS, DIRECTORY, ASTERISK)),
    Check(routes.lines, (SETTINGS, DIRECTORY)),
    Check(dialplan.asterisk),
    Check(dialplan.hooks, (ASTERISK,), hourly=True),
    Check(dialplan.switch, (ASTERISK,), hourly=True),
    Check(dialplan.scripts, (ASTERISK,), hourly=True),
    Check(dialplan.executed, (ASTERISK,), hourly=True),
    Check(routes.routes, (SETTINGS, ASTERISK)),
    Check(routes.trunks, (ASTERISK,)),
    Check(routes.outbound, (ASTERISK,)),
    Check(routes.others, (ASTERISK,)),
    Check(manager.manager, (SETTINGS, ASTERISK)),
    Check(manager.dialling, (SETTINGS, ASTERISK)),
    Check(manager.holes, (ASTERISK,)),
    Check(host.recordings, (SETTINGS,), hourly=True),
    Check(host.service),
    Check(host.state, hourly=True),
    Check(host.log, hourly=True),
    Check(host.backlog, hourly=True),
    Check(clone.clone, (SETTINGS,), hourly=True),
)


def look(machine: Machine, checks: Sequence[Check] = CHECKS) -> Iterator[Finding]:
    """Go through the table. Asterisk may go away in between: that is a finding, too."""
    for check in checks:
        try:
            if all(getattr(machine, need) is not None for need in check.needs):
                yield from check.look(machine)
        except Bx24Error as error:
            yield failure("dialplan", error.message, error.hint)
