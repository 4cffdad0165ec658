"""The YAML's text as plain nodes with line numbers: values stay as they were typed, and nothing can explode."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Union

import yaml

from .problems import LIMIT, Problem, shown

# portal, lines, a line, create, in: five levels; the rest is room.
_DEEPEST = 10
# YAML 1.1, section 5.1. PyYAML's own expression: to compile another one takes longer than to read the file; and libyaml
# says only at which byte it met such a character.
_FORBIDDEN = yaml.reader.Reader.NON_PRINTABLE
# libyaml's parser is ten times as fast as the one in Python; PyYAML can be built without it.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# The parser's own words, in the order of the search, and what an admin has to do.
_SYNTAX = (
    ("mapping values are not allowed", "a ': ' where no option can be: write the value in quotes"),
    ("cannot start any token", "a value that begins with one of @ ` % must be in quotes"),
    ("while scanning an alias", "a value that begins with * must be in quotes"),
    ("while scanning an anchor", "a value that begins with & must be in quotes"),
    ("flow sequence", "a list that was opened with [ is not closed with ]"),
    ("flow mapping", "a group that was opened with { is not closed with }"),
    ("quoted scalar", "a quote that is not closed, or a \\ escape that is none"),
    ("could not find expected ':'", "an option without ':'"),
    ("block mapping", "the indentation does not fit to the lines above"),
    ("block collection", "the indentation does not fit to the lines above"),
    ("tag", "a value that begins with ! must be in quotes"),
)


@dataclass(frozen=True)
class Scalar:
    """A value as it was typed, without its quotes. `line` counts from 1."""

    text: str
    line: int


@dataclass(frozen=True)
class Items:
    """A list."""

    line: int
    nodes: list[Node] = field(default_factory=list)


@dataclass(frozen=True)
class Group:
    """Options by name. `names` holds where each name stands; a value is missing only where the file is broken."""

    line: int
    nodes: dict[str, Node] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)


Node = Union[Scalar, Items, Group]


def parse(content: bytes) -> tuple[Group, list[Problem], bool]:
    """Return the file's options, what is wrong with the file as YAML, and whether all of the file was understood.

    An empty file has no options. Where not all was understood the last problem says from which line on.

    Events instead of `yaml.compose`: they give the same source text, without the recursion and without the aliases by
    which a page of YAML becomes gigabytes.
    """
    root = Group(1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return root, [Problem(line, "", "not UTF-8 text: save the file in the encoding UTF-8")], False
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        line = text.count("\n", 0, forbidden.start()) + 1
        return root, [Problem(line, "", f"the control character {forbidden[0]!a}: delete it")], False
    problems: list[Problem] = []
    try:
        return root, problems, _build(text, root, problems)
    except yaml.YAMLError as error:
        problems.append(_syntax(text, error))
    except (ValueError, OverflowError):
        # The parser in Python: an escape such as "\UFFFFFFFF" that is no character.
        problems.append(Problem(0, "", "not valid YAML: a \\ escape that is no character"))
    return root, problems, False


def _build(text: str, root: Group, problems: list[Problem]) -> bool:
    """Fill root from the parser's events; false, at once, where nothing below a finding makes sense."""
    above: list[Node] = []
    names: list[str | None] = []
    documents = 0
    for event in yaml.parse(text, Loader=LOADER):
        line = (event.start_mark.line if event.start_mark else 0) + 1
        if len(problems) >= LIMIT:
            return False
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                problems.append(Problem(line, "", "a second document (---): one file holds one set of options"))
                return False
            continue
        if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            above.pop()
            names.pop()
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        node = _node(event, line, problems)
        if not above:
            if isinstance(node, Group):
                node = root
            elif not (isinstance(node, Scalar) and not node.text):
                problems.append(Problem(line, "", "no options: the file begins with lines such as 'country: RU'"))
                return False
        elif not _put(node, above[-1], names, problems):
            return False
        if isinstance(node, (Group, Items)):
            above.append(node)
            names.append(None)
            if len(above) > _DEEPEST:
                problems.append(Problem(line, "", f"more than {_DEEPEST} levels deep: no option is"))
                return False
    return True


def _node(event: yaml.NodeEvent, line: int, problems: list[Problem]) -> Node:
    """Return the node that an event begins; anchors, aliases and tags are findings, since no option needs them."""
    if isinstance(event, yaml.AliasEvent):
        problems.append(Problem(line, "", "a value that begins with * must be in quotes (aliases are not supported)"))
        return Scalar(f"*{event.anchor}", line)
    if event.anchor is not None:
        problems.append(Problem(line, "", "a value that begins with & must be in quotes (anchors are not supported)"))
    # A quoted text without a tag arrives with None or "!", by the loader.
    if getattr(event, "tag", None) not in (None, "!"):
        problems.append(Problem(line, "", "a value that begins with ! must be in quotes (tags are not supported)"))
    if isinstance(event, yaml.ScalarEvent):
        return Scalar(event.value, line)
    return Group(line) if isinstance(event, yaml.MappingStartEvent) else Items(line)


def _put(node: Node, parent: Node, names: list[str | None], problems: list[Problem]) -> bool:
    """Add a node to the list or group it stands in; false where the rest of the file can't be understood."""
    if isinstance(parent, Items):
        parent.nodes.append(node)
        return True
    assert isinstance(parent, Group)
    name = names[-1]
    if name is not None:
        names[-1] = None
        # Of a doubled option the first stays, so that no value is reported that the file does not show there.
        parent.nodes.setdefault(name, node)
        return True
    if not isinstance(node, Scalar):
        problems.append(Problem(node.line, "", "an option's name must be a simple text"))
        return False
    if node.text in parent.names:
        first = parent.names[node.text]
        problems.append(Problem(node.line, "", f"{shown(node.text)} a second time: it is in line {first} already"))
    parent.names.setdefault(node.text, node.line)
    names[-1] = node.text
    return True


def _syntax(text: str, error: yaml.YAMLError) -> Problem:
    """Return the parser's complaint in an admin's words, without any text of the file."""
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 0
    source = text.splitlines()
    around = source[line - 1] if 0 < line <= len(source) else ""
    indentation = around[: len(around) - len(around.lstrip())]
    if "\t" in indentation or (mark and around[mark.column : mark.column + 1] == "\t"):
        return Problem(line, "", "not valid YAML: a tab: use blanks")
    said = f"{getattr(error, 'problem', '')} {getattr(error, 'context', '')}"
    for words, advice in _SYNTAX:
        if words in said:
            return Problem(line, "", f"not valid YAML: {advice}")
    return Problem(line, "", "not valid YAML from here on")
