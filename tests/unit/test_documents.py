"""Documents and code say the same: commands and options that are named exist, settings load, links lead somewhere."""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Iterator

import pytest

from freepbx_bx24.cli.main import VERBS
from freepbx_bx24.settings.tree import parse
from freepbx_bx24.settings.walk import walk
from tests.support.documents import DOCUMENTS, ROOT, Document, read

PLACEHOLDER = re.compile(r"[A-Z]|[\[{(<|]|\.\.\.|…")  # `bx24 VERB`, `[--json]`, `--client-id ...`
OPTION = re.compile(r"--[a-z][a-z-]*")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_document = pytest.mark.parametrize(
    "document", [read(path) for path in DOCUMENTS], ids=lambda one: name_of(one.path)
)


@cache
def parser_of(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"bx24 {verb}")
    module = importlib.import_module(f"freepbx_bx24.cli.{VERBS[verb][0]}")
    module.add_arguments(parser)
    return parser


def parsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A verb's parser and those of its own verbs, each with its name; its own has none."""
    yield "", parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {option for _, one in parsers(parser) for option in one._option_string_actions}


def typed_options(words: list[str]) -> set[str]:
    return set(OPTION.findall(" ".join(words)))


@cache
def options_of_install_sh() -> set[str]:
    return set(OPTION.findall((ROOT / "install.sh").read_text().split("read_options() {")[1].split("esac")[0]))


def test_there_are_documents_for_each_need_of_an_admin() -> None:
    there = {name_of(path) for path in DOCUMENTS}
    wanted = (
        "portal configuration commands dialplan troubleshooting operations security limits architecture performance"
    )
    assert {"README.md", "README.ru.md", "CHANGELOG.md", *(f"docs/{name}.md" for name in wanted.split())} <= there


@each_document
def test_every_bx24_command_that_a_document_names_exists_with_its_options(document: Document) -> None:
    for command, words in document.commands():
        if command != "bx24" or not words or words[0].startswith("--") or PLACEHOLDER.search(words[0]):
            continue
        verb, *rest = words
        assert verb in VERBS, f"bx24 {' '.join(words)}"
        assert typed_options(rest) <= options_of(parser_of(verb)), f"bx24 {' '.join(words)}"
        inner = {name for name, _ in parsers(parser_of(verb)) if name}
        if inner and rest and not PLACEHOLDER.search(rest[0]):
            assert rest[0] in inner, f"bx24 {' '.join(words)}"


@each_document
def test_every_option_of_install_sh_that_a_document_names_exists(document: Document) -> None:
    for command, words in document.commands():
        if command == "install.sh":
            assert typed_options(words) <= options_of_install_sh(), f"install.sh {' '.join(words)}"
    # Options stand alone as well: "`--dry-run` says what it would do". Then they are somebody's.
    everybodys = options_of_install_sh().union(*(options_of(parser_of(verb)) for verb in VERBS))
    alone = {span for span in document.spans if OPTION.fullmatch(span.split()[0])}
    assert {span.split()[0] for span in alone} <= everybodys


def test_the_help_of_install_sh_names_each_option_that_it_takes_and_no_other() -> None:
    shown = subprocess.run(["bash", ROOT / "install.sh", "--help"], check=True, capture_output=True, text=True).stdout
    named = [line[:27] for line in shown.splitlines() if line.startswith("  --")]  # what is behind may be a program's
    assert set(OPTION.findall(" ".join(named))) == options_of_install_sh()


def test_each_verb_of_bx24_is_named_by_some_document() -> None:
    named = {words[0] for path in DOCUMENTS for command, words in read(path).commands() if command == "bx24" and words}
    assert set(VERBS) <= named


@each_document
def test_every_part_of_the_tests_that_a_document_names_exists(document: Document) -> None:
    known = set(re.findall(r"^#   ([a-z]+) ", (ROOT / "tests/run").read_text(), re.MULTILINE))
    for command, words in document.commands():
        if command == "tests/run":
            assert set(words) <= known


@each_document
def test_the_settings_that_a_document_shows_are_declared_and_of_the_right_form(document: Document) -> None:
    for text in document.yaml():
        root, problems, complete = parse(text.encode())
        assert (complete, problems) == (True, [])
        assert walk(root)[1] == []


@each_document
def test_every_link_of_a_document_leads_to_a_file_or_heading_of_the_repository(document: Document) -> None:
    for link in document.links:
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (document.path.parent / file).resolve() if file else document.path
        assert target.exists(), link
        assert ROOT in target.parents, link
        if anchor:
            assert anchor in read(target).anchors, link


def test_what_the_program_says_is_quoted_in_troubleshooting_as_it_says_it() -> None:
    sources = [*ROOT.glob("freepbx_bx24/**/*.py"), *ROOT.glob("etc/**/*.*"), ROOT / "install.sh"]
    said = " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in sources)
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    quoted = [
        span
        for table in text.split("\n\n")
        if table.startswith("| it says")
        for row in table.splitlines()[2:]
        for span in re.findall(r"`([^`]+)`", row.split("|")[1])
    ]
    assert quoted
    for span in quoted:
        for part in re.split(r"\b[0-9]+\b|\[bx24\]|\.\.\.", span):  # numbers and names are of the call
            assert part.strip(" ;") in said, span


def lines_to_type(document: Document) -> list[str]:
    """Lines of fenced blocks that somebody types, without comments."""
    return [
        line.split("#")[0].strip()
        for language, text in document.fences
        if language == ""
        for line in text.splitlines()
        if re.match(r" *(sudo|ssh|\./|--)", line)
    ]


def test_the_readme_says_the_same_in_english_and_russian() -> None:
    english, russian = read(ROOT / "README.md"), read(ROOT / "README.ru.md")
    assert [level for level, _ in english.headings] == [level for level, _ in russian.headings]
    assert [language for language, _ in english.fences] == [language for language, _ in russian.fences]
    assert lines_to_type(english) == lines_to_type(russian)
    assert english.commands() == russian.commands()
    assert set(english.spans) == set(russian.spans)
    settings = [[list(walk(parse(text.encode())[0])[0]) for text in one.yaml()] for one in (english, russian)]
    assert settings[0] == settings[1]
    assert settings[0]
    pages = [
        {link.partition("#")[0] for link in one.links} - {"README.md", "README.ru.md"} for one in (english, russian)
    ]
    assert pages[0] == pages[1]


def test_the_two_readmes_lead_to_each_other_at_their_top() -> None:
    assert "](README.ru.md)" in (ROOT / "README.md").read_text(encoding="utf-8")[:300]
    assert "](README.md)" in (ROOT / "README.ru.md").read_text(encoding="utf-8")[:300]
