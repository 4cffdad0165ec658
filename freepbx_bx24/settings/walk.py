"""From the file's nodes to the options' values, by the table; what does not fit the table becomes a problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Tuple, Union

from .option import Option
from .options import OPTIONS, SECTIONS, together
from .problems import LIMIT, Problem, shown, written
from .tree import Group, Items, Node, Scalar

ANY = "*"


@dataclass(frozen=True)
class Given:
    """A value that the file gives, and the line it stands in."""

    value: Any
    line: int


# Options and named members ("lines", "+7495...") by their path; a member's value is its name as it was read.
Values = Dict[Tuple[str, ...], Given]
_Table = Dict[str, Union[Option, Dict[str, Any]]]

_SECTIONS = {section.path: section for section in SECTIONS}


def _table() -> _Table:
    root: dict[str, Any] = {}
    for option in OPTIONS:
        *groups, last = option.path.split(".")
        inside = root
        for group in groups:
            inside = inside.setdefault(group, {})
        inside[last] = option
    return root


_TABLE = _table()


def walk(root: Group) -> tuple[Values, list[Problem]]:
    """Return the values that the file gives and every problem with them; missing options are `missing`'s business."""
    values: Values = {}
    problems: list[Problem] = []
    _group(root, _TABLE, (), "", values, problems)
    return values, problems


def missing(root: Group, given: set[tuple[str, ...]]) -> list[Problem]:
    """Return a problem for each required option that the file does not have at all.

    :param given: paths that the file has, right or wrong: a wrong value is not also missing.
    """
    problems = []
    for option in OPTIONS:
        path = tuple(option.path.split("."))
        if option.required and not any(path[:length] in given for length in range(1, len(path) + 1)):
            problems.append(_missing(root.names.get(path[0], 0), option.path))
    return problems


def ways(root: Group, given: set[tuple[str, ...]], complete: bool) -> list[Problem]:
    """Return a problem where the file does not have exactly one whole set of a section's `ways`.

    :param given: as for `missing`. :param complete: the whole file was understood: what is not there is missing.
    """
    problems = []
    for section in SECTIONS:
        node, line = root.nodes.get(section.path), root.names.get(section.path, 0)
        if not section.ways or (section.path,) in given:  # a text where the group belongs is a problem already
            continue
        lines = node.names if isinstance(node, Group) else {}
        there = [[name for name in way if (section.path, name) in given] for way in section.ways]
        begun = [number for number, names in enumerate(there) if names]
        if len(begun) > 1:
            first, second = sorted((there[number][0] for number in begun[:2]), key=lambda name: lines[name])
            text = f"a second way in beside {first} (line {lines[first]}): delete one of the two"
            problems.append(Problem(lines[second], f"{section.path}.{second}", text))
        elif complete and not begun:
            text = f"missing; allowed: {', or '.join(together(way) for way in section.ways)}"
            problems.append(Problem(line, section.path, text))
        elif complete:
            lacking = set(section.ways[begun[0]]).difference(there[begun[0]])
            problems += [_missing(line, f"{section.path}.{name}") for name in section.ways[begun[0]] if name in lacking]
    return problems


def _missing(line: int, path: str) -> Problem:
    option = next(option for option in OPTIONS if option.path == path)
    example = f"for example {path.split('.')[-1]}: {option.example}"
    return Problem(line, path, f"missing; allowed: {option.kind.allowed}; {example}")


def typed(root: Group) -> set[tuple[str, ...]]:
    """Return the paths of the options that the file has, whatever their value; an empty value counts as absent."""
    paths: set[tuple[str, ...]] = set()

    def collect(node: Node, path: tuple[str, ...]) -> None:
        if isinstance(node, Group):
            for name, inner in node.nodes.items():
                collect(inner, (*path, name))
        elif not (isinstance(node, Scalar) and not node.text.strip()):
            # Also a group's own path: a text where a group belongs hides its members, which are then not "missing".
            paths.add(path)

    collect(root, ())
    return paths


def _group(
    group: Group, table: _Table, path: tuple[str, ...], kind: str, values: Values, problems: list[Problem]
) -> None:
    """Read the members of one group. :param kind: the group's path in the table, with `*` for chosen names."""
    section = _SECTIONS.get(kind)
    for name, node in group.nodes.items():
        if len(problems) >= LIMIT:
            return
        member, line = (*path, name), group.names[name]
        if section is not None and section.key is not None:
            try:
                values[member] = Given(section.key.read(name), line)
            except ValueError:
                text = f"{shown(name)} is no name here, allowed: {section.key.allowed}"
                problems.append(Problem(line, ".".join(path), text))
                continue
            entry = table[ANY]
        elif name in table:
            entry = table[name]
        else:
            problems.append(Problem(line, written(member), _unknown(name, table)))
            continue
        inner = f"{kind}.{name if name in table else ANY}".lstrip(".")
        _member(node, entry, member, inner, values, problems)


def _member(
    node: Node,
    entry: Option | dict[str, Any],
    path: tuple[str, ...],
    kind: str,
    values: Values,
    problems: list[Problem],
) -> None:
    # `area_code:` with nothing behind it is as good as no such line.
    if isinstance(node, Scalar) and not node.text.strip():
        return
    if isinstance(entry, Option):
        try:
            values[path] = Given(_value(node, entry), node.line)
        except ValueError as error:
            problems.append(Problem(node.line, written(path), str(error)))
    elif isinstance(node, Group):
        _group(node, entry, path, kind, values, problems)
    else:
        names = "names of your own" if ANY in entry else ", ".join(entry)
        text = f"found {_shape(node)}, allowed: a group of options ({names})"
        problems.append(Problem(node.line, written(path), text))


def _value(node: Node, option: Option) -> Any:
    """Return an option's value. :raises ValueError: with the finding."""
    if option.kind.is_list:
        if not isinstance(node, Items):
            raise ValueError(f"found {_shape(node)}, allowed: a list, such as {option.example}")
        return tuple(_scalar(item, option) for item in node.nodes)
    return _scalar(node, option)


def _scalar(node: Node, option: Option) -> Any:
    if not isinstance(node, Scalar):
        raise ValueError(f"found {_shape(node)}, allowed: {option.kind.allowed}")
    if option.placeholder and node.text == option.placeholder:
        raise ValueError(f"still the sample's {node.text}; put there: {option.kind.allowed}")
    try:
        return option.kind.read(node.text)
    except ValueError:
        raise ValueError(f"found {shown(node.text)}, allowed: {option.kind.allowed}") from None


def _shape(node: Node) -> str:
    if isinstance(node, Scalar):
        return shown(node.text)
    return "a list" if isinstance(node, Items) else "a group of options"


def _unknown(name: str, table: _Table) -> str:
    """Return the message for a name that the table does not have: the nearest one, or the group where it belongs."""
    # Imported here: it is needed only where something is wrong.
    from difflib import get_close_matches

    near = get_close_matches(name[:60].lower(), table, n=1)
    if near:
        return f"unknown option, did you mean '{near[0]}'?"
    elsewhere = [option.path for option in OPTIONS if option.path.split(".")[-1] == name]
    elsewhere += [section.path for section in SECTIONS if section.path == name]
    if elsewhere:
        return f"unknown option here, it belongs to {' or '.join(repr(path) for path in elsewhere)}"
    return f"unknown option, allowed: {', '.join(table)}"
