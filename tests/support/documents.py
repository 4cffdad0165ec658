"""What a Markdown document names: commands, YAML, headings, links; read as GitHub shows it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_END_OF_COMMAND = re.compile(r"&&|[;|─│]")
# A word before it would make it prose: "the service of bx24 is ..." stands outside of code and is not looked at.
_COMMAND = re.compile(r"(?<![\w./-])(?:sudo )?(?:\S*/)?(bx24|install\.sh|tests/run)(?= |$)(.*)")


@dataclass(frozen=True)
class Document:
    """One document in pieces. `fences` are pairs of language and content, `spans` the code within lines."""

    path: Path
    fences: tuple[tuple[str, str], ...]
    spans: tuple[str, ...]
    headings: tuple[tuple[int, str], ...]
    links: tuple[str, ...]

    @property
    def anchors(self) -> set[str]:
        """The names by which links reach its headings, as GitHub makes them."""
        seen: dict[str, int] = {}
        names = set()
        for _, text in self.headings:
            name = re.sub(r"[^\w\- ]", "", text.replace("`", "").lower()).replace(" ", "-")
            names.add(f"{name}-{seen[name]}" if name in seen else name)
            seen[name] = seen.get(name, 0) + 1
        return names

    def commands(self) -> list[tuple[str, list[str]]]:
        """Each of our commands that code names: `bx24`, `install.sh` or `tests/run`, and its words."""
        lines = [line for _, text in self.fences for line in text.replace("\\\n", " ").splitlines()]
        found = []
        for code in [*lines, *self.spans]:
            for part in _END_OF_COMMAND.split(_COMMENT.sub("", code)):
                match = _COMMAND.search(part)
                if match:
                    found.append((match[1], match[2].split()))
        return found

    def yaml(self) -> list[str]:
        """The fenced blocks of YAML."""
        return [text for language, text in self.fences if language == "yaml"]


def read(path: Path) -> Document:
    """Take a document to pieces."""
    text = path.read_text(encoding="utf-8")
    prose = _FENCE.sub("\n", text)
    return Document(
        path,
        tuple((match[1], match[2]) for match in _FENCE.finditer(text)),
        tuple(" ".join(span.split()) for span in _INLINE.findall(prose)),
        tuple((len(match[1]), match[2].strip()) for match in _HEADING.finditer(prose)),
        tuple(_LINK.findall(_INLINE.sub("", prose))),
    )
