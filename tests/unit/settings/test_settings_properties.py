"""Whatever is in the file: it loads, or it is refused with printable lines; nothing else, and never with a secret."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from freepbx_bx24.errors import ConfigurationError
from freepbx_bx24.settings import document, load

SECRET = "s3cr3ts3cr3ts3cr"
ADDRESS = f"https://example.bitrix24.com/rest/1/{SECRET}/"
EVERYTHING = (Path(__file__).parent / "passing" / "every-option.yaml").read_text()
SAMPLES = [EVERYTHING, document.sample(), document.sample().replace("\n#", "\n")]
PIECES = st.sampled_from(
    ["\n", " ", "\t", ":", "- ", "[", "]", "{", "}", '"', "'", "#", "&a ", "*a", "!!int ", "|", ">", "?", "%", "@"]
    + ["\\", '"\\UFFFFFFFF"', "---\n", "...", "\x00", "\x85", "\u2028", "\ufeff", "\ud7ff"]
    + ["no", "~", "1e3", "<<", "+7", "_8X.", "user:1"]
)


# A fixture for one test is set up once for all of hypothesis' examples: here that is right.
pytestmark = pytest.mark.usefixtures("loader")
QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
THOROUGH = settings(QUICK, max_examples=300)


def refused_or_loaded(content: bytes) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "webhook").write_text(ADDRESS)
        (folder / "webhook").chmod(0o640)
        (folder / "bundle.pem").write_text("-----BEGIN CERTIFICATE-----\n")
        (folder / "bx24.yaml").write_bytes(content)
        try:
            return (repr(load(folder / "bx24.yaml")),)
        except ConfigurationError as error:
            assert error.problems
            assert str(error)
            assert error.hint
            for line in error.problems:
                assert line.startswith(str(folder))
                assert line.isprintable()
                assert len(line) < 1000
            return error.problems


@QUICK
@given(st.binary(max_size=400))
@example(b"\xff\xfe")
@example(b"[" * 100_000)
@example(b"{" * 100_000)
@example(b"- " * 100_000)
@example(b"a: \x85b")
@example(b"? " * 1000)
def test_any_bytes(content: bytes) -> None:
    refused_or_loaded(content)


@QUICK
@given(st.text(max_size=400))
def test_any_text(content: str) -> None:
    refused_or_loaded(content.encode("utf-8", "surrogatepass"))


@QUICK
@given(st.lists(PIECES | st.text(max_size=5), max_size=40))
def test_any_text_that_is_nearly_yaml(pieces: list[str]) -> None:
    refused_or_loaded("".join(pieces).encode())


@THOROUGH
@given(st.sampled_from(SAMPLES), st.data())
def test_any_change_of_a_good_file(sample: str, data: st.DataObject) -> None:
    text = sample
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 30)))
        text = text[:start] + data.draw(PIECES | st.text(max_size=8)) + text[end:]
    refused_or_loaded(text.encode("utf-8", "surrogatepass"))


@THOROUGH
@given(st.sampled_from(SAMPLES), st.sampled_from([SECRET, ADDRESS, ADDRESS[8:]]), st.data())
def test_a_secret_pasted_instead_of_any_word_is_never_shown(sample: str, secret: str, data: st.DataObject) -> None:
    lines = sample.splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    indent = len(lines[at]) - len(lines[at].lstrip())
    before, colon, after = lines[at].partition(":")
    lines[at] = data.draw(
        st.sampled_from(
            [
                f"{before}: {secret}",
                f"{before}: [{secret}]",
                f"{' ' * indent}{secret}:{after}",
                f"{' ' * indent}{secret}",
            ]
        )
    )
    found = refused_or_loaded("\n".join(lines).encode())
    if not found[0].startswith("Settings("):
        assert all(SECRET not in line for line in found)
