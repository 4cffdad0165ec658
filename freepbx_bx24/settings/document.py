"""The sample file and the reference page, written from the table: neither can say what the loader does not do."""

from __future__ import annotations

import re
import textwrap
from typing import Iterator

from .option import Option
from .options import OPTIONS, SECTIONS, together

_WIDTH = 110
_SECTIONS = {section.path: section for section in SECTIONS}

_SAMPLE_HEAD = """\
# freepbx_bx24: calls of FreePBX and Asterisk in Bitrix24.
#
# After a change:      bx24 check      (says what is wrong, where, and what to type)
# and then:            systemctl reload freepbx-bx24
#
# Options that begin with # have the value that is written there, or are an example: delete the # to change them.
# Numbers need no quotes, except those that begin with * and patterns that begin with [.
"""

_REFERENCE_HEAD = """\
# Configuration

Every option of `/etc/freepbx_bx24.yaml`. The environment's `BX24_CONFIG` names another file. This page and the sample
`etc/freepbx_bx24.yaml` are generated from the table that loads the file: change that table, not this page.

Values are read as they are typed: `+74957770000`, `0123` and `no` are texts where a text is meant, with or without
quotes. Quotes are needed only for what YAML itself would read otherwise: a value that begins with one of
`* & ! [ { # % @`, or that holds `: ` or ` #`. Anchors, aliases and tags are not supported. A path that does not begin
with `/` counts from the folder of the YAML file.

`bx24 check` lists everything that is wrong with the file at once, a line each: the file and its line, the option, what
was found, what is allowed. While the file has a problem, a running service keeps the settings that it has.
"""


def sample() -> str:
    """Return the YAML file that an admin edits: what is required stands there, what is not is commented out."""
    return _SAMPLE_HEAD + "".join(f"\n{block}\n" for block in _blocks())


def reference() -> str:
    """Return the page of all options in Markdown."""
    parts = [_REFERENCE_HEAD]
    parts.append("## Options of the file itself\n\n" + _options(option for option in OPTIONS if "." not in option.path))
    for section in SECTIONS:
        if "*" in section.path or "." in section.path:
            continue
        inside = [option for option in OPTIONS if option.path.startswith(section.path + ".")]
        named = f" The names are yours; a name is {section.key.allowed}." if section.key else ""
        parts.append(f"## {section.path}\n\n{section.doc}{named}\n\n{_options(iter(inside))}")
    return "\n".join(parts)


def _blocks() -> Iterator[str]:
    """Yield the sample's top-level options and sections in the order of the table."""
    seen = set()
    for option in OPTIONS:
        first = option.path.split(".")[0]
        if first in seen:
            continue
        seen.add(first)
        inside = [other for other in OPTIONS if other.path.split(".")[0] == first]
        section = _SECTIONS.get(first)
        required = any(other.required for other in inside) or bool(section and section.ways)
        written: list[str] = []
        _members(inside, "", 0, written, comment=required)
        if required:
            yield "\n".join(written)
            continue
        # The words above the block stay a comment of their own; the block itself becomes one by a # before each line.
        start = next(number for number, line in enumerate(written) if not line.startswith("#"))
        yield "\n".join(written[:start] + ["#" + line for line in written[start:]])


def _members(options: list[Option], above: str, depth: int, written: list[str], comment: bool) -> None:
    """Write options as YAML lines. :param comment: comment out the optional ones one by one."""
    indent = "  " * depth
    done = set()
    for option in options:
        name = option.path[len(above) :].lstrip(".").split(".")[0]
        path = f"{above}.{name}".lstrip(".")
        if path in done:
            continue
        done.add(path)
        if path == option.path:
            shown = _name(above, name)
            off = "#" if comment and not option.required else ""
            written += _prose(option.doc, indent)
            written.append(f"{indent}{off}{shown}: {option.placeholder or option.default or option.example}")
            continue
        section = _SECTIONS.get(path)
        if section is not None:
            written += _prose(section.doc, indent)
        written.append(f"{indent}{_name(above, name)}:")
        _members([other for other in options if other.path.startswith(path + ".")], path, depth + 1, written, comment)


def _name(above: str, name: str) -> str:
    return _SECTIONS[above].example if name == "*" else name


def _prose(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent + "# ", subsequent_indent=indent + "# ")


def _options(options: Iterator[Option]) -> str:
    head = "| option | what it is | allowed | default | example |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| `{re.sub('[*]', 'NAME', option.path)}` | {_cell(option.doc)} | {_allowed(option)} "
        f"| {_default(option)} | `{option.example}` |\n"
        for option in options
    )


def _allowed(option: Option) -> str:
    return ("a list, each: " if option.kind.is_list else "") + _cell(option.kind.allowed)


def _default(option: Option) -> str:
    if option.required:
        return "**required**"
    for section in SECTIONS:
        for way in section.ways:
            if option.path in [f"{section.path}.{name}" for name in way]:
                others = [together([f"`{name}`" for name in other]) for other in section.ways if other != way]
                return f"**required**, unless {' or '.join(others)}"
    if option.path.startswith("lines.") and _inherited(option):
        return "as `line_defaults`"
    return f"`{option.default}`" if option.default else "none"


def _inherited(option: Option) -> bool:
    return any(other.path == option.path.replace("lines.*", "line_defaults") for other in OPTIONS)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
