"""What an option and a group of options are, as the tables declare them."""

from __future__ import annotations

from dataclasses import dataclass

from .kinds import Kind


@dataclass(frozen=True)
class Section:
    """A group of options.

    :param key: set where the admin names the members: `example` is such a name, as it is typed.
    :param ways: sets of members, of which the file must have exactly one, whole.
    """

    path: str
    doc: str
    key: Kind | None = None
    example: str = ""
    ways: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Option:
    """One option.

    :param path: names joined by dots; `*` stands for a name that the admin chooses.
    :param kind: how its text is read.
    :param doc: one line that begins with what it is.
    :param example: as it is typed, for the reference page and, where there is no default, the sample.
    :param default: as it is typed; empty where leaving it out means "none".
    :param placeholder: what the sample has in place of a value that only the admin knows.
    """

    path: str
    kind: Kind
    doc: str
    example: str
    default: str = ""
    required: bool = False
    placeholder: str = ""
