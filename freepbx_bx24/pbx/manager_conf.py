"""Who may log in to Asterisk's manager interface for us, and where it listens: read from Asterisk's own files.

What counts was tried on Asterisk 16 and 22: of two sections of one name the first one, and what `[name](+)` adds to it;
of a line that repeats, the last; quotes around a value are a part of it. (A port that is no number becomes a random one
there, which nobody can know here: the login says so.)
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

from ..settings import files

USUAL_PORT = 5038
MOST_FILES = 100
LONGEST_FILE = 1024 * 1024
_MARK = re.compile(r"\\;|;--(?!-)|--;|;")
_SECTION = re.compile(r"\[([^]]*)\](?:\(([^)]*)\))?")
_INCLUDE = re.compile(r"#(?:try)?include\s+(.+)", re.IGNORECASE)
_TRUE = {"yes", "true", "y", "t", "1", "on"}  # what Asterisk takes for yes


@dataclass(frozen=True)
class ManagerAccount:
    """How to log in.

    :ivar host, port: where it is reached from this machine: loopback, unless it listens on one other address alone.
    :ivar enabled: what `[general]` says; where it is False nobody listens.
    """

    user: str
    secret: str = field(repr=False)
    host: str
    port: int
    enabled: bool


@dataclass
class _Section:
    """One section: its keys in small letters, the last of each. `template`: only others are made of it."""

    name: str
    template: bool
    values: dict[str, str]


def read_account(path: Path) -> tuple[ManagerAccount | None, str]:
    """Return the account, or None and why there is none, in words without a secret.

    :param path: the file with the user, `manager_bx24.conf`; its first section that has a secret is the user. Where the
        interface listens stands in `manager.conf` of the same folder, with all that it includes.
    """
    general_path = path.parent / "manager.conf"
    found = {}
    for place in (path, general_path):
        try:
            found[place] = _sections(place)
        except ValueError as error:
            return None, f"{place}: {error}"
    users = [one for one in found[path] if not one.template and one.name.casefold() != "general"]
    users = [one for one in users if one.name and one.values.get("secret")]
    if not users:
        return None, f"{path}: no section in it has a secret"
    general = _named("general", found[general_path])
    values = general.values if general else {}
    account = ManagerAccount(
        users[0].name,
        users[0].values["secret"],
        _host(values.get("bindaddr", "")),
        _port(values.get("port", "")),
        values.get("enabled", "").casefold() in _TRUE,
    )
    return account, ""


def _host(bound: str) -> str:
    try:
        address = ipaddress.ip_address(bound)
    except ValueError:
        return "127.0.0.1"
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"
    return str(address)


def _port(typed: str) -> int:
    found = re.fullmatch(r"[0-9]{1,5}", typed)
    return int(typed) if found and 0 < int(typed) < 65536 else USUAL_PORT


def _named(name: str, sections: list[_Section]) -> _Section | None:
    return next((one for one in sections if one.name.casefold() == name.casefold()), None)


def _sections(path: Path) -> list[_Section]:
    """Every section of a file and of all that it includes, in order.

    :raises ValueError: the file itself can't be read; one that it includes may be missing.
    """
    sections: list[_Section] = []
    current: _Section | None = None
    for line in _lines(path, [MOST_FILES]):
        found = _SECTION.match(line)
        if found:
            name, options = found[1].strip(), [word.strip() for word in (found[2] or "").split(",")]
            current = _named(name, sections) if "+" in options else None
            if current is None:
                current = _Section(name, "!" in options, {})
                sections.append(current)
            for base in (_named(word, sections) for word in options if word not in ("", "!", "+")):
                current.values.update(base.values if base else {})
        elif current is not None and "=" in line:
            key, _, value = line.partition("=")
            current.values[key.strip().casefold()] = value[value.startswith(">") :].strip()
    return sections


def _lines(path: Path, left: list[int]) -> Iterator[str]:
    """The lines without comments, each include in its place. :param left: how many files may still be opened."""
    left[0] -= 1
    content, _ = files.read(path, LONGEST_FILE, "configuration of Asterisk")
    for line in _without_comments(content.decode("utf-8-sig", "replace")):
        found = _INCLUDE.match(line)
        if not found:
            yield line
            continue
        for included in _included(path.parent, found[1].strip().strip('"<>')):
            try:
                if left[0] > 0:
                    yield from _lines(included, left)
            except ValueError:  # where it matters, Asterisk's own log says so, and the login fails
                continue


def _included(folder: Path, name: str) -> list[Path]:
    """The files of one include: Asterisk takes wildcards in it."""
    place = folder / name
    if not re.search(r"[*?[]", name):
        return [place]
    try:
        return sorted(place.parent.glob(place.name))
    except (ValueError, OSError):
        return []


def _without_comments(text: str) -> Iterator[str]:
    r"""The lines, trimmed. `;` begins a comment, `\;` is a semicolon, `;--` to `--;` is a comment that may nest."""
    depth = 0
    for line in text.split("\n"):
        kept = []
        at = 0
        for mark in _MARK.finditer(line):
            kept.append("" if depth else line[at : mark.start()])
            at = mark.end()
            if mark[0] == "\\;":
                kept.append("" if depth else ";")
            elif mark[0] == ";--":
                depth += 1
            elif depth:
                depth -= mark[0] == "--;"
            else:
                at = len(line)
                break
        kept.append("" if depth else line[at:])
        yield "".join(kept).strip()
