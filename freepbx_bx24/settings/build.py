"""From the values of the options to what the program works with, and the findings that need more than one value."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable

from .. import numbers
from ..call import Person
from ..clicks import CallbackRules, ClickRules
from ..policy import LineRules, RecordingRules, Rules
from . import files, secret, webhook
from .model import EventSettings, PortalSettings, Settings
from .options import OPTIONS
from .problems import Problem, may_be_secret, shown, written
from .walk import Values

# The certificates of every authority that browsers know are a quarter of a megabyte.
_LONGEST_BUNDLE = 8 * 1024 * 1024
_BY_PATH = {option.path: option for option in OPTIONS}


def build(path: Path, values: Values) -> tuple[Settings, list[Problem]]:
    """Return the settings and the findings; where there are findings the settings are not to be used."""
    problems: list[Problem] = []
    country = _get(values, "country") or ""
    rules = Rules(
        country=country,
        pbx_id=_get(values, "pbx_id") or "",
        default_person=_get(values, "default_person") or Person(),
        default_line=_get(values, "default_line") or "",
        area_code=_get(values, "area_code") or "",
        language=_get(values, "language"),
        lines=_lines(values),
        unlisted=LineRules("", **_defaults(values)),
        lines_not_listed=_get(values, "lines_not_listed"),
        skip_dids=_get(values, "skip.dids"),
        skip_extensions=_get(values, "skip.extensions"),
        skip_numbers=_get(values, "skip.numbers"),
        anonymous=_get(values, "anonymous"),
        people={name[1]: given.value for name, given in values.items() if len(name) == 2 and name[0] == "people"},
        people_not_in_portal=_get(values, "people_not_in_portal"),
        skip_blacklist=_get(values, "skip.blacklist"),
        finish_person=_get(values, "finish_person"),
        recordings=RecordingRules(**{name: _get(values, f"recordings.{name}") for name in _names_of(RecordingRules)}),
    )
    problems += _claimed_twice(values, country, rules.area_code)
    settings = Settings(
        path=path,
        rules=rules,
        portal=PortalSettings(
            webhook_url=_named_file(path, values, "portal.webhook_file", problems, webhook.read),
            ca_bundle=_named_file(path, values, "portal.ca_bundle", problems, _ca_bundle),
            url=_get(values, "portal.url") or "",
            client_id=_get(values, "portal.client_id") or "",
            client_secret=_named_file(path, values, "portal.client_secret_file", problems, secret.read),
            oauth_url=_get(values, "portal.oauth_url") or "",
            plan=_get(values, "portal.plan"),
        ),
        wait_in=_get(values, "wait.in"),
        wait_out=_get(values, "wait.out"),
        journal_days=_get(values, "keep.journal"),
        mask_numbers=_get(values, "keep.log_numbers"),
        manager_file=path.parent / _get(values, "manager_file"),
        clicks=ClickRules(**{name: _get(values, f"clicks.{name}") for name in _names_of(ClickRules)}),
        callbacks=_callbacks(values),
        events=EventSettings(_get(values, "events.address") or "", _get(values, "events.port")),
        prefixes=_of_lines(values, "click_prefix"),
    )
    return settings, problems


def _callbacks(values: Values) -> CallbackRules:
    given = {name: _get(values, f"callbacks.{name}") for name in _names_of(CallbackRules) if name != "targets"}
    given = {**given, "timezone": given["timezone"] or "", "pause": given["pause"] * 60.0}
    return CallbackRules(**given, targets=_of_lines(values, "callbacks"))


def _of_lines(values: Values, option: str) -> dict[str, Any]:
    """What each line says to one of its options, where it says something."""
    return {name[1]: given.value for name, given in values.items() if name[::2] == ("lines", option) and given.value}


def _names_of(rules: type) -> tuple[str, ...]:
    return tuple(one.name for one in dataclasses.fields(rules))


def _get(values: Values, path: str) -> Any:
    """Return the value that the file gives, else the option's default, else None."""
    given = values.get(tuple(path.split(".")))
    if given is not None:
        return given.value
    option = _BY_PATH[path]
    if not option.default:
        return () if option.kind.is_list else None
    if option.kind.is_list:
        return tuple(option.kind.read(one.strip()) for one in option.default.strip("[]").split(","))
    return option.kind.read(option.default)


# What a line takes from line_defaults where it says nothing: the name in LineRules by the option's path.
_LINE_OPTIONS = {
    "source": ("source",),
    "create_in": ("create", "in"),
    "create_out": ("create", "out"),
    "cards": ("cards",),
    "missed_owner": ("missed_owner",),
    "responsible_seconds": ("responsible",),
    "client_name": ("client_name",),
    "recordings": ("recordings",),
}


def _defaults(values: Values) -> dict[str, Any]:
    return {name: _get(values, ".".join(("line_defaults", *path))) for name, path in _LINE_OPTIONS.items()}


def _lines(values: Values) -> tuple[LineRules, ...]:
    own: dict[str, dict[tuple[str, ...], Any]] = {}
    for path, given in values.items():
        if path[0] == "lines":
            own.setdefault(path[1], {})[path[2:]] = given.value
    defaults = _defaults(values)
    return tuple(_line(line[()], line, defaults) for line in own.values())


def _line(number: str, own: dict[tuple[str, ...], Any], defaults: dict[str, Any]) -> LineRules:
    return LineRules(
        number,
        name=own.get(("name",), ""),
        dids=own.get(("dids",), ()),
        trunk=own.get(("trunk",), ""),
        person=own.get(("person",)),
        **{name: own.get(path, defaults[name]) for name, path in _LINE_OPTIONS.items()},
    )


def _claimed_twice(values: Values, country: str, area_code: str) -> list[Problem]:
    """Return a problem for each number that two lines name as theirs, in whatever form."""
    owners: dict[str, tuple[str, ...]] = {}
    problems = []
    for name, given in values.items():
        if name[:1] != ("lines",) or len(name) not in (2, 3) or name[2:] not in ((), ("dids",)):
            continue
        for number in (given.value,) if len(name) == 2 else given.value:
            same = number if number.startswith("_") else numbers.canonical(number, country, area_code) or number
            owner = owners.setdefault(same, name[:2])
            if owner != name[:2]:
                text = f"{shown(number)} belongs to the line {shown(owner[1])} (line {values[owner].line}) already"
                problems.append(Problem(given.line, written(name), text))
    return problems


def _named_file(path: Path, values: Values, option: str, problems: list[Problem], read: Callable[[Path], str]) -> str:
    """Return what `read` makes of the file that an option names, relative to the YAML; empty where it can't be used."""
    given = values.get(tuple(option.split(".")))
    if given is None:
        return ""
    if may_be_secret(given.value):
        text = "found what looks like the secret itself; put it into a file of its own and name that file here"
        problems.append(Problem(given.line, option, text))
        return ""
    file = path.parent / given.value
    try:
        return read(file)
    except ValueError as error:
        problems.append(Problem(given.line, option, f"{file}: {error}"))
        return ""


def _ca_bundle(file: Path) -> str:
    content, _ = files.read(file, _LONGEST_BUNDLE, "bundle of certificates")
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise ValueError("holds no certificate in PEM form")
    return str(file)
