"""Files as admins write them: passing/ loads, failing/ gives exactly the lines that stand beside each."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from freepbx_bx24.errors import ConfigurationError
from freepbx_bx24.settings import load

pytestmark = pytest.mark.usefixtures("loader")
HERE = Path(__file__).parent
PASSING = sorted((HERE / "passing").glob("*.yaml"))
FAILING = sorted((HERE / "failing").glob("*.yaml"))


def test_the_corpus_is_there() -> None:
    assert len(PASSING) >= 5
    assert len(FAILING) >= 20


@pytest.mark.parametrize("file", PASSING, ids=lambda file: file.stem)
def test_loads(file: Path, folder: Path) -> None:
    shutil.copy(file, folder / "bx24.yaml")
    assert load(folder / "bx24.yaml").rules.country == "RU"


@pytest.mark.parametrize("file", FAILING, ids=lambda file: file.stem)
def test_is_refused_with_exactly_these_lines(file: Path, folder: Path) -> None:
    place = folder / "bx24.yaml"
    shutil.copy(file, place)
    with pytest.raises(ConfigurationError) as refused:
        load(place)
    said = [line.replace(str(place), "FILE").replace(str(folder), "FOLDER") for line in refused.value.problems]
    assert said == file.with_suffix(".expected").read_text().splitlines()


@pytest.mark.parametrize("file", FAILING, ids=lambda file: file.stem)
def test_no_expected_line_shows_a_secret_or_breaks_the_terminal(file: Path) -> None:
    lines = file.with_suffix(".expected").read_text().splitlines()
    assert lines
    for line in lines:
        assert "S3cret" not in line
        assert line.isprintable()
