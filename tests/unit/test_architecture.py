"""The shape of the product, held by its import statements, docstrings and sizes."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from freepbx_bx24 import errors

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "freepbx_bx24"
LONGEST_MODULE = 350

# Each layer may import what stands in its own set, and itself. Downwards only.
CORE = {"call", "cards", "clicks", "recording", "policy", "outcome", "numbers", "reasons", "errors", "log", "__init__"}
MIDDLE = CORE | {"journal", "settings"}
EDGES = MIDDLE | {"bitrix24", "pbx"}
MAY_IMPORT = {
    **dict.fromkeys(CORE, CORE),
    "guard_channel": set(),
    "guard": {"guard_channel", "service"},
    "journal": CORE,
    "settings": CORE,
    "bitrix24": MIDDLE,
    "pbx": MIDDLE,
    "checks": EDGES,
    "service": EDGES | {"checks"},
    "cli": EDGES | {"checks", "service", "sandbox"},
}
AGI_SCRIPTS = REPOSITORY / "agi-bin"
FILES = sorted(PACKAGE.rglob("*.py"))
PRODUCT = [path for path in FILES if path.relative_to(PACKAGE).parts[0] != "sandbox"]


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def part_of(path: Path) -> str:
    """The package or module directly below freepbx_bx24 that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> set[str]:
    """Everything that a file imports, anywhere in it, as absolute dotted names."""
    package = ("freepbx_bx24", *path.relative_to(PACKAGE).parts[:-1]) if PACKAGE in path.parents else ()
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def parts_imported(path: Path) -> set[str]:
    """The parts of our package that a file imports."""
    parts = set()
    for name in imports_of(path):
        if name == "freepbx_bx24" or name.startswith("freepbx_bx24."):
            part = (*name.split("."), "")[1]
            known = (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").exists()
            parts.add(part if part and known else "__init__")  # `from .. import __version__`
    return parts


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_imports_run_downwards_only(path: Path) -> None:
    part = part_of(path)
    assert part in MAY_IMPORT, "a new part needs its place among the layers"
    assert parts_imported(path) <= MAY_IMPORT[part] | {part}


def test_the_two_edges_do_not_know_each_other() -> None:
    assert not MAY_IMPORT["bitrix24"] & {"pbx", "service", "cli"}
    assert not MAY_IMPORT["pbx"] & {"bitrix24", "service", "cli"}


def test_the_sandbox_is_used_by_one_verb_and_by_tests_alone() -> None:
    users = {name_of(path) for path in PRODUCT if "sandbox" in parts_imported(path)}
    assert users <= {"cli/sandbox.py"}


def test_the_agi_scripts_know_the_guard_alone() -> None:
    scripts = sorted(AGI_SCRIPTS.glob("*.py"))
    assert [path.name for path in scripts] == ["bx24_finish.py", "bx24_register.py"]
    for path in scripts:
        assert imports_of(path) == {"sys", "freepbx_bx24.guard.main"}


def test_the_guard_loads_the_rest_only_in_a_child_and_only_without_the_service() -> None:
    top = [node for node in tree_of(PACKAGE / "guard.py").body if isinstance(node, ast.ImportFrom) and node.level]
    assert [node.module for node in top] == ["guard_channel"]


def test_nothing_but_the_portals_client_speaks_http() -> None:
    speakers = {
        name_of(path)
        for path in PRODUCT
        if any(re.match(r"(requests|urllib3|http\.client|urllib\.request)\b", name) for name in imports_of(path))
    }
    assert speakers == {"bitrix24/connections.py", "bitrix24/transport.py"}


def test_the_core_does_no_input_output_and_has_no_clock() -> None:
    pure = [PACKAGE / f"{part}.py" for part in ("call", "cards", "recording", "policy", "numbers", "reasons", "errors")]
    allowed = {"__future__", "re", "dataclasses", "typing", "functools", "datetime", "phonenumbers", "freepbx_bx24"}
    for path in pure:
        assert {name.split(".")[0] for name in imports_of(path)} <= allowed, path
        called = {node.attr for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)}
        assert not called & {"now", "today", "utcnow"}, path


def test_policy_knows_no_wire_format() -> None:
    source = (PACKAGE / "policy.py").read_text(encoding="utf-8")
    for word in ("telephony.", "externalCall", "externalLine", "json", "webhook", "http", "sqlite", "agi_"):
        assert word not in source


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_modules_first_line_says_its_one_reason_to_exist(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert ast.get_docstring(tree_of(path))
    assert first.startswith('"""')
    assert len(first.strip('"')) > 20


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_module_is_longer_than_a_person_reads_at_once(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


# The guard's own modules import nothing that is a file; real calls run them on Python 3.9.
NO_FUTURE = ("__init__.py", "guard.py", "guard_channel.py")


@pytest.mark.parametrize("path", [path for path in FILES if path.name not in NO_FUTURE], ids=name_of)
def test_annotations_are_never_evaluated_since_python_3_9_could_not(path: Path) -> None:
    assert "__future__.annotations" in imports_of(path)


def classes_of_errors() -> list[type]:
    return [value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", classes_of_errors(), ids=lambda kind: kind.__name__)
def test_every_error_is_one_of_ours_and_says_what_to_do(kind: type) -> None:
    assert issubclass(kind, errors.Bx24Error)
    assert kind.hint.strip()
    assert kind.__doc__
    assert isinstance(kind.retryable, bool)


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_an_error_class_is_declared_in_the_one_tree_of_errors(path: Path) -> None:
    if path.name == "errors.py":
        return
    bases = {
        base.id if isinstance(base, ast.Name) else getattr(base, "attr", "")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    }
    ours = {kind.__name__ for kind in classes_of_errors()}
    assert not bases & ours
    assert not bases & {"Exception", "RuntimeError", "BaseException"}
